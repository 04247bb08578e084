import { define } from './notation.ts';

export const VM_group = define({
  name: 'VM_group',
  about: 'Machines that are placed with regard to each other',
  lifecycle: '24.19.1',
  change: 'vm-admin',
  created: true,
  enums: {
    placement_policy: 'anti_affinity normal',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'RW', 'string = ""', 'rio'],
    ['name_description', 'RW', 'string = ""', 'rio'],
    ['placement', 'ctor', 'enum placement_policy = normal', '24.19.1', 'apart from each other, or anyhow'],
    ['VMs', 'RO', 'VM ref set', '24.19.1', 'its machines'],
  ],
});
