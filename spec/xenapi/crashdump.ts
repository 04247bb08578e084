import { define } from './notation.ts';

export const crashdump = define({
  name: 'crashdump',
  about: "A dump of a guest's crash",
  lifecycle: 'rio !inverness',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['VM', 'ctor', 'VM ref', 'rio', 'whose crash'],
    ['VDI', 'ctor', 'VDI ref', 'rio', 'disk with the dump'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
  ],
  messages: [['destroy', 'crashdump ref self', 'void', 'pool-operator', 'rio', 'deletes it']],
});
