import { define } from './notation.ts';

export const Bond = define({
  name: 'Bond',
  about: 'Interfaces of a host used as one',
  lifecycle: 'miami',
  change: 'pool-operator',
  enums: {
    bond_mode: 'balance-slb active-backup lacp',
  },
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['master', 'ctor', 'PIF ref = Null', 'miami', 'interface that stands for it'],
    ['slaves', 'RO', 'PIF ref set', 'miami', 'its parts'],
    ['other_config', 'RW', '(string -> string) map = {}', 'miami'],
    ['primary_slave', 'RO', 'PIF ref = Null', 'boston', 'part whose address and settings it takes'],
    ['mode', 'RO', 'enum bond_mode = balance-slb', 'boston', 'how parts share the work'],
    ['properties', 'RO', '(string -> string) map = {}', 'tampa', 'settings of the mode'],
    ['links_up', 'RO', 'int = 0', 'tampa', 'parts whose link is up'],
    ['auto_update_mac', 'RO', 'bool = true', 'quebec', 'its address follows the first part'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'network ref network, PIF ref set members, string MAC, enum bond_mode mode = balance-slb, (string -> string) map properties = {}', 'Bond ref', 'pool-operator', 'miami', 'puts interfaces together'],
    ['destroy', 'Bond ref self', 'void', 'pool-operator', 'miami', 'takes it apart'],
    ['set_mode', 'Bond ref self, enum bond_mode value', 'void', 'pool-operator', 'boston', 'changes how parts share the work'],
    ['set_property', 'Bond ref self, string name, string value', 'void', 'pool-operator', 'tampa', 'changes a setting of the mode'],
  ],
});
