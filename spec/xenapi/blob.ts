import { define } from './notation.ts';

export const blob = define({
  name: 'blob',
  about: 'Bytes kept beside an object',
  lifecycle: 'orlando',
  change: 'pool-operator',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'RW', 'string = ""', 'rio'],
    ['name_description', 'RW', 'string = ""', 'rio'],
    ['size', 'RO', 'int', 'rio', 'bytes of it'],
    ['public', 'RW', 'bool = false', 'tampa', 'readable without a login'],
    ['last_updated', 'ctor', 'datetime', 'rio', 'when it was last written'],
    ['mime_type', 'ctor', 'string', 'rio', 'what kind of bytes'],
  ],
  messages: [
    ['create', 'string mime_type, bool public = false', 'blob ref', 'pool-operator', 'orlando', 'makes room for bytes'],
    ['destroy', 'blob ref self', 'void', 'pool-operator', 'orlando', 'deletes it'],
  ],
});
