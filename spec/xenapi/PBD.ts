import { define } from './notation.ts';

export const PBD = define({
  name: 'PBD',
  about: "A host's connection to a place for disks",
  lifecycle: 'rio',
  change: 'pool-operator',
  created: true,
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['host', 'ctor', 'host ref', 'rio', 'whose connection'],
    ['SR', 'ctor', 'SR ref', 'rio', 'to what'],
    ['device_config', 'ctor', '(string -> string) map', 'rio', 'what the driver needs to connect'],
    ['currently_attached', 'RO', 'bool', 'rio', 'connected now'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
  ],
  // prettier-ignore
  messages: [
    ['plug', 'PBD ref self', 'void', 'pool-operator', 'rio', 'connects'],
    ['unplug', 'PBD ref self', 'void', 'pool-operator', 'rio', 'disconnects'],
    ['set_device_config', 'PBD ref self, (string -> string) map value', 'void', 'pool-operator', 'miami', 'changes what the driver needs'],
  ],
  errors: {
    plug: 'SR_UNKNOWN_DRIVER',
  },
});
