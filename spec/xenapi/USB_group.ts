import { define } from './notation.ts';

export const USB_group = define({
  name: 'USB_group',
  about: 'USB devices that serve the same purpose',
  lifecycle: 'inverness',
  change: 'pool-admin',
  fields: [
    ['uuid', 'RO', 'string', 'inverness'],
    ['name_label', 'RW', 'string = ""', 'inverness'],
    ['name_description', 'RW', 'string = ""', 'inverness'],
    ['PUSBs', 'RO', 'PUSB ref set', 'inverness', 'its devices'],
    ['VUSBs', 'RO', 'VUSB ref set', 'inverness', "machines' shares of it"],
    ['other_config', 'RW', '(string -> string) map = {}', 'inverness'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'string name_label = "", string name_description = "", (string -> string) map other_config = {}', 'USB_group ref', 'pool-admin', 'inverness', 'makes a group'],
    ['destroy', 'USB_group ref self', 'void', 'pool-admin', 'inverness', 'removes the group'],
  ],
});
