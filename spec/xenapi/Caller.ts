import { define } from './notation.ts';

export const Caller = define({
  name: 'Caller',
  about: 'Clients that are counted and limited together',
  lifecycle: '~26.1.0',
  change: 'pool-admin',
  fields: [
    ['uuid', 'RO', 'string', '~26.1.0'],
    ['name_label', 'RW', 'string = ""', '~26.1.0'],
    ['name_description', 'RW', 'string = ""', '~26.1.0'],
    ['user_agent', 'ctor', 'string = ""', '~26.1.0', 'User-Agent it has; a * at the end stands for anything'],
    ['client_ip', 'ctor', 'string = ""', '~26.1.0', 'address it has, written likewise'],
    ['last_access', 'RO', 'datetime = 19700101T00:00:00Z', '~26.1.0', 'when it last called'],
    ['groups', 'RW', 'string set = {}', '~26.1.0', 'groups it is counted in'],
    ['rate_limit', 'ctor', 'Rate_limit ref = Null', '~26.1.0', 'its limit'],
  ],
  messages: [
    [
      'create',
      'string name_label, string name_description, string user_agent, string client_ip',
      ...(['Caller ref', 'pool-admin', '~26.1.0', 'makes one'] as const),
    ],
    ['destroy', 'Caller ref self', 'void', 'pool-admin', '~26.1.0', 'destroys it'],
    ['add_group', 'Caller ref self, string group', 'void', 'pool-operator', '~26.1.0', 'counts it in a group'],
    [
      'remove_group',
      'Caller ref self, string group',
      'void',
      'pool-operator',
      '~26.1.0',
      'stops counting it in a group',
    ],
    [
      'query_usage',
      'Caller ref self',
      '(string -> string) map',
      'pool-operator',
      '~26.1.0',
      'tells how much it called',
    ],
    [
      ...(['query_group_usage', 'string group', '(string -> string) map'] as const),
      ...(['pool-operator', '~26.1.0', 'tells how much a group called'] as const),
    ],
    ['query_all_usage', '', 'string set set', 'pool-operator', '~26.1.0', 'tells how much each called'],
  ],
});
