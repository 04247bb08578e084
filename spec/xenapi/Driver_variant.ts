import { define } from './notation.ts';

export const Driver_variant = define({
  name: 'Driver_variant',
  about: "One version of a host's driver",
  lifecycle: '~25.2.0',
  change: 'pool-admin',
  fields: [
    ['uuid', 'RO', 'string', '~25.2.0'],
    ['name', 'RO', 'string = ""', '~25.2.0', 'its name among the versions'],
    ['driver', 'RO', 'Host_driver ref = Null', '~25.2.0', 'whose version it is'],
    ['version', 'RO', 'string = ""', '~25.2.0', "the version's number"],
    ['hardware_present', 'RO', 'bool = false', '~25.2.0', 'the host has a device for it'],
    ['priority', 'RO', 'float = 0', '~25.2.0', 'its place in the order of preference'],
    ['status', 'RO', 'string = ""', '~25.2.0', 'how mature it is'],
  ],
  messages: [['select', 'Driver_variant ref self', 'void', 'pool-admin', '~25.2.0', 'chooses this version']],
});
