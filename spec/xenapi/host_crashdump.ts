import { define } from './notation.ts';

export const host_crashdump = define({
  name: 'host_crashdump',
  about: "A dump of a host's crash",
  lifecycle: 'rio',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['host', 'ctor', 'host ref', 'rio', 'whose crash it was'],
    ['timestamp', 'RO', 'datetime', 'rio', 'when it was written'],
    ['size', 'RO', 'int', 'rio', 'bytes of the dump'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
  ],
  // prettier-ignore
  messages: [
    ['destroy', 'host_crashdump ref self', 'void', 'pool-operator', 'rio', 'deletes the dump'],
    ['upload', 'host_crashdump ref self, string url, (string -> string) map options', 'void', 'pool-operator', 'rio', 'sends the dump to a URL'],
  ],
});
