import { define } from './notation.ts';

export const Cluster_host = define({
  name: 'Cluster_host',
  about: 'A host in a cluster',
  lifecycle: '~kolkata lima',
  change: 'pool-operator',
  enums: {
    cluster_host_operation: 'enable disable destroy',
  },
  fields: [
    ['uuid', 'RO', 'string', '~kolkata lima'],
    ['cluster', 'ctor', 'Cluster ref = Null', '~kolkata lima', 'the cluster'],
    ['host', 'ctor', 'host ref = Null', '~kolkata lima', 'the host'],
    ['enabled', 'RO', 'bool = false', '~kolkata lima', 'should take part'],
    ['PIF', 'ctor', 'PIF ref = Null', '~kolkata lima', 'interface it uses'],
    ['joined', 'RO', 'bool = true', '~kolkata lima', 'is a member'],
    ['live', 'RO', 'bool = false', '~24.3.0', 'is up, as the cluster sees it'],
    ['last_update_live', 'RO', 'datetime = 19700101T00:00:00Z', '~24.3.0', 'when that was learned'],
    ['allowed_operations', 'RO', 'enum cluster_host_operation set = {}', 'rio'],
    ['current_operations', 'RO', '(string -> enum cluster_host_operation) map = {}', 'rio'],
    ['other_config', 'ctor', '(string -> string) map = {}', '~kolkata lima'],
  ],
  // prettier-ignore
  messages: [
    ['create', 'Cluster ref cluster, host ref host, PIF ref pif', 'Cluster_host ref', 'pool-operator', '~kolkata lima', 'adds a host'],
    ['destroy', 'Cluster_host ref self', 'void', 'pool-operator', '~kolkata lima', 'leaves for good'],
    ['enable', 'Cluster_host ref self', 'void', 'pool-operator', '~kolkata lima', 'takes part again'],
    ['force_destroy', 'Cluster_host ref self', 'void', 'pool-operator', '~kolkata lima', 'removes it whatever it says'],
    ['disable', 'Cluster_host ref self', 'void', 'pool-operator', '~kolkata lima', 'leaves for a while'],
  ],
  errors: {
    create: 'PIF_NOT_ATTACHED_TO_HOST NO_CLUSTER_HOSTS_REACHABLE',
    destroy: 'CLUSTER_STACK_IN_USE CLUSTERING_DISABLED CLUSTER_HOST_IS_LAST',
    enable: 'PIF_ALLOWS_UNPLUG REQUIRED_PIF_IS_UNPLUGGED',
    force_destroy: 'CLUSTER_STACK_IN_USE',
    disable: 'CLUSTER_STACK_IN_USE',
  },
});
