/** Settings of a VM: what must hold before they change, and what changes at once. */
import type { Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Handler, Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';
import { checkMemory, checkVcpus, type Memory } from './limits.ts';
import { assertAllowed, operate, updateAllowed } from './operations.ts';
import { overhead } from './power.ts';
import { schedules } from './schedule.ts';

/** Sets a field, while an operation of that name would be allowed. */
const setting =
  (field: string, operation?: string, parameter = 'value'): Handler =>
  (args, { xapi }) => {
    const vm = args.row('self');
    if (operation) assertAllowed(vm, operation);
    xapi.db.set(vm, { [field]: args.value(parameter) });
  };

/** A delay or a place in an order. */
const notNegative =
  (field: string): Handler =>
  (args, { xapi }) => {
    if (args.number('value') < 0)
      throw new Failure('VALUE_NOT_SUPPORTED', field, String(args.number('value')), 'it is negative');
    xapi.db.set(args.row('self'), { [field]: args.number('value') });
  };

/** The VM, which must not be on. */
function halted(args: Arguments): Row {
  const vm = args.row('self');
  const state = vm.text('power_state');
  if (state !== 'Halted') throw new Failure('VM_BAD_POWER_STATE', vm.ref, 'halted', state.toLowerCase());
  return vm;
}

const bounds = (vm: Row): Memory => ({
  memory_static_min: vm.number('memory_static_min'),
  memory_dynamic_min: vm.number('memory_dynamic_min'),
  memory_dynamic_max: vm.number('memory_dynamic_max'),
  memory_static_max: vm.number('memory_static_max'),
});

/** Memory bounds in force; a running guest's balloon goes with the dynamic ones. */
function setMemory(xapi: Xapi, vm: Row, change: Partial<Memory>): void {
  const statics = change.memory_static_max !== undefined || change.memory_static_min !== undefined;
  const dynamics = change.memory_dynamic_max !== undefined || change.memory_dynamic_min !== undefined;
  if (statics) assertAllowed(vm, dynamics ? 'changing_memory_limits' : 'changing_static_range');
  else assertAllowed(vm, 'changing_dynamic_range');
  checkMemory({ ...bounds(vm), ...change });
  if (vm.text('power_state') === 'Running' && change.memory_dynamic_max !== undefined) {
    xapi.xenops.setMemoryTarget(vm.uuid, change.memory_dynamic_max);
    xapi.db.set(vm, { ...change, memory_target: change.memory_dynamic_max });
  } else xapi.db.set(vm, change as Record<string, Value>);
}

const memory =
  (values: (args: Arguments) => Partial<Memory>): Handler =>
  (args, { xapi }) =>
    setMemory(xapi, args.row('self'), values(args));

const memorySettings: Handlers = {
  'VM.set_memory': memory((args) => {
    const value = args.number('value');
    return { memory_static_max: value, memory_dynamic_max: value, memory_dynamic_min: value, memory_static_min: 0 };
  }),
  'VM.set_memory_limits': memory((args) => ({
    memory_static_min: args.number('static_min'),
    memory_static_max: args.number('static_max'),
    memory_dynamic_min: args.number('dynamic_min'),
    memory_dynamic_max: args.number('dynamic_max'),
  })),
  'VM.set_memory_static_range': memory((args) => ({
    memory_static_min: args.number('min'),
    memory_static_max: args.number('max'),
  })),
  'VM.set_memory_dynamic_range': memory((args) => ({
    memory_dynamic_min: args.number('min'),
    memory_dynamic_max: args.number('max'),
  })),
  'VM.set_memory_static_min': memory((args) => ({ memory_static_min: args.number('value') })),
  'VM.set_memory_static_max': memory((args) => ({ memory_static_max: args.number('value') })),
  'VM.set_memory_dynamic_min': memory((args) => ({ memory_dynamic_min: args.number('value') })),
  'VM.set_memory_dynamic_max': memory((args) => ({ memory_dynamic_max: args.number('value') })),
  'VM.set_memory_target_live': (args, { xapi, task }) => {
    const vm = args.row('self');
    const target = args.number('target');
    checkMemory({ ...bounds(vm), memory_dynamic_max: target, memory_dynamic_min: target });
    return operate(xapi, vm, 'changing_memory_live', task, () => {
      xapi.xenops.setMemoryTarget(vm.uuid, target);
      xapi.db.set(vm, { memory_target: target });
    });
  },
  'VM.compute_memory_overhead': (args) => overhead(args.row('vm')),
  'VM.maximise_memory': (args) => Math.max(0, args.number('total') - overhead(args.row('self'))),
};

const vcpuSettings: Handlers = {
  'VM.set_VCPUs_max': (args, { xapi }) => {
    const vm = args.row('self');
    assertAllowed(vm, 'changing_VCPUs');
    checkVcpus({ VCPUs_max: args.value('value'), VCPUs_at_startup: vm.number('VCPUs_at_startup') });
    xapi.db.set(vm, { VCPUs_max: args.value('value') });
  },
  'VM.set_VCPUs_at_startup': (args, { xapi }) => {
    const vm = args.row('self');
    assertAllowed(vm, 'changing_VCPUs');
    checkVcpus({ VCPUs_max: vm.number('VCPUs_max'), VCPUs_at_startup: args.value('value') });
    xapi.db.set(vm, { VCPUs_at_startup: args.value('value') });
  },
  'VM.set_VCPUs_number_live': (args, { xapi, task }) => {
    const vm = args.row('self');
    const count = args.number('nvcpu');
    return operate(xapi, vm, 'changing_VCPUs_live', task, () => {
      checkVcpus({ VCPUs_max: vm.number('VCPUs_max'), VCPUs_at_startup: count });
      xapi.xenops.setVcpus(vm.uuid, count);
      xapi.db.set(xapi.db.row('VM_metrics', vm.text('metrics')), { VCPUs_number: count });
    });
  },
};

/** Changes of these change what may be done. */
const deciding =
  (change: (vm: Row, args: Arguments) => Record<string, Value>): Handler =>
  (args, { xapi }) => {
    const vm = args.row('self');
    xapi.db.change(() => {
      xapi.db.set(vm, change(vm, args));
      updateAllowed(xapi, vm);
    });
  };

const otherSettings: Handlers = {
  'VM.set_is_a_template': (args, { xapi }) => {
    const vm = args.row('self');
    // Templates of the platform stay what they are; a snapshot becomes a machine by this.
    if (args.flag('value') && !vm.flag('is_a_template')) assertAllowed(vm, 'make_into_template');
    xapi.db.change(() => {
      xapi.db.set(vm, { is_a_template: args.flag('value') });
      updateAllowed(xapi, vm);
    });
  },
  'VM.set_blocked_operations': deciding((_vm, args) => ({ blocked_operations: args.value('value') })),
  'VM.add_to_blocked_operations': deciding((vm, args) => {
    const [key, now] = [args.text('key'), vm.map('blocked_operations')];
    if (Object.hasOwn(now, key)) throw new Failure('MAP_DUPLICATE_KEY', 'VM', 'blocked_operations', vm.ref, key);
    return { blocked_operations: { ...now, [key]: args.text('value') } };
  }),
  'VM.remove_from_blocked_operations': deciding((vm, args) => {
    const now = { ...vm.map('blocked_operations') };
    delete now[args.text('key')];
    return { blocked_operations: now };
  }),
  'VM.set_actions_after_crash': setting('actions_after_crash'),
  'VM.set_domain_type': (args, { xapi }) => {
    const vm = halted(args);
    const type = args.text('value');
    xapi.db.set(vm, { domain_type: type, HVM_boot_policy: type === 'hvm' ? 'BIOS order' : '' });
  },
  'VM.set_HVM_boot_policy': (args, { xapi }) => {
    const vm = halted(args);
    const policy = args.text('value');
    xapi.db.set(vm, { HVM_boot_policy: policy, domain_type: policy === '' ? 'pv' : 'hvm' });
  },
  'VM.set_start_delay': notNegative('start_delay'),
  'VM.set_shutdown_delay': notNegative('shutdown_delay'),
  'VM.set_order': notNegative('order'),
  'VM.set_appliance': setting('appliance'),
  'VM.set_groups': setting('groups'),
  'VM.set_bios_strings': (args, { xapi }) => {
    const vm = args.row('self');
    if (Object.keys(vm.map('bios_strings')).length > 0) throw new Failure('VM_BIOS_STRINGS_ALREADY_SET');
    xapi.db.set(vm, { bios_strings: args.map('value') });
  },
  'VM.copy_bios_strings': (args, { xapi }) => {
    const vm = args.row('vm');
    if (Object.keys(vm.map('bios_strings')).length > 0) throw new Failure('VM_BIOS_STRINGS_ALREADY_SET');
    xapi.db.set(vm, { bios_strings: { ...args.row('host').map('bios_strings') } });
  },
};

export const settings: Handlers = { ...memorySettings, ...vcpuSettings, ...schedules, ...otherSettings };
