import { define } from './notation.ts';

export const PVS_proxy = define({
  name: 'PVS_proxy',
  about: 'A cache between a guest and its provisioning server',
  lifecycle: 'ely',
  change: 'pool-operator',
  enums: {
    pvs_proxy_status: 'stopped initialised caching incompatible_write_cache_mode incompatible_protocol_version',
  },
  fields: [
    ['uuid', 'RO', 'string', 'ely'],
    ['site', 'ctor', 'PVS_site ref = Null', 'ely', "the servers' site"],
    ['VIF', 'ctor', 'VIF ref = Null', 'ely', 'interface whose traffic is cached'],
    ['currently_attached', 'RO', 'bool = false', 'ely', 'works now'],
    ['status', 'RO', 'enum pvs_proxy_status = stopped', 'ely', 'how it is'],
  ],
  messages: [
    ['create', 'PVS_site ref site, VIF ref VIF', 'PVS_proxy ref', 'pool-operator', 'ely', 'caches for an interface'],
    ['destroy', 'PVS_proxy ref self', 'void', 'pool-operator', 'ely', 'removes it'],
  ],
});
