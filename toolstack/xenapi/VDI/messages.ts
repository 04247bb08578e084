import { Failure } from '../failure.ts';
import type { Xapi } from '../xapi.ts';
import type { Handler, Handlers } from '../messages.ts';
import { timeText } from '../rpc/decode.ts';
import type { Row } from '../database/row.ts';
import type { Value } from '../../../spec/xenapi/types.ts';

const setting =
  (field: string): Handler =>
  (args, { xapi }) =>
    xapi.db.set(args.row('self'), { [field]: args.value('value') });

/** What makes a copy a frozen one. */
export const frozenOf = (vdi: Row): Record<string, Value> => ({
  is_a_snapshot: true,
  snapshot_of: vdi.ref,
  snapshot_time: timeText(Date.now()),
});

/** Only of a disk that machines write, in an image that can tell. */
function tracked({ db, storage }: Xapi, vdi: Row): Row {
  const sr = db.row('SR', vdi.text('SR'));
  storage.assertAttached(sr);
  if (vdi.flag('missing')) throw new Failure('VDI_MISSING', sr.ref, vdi.ref);
  if (sr.text('type') === 'iso' || storage.image(vdi).format === 'raw')
    throw new Failure('SR_OPERATION_NOT_SUPPORTED', sr.ref);
  if (vdi.flag('is_a_snapshot')) throw new Failure('OPERATION_NOT_ALLOWED', 'VDI is a snapshot');
  if (!['user', 'system'].includes(vdi.text('type')))
    throw new Failure('VDI_INCOMPATIBLE_TYPE', vdi.ref, vdi.text('type'));
  if (vdi.text('on_boot') === 'reset')
    throw new Failure('VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION', vdi.ref, 'reset');
  return vdi;
}

export const VDI: Handlers = {
  'VDI.create': async (args, { xapi }) => {
    const given = args.record('args');
    const sr = xapi.db.row('SR', given.SR as string);
    return (await xapi.storage.create(sr, given)).ref;
  },
  'VDI.destroy': (args, { xapi }) => xapi.storage.destroy(args.row('self')),
  'VDI.forget': (args, { xapi }) => {
    const vdi = args.row('vdi');
    xapi.storage.assertUnused(vdi, 'forget');
    xapi.storage.forget(vdi);
  },
  'VDI.resize': (args, { xapi }) => xapi.storage.resize(args.row('vdi'), args.number('size')),
  'VDI.clone': async (args, { xapi }) => {
    const vdi = args.row('vdi');
    return (await xapi.storage.freeze([{ vdi, values: {} }], 'clone'))[0].ref;
  },
  'VDI.snapshot': async (args, { xapi }) => {
    const vdi = args.row('vdi');
    return (await xapi.storage.freeze([{ vdi, values: frozenOf(vdi) }], 'snapshot'))[0].ref;
  },
  'VDI.copy': async (args, { xapi, task }) => {
    const [vdi, into, base] = [args.row('vdi'), args.rowOrNull('into_vdi'), args.rowOrNull('base_vdi')];
    if (into) {
      await xapi.storage.copyInto(vdi, into, base, task);
      return into.ref;
    }
    return (await xapi.storage.copy(vdi, args.row('sr'), 'copy', {}, task)).ref;
  },
  'VDI.enable_cbt': (args, { xapi }) => xapi.storage.changes.enable(tracked(xapi, args.row('self'))),
  'VDI.disable_cbt': async (args, { xapi }) => {
    const vdi = tracked(xapi, args.row('self'));
    await xapi.storage.changes.disable(vdi);
    xapi.storage.chains.kick(xapi.db.row('SR', vdi.text('SR')));
  },
  'VDI.data_destroy': (args, { xapi }) => xapi.storage.destroyData(args.row('self')),
  'VDI.list_changed_blocks': (args, { xapi }) => {
    const [from, to] = [args.row('vdi_from'), args.row('vdi_to')];
    for (const vdi of [from, to]) {
      xapi.storage.assertAttached(xapi.db.row('SR', vdi.text('SR')));
      xapi.storage.assertUnused(vdi, 'list_changed_blocks');
    }
    return xapi.storage.changes.between(from, to);
  },
  'VDI.get_nbd_info': (args, { xapi, session }) => xapi.nbd.info(args.row('self'), session),
  'VDI.update': (args, { xapi }) => xapi.storage.measure(xapi.db.row('SR', args.row('vdi').text('SR'))),
  'VDI.set_name_label': setting('name_label'),
  'VDI.set_name_description': setting('name_description'),
  'VDI.set_sharable': setting('sharable'),
  'VDI.set_read_only': (args, { xapi }) => {
    xapi.storage.assertUnused(args.row('self'), 'update');
    xapi.db.set(args.row('self'), { read_only: args.value('value') });
  },
};
