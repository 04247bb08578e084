import { define } from './notation.ts';

export const PCI = define({
  name: 'PCI',
  about: 'A PCI device of a host',
  lifecycle: 'boston',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'boston'],
    ['class_name', 'ctor', 'string = ""', 'boston', 'what kind of device'],
    ['vendor_name', 'ctor', 'string = ""', 'boston', 'its maker'],
    ['device_name', 'ctor', 'string = ""', 'boston', 'its model'],
    ['host', 'ctor', 'host ref = Null', 'boston', 'whose it is'],
    ['pci_id', 'ctor', 'string = ""', 'boston', 'where on the bus it is'],
    ['dependencies', 'RO', 'PCI ref set', 'boston', 'devices that must be passed with it'],
    ['other_config', 'RW', '(string -> string) map = {}', 'boston'],
    ['subsystem_vendor_name', 'ctor', 'string = ""', 'clearwater-whetstone', 'who built it in'],
    ['subsystem_device_name', 'ctor', 'string = ""', 'clearwater-whetstone', 'as what it was built in'],
    ['driver_name', 'ctor', 'string = ""', 'kolkata', 'driver that has it'],
  ],
});
