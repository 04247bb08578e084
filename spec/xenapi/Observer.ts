import { define } from './notation.ts';

export const Observer = define({
  name: 'Observer',
  about: 'A recorder of traces',
  lifecycle: '~23.14.0',
  change: 'pool-admin',
  created: true,
  fields: [
    ['uuid', 'RO', 'string', '~23.14.0'],
    ['name_label', 'RW', 'string = ""', 'rio'],
    ['name_description', 'RW', 'string = ""', 'rio'],
    ['hosts', 'ctor', 'host ref set = {}', '~23.14.0', 'where it records; everywhere if empty'],
    ['attributes', 'ctor', '(string -> string) map = {}', '~23.14.0', 'marks on all it records'],
    ['endpoints', 'ctor', 'string set = {}', '~23.14.0', 'where records go'],
    ['components', 'ctor', 'string set = {}', '~23.14.0', 'programs it covers; all if empty'],
    ['enabled', 'ctor', 'bool = false', '~23.14.0', 'records now'],
  ],
  // prettier-ignore
  messages: [
    ['set_hosts', 'Observer ref self, host ref set value', 'void', 'pool-admin', '~23.14.0', 'changes where it records'],
    ['set_enabled', 'Observer ref self, bool value', 'void', 'pool-admin', '~23.14.0', 'turns it on or off'],
    ['set_attributes', 'Observer ref self, (string -> string) map value', 'void', 'pool-admin', '~23.14.0', 'changes the marks'],
    ['set_endpoints', 'Observer ref self, string set value', 'void', 'pool-admin', '~23.14.0', 'changes where records go'],
    ['set_components', 'Observer ref self, string set value', 'void', 'pool-admin', '~23.14.0', 'changes which programs it covers'],
  ],
});
