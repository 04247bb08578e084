/** Makes the snapshots of schedules, and takes away those that are too many. */
import type { Row } from '../database/row.ts';
import { asFailure, Failure } from '../failure.ts';
import { tell } from '../message/messages.ts';
import { timeText } from '../rpc/decode.ts';
import { Task } from '../task/tasks.ts';
import { destroy, snapshot } from '../VM/create.ts';
import { operate } from '../VM/operations.ts';
import type { Xapi } from '../xapi.ts';
import { lastDue } from './schedule.ts';

const PRIORITY = { failed: 3, done: 5 };

/** A snapshot with its disks. */
async function remove(xapi: Xapi, frozen: Row, task: Task): Promise<void> {
  const { db, storage } = xapi;
  const vbds = frozen.refs('VBDs').map((ref) => db.row('VBD', ref));
  const disks = vbds.filter((vbd) => vbd.text('type') !== 'CD').map((vbd) => vbd.text('VDI'));
  await operate(xapi, frozen, 'destroy', task, () => destroy(xapi, frozen));
  for (const ref of disks) {
    const vdi = db.find('VDI', ref);
    if (vdi && vdi.refs('VBDs').length === 0) await storage.destroy(vdi);
  }
}

async function prune(xapi: Xapi, vm: Row, kept: number, task: Task): Promise<void> {
  const made = vm.refs('snapshots').map((ref) => xapi.db.row('VM', ref)).filter((row) => row.flag('is_vmss_snapshot')); // prettier-ignore
  const oldest = made.toSorted((a, b) => (a.text('snapshot_time') < b.text('snapshot_time') ? -1 : 1));
  for (const row of oldest.slice(0, Math.max(0, oldest.length - kept))) await remove(xapi, row, task);
}

export class Schedules {
  readonly #xapi: Xapi;
  readonly #running = new Set<string>();
  #checked: Date;

  constructor(xapi: Xapi, now = new Date()) {
    this.#xapi = xapi;
    this.#checked = now;
    this.#missed(now);
  }

  *#enabled(): Generator<Row> {
    for (const row of this.#xapi.db.table('VMSS').values())
      if (row.flag('enabled') && row.refs('VMs').length > 0) yield row;
  }

  /** What was due while the host was not there is told, not made up for. */
  #missed(now: Date): void {
    for (const row of [...this.#enabled()]) {
      const last = row.text('last_run_time');
      if (last.startsWith('1970') || timeText(lastDue(row, now).getTime()) <= last) continue;
      this.#tell(row, 'VMSS_SNAPSHOT_MISSED_EVENT', PRIORITY.failed, 'A snapshot was due while the host did not run');
    }
  }

  /** Those that have become due since the last look. */
  async check(now = new Date()): Promise<void> {
    const since = this.#checked;
    this.#checked = now;
    const due = [...this.#enabled()].filter((row) => lastDue(row, now) > since);
    for (const row of due) {
      const task = new Task(this.#xapi.db, undefined);
      await this.run(row, task).catch((error: Error) =>
        this.#xapi.log(`xenapi: schedule ${row.uuid}: ${error.message}`),
      );
    }
  }

  #tell(row: Row, name: string, priority: number, body: string): void {
    if (!row.gone) tell(this.#xapi.db, name, priority, 'VMSS', row.uuid, body);
  }

  /** A snapshot of each of its machines; returns how many there are. */
  async run(row: Row, task: Task): Promise<number> {
    const vms = row.refs('VMs').map((ref) => this.#xapi.db.row('VM', ref));
    if (vms.length === 0) throw new Failure('OPERATION_NOT_ALLOWED', 'the schedule covers no machine');
    if (this.#running.has(row.ref)) {
      this.#tell(row, 'VMSS_SNAPSHOT_LOCK_FAILED', PRIORITY.failed, 'Its snapshots are being made already');
      throw new Failure('OTHER_OPERATION_IN_PROGRESS', 'VMSS', row.ref);
    }
    this.#running.add(row.ref);
    const failed: string[] = [];
    try {
      for (const [index, vm] of vms.entries()) {
        task.checkCancelled();
        await this.#one(row, vm, task).catch((error: unknown) =>
          failed.push(`${vm.uuid}: ${asFailure(error).message}`),
        );
        task.progress((index + 1) / vms.length);
      }
    } finally {
      this.#running.delete(row.ref);
    }
    if (!row.gone) this.#xapi.db.set(row, { last_run_time: timeText(Date.now()) });
    const done = vms.length - failed.length;
    if (failed.length > 0) {
      this.#tell(
        row,
        'VMSS_SNAPSHOT_FAILED',
        PRIORITY.failed,
        `${done} of ${vms.length} machines; ${failed.join('; ')}`,
      );
      throw new Failure('OPERATION_PARTIALLY_FAILED', 'VMSS.snapshot_now', ...failed);
    }
    this.#tell(row, 'VMSS_SNAPSHOT_SUCCEEDED', PRIORITY.done, `Snapshots of ${done} machines`);
    return done;
  }

  async #one(row: Row, vm: Row, task: Task): Promise<void> {
    const type = row.text('type');
    const name = `${row.text('name_label')}_${vm.text('name_label')}_${timeText(Date.now())}`;
    await operate(this.#xapi, vm, type, task, async () => {
      const made = await snapshot(this.#xapi, vm, name, []);
      this.#xapi.db.set(made, { is_vmss_snapshot: true });
    });
    if (!row.gone) await prune(this.#xapi, vm, row.number('retained_snapshots'), task);
  }
}
