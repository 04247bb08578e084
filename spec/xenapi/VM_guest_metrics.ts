import { define } from './notation.ts';

export const VM_guest_metrics = define({
  name: 'VM_guest_metrics',
  about: 'What the agent in a guest tells',
  lifecycle: 'rio',
  change: 'vm-admin',
  enums: {
    tristate_type: 'yes no unspecified',
  },
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['os_version', 'RO', '(string -> string) map', 'rio', "name and version of the guest's system"],
    ['PV_drivers_version', 'RO', '(string -> string) map', 'rio', 'version of its tools'],
    ['PV_drivers_up_to_date', 'RO', 'bool', 'rio !dundee', 'the tools are current'],
    ['networks', 'RO', '(string -> string) map', 'rio', 'its addresses by device and number'],
    ['other', 'RO', '(string -> string) map', 'rio', 'anything else the agent says'],
    ['last_updated', 'RO', 'datetime', 'rio', 'when this was last written'],
    ['other_config', 'RW', '(string -> string) map = {}', 'orlando'],
    ['live', 'RO', 'bool = false', 'orlando', 'the agent has spoken since the start'],
    ['can_use_hotplug_vbd', 'RO', 'enum tristate_type = unspecified', 'dundee', 'disks may be plugged while it runs'],
    ['can_use_hotplug_vif', 'RO', 'enum tristate_type = unspecified', 'dundee', 'network interfaces may be plugged while it runs'],
    ['PV_drivers_detected', 'RO', 'bool = false', 'dundee', 'its tools have been seen'],
  ],
});
