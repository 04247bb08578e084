import { define } from './notation.ts';

export const Rate_limit = define({
  name: 'Rate_limit',
  about: 'How much some clients may call',
  lifecycle: '~26.1.0',
  change: 'pool-admin',
  created: true,
  fields: [
    ['uuid', 'RO', 'string', '~26.1.0'],
    ['client_id', 'ctor', 'string = ""', '~26.1.0', 'whom it limits'],
    ['burst_size', 'ctor', 'float = 0', '~26.1.0', 'tokens that can be spent at once'],
    ['fill_rate', 'ctor', 'float = 0', '~26.1.0', 'tokens gained a second'],
  ],
});
