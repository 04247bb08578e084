import { define } from './notation.ts';

export const role = define({
  name: 'role',
  about: 'A set of calls that may be granted together',
  lifecycle: 'midnight-ride',
  transient: true,
  change: 'pool-admin',
  fields: [
    ['uuid', 'RO', 'string', 'rio'],
    ['name_label', 'ctor', 'string = ""', 'midnight-ride'],
    ['name_description', 'ctor', 'string = ""', 'midnight-ride'],
    ['subroles', 'ctor', 'role ref set = {}', 'midnight-ride', 'permissions and roles that it contains'],
    ['is_internal', 'RO', 'bool = false', '22.5.0', 'used by the platform alone, not to be granted'],
  ],
  // prettier-ignore
  messages: [
    ['get_permissions', 'role ref self', 'role ref set', 'anyone', 'midnight-ride', 'lists its permissions'],
    ['get_permissions_name_label', 'role ref self', 'string set', 'anyone', 'midnight-ride', 'lists the names of its permissions'],
    ['get_by_permission', 'role ref permission', 'role ref set', 'anyone', 'midnight-ride', 'finds the roles that include a permission'],
    ['get_by_permission_name_label', 'string label', 'role ref set', 'anyone', 'midnight-ride', 'finds the roles that include a permission of that name'],
  ],
});
