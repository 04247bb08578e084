import { define } from './notation.ts';

export const secret = define({
  name: 'secret',
  about: 'A password or the like, kept apart from what uses it',
  lifecycle: 'midnight-ride',
  change: 'pool-operator',
  read: 'pool-operator',
  created: true,
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['value', 'RW', 'string', 'rio', 'the value'],
    ['other_config', 'RW', '(string -> string) map = {}', 'rio', undefined, { get: 'anyone' }],
  ],
});
