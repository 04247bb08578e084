import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';

const IMAGES = [
  ...['SR_PROBE', 'SR_UPDATE', 'VDI_CREATE', 'VDI_DELETE', 'VDI_ATTACH', 'VDI_DETACH', 'VDI_INTRODUCE'],
  ...['VDI_RESIZE', 'VDI_CLONE', 'VDI_SNAPSHOT', 'VDI_UPDATE', 'VDI_CONFIG_CBT'],
];

/** Drivers, and what they can do. */
export const DRIVERS: Record<string, { label: string; about: string; capabilities: string[] }> = {
  file: {
    label: 'Folder of disk images',
    about: 'Disk images (qcow2, VHD, raw) in a folder of the host',
    capabilities: IMAGES,
  },
  // Clients ask for it by the name that real hosts have for their own disk.
  ext: {
    label: 'Local folder of disk images',
    about: 'The same under the name that local storage has on other hosts',
    capabilities: IMAGES,
  },
  iso: {
    label: 'Folder of discs',
    about: 'ISO images in a folder of the host, which are only read',
    capabilities: ['VDI_ATTACH', 'VDI_DETACH', 'SR_UPDATE'],
  },
};

function attachedPbd({ db }: Xapi, sr: Row): Row | undefined {
  return sr
    .refs('PBDs')
    .map((ref) => db.row('PBD', ref))
    .find((pbd) => pbd.flag('currently_attached'));
}

/** An SR's record and the host's connection to it. */
export function addSr(
  xapi: Xapi,
  values: Record<string, string | boolean | Record<string, string>>,
  config: Record<string, string>,
): Row {
  const { db, hostRef } = xapi;
  const type = values.type as string;
  if (!Object.hasOwn(DRIVERS, type)) throw new Failure('SR_UNKNOWN_DRIVER', type);
  return db.change(() => {
    const allowed = ['scan', 'vdi_create', 'plug', 'unplug', 'forget', 'destroy', 'update'];
    const sr = db.create('SR', { ...values, allowed_operations: allowed });
    const pbd = db.create('PBD', { SR: sr.ref, host: hostRef, device_config: config });
    xapi.storage.make(xapi.storage.folder(sr));
    db.set(pbd, { currently_attached: true });
    xapi.storage.measure(sr);
    return sr;
  });
}

const describe = (args: Arguments) => ({
  name_label: args.text('name_label'),
  name_description: args.text('name_description'),
  type: args.text('type'),
  content_type: args.text('content_type'),
  shared: args.flag('shared'),
  sm_config: args.map('sm_config'),
});

/** Nothing is connected to it any more. */
function assertDisconnected(xapi: Xapi, sr: Row): void {
  if (attachedPbd(xapi, sr)) throw new Failure('SR_HAS_PBD', sr.ref);
}

function drop(xapi: Xapi, sr: Row): void {
  const { db } = xapi;
  db.change(() => {
    for (const ref of sr.refs('VDIs')) xapi.storage.forget(db.row('VDI', ref));
    for (const ref of sr.refs('PBDs')) db.destroy(db.row('PBD', ref));
    db.destroy(sr);
  });
}

export const SR: Handlers = {
  'SR.create': async (args, { xapi }) => {
    if (args.row('host').ref !== xapi.hostRef) throw new Failure('HOST_OFFLINE', args.text('host'));
    const sr = addSr(xapi, describe(args), args.map('device_config'));
    await xapi.storage.scan(sr);
    return sr.ref;
  },
  'SR.introduce': (args, { xapi }) => {
    if (!Object.hasOwn(DRIVERS, args.text('type'))) throw new Failure('SR_UNKNOWN_DRIVER', args.text('type'));
    if (xapi.db.hasUuid('SR', args.text('uuid'))) throw new Failure('SR_UUID_EXISTS', args.text('uuid'));
    return xapi.db.create('SR', { ...describe(args), uuid: args.text('uuid') }).ref;
  },
  'SR.destroy': async (args, { xapi }) => {
    const sr = args.row('sr');
    const pbd = attachedPbd(xapi, sr);
    if (pbd) throw new Failure('SR_HAS_PBD', sr.ref);
    if (sr.refs('PBDs').length === 0) throw new Failure('SR_HAS_NO_PBDS', sr.ref);
    if (sr.refs('VDIs').length > 0) throw new Failure('SR_NOT_EMPTY');
    await xapi.storage.remove(sr);
    drop(xapi, sr);
  },
  'SR.forget': (args, { xapi }) => {
    const sr = args.row('sr');
    assertDisconnected(xapi, sr);
    drop(xapi, sr);
  },
  'SR.scan': (args, { xapi }) => xapi.storage.scan(args.row('sr')),
  'SR.update': (args, { xapi }) => xapi.storage.measure(args.row('sr')),
  'SR.get_supported_types': () => Object.keys(DRIVERS),
  'SR.set_name_label': (args, { xapi }) => xapi.db.set(args.row('sr'), { name_label: args.text('value') }),
  'SR.set_name_description': (args, { xapi }) => xapi.db.set(args.row('sr'), { name_description: args.text('value') }),
};

/** Storage of a new host: a folder for disks. */
export function firstStorage(xapi: Xapi): void {
  const { db, storage } = xapi;
  if (!storage.there || db.table('SR').size > 0 || xapi.pool.map('other_config').storage === 'made') return;
  const values = { name_label: 'Local storage', name_description: 'Disk images in the folder of the host' };
  const sr = addSr(xapi, { ...values, type: 'file', content_type: 'user', shared: false, sm_config: {} }, {});
  const other_config = { ...xapi.pool.map('other_config'), storage: 'made' };
  db.set(xapi.pool, { other_config, ...(xapi.pool.text('default_SR') === NULL_REF && { default_SR: sr.ref }) });
}
