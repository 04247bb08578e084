import { define } from './notation.ts';

export const VM_metrics = define({
  name: 'VM_metrics',
  about: 'What the host measures of a machine',
  lifecycle: 'rio',
  change: 'vm-admin',
  enums: {
    domain_type: 'hvm pv pv_in_pvh pvh unspecified',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['memory_actual', 'RO', 'int', 'rio', 'bytes it has'],
    ['VCPUs_number', 'RO', 'int', 'rio', 'vCPUs online'],
    ['VCPUs_CPU', 'RO', '(int -> int) map', 'rio', 'pCPU of each vCPU'],
    ['VCPUs_params', 'RO', '(string -> string) map', 'rio', 'scheduler parameters in force'],
    ['VCPUs_flags', 'RO', '(int -> string set) map', 'rio', 'state of each vCPU'],
    ['state', 'RO', 'string set', 'rio', 'state flags of the domain'],
    ['start_time', 'RO', 'datetime', 'rio', 'when it last started'],
    ['install_time', 'RO', 'datetime', 'rio', 'when it was installed'],
    ['last_updated', 'RO', 'datetime', 'rio', 'when this was last written'],
    ['other_config', 'RW', '(string -> string) map = {}', 'orlando'],
    ['hvm', 'RO', 'bool = false', 'ely', 'runs with hardware virtualization'],
    ['nested_virt', 'RO', 'bool = false', 'ely', 'may run guests of its own'],
    ['nomigrate', 'RO', 'bool = false', 'ely', 'cannot be migrated'],
    ['current_domain_type', 'RO', 'enum domain_type = unspecified', '~jura kolkata', 'kind of domain it is now'],
  ],
});
