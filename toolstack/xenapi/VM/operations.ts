/** What may be done with a VM, and why not: power states, other operations, templates, snapshots, what its owner forbids. */
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Task } from '../task/tasks.ts';
import type { Xapi } from '../xapi.ts';

/** Operations by the power states that they need: Halted, Paused, Running, Suspended. */
const STATES: Record<string, string> = {
  '': 'import',
  H: 'changing_VCPUs changing_static_range changing_memory_limits changing_shadow_memory changing_NVRAM make_into_template provision start start_on clone copy create_vtpm',
  P: 'unpause',
  S: 'csvm resume resume_on',
  R: 'awaiting_memory_live call_plugin clean_reboot clean_shutdown changing_memory_live changing_shadow_memory_live changing_VCPUs_live data_source_op pause pool_migrate send_sysrq send_trigger snapshot_with_quiesce suspend',
  HR: 'changing_dynamic_range',
  HS: 'create_template destroy export',
  PR: 'hard_reboot',
  PSR: 'checkpoint get_boot_record shutdown hard_shutdown',
  HSR: 'migrate_send',
  HPSR: 'assert_operation_valid metadata_export power_state_reset revert reverting snapshot update_allowed_operations query_services',
};
const LETTER: Record<string, string> = { H: 'Halted', P: 'Paused', S: 'Suspended', R: 'Running' };
const ALLOWED_STATES = new Map(
  Object.entries(STATES).flatMap(([letters, operations]) =>
    operations.split(' ').map((operation): [string, string[]] => [operation, [...letters].map((each) => LETTER[each])]),
  ),
);

/** Operations that do not disturb each other. */
const TOGETHER = [['clone', 'copy', 'export'], ['get_boot_record'], ['snapshot', 'checkpoint']];
/** While the first is going on, the second may begin. */
const DURING: Record<string, string[]> = {
  snapshot_with_quiesce: ['snapshot'],
  migrate_send: ['metadata_export', 'clean_shutdown', 'clean_reboot', 'start', 'start_on'],
};

const OF_TEMPLATES = new Set([
  ...[
    'changing_dynamic_range',
    'changing_static_range',
    'changing_memory_limits',
    'changing_shadow_memory',
    'changing_VCPUs',
  ],
  ...['changing_NVRAM', 'clone', 'copy', 'export', 'metadata_export', 'provision'],
]);
const OF_SNAPSHOTS = new Set(['revert', 'clone', 'copy', 'export', 'destroy', 'hard_shutdown', 'metadata_export']);
const OF_CONTROL_DOMAINS = new Set(['data_source_op', 'metadata_export']);
/** Suspend images are not there yet (docs/SUPPORT.md). */
const UNSUPPORTED = new Set(['suspend', 'checkpoint', 'pool_migrate', 'migrate_send', 'snapshot_with_quiesce']);

/** What is looked at for `allowed_operations`; the others are steps of these, or always possible. */
const LISTED = [
  ...[
    'snapshot',
    'copy',
    'clone',
    'revert',
    'checkpoint',
    'snapshot_with_quiesce',
    'start',
    'start_on',
    'pause',
    'unpause',
  ],
  ...[
    'clean_shutdown',
    'clean_reboot',
    'hard_shutdown',
    'hard_reboot',
    'suspend',
    'resume',
    'resume_on',
    'export',
    'destroy',
  ],
  ...[
    'provision',
    'changing_VCPUs_live',
    'pool_migrate',
    'migrate_send',
    'make_into_template',
    'changing_static_range',
  ],
  ...['changing_shadow_memory', 'changing_dynamic_range', 'changing_NVRAM'],
];

function concurrent(operation: string, now: string[]): boolean {
  if (operation === 'hard_shutdown') return !now.includes(operation);
  if (operation === 'hard_reboot') return !now.includes('hard_shutdown') && !now.includes(operation);
  if (TOGETHER.some((set) => set.includes(operation) && now.every((each) => set.includes(each)))) return true;
  return now.length === 1 && (DURING[now[0]]?.includes(operation) ?? false);
}

/** The first thing that stands against an operation. */
export function obstacle(vm: Row, operation: string): Failure | undefined {
  const { ref } = vm;
  const blocked = vm.map('blocked_operations');
  if (Object.hasOwn(blocked, operation)) return new Failure('OPERATION_BLOCKED', ref, blocked[operation]);
  const states = ALLOWED_STATES.get(operation) ?? [];
  const state = vm.text('power_state');
  if (!states.includes(state)) {
    const expected = states.map((each) => each.toLowerCase()).join(', ');
    return new Failure('VM_BAD_POWER_STATE', ref, expected, state.toLowerCase());
  }
  const now = Object.values(vm.map('current_operations'));
  if (now.length > 0 && !concurrent(operation, now))
    return new Failure('OTHER_OPERATION_IN_PROGRESS', `VM.${now.length === 1 ? now[0] : `{${now.join(',')}}`}`, ref);
  return ofItsKind(vm, operation);
}

function ofItsKind(vm: Row, operation: string): Failure | undefined {
  const { ref } = vm;
  const [template, snapshot] = [vm.flag('is_a_template'), vm.flag('is_a_snapshot')];
  const shipped = vm.flag('is_default_template') || vm.map('other_config').default_template === 'true';
  if (template && !snapshot && !OF_TEMPLATES.has(operation) && (operation !== 'destroy' || shipped))
    return new Failure('VM_IS_TEMPLATE', ref, operation);
  if (snapshot && !OF_SNAPSHOTS.has(operation)) return new Failure('VM_IS_SNAPSHOT', ref, operation);
  if (operation === 'provision' && !template) return new Failure('ONLY_PROVISION_TEMPLATE');
  if (operation === 'revert' && !snapshot) return new Failure('ONLY_REVERT_SNAPSHOT');
  if (vm.flag('is_control_domain') && !OF_CONTROL_DOMAINS.has(operation))
    return new Failure('OPERATION_NOT_ALLOWED', 'This operation is not allowed on a control domain');
  if (operation === 'make_into_template' && vm.text('appliance') !== NULL_REF)
    return new Failure('VM_IS_PART_OF_AN_APPLIANCE', ref, vm.text('appliance'));
  if (operation === 'make_into_template' && vm.text('snapshot_schedule') !== NULL_REF)
    return new Failure('VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE', ref, vm.text('snapshot_schedule'));
  // Without saving and restoring there is no guest that could be moved or frozen.
  return UNSUPPORTED.has(operation) ? new Failure('VM_LACKS_FEATURE', ref) : undefined;
}

export function assertAllowed(vm: Row, operation: string): void {
  const found = obstacle(vm, operation);
  if (found) throw found;
}

/** What is looked at there, of a VM on which nothing is going on and of which nothing is forbidden. */
function kindOf(vm: Row): string | undefined {
  const { blocked_operations: blocked, current_operations: current } = vm.fields;
  if (Object.keys(blocked as object).length > 0 || Object.keys(current as object).length > 0) return undefined;
  const flags = ['is_a_template', 'is_a_snapshot', 'is_default_template', 'is_control_domain'].map(
    (name) => vm.fields[name],
  );
  const shipped = vm.map('other_config').default_template === 'true';
  const groups = [vm.text('appliance') === NULL_REF, vm.text('snapshot_schedule') === NULL_REF];
  return [vm.text('power_state'), ...flags, shipped, ...groups].join();
}
const allowedByKind = new Map<string, string[]>();

export function updateAllowed(xapi: Xapi, vm: Row): void {
  const kind = kindOf(vm);
  const known = kind === undefined ? undefined : allowedByKind.get(kind);
  const allowed = known ?? LISTED.filter((operation) => !obstacle(vm, operation));
  if (kind !== undefined) allowedByKind.set(kind, allowed);
  xapi.db.set(vm, { allowed_operations: allowed });
}

/** Does something with a VM, which is told as what is being done with it until the end. */
export async function operate<T>(
  xapi: Xapi,
  vm: Row,
  operation: string,
  task: Task,
  act: () => Promise<T> | T,
): Promise<T> {
  const mark = (there: boolean) =>
    xapi.db.change(() => {
      const operations = { ...vm.map('current_operations') };
      if (there) operations[task.ref] = operation;
      else delete operations[task.ref];
      xapi.db.set(vm, { current_operations: operations });
      updateAllowed(xapi, vm);
    });
  assertAllowed(vm, operation);
  mark(true);
  try {
    return await act();
  } finally {
    if (!vm.gone) mark(false);
  }
}
