/** Where and how much a machine's vCPUs may run, from `VCPUs_params`: `mask`, `weight` and `cap`. Other keys are notes of clients. */
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import type { VcpuSchedule } from '../xenops/xenops.ts';
import { operate } from './operations.ts';

const inRange = (text: string, least: number, most: number): boolean =>
  /^\d{1,5}$/.test(text) && Number(text) >= least && Number(text) <= most;

const SCHEDULES: Record<string, (value: string) => VcpuSchedule | undefined> = {
  mask: (value) => (/^\d{1,3}(,\d{1,3}){0,63}$/.test(value) ? { mask: value.split(',').map(Number) } : undefined),
  weight: (value) => (inRange(value, 1, 65535) ? { weight: Number(value) } : undefined),
  cap: (value) => (inRange(value, 0, 65535) ? { cap: Number(value) } : undefined),
};
export const schedules: Handlers = {
  /** At once, and at each start. */
  'VM.add_to_VCPUs_params_live': (args, { xapi, task }) => {
    const [vm, key, value] = [args.row('self'), args.text('key'), args.text('value')];
    return operate(xapi, vm, 'changing_VCPUs_live', task, () => {
      const schedule = Object.hasOwn(SCHEDULES, key) ? SCHEDULES[key](value) : undefined;
      if (!schedule) throw new Failure('INVALID_VALUE', `VCPUs_params:${key}`, value);
      const pcpus = xapi.host.refs('host_CPUs').length;
      if (schedule.mask?.some((pcpu) => pcpu >= pcpus)) throw new Failure('INVALID_VALUE', 'VCPUs_params:mask', value);
      xapi.xenops.schedule(vm.uuid, schedule);
      xapi.db.set(vm, { VCPUs_params: { ...vm.map('VCPUs_params'), [key]: value } });
    });
  },
};

/** What a machine starts with. One that cannot have it runs all the same. */
export function applySchedule({ xenops, log }: Xapi, vm: Row): void {
  for (const [key, value] of Object.entries(vm.map('VCPUs_params'))) {
    const schedule = Object.hasOwn(SCHEDULES, key) ? SCHEDULES[key](value) : undefined;
    if (!schedule) continue;
    try {
      xenops.schedule(vm.uuid, schedule);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      log(`xenapi: VM ${vm.uuid} runs without its VCPUs_params:${key}: ${error.message}`);
    }
  }
}
