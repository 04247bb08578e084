import { define } from './notation.ts';

export const VUSB = define({
  name: 'VUSB',
  about: 'A USB device of a machine',
  lifecycle: 'inverness',
  change: 'pool-admin',
  enums: {
    vusb_operations: 'attach plug unplug',
  },
  fields: [
    ['uuid', 'RO', 'string', 'inverness'],
    ['allowed_operations', 'RO', 'enum vusb_operations set = {}', 'rio'],
    ['current_operations', 'RO', '(string -> enum vusb_operations) map = {}', 'rio'],
    ['VM', 'RO', 'VM ref', 'inverness', 'whose it is'],
    ['USB_group', 'RO', 'USB_group ref', 'inverness', 'where it is taken from'],
    ['other_config', 'RW', '(string -> string) map = {}', 'inverness'],
    ['currently_attached', 'RO', 'bool = false', 'rio', 'connected now'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'VM ref VM, USB_group ref USB_group, (string -> string) map other_config = {}', 'VUSB ref', 'pool-admin', 'inverness', 'gives a machine one'],
    ['unplug', 'VUSB ref self', 'void', 'pool-admin', 'inverness', 'takes it from the running guest'],
    ['destroy', 'VUSB ref self', 'void', 'pool-admin', 'inverness', 'takes it away'],
  ],
});
