import { define } from './notation.ts';

export const PIF_metrics = define({
  name: 'PIF_metrics',
  about: "What is measured of a host's interface",
  lifecycle: 'rio',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['carrier', 'RO', 'bool', 'rio', 'the link is up'],
    ['vendor_id', 'RO', 'string', 'rio', "its maker's number"],
    ['vendor_name', 'RO', 'string', 'rio', 'its maker'],
    ['device_id', 'RO', 'string', 'rio', "its model's number"],
    ['device_name', 'RO', 'string', 'rio', 'its model'],
    ['speed', 'RO', 'int', 'rio', 'megabits a second'],
    ['duplex', 'RO', 'bool', 'rio', 'sends and receives at a time'],
    ['pci_bus_path', 'RO', 'string', 'rio', 'where on the bus it is'],
    ['last_updated', 'RO', 'datetime', 'rio', 'when this was last written'],
    ['other_config', 'RW', '(string -> string) map = {}', 'orlando'],
  ],
});
