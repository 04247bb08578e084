/** Subjects and roles. The directory is this host's own list of users. */
import { ROLES } from '../../../spec/xenapi/roles.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Arguments, Handlers } from '../messages.ts';
import { localSubject } from '../session/users.ts';
import type { Xapi } from '../xapi.ts';

const names = (xapi: Xapi, refs: string[]): string[] => refs.map((ref) => xapi.db.row('role', ref).text('name_label'));

function withPermission({ db }: Xapi, ref: string): string[] {
  return [...db.table('role').values()].filter((row) => row.refs('subroles').includes(ref)).map((row) => row.ref);
}

/** A user of this host by the directory's identifier. */
function known(xapi: Xapi, identifier: string): string {
  const name = xapi.users.names.find((each) => localSubject(each) === identifier);
  if (name === undefined) throw new Failure('SUBJECT_CANNOT_BE_RESOLVED');
  return name;
}

function assignable(args: Arguments): Row {
  const role = args.row('role');
  if (!(ROLES as readonly string[]).includes(role.text('name_label'))) throw new Failure('ROLE_NOT_FOUND');
  return role;
}

/** Sessions of a subject end when what it may do changes. */
function endSessions(xapi: Xapi, subject: Row): void {
  for (const session of [...xapi.sessions]) if (session.login.subject === subject.ref) xapi.sessions.close(session);
}

export const rbac: Handlers = {
  'auth.get_subject_identifier': (args, { xapi }) => {
    const name = args.text('subject_name');
    if (!xapi.users.has(name)) throw new Failure('SUBJECT_CANNOT_BE_RESOLVED');
    return localSubject(name);
  },
  'auth.get_subject_information_from_identifier': (args, { xapi }) => {
    const identifier = args.text('subject_identifier');
    const name = known(xapi, identifier);
    return { 'subject-name': name, 'subject-sid': identifier, 'subject-is-group': 'false' };
  },
  'auth.get_group_membership': (args, { xapi }) => {
    known(xapi, args.text('subject_identifier'));
    return [];
  },
  'subject.create': (args, { xapi }) => {
    const { db } = xapi;
    const values = args.record('args');
    known(xapi, values.subject_identifier as string);
    for (const row of db.table('subject').values())
      if (row.text('subject_identifier') === values.subject_identifier) throw new Failure('SUBJECT_ALREADY_EXISTS');
    return db.create('subject', values).ref;
  },
  'subject.destroy': (args, { xapi }) => {
    const row = args.row('self');
    endSessions(xapi, row);
    xapi.db.destroy(row);
  },
  'subject.add_to_roles': (args, { xapi }) => {
    const [row, role] = [args.row('self'), assignable(args)];
    const now = row.refs('roles');
    if (now.includes(role.ref)) throw new Failure('ROLE_ALREADY_EXISTS');
    xapi.db.set(row, { roles: [...now, role.ref] });
    endSessions(xapi, row);
  },
  'subject.remove_from_roles': (args, { xapi }) => {
    const [row, role] = [args.row('self'), assignable(args)];
    const now = row.refs('roles');
    if (!now.includes(role.ref)) throw new Failure('ROLE_NOT_FOUND');
    xapi.db.set(row, { roles: now.filter((ref) => ref !== role.ref) });
    endSessions(xapi, row);
  },
  'subject.get_permissions_name_label': (args, { xapi }) => {
    const { db } = xapi;
    const refs = new Set(
      args
        .row('self')
        .refs('roles')
        .flatMap((ref) => db.row('role', ref).refs('subroles')),
    );
    return names(xapi, [...refs]);
  },
  'role.get_permissions': (args) => args.row('self').refs('subroles'),
  'role.get_permissions_name_label': (args, { xapi }) => names(xapi, args.row('self').refs('subroles')),
  'role.get_by_permission': (args, { xapi }) => withPermission(xapi, args.text('permission')),
  'role.get_by_permission_name_label': (args, { xapi }) => {
    const label = args.text('label').toLowerCase();
    const found = [...xapi.db.table('role').values()].find((row) => row.text('name_label') === label);
    return found ? withPermission(xapi, found.ref) : [];
  },
};
