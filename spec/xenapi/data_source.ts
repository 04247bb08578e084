import { define } from './notation.ts';

export const data_source = define({
  name: 'data_source',
  about: 'Something that can be measured',
  lifecycle: 'orlando',
  change: 'pool-admin',
  kind: 'value',
  fields: [
    ['name_label', 'RO', 'string = ""', 'rio', 'its name'],
    ['name_description', 'RO', 'string = ""', 'rio', 'what it says'],
    ['enabled', 'RO', 'bool', 'rio', 'is recorded now'],
    ['standard', 'RO', 'bool', 'rio', 'is recorded unless told otherwise'],
    ['units', 'RO', 'string', 'rio', 'its unit'],
    ['min', 'RO', 'float', 'rio', 'least possible value'],
    ['max', 'RO', 'float', 'rio', 'greatest possible value'],
    ['value', 'RO', 'float', 'rio', 'value now'],
  ],
});
