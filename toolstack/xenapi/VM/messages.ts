import type { Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Caller, Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import { copy, create, destroy, revert, snapshot } from './create.ts';
import { assertAllowed, operate, updateAllowed } from './operations.ts';
import { assertCanBoot } from './power.ts';
import { provision } from './provision.ts';
import { settings } from './settings.ts';

/** The one host there is. */
function onThisHost({ xapi }: Caller, args: Arguments): void {
  if (args.row('host').ref !== xapi.hostRef) throw new Failure('HOST_OFFLINE', args.text('host'));
}

const DEVICE_LIMIT = { VBD: 16, VIF: 7 };

/** Device numbers that are free. */
export function freeDevices({ db }: Xapi, vm: Row, name: 'VBD' | 'VIF'): string[] {
  const field = name === 'VBD' ? 'userdevice' : 'device';
  const used = new Set(vm.refs(`${name}s`).map((ref) => db.row(name, ref).text(field)));
  return Array.from({ length: DEVICE_LIMIT[name] }, (_, i) => String(i)).filter((each) => !used.has(each));
}

const power: Handlers = {
  'VM.start': (args, { xapi, task }) => xapi.power.start(args.row('vm'), args.flag('start_paused'), task),
  'VM.start_on': (args, caller) => {
    onThisHost(caller, args);
    return caller.xapi.power.start(args.row('vm'), args.flag('start_paused'), caller.task, 'start_on');
  },
  'VM.pause': (args, { xapi, task }) => xapi.power.pause(args.row('vm'), task),
  'VM.unpause': (args, { xapi, task }) => xapi.power.unpause(args.row('vm'), task),
  'VM.clean_shutdown': (args, { xapi, task }) => xapi.power.cleanly(args.row('vm'), 'poweroff', task),
  'VM.clean_reboot': (args, { xapi, task }) => xapi.power.cleanly(args.row('vm'), 'reboot', task),
  'VM.hard_shutdown': (args, { xapi, task }) => xapi.power.hardShutdown(args.row('vm'), task),
  'VM.hard_reboot': (args, { xapi, task }) => xapi.power.hardReboot(args.row('vm'), task),
  'VM.shutdown': (args, { xapi, task }) => xapi.power.shutdown(args.row('vm'), task),
  'VM.power_state_reset': (args, { xapi }) => xapi.power.reset(args.row('vm')),
};

const record: Handlers = {
  'VM.create': (args, { xapi }) => create(xapi, args.record('args')).ref,
  'VM.destroy': async (args, { xapi, task }) => {
    const vm = args.row('self');
    await operate(xapi, vm, 'destroy', task, () => destroy(xapi, vm));
  },
  'VM.clone': (args, { xapi, task }) => {
    const vm = args.row('vm');
    return operate(
      xapi,
      vm,
      'clone',
      task,
      async () => (await copy(xapi, vm, args.text('new_name'), 'clone', { task })).ref,
    );
  },
  'VM.copy': (args, { xapi, task }) => {
    const vm = args.row('vm');
    return operate(xapi, vm, 'copy', task, async () => {
      const sr = args.rowOrNull('sr');
      return (await copy(xapi, vm, args.text('new_name'), 'copy', { task, ...(sr && { sr }) })).ref;
    });
  },
  'VM.snapshot': (args, { xapi, task }) => {
    const vm = args.row('vm');
    const ignored = args.list('ignore_vdis');
    return operate(xapi, vm, 'snapshot', task, async () => {
      return (await snapshot(xapi, vm, args.text('new_name'), ignored)).ref;
    });
  },
  'VM.provision': async (args, { xapi, task }) => {
    const vm = args.row('vm');
    await operate(xapi, vm, 'provision', task, () => provision(xapi, vm, task));
  },
  'VM.revert': async (args, { xapi, task }) => {
    const frozen = args.row('snapshot');
    assertAllowed(frozen, 'revert');
    const vm = xapi.db.find('VM', frozen.text('snapshot_of'));
    if (!vm) throw new Failure('VM_REVERT_FAILED', frozen.ref, frozen.text('snapshot_of'));
    if (vm.text('power_state') !== 'Halted') await xapi.power.hardShutdown(vm, task);
    await operate(xapi, vm, 'reverting', task, () => revert(xapi, vm, frozen));
    updateAllowed(xapi, vm);
  },
};

const questions: Handlers = {
  'VM.update_allowed_operations': (args, { xapi }) => updateAllowed(xapi, args.row('self')),
  'VM.assert_operation_valid': (args) => assertAllowed(args.row('self'), args.text('op')),
  'VM.assert_can_boot_here': (args, caller) => {
    onThisHost(caller, args);
    assertCanBoot(caller.xapi, args.row('self'));
  },
  'VM.assert_agile': (args, { xapi }) => {
    // One host: what is on it can be nowhere else, unless there is nothing to be found on it.
    for (const ref of args.row('self').refs('VBDs')) {
      const vdi = xapi.db.find('VDI', xapi.db.row('VBD', ref).text('VDI'));
      const sr = vdi && xapi.db.row('SR', vdi.text('SR'));
      if (sr && !sr.flag('shared')) throw new Failure('HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED', sr.ref);
    }
  },
  'VM.get_possible_hosts': (args, { xapi }) => {
    try {
      assertCanBoot(xapi, args.row('vm'));
      return [xapi.hostRef];
    } catch (error) {
      if (error instanceof Failure) return [];
      throw error;
    }
  },
  'VM.get_allowed_VBD_devices': (args, { xapi }) => freeDevices(xapi, args.row('vm'), 'VBD'),
  'VM.get_allowed_VIF_devices': (args, { xapi }) => freeDevices(xapi, args.row('vm'), 'VIF'),
  'VM.get_boot_record': (args) => {
    const vm = args.row('self');
    const text = vm.text('last_booted_record');
    const booted =
      vm.text('power_state') === 'Halted' || text === '' ? {} : (JSON.parse(text) as Record<string, Value>);
    return { ...vm.fields, ...booted };
  },
  'VM.send_sysrq': (args, { xapi, task }) => {
    const vm = args.row('vm');
    return operate(xapi, vm, 'send_sysrq', task, () => xapi.xenops.sysrq(vm.uuid, args.text('key')));
  },
  'VM.send_trigger': (args, { xapi, task }) => {
    const vm = args.row('vm');
    return operate(xapi, vm, 'send_trigger', task, () => xapi.xenops.trigger(vm.uuid, args.text('trigger')));
  },
};

export const VM: Handlers = { ...power, ...record, ...questions, ...settings };
