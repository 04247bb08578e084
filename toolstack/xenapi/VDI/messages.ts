import { NULL_REF } from '../../../spec/xenapi/types.ts';
import { Failure } from '../failure.ts';
import type { Handler, Handlers } from '../messages.ts';
import { timeText } from '../rpc/decode.ts';

const setting =
  (field: string): Handler =>
  (args, { xapi }) =>
    xapi.db.set(args.row('self'), { [field]: args.value('value') });

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
    return (await xapi.storage.copy(vdi, xapi.db.row('SR', vdi.text('SR')), 'clone')).ref;
  },
  'VDI.snapshot': async (args, { xapi }) => {
    const vdi = args.row('vdi');
    const frozen = { is_a_snapshot: true, snapshot_of: vdi.ref, snapshot_time: timeText(Date.now()) };
    return (await xapi.storage.copy(vdi, xapi.db.row('SR', vdi.text('SR')), 'snapshot', frozen)).ref;
  },
  'VDI.copy': async (args, { xapi }) => {
    // Copies onto a base or into another disk are not there yet.
    if (args.text('base_vdi') !== NULL_REF || args.text('into_vdi') !== NULL_REF)
      throw new Failure('SR_OPERATION_NOT_SUPPORTED', args.text('sr'));
    return (await xapi.storage.copy(args.row('vdi'), args.row('sr'), 'copy')).ref;
  },
  'VDI.update': (args, { xapi }) => xapi.storage.measure(xapi.db.row('SR', args.row('vdi').text('SR'))),
  'VDI.set_name_label': setting('name_label'),
  'VDI.set_name_description': setting('name_description'),
  'VDI.set_sharable': setting('sharable'),
  'VDI.set_read_only': (args, { xapi }) => {
    xapi.storage.assertUnused(args.row('self'), 'update');
    xapi.db.set(args.row('self'), { read_only: args.value('value') });
  },
};
