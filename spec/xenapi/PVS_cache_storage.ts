import { define } from './notation.ts';

export const PVS_cache_storage = define({
  name: 'PVS_cache_storage',
  about: 'Where a host caches for a site',
  lifecycle: 'ely',
  change: 'pool-operator',
  created: true,
  fields: [
    ['uuid', 'RO', 'string', 'ely'],
    ['host', 'ctor', 'host ref = Null', 'ely', 'whose cache'],
    ['SR', 'ctor', 'SR ref = Null', 'ely', 'where it lies'],
    ['site', 'ctor', 'PVS_site ref = Null', 'ely', 'for which site'],
    ['size', 'ctor', 'int = 21474836480', 'ely', 'its bytes'],
    ['VDI', 'RO', 'VDI ref = Null', 'ely', 'disk it lies on'],
  ],
});
