import type { Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Handler, Handlers } from '../messages.ts';
import { checkPair, checkWhole, complete, type Frequency } from './schedule.ts';

const MAX_RETAINED = 10;

function checkRetained(value: number): void {
  if (value < 1 || value > MAX_RETAINED) throw new Failure('INVALID_VALUE', 'retained_snapshots', String(value));
}

/** The others need what no guest here can do. */
function checkType(type: string): void {
  if (type === 'snapshot_with_quiesce') throw new Failure('LICENCE_RESTRICTION', 'VSS');
  if (type === 'checkpoint') throw new Failure('LICENCE_RESTRICTION', 'Checkpoint');
}

const set =
  (change: (row: Row, args: Arguments) => Record<string, Value>): Handler =>
  (args, { xapi }) => {
    const row = args.row('self');
    xapi.db.set(row, change(row, args));
  };

export const VMSS: Handlers = {
  'VMSS.create': (args, { xapi }) => {
    const values = args.record('args');
    const [frequency, schedule] = [values.frequency as Frequency, (values.schedule ?? {}) as Record<string, string>];
    checkType(values.type as string);
    checkWhole(frequency, schedule);
    if (values.retained_snapshots !== undefined) checkRetained(values.retained_snapshots as number);
    return xapi.db.create('VMSS', { ...values, schedule: complete(frequency, schedule) }).ref;
  },
  'VMSS.destroy': (args, { xapi }) => {
    const { db } = xapi;
    const row = args.row('self');
    if (row.refs('VMs').length > 0) throw new Failure('VMSS_HAS_VM');
    db.change(() => {
      for (const each of [...db.table('message').values()]) if (each.text('obj_uuid') === row.uuid) db.destroy(each);
      db.destroy(row);
    });
  },
  'VMSS.snapshot_now': async (args, { xapi, task }) => {
    const count = await xapi.schedules.run(args.row('vmss'), task);
    return `Snapshots of ${count} machines`;
  },
  'VMSS.set_retained_snapshots': set((_row, args) => {
    checkRetained(args.number('value'));
    return { retained_snapshots: args.number('value') };
  }),
  'VMSS.set_frequency': set((row, args) => {
    const frequency = args.text('value') as Frequency;
    return { frequency, schedule: complete(frequency, row.map('schedule')) };
  }),
  'VMSS.set_schedule': set((row, args) => {
    const given = args.map('value');
    for (const [key, value] of Object.entries(given)) checkPair(key, value);
    return { schedule: complete(row.text('frequency') as Frequency, given) };
  }),
  'VMSS.add_to_schedule': set((row, args) => {
    const [key, value, now] = [args.text('key'), args.text('value'), row.map('schedule')];
    checkPair(key, value);
    if (Object.hasOwn(now, key)) throw new Failure('MAP_DUPLICATE_KEY', 'VMSS', 'schedule', row.ref, key);
    return { schedule: { ...now, [key]: value } };
  }),
  'VMSS.remove_from_schedule': set((row, args) => {
    const kept = Object.entries(row.map('schedule')).filter(([key]) => key !== args.text('key'));
    return { schedule: Object.fromEntries(kept) };
  }),
  'VMSS.set_last_run_time': set((_row, args) => ({ last_run_time: args.text('value') })),
  'VMSS.set_type': set((_row, args) => {
    checkType(args.text('value'));
    return { type: args.text('value') };
  }),
};
