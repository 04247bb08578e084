/** Events: who wants to know of changes asks for those after a token, and gets the latest state of each changed object. */
import { setImmediate as immediate } from 'node:timers/promises';
import type { Database } from '../database/database.ts';
import type { Entry, Removal } from '../database/log.ts';
import { EVENT_CLASSES, type Schema } from '../database/schema.ts';
import { Failure } from '../failure.ts';
import type { Event, EventBatch } from '../rpc/encode.ts';

/** Changes are told together when they come within this time; a millisecond for each who waits, if that is more. */
export const BATCH_MS = 50;
const MAX_BATCH_MS = 250;
/** So many are told in one round of the event loop. */
const AT_ONCE = 16;
const MAX_TIMEOUT_S = 24 * 3600;

/** All classes, classes, or single objects. */
class Subscription {
  readonly #all: boolean;
  readonly #classes = new Set<string>();
  readonly #objects = new Set<string>();

  constructor(texts: readonly string[]) {
    this.#all = texts.includes('*');
    for (const text of texts) {
      const parts = text.split('/');
      if (parts.length > 2 || parts[0] === '') throw new Failure('EVENT_SUBSCRIPTION_PARSE_FAILURE', text);
      if (parts.length === 1) this.#classes.add(parts[0].toLowerCase());
      else this.#objects.add(`${parts[0].toLowerCase()}/${parts[1]}`);
    }
  }

  wants(name: string, ref: string): boolean {
    return this.#all || this.#classes.has(name) || (this.#objects.size > 0 && this.#objects.has(`${name}/${ref}`));
  }

  *classes(): Generator<string> {
    for (const name of EVENT_CLASSES.keys()) {
      const some =
        this.#all || this.#classes.has(name) || [...this.#objects].some((each) => each.startsWith(`${name}/`));
      if (some) yield name;
    }
  }
}

const digits = (n: number): string => String(n).padStart(20, '0');
export const tokenOf = (generation: number): string => `${digits(generation)},${digits(0)}`;

export function readToken(token: string): number {
  if (token === '') return 0;
  const match = /^(\d{1,20}),(\d{1,20})$/.exec(token);
  if (!match) throw new Failure('EVENT_FROM_TOKEN_PARSE_FAILURE', token);
  return Number(match[1]);
}

interface Registered {
  classes: Set<string>;
  since: number;
}

/** What somebody is told, as rows: events are made of them one after the other, since there may be very many. */
class Batch implements EventBatch {
  readonly #since: number;
  readonly #rows: readonly Entry[];
  readonly #removals: readonly Removal[];
  readonly valid_ref_counts: Record<string, number>;
  readonly token: string;

  constructor(db: Database, subscription: Subscription, since: number) {
    const wanted = ({ eventName }: Schema, ref: string) =>
      EVENT_CLASSES.has(eventName) && subscription.wants(eventName, ref);
    this.#since = since;
    this.#rows = db.log.entriesAfter(since).filter(({ row }) => wanted(row.schema, row.ref));
    // What came and went in between was never seen.
    const removals = db.log.removalsAfter(since).filter(({ created }) => created <= since);
    this.#removals = removals.filter(({ schema, ref }) => wanted(schema, ref));
    this.token = tokenOf(db.generation);
    this.valid_ref_counts = {};
    for (const name of subscription.classes())
      this.valid_ref_counts[name] = db.table(EVENT_CLASSES.get(name)!.name).size;
  }

  get empty(): boolean {
    return this.#rows.length + this.#removals.length === 0;
  }

  *[Symbol.iterator](): Generator<Event> {
    const event = (generation: number, { eventName }: Schema, operation: Event['operation'], ref: string): Event => {
      return { id: String(generation), timestamp: '0.0', class: eventName, operation, ref };
    };
    for (const operation of ['add', 'mod'] as const)
      for (const { row, generation } of this.#rows)
        if (row.created > this.#since === (operation === 'add'))
          yield { ...event(generation, row.schema, operation, row.ref), snapshot: row };
    for (const { schema, ref, generation } of this.#removals) yield event(generation, schema, 'del', ref);
  }

  get events(): Event[] {
    return [...this];
  }
}

export class Events {
  readonly #db: Database;
  /** Who waits for the next round. */
  #waiting = new Set<(told: boolean) => void>();
  /** Set while there are changes of which nobody has been told. */
  #timer: NodeJS.Timeout | undefined;
  /** How many the last round was for. */
  #audience = 0;
  readonly #registered = new Map<string, Registered>();
  /** What the last round has told, by what was asked for: many ask for the same with the same token. */
  readonly #told = new Map<string, Batch>();

  constructor(db: Database) {
    this.#db = db;
    db.listen(() => {
      this.#timer ??= setTimeout(() => void this.#round(), Math.min(MAX_BATCH_MS, Math.max(BATCH_MS, this.#audience)));
    });
  }

  /** All who wait look again; not all of them in one round of the event loop. */
  async #round(): Promise<void> {
    this.#timer = undefined;
    this.#told.clear();
    const waiting = this.#waiting;
    this.#waiting = new Set();
    this.#audience = waiting.size;
    let n = 0;
    for (const wake of waiting) {
      wake(true);
      if (++n % AT_ONCE === 0) await immediate();
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const wake of this.#waiting) wake(false);
  }

  /** Until the next round (true), or until the time is up or nobody is interested any more. */
  #wait(milliseconds: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const waiting = this.#waiting;
      const end = (told: boolean) => {
        clearTimeout(timer);
        waiting.delete(end);
        signal.removeEventListener('abort', leave);
        resolve(told);
      };
      const leave = () => end(false);
      // setTimeout takes no more than this.
      const timer = setTimeout(leave, Math.min(milliseconds, 2 ** 31 - 1));
      signal.addEventListener('abort', leave);
      waiting.add(end);
      if (signal.aborted) leave();
    });
  }

  async from(classes: string[], token: string, timeout: number, signal: AbortSignal): Promise<EventBatch> {
    const subscription = new Subscription(classes);
    // A token of a database that has been replaced: everything is new.
    const given = readToken(token);
    let since = given > this.#db.generation ? 0 : given;
    const deadline = performance.now() + Math.min(Math.max(timeout, 0), MAX_TIMEOUT_S) * 1000;
    const left = () => deadline - performance.now();
    // Whoever comes between two rounds is told with the others.
    let told = this.#timer === undefined || (left() > 0 && (await this.#wait(left(), signal)));
    for (;;) {
      const batch = told ? this.#look(subscription, classes, since) : new Batch(this.#db, subscription, since);
      if (!batch.empty || signal.aborted || left() <= 0) return batch;
      // Nothing until here was of interest.
      since = readToken(batch.token);
      told = await this.#wait(left(), signal);
    }
  }

  #look(subscription: Subscription, classes: string[], since: number): Batch {
    const key = `${since} ${JSON.stringify(classes)}`;
    const known = this.#told.get(key);
    if (known) return known;
    const made = new Batch(this.#db, subscription, since);
    this.#told.set(key, made);
    return made;
  }

  inject(name: string, ref: string): string {
    const schema = EVENT_CLASSES.get(name.toLowerCase());
    if (!schema) throw new Failure('HANDLE_INVALID', name, ref);
    const row = this.#db.row(schema.name, ref);
    const token = tokenOf(this.#db.generation);
    this.#db.touch(row);
    return token;
  }

  // ---- the old way

  register(session: string, classes: string[]): void {
    const mine = this.#registered.get(session) ?? { classes: new Set(), since: this.#db.generation };
    for (const name of classes) mine.classes.add(name.toLowerCase());
    new Subscription([...mine.classes]);
    this.#registered.set(session, mine);
  }

  unregister(session: string, classes: string[]): void {
    const mine = this.#registered.get(session);
    for (const name of classes) mine?.classes.delete(name.toLowerCase());
  }

  forget(session: string): void {
    this.#registered.delete(session);
  }

  async next(session: string, signal: AbortSignal): Promise<Event[]> {
    const mine = this.#registered.get(session);
    if (!mine || mine.classes.size === 0) throw new Failure('SESSION_NOT_REGISTERED', session);
    for (;;) {
      const { generation } = this.#db;
      const { events } = new Batch(this.#db, new Subscription([...mine.classes]), mine.since);
      mine.since = generation;
      if (events.length > 0 || signal.aborted) return events;
      await this.#wait(Infinity, signal);
    }
  }
}
