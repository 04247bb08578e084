/** Machines that start and stop together: in the order of their numbers, those of one number side by side. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Handler, Handlers } from '../messages.ts';
import { obstacle } from '../VM/operations.ts';
import type { Task } from '../task/tasks.ts';
import type { Xapi } from '../xapi.ts';

/** A pause that its owner asked for; nobody waits longer. */
const MAX_DELAY_S = 3600;

type Operation = 'start' | 'clean_shutdown' | 'hard_shutdown' | 'shutdown';

/** Groups of machines in their order. */
function groups({ db }: Xapi, appliance: Row): Row[][] {
  const vms = appliance.refs('VMs').map((ref) => db.row('VM', ref));
  const numbers = [...new Set(vms.map((vm) => vm.number('order')))].toSorted((a, b) => a - b);
  return numbers.map((order) => vms.filter((vm) => vm.number('order') === order));
}

async function wait(vms: Row[], field: 'start_delay' | 'shutdown_delay', task: Task): Promise<void> {
  const seconds = Math.min(Math.max(0, ...vms.map((vm) => vm.number(field))), MAX_DELAY_S);
  if (seconds > 0) await sleep(seconds * 1000, undefined, { signal: task.signal }).catch(() => {});
  task.checkCancelled();
}

/** Does it to the machines of each group that can take it; those that are there already are left alone. */
async function each(order: Row[][], operation: Operation, task: Task, act: (vm: Row) => Promise<void>): Promise<void> {
  const failed: string[] = [];
  for (const [index, vms] of order.entries()) {
    const wanted = vms.filter((vm) => obstacle(vm, operation)?.code !== 'VM_BAD_POWER_STATE');
    const done = await Promise.allSettled(wanted.map(act));
    done.forEach(({ status }, n) => status === 'rejected' && failed.push(wanted[n].ref));
    task.checkCancelled();
    task.progress((index + 1) / order.length);
    if (index + 1 < order.length) await wait(wanted, operation === 'start' ? 'start_delay' : 'shutdown_delay', task);
  }
  if (failed.length > 0) throw new Failure('OPERATION_PARTIALLY_FAILED', `VM_appliance.${operation}`, ...failed);
}

async function operate(
  xapi: Xapi,
  row: Row,
  operation: Operation,
  task: Task,
  work: () => Promise<void>,
): Promise<void> {
  const { db } = xapi;
  const now = Object.values(row.map('current_operations'));
  if (now.length > 0) throw new Failure('OTHER_OPERATION_IN_PROGRESS', `VM_appliance.${now[0]}`, row.ref);
  db.set(row, { current_operations: { [task.ref]: operation } });
  try {
    await work();
  } finally {
    if (!row.gone) db.set(row, { current_operations: {} });
  }
}

const stop =
  (operation: 'clean_shutdown' | 'hard_shutdown' | 'shutdown'): Handler =>
  (args, { xapi, task }) => {
    const row = args.row('self');
    const act = (vm: Row): Promise<void> => {
      if (operation === 'hard_shutdown') return xapi.power.hardShutdown(vm, task);
      if (operation === 'clean_shutdown') return xapi.power.cleanly(vm, 'poweroff', task);
      return xapi.power.shutdown(vm, task);
    };
    return operate(xapi, row, operation, task, () => each(groups(xapi, row).toReversed(), operation, task, act));
  };

export const VM_appliance: Handlers = {
  'VM_appliance.start': (args, { xapi, task }) => {
    const row = args.row('self');
    const start = (vm: Row) => xapi.power.start(vm, args.flag('paused'), task);
    return operate(xapi, row, 'start', task, () => each(groups(xapi, row), 'start', task, start));
  },
  'VM_appliance.clean_shutdown': stop('clean_shutdown'),
  'VM_appliance.hard_shutdown': stop('hard_shutdown'),
  'VM_appliance.shutdown': stop('shutdown'),
};
