import { define } from './notation.ts';

export const Feature = define({
  name: 'Feature',
  about: 'An optional feature of a host',
  lifecycle: 'falcon',
  change: 'pool-admin',
  fields: [
    ['uuid', 'RO', 'string', 'falcon'],
    ['name_label', 'ctor', 'string = ""', 'rio'],
    ['name_description', 'ctor', 'string = ""', 'rio'],
    ['enabled', 'RO', 'bool = false', 'falcon', 'is on'],
    ['experimental', 'ctor', 'bool = false', 'falcon', 'not ready for serious use'],
    ['version', 'ctor', 'string = "1.0"', 'falcon', 'its version'],
    ['host', 'RO', 'host ref', 'falcon', 'where it is'],
  ],
});
