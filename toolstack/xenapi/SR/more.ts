/** Messages of storage and disks that are rare: places that could be used, disks that are there already, moves. */
import { readdirSync, statfsSync } from 'node:fs';
import type { Value } from '../../../spec/xenapi/types.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import { filesIn, formatOf, look, uuidOf } from './files.ts';
import { addSr, DRIVERS } from './messages.ts';

interface Place {
  location: string;
  uuid: string;
  name: string;
  free: number;
  total: number;
}

/** Folders below that of all storage, of which some are SRs. */
function places({ db, storage }: Xapi, location: string | undefined): Place[] {
  const root = storage.locate('x').slice(0, -2);
  const names = location ? [location] : readdirSync(root, { withFileTypes: true }).filter((each) => each.isDirectory()).map(({ name }) => name); // prettier-ignore
  return names.map((name) => {
    const path = storage.locate(name);
    const sr = [...db.table('SR').values()].find((row) => storage.folder(row) === path);
    const { bavail, blocks, bsize } = statfsSync(root);
    return { location: name, uuid: sr?.uuid ?? '', name: sr?.text('name_label') ?? '', free: bavail * bsize, total: blocks * bsize }; // prettier-ignore
  });
}

function probe(args: Arguments, xapi: Xapi): Place[] {
  if (args.row('host').ref !== xapi.hostRef) throw new Failure('HOST_OFFLINE', args.text('host'));
  if (!Object.hasOwn(DRIVERS, args.text('type'))) throw new Failure('SR_UNKNOWN_DRIVER', args.text('type'));
  return places(xapi, args.map('device_config').location);
}

export const storageMore: Handlers = {
  'SR.probe_ext': (args, { xapi }) =>
    probe(args, xapi).map(({ location, uuid, name, free, total }) => ({
      ...{ configuration: { location }, complete: true, extra_info: {} },
      sr: [
        { uuid: uuid === '' ? [] : [uuid], name_label: name, name_description: '', free_space: free, total_space: total, clustered: false, health: 'healthy' }, // prettier-ignore
      ],
    })),
  'SR.probe': (args, { xapi }) => {
    const text = (value: string) => value.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
    const list = probe(args, xapi).map(({ location, uuid }) => `<SR><UUID>${uuid}</UUID><Location>${text(location)}</Location></SR>`); // prettier-ignore
    return `<?xml version="1.0"?><SRlist>${list.join('')}</SRlist>`;
  },
  'SR.make': (args, { xapi }) => {
    if (args.row('host').ref !== xapi.hostRef) throw new Failure('HOST_OFFLINE', args.text('host'));
    const values = { name_label: args.text('name_label'), name_description: args.text('name_description'), type: args.text('type'), content_type: args.text('content_type'), shared: false, sm_config: args.map('sm_config') }; // prettier-ignore
    return addSr(xapi, values, args.map('device_config')).uuid;
  },
  'SR.set_shared': (args, { xapi }) => xapi.db.set(args.row('sr'), { shared: args.flag('value') }),
  'SR.set_physical_size': (args, { xapi }) => xapi.db.set(args.row('self'), { physical_size: args.number('value') }),
  'VDI.introduce': async (args, { xapi }) => {
    const { db, storage } = xapi;
    const [sr, location, uuid] = [args.row('SR'), args.text('location'), args.text('uuid')];
    storage.assertAttached(sr);
    if (sr.text('type') === 'iso') throw new Failure('SR_OPERATION_NOT_SUPPORTED', sr.ref);
    const known = sr.refs('VDIs').some((ref) => db.row('VDI', ref).text('location') === location);
    if (known) throw new Failure('LOCATION_NOT_UNIQUE', sr.ref, location);
    if (uuidOf(location) === undefined || !(await filesIn(storage.folder(sr))).includes(location))
      throw new Failure('SR_BACKEND_FAILURE_46', '', `there is no image ${location}`);
    const image = await look(storage.folder(sr), location, formatOf(location));
    if (!image) throw new Failure('SR_BACKEND_FAILURE_46', '', `${location} is no image`);
    // As the scan finds it; then what the client says of it.
    await storage.scan(sr);
    const found = sr.refs('VDIs').map((ref) => db.row('VDI', ref)).find((row) => row.text('location') === location); // prettier-ignore
    if (!found) throw new Failure('SR_BACKEND_FAILURE_46', '', `${location} is based on an image from elsewhere`);
    if (uuid !== '' && uuid !== found.uuid) throw new Failure('UUID_INVALID', 'VDI', uuid);
    const values: Record<string, Value> = {};
    for (const field of ['name_label', 'name_description', 'type', 'sharable', 'read_only', 'other_config', 'xenstore_data', 'is_a_snapshot', 'snapshot_time', 'snapshot_of']) // prettier-ignore
      values[field] = args.value(field);
    db.set(found, values);
    return found.ref;
  },
  'VDI.pool_migrate': async (args, { xapi, task }) => {
    const { db, storage } = xapi;
    const [vdi, sr] = [args.row('vdi'), args.row('sr')];
    if (storage.used(vdi)) throw new Failure('VDI_IN_USE', vdi.ref, 'pool_migrate');
    if (vdi.flag('is_a_snapshot')) throw new Failure('VDI_IS_A_SNAPSHOT', vdi.ref);
    if (vdi.refs('VBDs').length === 0) throw new Failure('VDI_NEEDS_VM_FOR_MIGRATE', vdi.ref);
    const copy = await storage.copy(vdi, sr, 'copy', {}, task);
    if (storage.used(vdi)) {
      await storage.destroy(copy);
      throw new Failure('VDI_IN_USE', vdi.ref, 'pool_migrate');
    }
    db.change(() => {
      for (const ref of vdi.refs('VBDs')) db.set(db.row('VBD', ref), { VDI: copy.ref });
      for (const ref of vdi.refs('snapshots')) db.set(db.row('VDI', ref), { snapshot_of: copy.ref });
    });
    await storage.destroy(vdi);
    return copy.ref;
  },
  'VDI.set_on_boot': (args, { xapi }) => {
    const vdi = args.row('self');
    if (args.text('value') === 'reset') throw new Failure('SR_OPERATION_NOT_SUPPORTED', vdi.text('SR'));
    xapi.db.set(vdi, { on_boot: 'persist' });
  },
  'VDI.set_allow_caching': (args, { xapi }) => {
    const vdi = args.row('self');
    // There is nothing between a disk and its file that could cache it.
    if (args.flag('value')) throw new Failure('SR_OPERATION_NOT_SUPPORTED', vdi.text('SR'));
    xapi.db.set(vdi, { allow_caching: false });
  },
};
