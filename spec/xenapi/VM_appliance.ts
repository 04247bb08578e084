import { define } from './notation.ts';

export const VM_appliance = define({
  name: 'VM_appliance',
  about: 'Machines that start and stop together',
  lifecycle: 'boston',
  change: 'pool-operator',
  created: true,
  enums: {
    vm_appliance_operation: 'start clean_shutdown hard_shutdown shutdown',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'RW', 'string = ""', 'rio'],
    ['name_description', 'RW', 'string = ""', 'rio'],
    ['allowed_operations', 'RO', 'enum vm_appliance_operation set = {}', 'rio'],
    ['current_operations', 'RO', '(string -> enum vm_appliance_operation) map = {}', 'rio'],
    ['VMs', 'RO', 'VM ref set', 'rio', 'its machines'],
  ],
  // prettier-ignore
  messages: [
    ['start', 'VM_appliance ref self, bool paused', 'void', 'pool-operator', 'boston', 'starts its machines in order'],
    ['clean_shutdown', 'VM_appliance ref self', 'void', 'pool-operator', 'boston', 'asks its guests to stop'],
    ['hard_shutdown', 'VM_appliance ref self', 'void', 'pool-operator', 'boston', 'stops its machines without asking'],
    ['shutdown', 'VM_appliance ref self', 'void', 'pool-operator', 'boston', 'asks its guests to stop, then stops the rest'],
    ['assert_can_be_recovered', 'VM_appliance ref self, session ref session_to', 'void', 'anyone', 'boston', 'fails unless the group could be restored there'],
    ['get_SRs_required_for_recovery', 'VM_appliance ref self, session ref session_to', 'SR ref set', 'anyone', 'creedence', 'lists storage that restoring it needs'],
    ['recover', 'VM_appliance ref self, session ref session_to, bool force', 'void', 'anyone', 'boston', "restores the group into another session's pool"],
  ],
  errors: {
    start: 'OPERATION_PARTIALLY_FAILED',
    clean_shutdown: 'OPERATION_PARTIALLY_FAILED',
    hard_shutdown: 'OPERATION_PARTIALLY_FAILED',
    shutdown: 'OPERATION_PARTIALLY_FAILED',
    assert_can_be_recovered: 'VM_REQUIRES_SR',
    recover: 'VM_REQUIRES_SR',
  },
});
