import { define } from './notation.ts';

export const user = define({
  name: 'user',
  about: 'A local account',
  lifecycle: 'rio !george',
  change: 'pool-admin',
  created: true,
  kind: 'unlisted',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['short_name', 'ctor', 'string', 'rio', 'its name'],
    ['fullname', 'RW', 'string', 'rio', "its owner's name"],
    ['other_config', 'RW', '(string -> string) map = {}', 'orlando'],
  ],
});
