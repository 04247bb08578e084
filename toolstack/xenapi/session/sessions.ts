/** Sessions: made by a login, used by both protocols and by transfers, gone when nobody has used them for a day. */
import type { Role } from '../../../spec/xenapi/roles.ts';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Database } from '../database/database.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { timeText } from '../rpc/decode.ts';

export const IDLE_MS = 24 * 3600 * 1000;
export const MAX_PER_ORIGINATOR = 500;
/** How exact `last_active` is. */
const ACTIVE_STEP_MS = 60_000;

export interface Login {
  user: string;
  originator: string;
  /** No role applies: the host's own administrator. */
  superuser: boolean;
  subject: string;
  subjectIdentifier: string;
  roles: readonly Role[];
  host: string;
  parent?: string;
}

export class Session {
  readonly row: Row;
  readonly login: Login;
  active: number;
  /** Ends what the session waits for. */
  readonly end = new AbortController();

  constructor(row: Row, login: Login, now: number) {
    this.row = row;
    this.login = login;
    this.active = now;
  }

  get ref(): string {
    return this.row.ref;
  }
}

const group = ({ user, originator }: Login): string => `${user}\0${originator}`;

export class Sessions {
  readonly #db: Database;
  readonly #now: () => number;
  /** Least recently used first, by user and originator. */
  readonly #groups = new Map<string, Map<string, Session>>();
  readonly #all = new Map<string, Session>();

  constructor(db: Database, now: () => number = Date.now) {
    this.#db = db;
    this.#now = now;
  }

  get size(): number {
    return this.#all.size;
  }

  open(login: Login, permissions: string[] = []): Session {
    const now = this.#now();
    const row = this.#db.create('session', {
      this_host: login.host,
      this_user: NULL_REF,
      last_active: timeText(now),
      validation_time: timeText(now),
      is_local_superuser: login.superuser,
      subject: login.subject,
      auth_user_sid: login.subjectIdentifier,
      auth_user_name: login.user,
      rbac_permissions: permissions,
      parent: login.parent ?? NULL_REF,
      originator: login.originator,
    });
    const session = new Session(row, login, now);
    this.#all.set(session.ref, session);
    const mine = this.#groups.get(group(login)) ?? new Map<string, Session>();
    this.#groups.set(group(login), mine.set(session.ref, session));
    if (mine.size > MAX_PER_ORIGINATOR) this.close(mine.values().next().value!);
    return session;
  }

  /** Undefined: there is no such session, or it has expired. */
  peek(ref: string): Session | undefined {
    const session = this.#all.get(ref);
    if (!session) return undefined;
    const now = this.#now();
    if (now - session.active >= IDLE_MS) {
      this.close(session);
      return undefined;
    }
    if (now - session.active >= ACTIVE_STEP_MS) this.#db.set(session.row, { last_active: timeText(now) });
    else if (now === session.active) return session;
    session.active = now;
    const mine = this.#groups.get(group(session.login))!;
    mine.delete(ref);
    mine.set(ref, session);
    return session;
  }

  use(ref: unknown): Session {
    const session = typeof ref === 'string' ? this.peek(ref) : undefined;
    if (!session) throw new Failure('SESSION_INVALID', typeof ref === 'string' ? ref : '');
    return session;
  }

  close(session: Session): void {
    this.#all.delete(session.ref);
    const mine = this.#groups.get(group(session.login));
    mine?.delete(session.ref);
    if (mine?.size === 0) this.#groups.delete(group(session.login));
    session.end.abort();
    this.#db.destroy(session.row);
  }

  expire(): void {
    const limit = this.#now() - IDLE_MS;
    for (const session of [...this.#all.values()]) if (session.active <= limit) this.close(session);
  }

  [Symbol.iterator](): IterableIterator<Session> {
    return this.#all.values();
  }
}
