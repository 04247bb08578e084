/** Starting and stopping, and what becomes of a VM whose guest has stopped by itself. */
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { tell } from '../message/messages.ts';
import type { Task } from '../task/tasks.ts';
import type { Xapi } from '../xapi.ts';
import { forgetConsoles } from '../console/records.ts';
import { assertAttachable, describeDisk, disksOf } from '../VBD/attach.ts';
import { guestSays } from '../VM_guest_metrics/guest.ts';
import { applyAddresses } from '../VIF/addresses.ts';
import { describeNic } from '../VIF/attach.ts';
import type { MachineDescription, Reason } from '../xenops/xenops.ts';
import { assertAllowed, operate } from './operations.ts';
import { applySchedule } from './schedule.ts';
import { halted, running } from './state.ts';

/** So long a guest may take to obey. */
const OBEY_MS = 20 * 60_000;
/** Why a guest is not started again at once when it has crashed so soon after its start. */
const SHORTEST_LIFE_MS = 10_000;

function kindOf(vm: Row): MachineDescription['kind'] {
  const type = vm.text('domain_type');
  if (type === 'pvh' || type === 'pv_in_pvh') return 'pvh';
  if (type === 'hvm' || type === 'pv') return type;
  return vm.text('HVM_boot_policy') === '' ? 'pv' : 'hvm';
}

function describe(xapi: Xapi, vm: Row): MachineDescription {
  const { db } = xapi;
  return {
    ...{ uuid: vm.uuid, name: vm.text('name_label'), kind: kindOf(vm) },
    nics: vm.refs('VIFs').map((ref) => describeNic(xapi, db.row('VIF', ref))),
    disks: vm.refs('VBDs').map((ref) => describeDisk(xapi, db.row('VBD', ref))),
    ...{ memory: vm.number('memory_dynamic_max'), maxMemory: vm.number('memory_static_max') },
    ...{ vcpus: vm.number('VCPUs_at_startup'), maxVcpus: vm.number('VCPUs_max') },
    ...{ kernel: vm.text('PV_kernel'), ramdisk: vm.text('PV_ramdisk'), commandLine: vm.text('PV_args') },
    ...{ bootloader: vm.text('PV_bootloader'), bootloaderArgs: vm.text('PV_bootloader_args') },
    data: guestData(vm),
    framebuffer: isTrue(vm.map('platform').pvfb),
    text: vm.map('other_config').disable_pv_vnc === undefined,
  };
}

const isTrue = (text: string | undefined): boolean => ['true', '1'].includes((text ?? '').toLowerCase());

/** Only keys below vm-data are a guest's to read; a name is what xenstore takes for one. */
function guestData(vm: Row): Record<string, string> {
  const data: Record<string, string> = {};
  for (const [key, value] of Object.entries(vm.map('xenstore_data'))) {
    const [, name] = /^vm-data\/([\w@:.+-]+(?:\/[\w@:.+-]+){0,8})$/.exec(key) ?? [];
    if (name !== undefined && key.length < 256 && Buffer.byteLength(value) <= 2048) data[name] = value;
  }
  return data;
}

/** What the hypervisor needs beside a guest's memory. */
export const overhead = (vm: Row): number => 2 ** 20 + 2 ** 18 * vm.number('VCPUs_max');

/** Fails unless the VM could start here now. */
export function assertCanBoot(xapi: Xapi, vm: Row): void {
  if (!xapi.host.flag('enabled')) throw new Failure('HOST_DISABLED', xapi.hostRef);
  if (kindOf(vm) === 'hvm' && !xapi.xenops.hvm) throw new Failure('VM_HVM_REQUIRED', vm.ref);
  const needed = vm.number('memory_dynamic_max') + overhead(vm);
  const free = xapi.xenops.freeMemory();
  if (needed > free) throw new Failure('HOST_NOT_ENOUGH_FREE_MEMORY', String(needed), String(Math.max(free, 0)));
  for (const ref of vm.refs('VIFs'))
    if (xapi.db.row('VIF', ref).text('network') === NULL_REF)
      throw new Failure('VM_REQUIRES_NETWORK', vm.ref, NULL_REF);
  for (const ref of vm.refs('VBDs')) assertAttachable(xapi, xapi.db.row('VBD', ref));
}

export class Power {
  readonly #xapi: Xapi;
  /** Who waits for a machine's end. */
  readonly #waiting = new Map<string, Set<(reason: Reason) => void>>();
  readonly #started = new Map<string, number>();

  constructor(xapi: Xapi) {
    this.#xapi = xapi;
    xapi.xenops.onEnd = (uuid, reason) => this.#ended(uuid, reason);
    xapi.xenops.onGuest = (uuid, keys) => guestSays(xapi, uuid, keys);
  }

  async #boot(vm: Row, paused: boolean): Promise<void> {
    const machine = describe(this.#xapi, vm);
    // From now on nobody else may have its disks; what was looked at before has not changed since.
    this.#hold(vm, true);
    let domid: number;
    try {
      const { storage, xenops } = this.#xapi;
      domid = await storage.opening(disksOf(this.#xapi, vm), () => xenops.start(machine, paused));
    } catch (error) {
      this.#hold(vm, false);
      // A reboot has left them.
      forgetConsoles(this.#xapi, vm);
      throw error;
    }
    this.#started.set(vm.uuid, Date.now());
    running(this.#xapi, vm, domid, paused, machine.kind);
    applySchedule(this.#xapi, vm);
    applyAddresses(this.#xapi, vm);
    const target = { memory_target: machine.memory, memory_overhead: overhead(vm) };
    this.#xapi.db.set(vm, target);
  }

  #hold(vm: Row, currently_attached: boolean): void {
    const { db } = this.#xapi;
    db.change(() => {
      for (const ref of vm.refs('VBDs')) db.set(db.row('VBD', ref), { currently_attached });
    });
  }

  start(vm: Row, paused: boolean, task: Task, operation = 'start'): Promise<void> {
    return operate(this.#xapi, vm, operation, task, async () => {
      assertCanBoot(this.#xapi, vm);
      await this.#boot(vm, paused);
      if (operation.startsWith('start')) this.#tell(vm, 'VM_STARTED', 'has started');
    });
  }

  #tell(vm: Row, name: string, what: string): void {
    tell(this.#xapi.db, name, 5, 'VM', vm.uuid, `VM '${vm.text('name_label')}' ${what}`);
  }

  pause(vm: Row, task: Task): Promise<void> {
    return operate(this.#xapi, vm, 'pause', task, () => {
      this.#xapi.xenops.pause(vm.uuid);
      this.#xapi.db.set(vm, { power_state: 'Paused' });
    });
  }

  unpause(vm: Row, task: Task): Promise<void> {
    return operate(this.#xapi, vm, 'unpause', task, () => {
      this.#xapi.xenops.unpause(vm.uuid);
      this.#xapi.db.set(vm, { power_state: 'Running' });
    });
  }

  /** Destroys what there is of the machine; `again`: it is started at once. */
  #stop(vm: Row, again = false): void {
    this.#xapi.xenops.destroy(vm.uuid);
    halted(this.#xapi, vm, again);
    for (const wake of this.#waiting.get(vm.uuid) ?? []) wake('destroyed');
  }

  hardShutdown(vm: Row, task: Task): Promise<void> {
    return operate(this.#xapi, vm, 'hard_shutdown', task, () => {
      this.#stop(vm);
      this.#tell(vm, 'VM_SHUTDOWN', 'was shut down');
    });
  }

  hardReboot(vm: Row, task: Task): Promise<void> {
    return operate(this.#xapi, vm, 'hard_reboot', task, async () => {
      this.#stop(vm, true);
      await this.#boot(vm, false);
      this.#tell(vm, 'VM_REBOOTED', 'was rebooted');
    });
  }

  /** Asks the guest and waits until it has obeyed. */
  cleanly(vm: Row, what: 'poweroff' | 'reboot', task: Task): Promise<void> {
    const operation = what === 'poweroff' ? 'clean_shutdown' : 'clean_reboot';
    return operate(this.#xapi, vm, operation, task, async () => {
      this.#asked.add(vm.uuid);
      try {
        const ended = this.#end(vm.uuid, task);
        this.#xapi.xenops.ask(vm.uuid, what);
        const reason = await ended;
        if (reason === undefined) throw new Failure('VM_SHUTDOWN_TIMEOUT', vm.ref, String(OBEY_MS / 1000));
        // Somebody else has destroyed it meanwhile.
        if (reason === 'destroyed') return;
        this.#stop(vm, what === 'reboot');
        if (what === 'reboot') await this.#boot(vm, false);
        this.#tell(
          vm,
          what === 'reboot' ? 'VM_REBOOTED' : 'VM_SHUTDOWN',
          what === 'reboot' ? 'has rebooted' : 'has shut down',
        );
      } finally {
        this.#asked.delete(vm.uuid);
      }
    });
  }

  /** Cleanly if the guest obeys, else anyhow. */
  async shutdown(vm: Row, task: Task): Promise<void> {
    assertAllowed(vm, 'shutdown');
    try {
      if (vm.text('power_state') === 'Running') return await this.cleanly(vm, 'poweroff', task);
    } catch (error) {
      task.checkCancelled();
      if (!(error instanceof Failure)) throw error;
      this.#xapi.log(`xenapi: VM ${vm.uuid} did not shut down (${error.code}): it is stopped`);
    }
    return this.hardShutdown(vm, task);
  }

  /** Whose end is waited for by who asked for it. */
  readonly #asked = new Set<string>();

  /** Why the machine has ended; undefined if it does not in time. */
  #end(uuid: string, task: Task): Promise<Reason | undefined> {
    return new Promise((resolve, reject) => {
      const set = this.#waiting.get(uuid) ?? new Set();
      this.#waiting.set(uuid, set);
      const leave = () => {
        clearTimeout(timer);
        task.signal.removeEventListener('abort', cancelled);
        set.delete(wake);
        if (set.size === 0) this.#waiting.delete(uuid);
      };
      const wake = (reason: Reason | undefined) => {
        leave();
        resolve(reason);
      };
      const cancelled = () => {
        leave();
        reject(new Failure('TASK_CANCELLED', task.ref));
      };
      const timer = setTimeout(() => wake(undefined), OBEY_MS);
      timer.unref();
      task.signal.addEventListener('abort', cancelled);
      set.add(wake);
    });
  }

  /** A guest has stopped. Nobody may have asked it to. */
  #ended(uuid: string, reason: Reason): void {
    const { db, log } = this.#xapi;
    for (const wake of [...(this.#waiting.get(uuid) ?? [])]) wake(reason);
    if (this.#asked.has(uuid) || !db.hasUuid('VM', uuid)) return;
    const vm = db.byUuid('VM', uuid);
    const action = this.#actionFor(vm, reason);
    if (reason === 'crash') this.#tell(vm, 'VM_CRASHED', 'has crashed');
    if (action === 'preserve') {
      // It stays for who wants to look at it, and does nothing any more.
      db.set(vm, { power_state: 'Paused' });
      return;
    }
    const soon = reason === 'crash' && Date.now() - (this.#started.get(uuid) ?? 0) < SHORTEST_LIFE_MS;
    this.#stop(vm, action === 'restart' && !soon);
    if (action !== 'restart') return;
    if (soon)
      return log(`xenapi: VM '${vm.text('name_label')}' has crashed too soon after its start to be started again`);
    this.#boot(vm, false).catch((error: Error) => log(`xenapi: VM ${uuid} cannot be started again: ${error.message}`));
  }

  #actionFor(vm: Row, reason: Reason): 'destroy' | 'restart' | 'preserve' {
    if (reason === 'destroyed') return 'destroy';
    if (reason === 'suspend') return 'preserve';
    const field = { poweroff: 'shutdown', reboot: 'reboot', crash: 'crash' }[reason];
    const action = vm.text(`actions_after_${field}`);
    if (action === 'preserve') return 'preserve';
    return action.includes('restart') ? 'restart' : 'destroy';
  }

  /** Whatever it does, it counts as halted afterwards. */
  reset(vm: Row): void {
    if (vm.flag('is_control_domain'))
      throw new Failure('OPERATION_NOT_ALLOWED', 'This operation is not allowed on a control domain');
    this.#xapi.db.set(vm, { current_operations: {} });
    this.#stop(vm);
  }
}
