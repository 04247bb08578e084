import { define } from './notation.ts';

export const network_sriov = define({
  name: 'network_sriov',
  about: 'A network of SR-IOV functions',
  lifecycle: 'kolkata',
  change: 'pool-operator',
  enums: {
    sriov_configuration_mode: 'sysfs modprobe manual unknown',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['physical_PIF', 'ctor', 'PIF ref = Null', 'kolkata', 'interface with the functions'],
    ['logical_PIF', 'ctor', 'PIF ref = Null', 'kolkata', 'interface that stands for the network'],
    ['requires_reboot', 'RO', 'bool = false', 'kolkata', "comes into force with the host's next boot"],
    ['configuration_mode', 'RO', 'enum sriov_configuration_mode = unknown', 'kolkata', 'how functions are switched on'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'PIF ref pif, network ref network', 'network_sriov ref', 'pool-operator', 'kolkata', 'makes one of an interface'],
    ['destroy', 'network_sriov ref self', 'void', 'pool-operator', 'kolkata', 'removes it'],
    ['get_remaining_capacity', 'network_sriov ref self', 'int', 'anyone', 'kolkata', 'tells how many functions are free'],
  ],
});
