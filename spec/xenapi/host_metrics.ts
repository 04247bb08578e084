import { define } from './notation.ts';

export const host_metrics = define({
  name: 'host_metrics',
  about: 'What is measured of a host',
  lifecycle: 'rio',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['memory_total', 'RO', 'int', 'rio', 'bytes it has'],
    ['live', 'RO', 'bool', 'rio', 'is up, as far as the pool knows'],
    ['last_updated', 'RO', 'datetime', 'rio', 'when this was last written'],
    ['other_config', 'RW', '(string -> string) map = {}', 'orlando'],
  ],
});
