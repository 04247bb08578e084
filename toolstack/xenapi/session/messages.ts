import type { Role } from '../../../spec/xenapi/roles.ts';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import { permissions } from '../rbac/rbac.ts';
import type { Xapi } from '../xapi.ts';
import type { Login, Session } from './sessions.ts';
import { localSubject, ROOT } from './users.ts';

const refused = (user: string, why: string): Failure => new Failure('SESSION_AUTHENTICATION_FAILED', user, why);

/** A name in the log is what somebody has sent: one line, and not a long one. */
const inLog = (text: string): string => JSON.stringify(text.slice(0, 64));

function rights(
  xapi: Xapi,
  user: string,
): Pick<Login, 'superuser' | 'subject' | 'subjectIdentifier' | 'roles'> | undefined {
  if (user === ROOT) return { superuser: true, subject: NULL_REF, subjectIdentifier: '', roles: ['pool-admin'] };
  const identifier = localSubject(user);
  for (const row of xapi.db.table('subject').values())
    if (row.text('subject_identifier') === identifier) {
      const roles: Role[] = xapi.rolesOf(row);
      return { superuser: false, subject: row.ref, subjectIdentifier: identifier, roles };
    }
  return undefined;
}

/** Opens a session for who knows the password. */
export function login(
  xapi: Xapi,
  user: string,
  password: string,
  originator: string,
  address: string,
): Promise<Session> {
  const look = async (): Promise<Session> => {
    if (!xapi.attempts.allowed(address)) throw putOff(xapi, user, address);
    return open(xapi, user, password, originator, address);
  };
  if (xapi.attempts.crowded(address)) return Promise.reject(putOff(xapi, user, address));
  return xapi.attempts.inTurn(address, look);
}

function putOff(xapi: Xapi, user: string, address: string): Failure {
  xapi.log(`xenapi: a login of ${inLog(user)} from ${address} is put off: too many have failed`);
  return refused(user, 'Too many attempts: try again later');
}

async function open(xapi: Xapi, user: string, password: string, originator: string, address: string): Promise<Session> {
  const right = await xapi.users.check(user, password);
  const who = right ? rights(xapi, user) : undefined;
  if (!who) {
    xapi.attempts.failed(address);
    xapi.log(`xenapi: a login of ${inLog(user)} from ${address} failed`);
    throw refused(user, 'Authentication failure');
  }
  // Whoever may do nothing has no business here.
  if (who.roles.length === 0) throw refused(user, 'Subject has no role');
  xapi.attempts.succeeded(address);
  const granted = who.superuser ? [] : [...new Set(who.roles.flatMap(permissions))];
  return xapi.sessions.open({ user, originator, host: xapi.hostRef, ...who }, granted);
}

const identity = ({ login }: Session): string => login.subjectIdentifier;

export const session: Handlers = {
  'session.login_with_password': async (args, { xapi, address }) =>
    (await login(xapi, args.text('uname'), args.text('pwd'), args.text('originator'), address)).ref,
  'session.logout': (_args, { xapi, session }) => {
    xapi.events.forget(session.ref);
    xapi.sessions.close(session);
  },
  'session.change_password': async (args, { xapi, session, address }) => {
    const { user, superuser } = session.login;
    // The administrator needs no old password, as on real hosts.
    if (!superuser && !(await xapi.users.check(user, args.text('old_pwd')))) {
      xapi.attempts.failed(address);
      throw refused(user, 'Authentication failure');
    }
    const password = args.text('new_pwd');
    if (password === '' || password.length > 1024)
      throw new Failure('CHANGE_PASSWORD_REJECTED', 'between 1 and 1024 characters');
    await xapi.users.setPassword(user, password);
  },
  'session.get_all_subject_identifiers': (_args, { xapi }) => [
    ...new Set([...xapi.sessions].map(identity).filter((each) => each !== '')),
  ],
  'session.logout_subject_identifier': (args, { xapi, session }) => {
    for (const each of [...xapi.sessions])
      if (each !== session && identity(each) === args.text('subject_identifier')) xapi.sessions.close(each);
  },
};
