import { define } from './notation.ts';

export const VMSS = define({
  name: 'VMSS',
  about: 'A schedule that makes snapshots',
  lifecycle: 'falcon',
  change: 'pool-operator',
  created: true,
  enums: {
    vmss_frequency: 'hourly daily weekly',
    vmss_type: 'snapshot checkpoint snapshot_with_quiesce',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'RW', 'string = ""', 'rio'],
    ['name_description', 'RW', 'string = ""', 'rio'],
    ['enabled', 'RW', 'bool = true', 'rio', 'it is followed'],
    ['type', 'ctor', 'enum vmss_type', 'rio', 'what kind of snapshot it makes'],
    ['retained_snapshots', 'ctor', 'int = 7', 'rio', 'how many are kept'],
    ['frequency', 'ctor', 'enum vmss_frequency', 'rio', 'how often it makes one'],
    ['schedule', 'ctor', '(string -> string) map = {}', 'rio', 'day, hour and minute'],
    ['last_run_time', 'RO', 'datetime = 19700101T00:00:00Z', 'rio', 'when it last made one'],
    ['VMs', 'RO', 'VM ref set', 'rio', 'machines it covers'],
  ],
  // prettier-ignore
  messages: [
    ['snapshot_now', 'VMSS ref vmss', 'string', 'pool-operator', 'falcon', 'runs it at once'],
    ['set_retained_snapshots', 'VMSS ref self, int value', 'void', 'pool-operator', 'falcon', 'changes how many are kept'],
    ['set_frequency', 'VMSS ref self, enum vmss_frequency value', 'void', 'pool-operator', 'falcon', 'changes how often it runs'],
    ['set_schedule', 'VMSS ref self, (string -> string) map value', 'void', 'pool-operator', 'falcon', 'replaces day, hour and minute'],
    ['add_to_schedule', 'VMSS ref self, string key, string value', 'void', 'pool-operator', 'falcon', 'adds a part of the time'],
    ['remove_from_schedule', 'VMSS ref self, string key', 'void', 'pool-operator', 'falcon', 'drops a part of the time'],
    ['set_last_run_time', 'VMSS ref self, datetime value', 'void', 'local root', 'falcon', 'corrects when it last ran'],
    ['set_type', 'VMSS ref self, enum vmss_type value', 'void', 'pool-operator', 'falcon', 'changes the kind of snapshot'],
  ],
});
