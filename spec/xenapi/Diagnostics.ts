import { define } from './notation.ts';

export const Diagnostics = define({
  name: 'Diagnostics',
  about: 'Measurements of the API server itself',
  lifecycle: 'stockholm',
  change: 'pool-operator',
  kind: 'explicit',
  fields: [],
  messages: [
    ['gc_compact', 'host ref host', 'void', 'pool-operator', 'stockholm', 'frees unused memory'],
    ['gc_stats', 'host ref host', '(string -> string) map', 'pool-operator', 'stockholm', 'tells how memory is used'],
    ['db_stats', '', '(string -> string) map', 'pool-operator', 'stockholm', 'tells how the database is used'],
    [
      ...(['network_stats', 'host ref host, (string -> string) map params', 'string set set'] as const),
      ...(['pool-operator', 'stockholm', 'tells how often messages were called'] as const),
    ],
  ],
});
