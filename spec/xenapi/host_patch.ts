import { define } from './notation.ts';

export const host_patch = define({
  name: 'host_patch',
  about: 'A hotfix on a host',
  lifecycle: 'rio !ely',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'ctor', 'string = ""', 'rio'],
    ['name_description', 'ctor', 'string = ""', 'rio'],
    ['version', 'ctor', 'string', 'rio', "the hotfix's version"],
    ['host', 'ctor', 'host ref', 'rio', 'where it is'],
    ['applied', 'RO', 'bool', 'rio', 'it has been applied'],
    ['timestamp_applied', 'RO', 'datetime', 'rio', 'when that was'],
    ['size', 'RO', 'int', 'rio', 'bytes of its file'],
    ['pool_patch', 'ctor', 'pool_patch ref = Null', 'miami', 'the hotfix itself'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
  ],
  messages: [
    ['destroy', 'host_patch ref self', 'void', 'pool-operator', 'rio !miami', 'forgets it'],
    ['apply', 'host_patch ref self', 'string', 'pool-operator', 'rio !miami', 'applies it'],
  ],
});
