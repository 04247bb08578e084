import { define } from './notation.ts';

export const PVS_site = define({
  name: 'PVS_site',
  about: 'A site of Citrix provisioning servers',
  lifecycle: 'ely',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'ely'],
    ['name_label', 'RW', 'string = ""', 'ely'],
    ['name_description', 'RW', 'string = ""', 'ely'],
    ['PVS_uuid', 'ctor', 'string = ""', 'ely', 'its identifier there'],
    ['cache_storage', 'RO', 'PVS_cache_storage ref set = {}', 'ely', 'where hosts cache for it'],
    ['servers', 'RO', 'PVS_server ref set', 'ely', 'its servers'],
    ['proxies', 'RO', 'PVS_proxy ref set', 'ely', 'guests that are cached for'],
  ],
  // prettier-ignore
  messages: [
    ['introduce', 'string name_label, string name_description, string PVS_uuid', 'PVS_site ref', 'pool-operator', 'ely', 'makes a site known'],
    ['forget', 'PVS_site ref self', 'void', 'pool-operator', 'ely', 'forgets the site'],
    ['set_PVS_uuid', 'PVS_site ref self, string value', 'void', 'pool-operator', 'ely', 'changes its identifier'],
  ],
  errors: {
    forget: 'PVS_SITE_CONTAINS_RUNNING_PROXIES PVS_SITE_CONTAINS_SERVERS',
  },
});
