import { define } from './notation.ts';

export const network = define({
  name: 'network',
  about: 'A network that guests and hosts are plugged into',
  lifecycle: 'rio',
  change: 'vm-admin',
  created: true,
  enums: {
    network_operations: 'attaching',
    network_default_locking_mode: 'unlocked disabled',
    network_purpose: 'nbd insecure_nbd',
  },
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'RW', 'string = ""', 'rio', undefined, { set: 'pool-operator' }],
    ['name_description', 'RW', 'string = ""', 'rio', undefined, { set: 'pool-operator' }],
    ['allowed_operations', 'RO', 'enum network_operations set = {}', 'rio'],
    ['current_operations', 'RO', '(string -> enum network_operations) map = {}', 'rio'],
    ['VIFs', 'RO', 'VIF ref set', 'rio', "guests' interfaces in it"],
    ['PIFs', 'RO', 'PIF ref set', 'rio', "hosts' interfaces in it"],
    ['MTU', 'RW', 'int = 1500', 'midnight-ride', 'largest packet'],
    ['other_config', 'RW', '(string -> string) map', 'rio', undefined, { set: 'pool-operator', keys: 'folder XenCenter.CustomFields.* XenCenterCreateInProgress' }],
    ['bridge', 'ctor', 'string = ""', 'rio *falcon', "its bridge's name on hosts"],
    ['managed', 'ctor', 'bool = true', 'falcon', "its bridge is the platform's affair"],
    ['blobs', 'RO', '(string -> blob ref) map = {}', 'orlando'],
    ['tags', 'RW', 'string set = {}', 'orlando', undefined, { set: 'vm-operator' }],
    ['default_locking_mode', 'RO', 'enum network_default_locking_mode = unlocked', 'tampa', "what its interfaces' mode 'network_default' means"],
    ['assigned_ips', 'RO', '(VIF ref -> string) map = {}', 'creedence', 'addresses given to interfaces in it'],
    ['purpose', 'RO', 'enum network_purpose set = {}', 'inverness', 'what it is used for, such as NBD'],
  ],
  // prettier-ignore
  messages: [
    ['create_new_blob', 'network ref network, string name, string mime_type, bool public = false', 'blob ref', 'pool-operator', 'orlando', 'attaches room for bytes to the object'],
    ['set_default_locking_mode', 'network ref network, enum network_default_locking_mode value', 'void', 'pool-operator', 'tampa', "changes what 'network_default' means here"],
    ['add_purpose', 'network ref self, enum network_purpose value', 'void', 'pool-admin', 'inverness', 'allows such use'],
    ['remove_purpose', 'network ref self, enum network_purpose value', 'void', 'pool-admin', 'inverness', 'stops such use'],
  ],
  errors: {
    add_purpose: 'NETWORK_INCOMPATIBLE_PURPOSES',
  },
});
