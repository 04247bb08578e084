import { define } from './notation.ts';

export const VLAN = define({
  name: 'VLAN',
  about: 'A tag upon an interface of a host',
  lifecycle: 'miami',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['tagged_PIF', 'ctor', 'PIF ref = Null', 'miami', 'interface that carries tagged packets'],
    ['untagged_PIF', 'RO', 'PIF ref = Null', 'miami', 'interface that has them without the tag'],
    ['tag', 'ctor', 'int = -1', 'miami', 'its number'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'PIF ref tagged_PIF, int tag, network ref network', 'VLAN ref', 'pool-operator', 'miami', 'puts a tag upon an interface'],
    ['destroy', 'VLAN ref self', 'void', 'pool-operator', 'miami', 'removes it'],
  ],
});
