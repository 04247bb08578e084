/** Who may call what: the tables say which roles a message needs, the session which roles a user has. */
import { createHash } from 'node:crypto';
import { MESSAGES } from '../../../spec/xenapi/index.ts';
import type { Message } from '../../../spec/xenapi/notation.ts';
import { ROLE_TEXTS, ROLES, rolesOf, type Role } from '../../../spec/xenapi/roles.ts';
import type { Database } from '../database/database.ts';
import { Failure } from '../failure.ts';
import type { Session } from '../session/sessions.ts';

/** Whoever has it may change the keys of maps that the tables set free. */
const KEY_ROLE: Role = 'vm-operator';

export const permissionOf = (message: Message): string => `${message.class}.${message.name}`.toLowerCase();
const keyPermission = (message: Message, key: string): string => `${permissionOf(message)}/key:${key.toLowerCase()}`;

const matches = (pattern: string, key: string): boolean =>
  pattern.endsWith('*') ? key.startsWith(pattern.slice(0, -1)) : key === pattern;

/** Of the roles a user has, the first that may call. */
const admits = (message: Message, roles: readonly string[]): boolean =>
  rolesOf(message.allowed).some((role) => roles.includes(role));

export function check(session: Session, message: Message, key?: string): void {
  const { superuser, roles } = session.login;
  if (superuser || admits(message, roles)) return;
  const free = key === undefined ? undefined : message.implicit?.field?.keys.find((each) => matches(each, key));
  if (free !== undefined && roles.some((role) => ROLES.indexOf(role) <= ROLES.indexOf(KEY_ROLE))) return;
  throw new Failure('RBAC_PERMISSION_DENIED', permissionOf(message), 'No permission in user session');
}

/** By name all that a role may call. */
export function permissions(role: string): string[] {
  const names: string[] = [];
  for (const message of MESSAGES.values()) {
    if (rolesOf(message.allowed).includes(role)) names.push(permissionOf(message));
    const { act, field } = message.implicit ?? {};
    if ((act === 'add_to' || act === 'remove_from') && ROLES.indexOf(role as Role) <= ROLES.indexOf(KEY_ROLE))
      for (const key of field!.keys) names.push(keyPermission(message, key));
  }
  return names;
}

/** Roles are the same everywhere and always, and so are their references. */
const refs = new Map<string, { ref: string; uuid: string }>();
export function roleRef(name: string): { ref: string; uuid: string } {
  const known = refs.get(name);
  if (known) return known;
  const hash = createHash('sha256').update(`role ${name}`).digest('hex');
  const uuid = `${hash.slice(0, 8)}-${hash.slice(8, 12)}-5${hash.slice(13, 16)}-a${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
  const made = { ref: `OpaqueRef:${uuid}`, uuid };
  refs.set(name, made);
  return made;
}

/** A role contains its permissions, which are roles of their own kind. */
export function makeRoles(db: Database): void {
  db.change(() => {
    const make = (name: string, values: Record<string, string | string[] | boolean>) => {
      const { ref, uuid } = roleRef(name);
      if (!db.find('role', ref)) db.create('role', { uuid, name_label: name, ...values }, ref);
      return ref;
    };
    for (const name of permissions('pool-admin'))
      make(name, { name_description: `may call ${name}`, is_internal: true });
    for (const role of ROLES) {
      const subroles = permissions(role).map((name) => roleRef(name).ref);
      make(role, { name_description: ROLE_TEXTS[role], subroles });
    }
  });
}
