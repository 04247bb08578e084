import { define } from './notation.ts';

export const Cluster = define({
  name: 'Cluster',
  about: "Cluster software over the pool's hosts",
  lifecycle: '~kolkata lima',
  change: 'pool-operator',
  enums: {
    cluster_operation: 'add remove enable disable destroy',
  },
  // prettier-ignore
  fields: [
    ['uuid', 'RO', 'string', '~kolkata lima'],
    ['cluster_hosts', 'RO', 'Cluster_host ref set', '~kolkata lima', 'its members'],
    ['pending_forget', 'RO', 'string set = {}', 'lima', 'addresses of lost members still to be dropped'],
    ['cluster_token', 'ctor', 'string = ""', '~kolkata lima', 'secret its members share'],
    ['cluster_stack', 'ctor', 'string = "corosync"', '~kolkata lima', 'which software'],
    ['is_quorate', 'RO', 'bool = false', '~24.3.0', 'enough members are up'],
    ['quorum', 'RO', 'int = 0', '~24.3.0', 'how many that takes'],
    ['live_hosts', 'RO', 'int = 0', '~24.3.0', 'members that are up'],
    ['allowed_operations', 'RO', 'enum cluster_operation set = {}', 'rio'],
    ['current_operations', 'RO', '(string -> enum cluster_operation) map = {}', 'rio'],
    ['pool_auto_join', 'ctor', 'bool = true', '~kolkata lima', 'new hosts of the pool join by themselves'],
    ['token_timeout', 'ctor', 'float = 20.0', '~kolkata *lima lima', 'seconds until a silent member counts as lost'],
    ['token_timeout_coefficient', 'ctor', 'float = 1.0', '~kolkata *lima lima', 'seconds more for each member above two'],
    ['cluster_config', 'ctor', '(string -> string) map = {}', '~kolkata lima', 'further settings'],
    ['other_config', 'RW', '(string -> string) map = {}', '~kolkata lima'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'PIF ref PIF, string cluster_stack, bool pool_auto_join, float token_timeout = 20, float token_timeout_coefficient = 1', 'Cluster ref', 'pool-operator', '~kolkata lima', 'makes one with the first member'],
    ['destroy', 'Cluster ref self', 'void', 'pool-operator', '~kolkata lima', 'takes it apart with its last member'],
    ['get_network', 'Cluster ref self', 'network ref', 'anyone', '~kolkata lima', 'tells the network it uses'],
    ['pool_create', 'network ref network, string cluster_stack, float token_timeout = 20, float token_timeout_coefficient = 1', 'Cluster ref', 'pool-operator', '~kolkata lima', 'makes one with every host'],
    ['pool_force_destroy', 'Cluster ref self', 'void', 'pool-operator', '~kolkata lima', 'takes it apart whatever members say'],
    ['pool_destroy', 'Cluster ref self', 'void', 'pool-operator', '~kolkata lima', 'takes it apart on every host'],
    ['pool_resync', 'Cluster ref self', 'void', 'pool-operator', '~kolkata lima', 'makes every host join again'],
  ],
  errors: {
    create: 'INVALID_CLUSTER_STACK INVALID_VALUE PIF_ALLOWS_UNPLUG REQUIRED_PIF_IS_UNPLUGGED',
    destroy: 'CLUSTER_DOES_NOT_HAVE_ONE_NODE CLUSTER_STACK_IN_USE',
    pool_force_destroy: 'CLUSTER_FORCE_DESTROY_FAILED',
    pool_destroy: 'CLUSTER_STACK_IN_USE CLUSTERING_DISABLED CLUSTER_HOST_IS_LAST',
  },
});
