import { define } from './notation.ts';

export const subject = define({
  name: 'subject',
  about: 'A user or group of a directory who may log in',
  lifecycle: 'george',
  change: 'pool-admin',
  created: true,
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['subject_identifier', 'ctor', 'string = ""', 'george', "the directory's own identifier"],
    ['other_config', 'ctor', '(string -> string) map = {}', 'george'],
    ['roles', 'RO', 'role ref set = {}', 'midnight-ride', 'what the user may do'],
  ],
  // prettier-ignore
  messages: [
    ['add_to_roles', 'subject ref self, role ref role', 'void', 'pool-admin', 'midnight-ride', 'grants a role'],
    ['remove_from_roles', 'subject ref self, role ref role', 'void', 'pool-admin', 'midnight-ride', 'takes a role away'],
    ['get_permissions_name_label', 'subject ref self', 'string set', 'anyone', 'midnight-ride', 'lists by name all that the user may call'],
  ],
});
