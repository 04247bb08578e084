import { define } from './notation.ts';

export const PUSB = define({
  name: 'PUSB',
  about: 'A USB device of a host',
  lifecycle: 'inverness',
  change: 'pool-admin',
  fields: [
    ['uuid', 'RO', 'string', 'inverness'],
    ['USB_group', 'ctor', 'USB_group ref = Null', 'inverness', 'group it serves'],
    ['host', 'ctor', 'host ref = Null', 'inverness', 'whose it is'],
    ['path', 'ctor', 'string = ""', 'inverness', 'port it is plugged into'],
    ['vendor_id', 'ctor', 'string = ""', 'inverness', "its maker's number"],
    ['vendor_desc', 'ctor', 'string = ""', 'inverness', 'its maker'],
    ['product_id', 'ctor', 'string = ""', 'inverness', "its model's number"],
    ['product_desc', 'ctor', 'string = ""', 'inverness', 'its model'],
    ['serial', 'ctor', 'string = ""', 'inverness', 'its serial number'],
    ['version', 'ctor', 'string = ""', 'inverness', 'USB version it speaks'],
    ['description', 'ctor', 'string = ""', 'inverness', 'what it is'],
    ['passthrough_enabled', 'RO', 'bool = false', 'inverness', 'may be given to guests'],
    ['other_config', 'RW', '(string -> string) map = {}', 'inverness'],
    ['speed', 'ctor', 'float = -1.0', 'stockholm', 'megabits a second'],
  ],
  // prettier-ignore
  messages: [
    ['scan', 'host ref host', 'void', 'pool-admin', 'inverness', 'looks for devices that are new or gone'],
    ['set_passthrough_enabled', 'PUSB ref self, bool value', 'void', 'pool-admin', 'inverness', 'allows it for guests or not'],
  ],
});
