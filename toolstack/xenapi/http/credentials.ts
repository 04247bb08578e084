/** Who asks for a transfer: by `session_id` in the query or as a cookie, or by a name and a password (HTTP Basic). */
import type { IncomingMessage } from 'node:http';
import { rolesOf, type Allowed } from '../../../spec/xenapi/roles.ts';
import { Failure } from '../failure.ts';
import { login } from '../session/messages.ts';
import type { Session } from '../session/sessions.ts';
import type { Xapi } from '../xapi.ts';

/** Nobody has said who he is: answered by HTTP 401. */
export class Unauthorized extends Error {}

export interface Credentials {
  session: Session;
  /** Opened for this request alone. */
  own: boolean;
}

function cookie(request: IncomingMessage, wanted: string): string | undefined {
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const [name, value] = pair.split('=', 2);
    if (name.trim() === wanted && value !== undefined) return decode(value.trim());
  }
  return undefined;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function basic(request: IncomingMessage): { user: string; password: string } | undefined {
  const match = /^basic ([A-Za-z0-9+/=]+)\s*$/i.exec(request.headers.authorization ?? '');
  if (!match) return undefined;
  const text = Buffer.from(match[1], 'base64').toString();
  const colon = text.indexOf(':');
  return colon < 0 ? undefined : { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

export async function credentials(
  xapi: Xapi,
  request: IncomingMessage,
  query: URLSearchParams,
  address: string,
): Promise<Credentials> {
  const ref = query.get('session_id') ?? cookie(request, 'session_id');
  if (ref !== undefined) {
    const session = xapi.sessions.peek(ref);
    if (!session) throw new Unauthorized('that session is not valid');
    return { session, own: false };
  }
  const given = basic(request);
  if (!given) throw new Unauthorized('give session_id, or a name and a password');
  try {
    return { session: await login(xapi, given.user, given.password, 'HTTP', address), own: true };
  } catch (error) {
    if (error instanceof Failure) throw new Unauthorized(error.params[1] ?? error.code);
    throw error;
  }
}

/** As for messages: a role, or none is needed. */
export function assertMay({ login: { superuser, roles } }: Session, name: string, allowed: Allowed): void {
  if (superuser || rolesOf(allowed).some((role) => (roles as readonly string[]).includes(role))) return;
  throw new Failure('RBAC_PERMISSION_DENIED', `http/${name}`, 'No permission in user session');
}
