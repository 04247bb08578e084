/**
 * XenAPI's roles. Each of the six that users can have includes those after it; `client-cert` is what a client certificate may do
 * and is granted to nobody. A message's row names the least role that may call it.
 */
export const ROLES = ['pool-admin', 'pool-operator', 'vm-power-admin', 'vm-admin', 'vm-operator', 'read-only'] as const;
export type Role = (typeof ROLES)[number];
export const CLIENT_CERT = 'client-cert';

/** `anyone`: every role, and client certificates; `, cert`: these as well; `local root`: no role, only who administers the host itself. */
export type Allowed = 'anyone' | 'local root' | Exclude<Role, 'read-only'> | `${Exclude<Role, 'read-only'>}, cert`;

/** All roles that may call, in XenAPI's order. */
export function rolesOf(allowed: Allowed): string[] {
  if (allowed === 'local root') return [];
  if (allowed === 'anyone') return [...ROLES.slice(0, -1), CLIENT_CERT, 'read-only'];
  const [least, cert] = allowed.split(', ');
  const roles: string[] = ROLES.slice(0, ROLES.indexOf(least as Role) + 1);
  return cert ? [...roles, CLIENT_CERT] : roles;
}

/** What a role is for, as `role.get_all_records` tells it. */
export const ROLE_TEXTS: Record<Role, string> = {
  'pool-admin': 'may do everything',
  'pool-operator': 'manages hosts, storage and networks, but no users',
  'vm-power-admin': 'manages virtual machines, their memory and where they run',
  'vm-admin': 'makes, changes and deletes virtual machines',
  'vm-operator': 'starts, stops and watches virtual machines',
  'read-only': 'sees everything and changes nothing',
};
