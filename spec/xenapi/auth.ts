import { define } from './notation.ts';

export const auth = define({
  name: 'auth',
  about: 'Questions to the external directory',
  lifecycle: 'george',
  change: 'pool-admin',
  kind: 'explicit',
  fields: [],
  // prettier-ignore
  messages: [
    ['get_subject_identifier', 'string subject_name', 'string', 'anyone', 'george', 'finds a user by name'],
    ['get_subject_information_from_identifier', 'string subject_identifier', '(string -> string) map', 'anyone', 'george', 'tells what the directory knows of a user'],
    ['get_group_membership', 'string subject_identifier', 'string set', 'anyone', 'george', 'lists the groups a user is in, through other groups too'],
  ],
});
