/** Events: who wants to know of changes asks for those after a token, and gets the latest state of each changed object. */
import type { Database } from '../database/database.ts';
import { EVENT_CLASSES } from '../database/schema.ts';
import { Failure } from '../failure.ts';
import type { Event, EventBatch } from '../rpc/encode.ts';

/** Changes are told together when they come within this time. */
export const BATCH_MS = 50;
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

export class Events {
  readonly #db: Database;
  readonly #waiting = new Set<() => void>();
  #timer: NodeJS.Timeout | undefined;
  readonly #registered = new Map<string, Registered>();
  /** Many wait for the same with the same token: what one is told is made once, until something changes again. */
  readonly #shared = new Map<string, EventBatch>();

  constructor(db: Database) {
    this.#db = db;
    db.listen(() => {
      this.#shared.clear();
      if (this.#waiting.size === 0 || this.#timer) return;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        const waiting = [...this.#waiting];
        this.#waiting.clear();
        for (const wake of waiting) wake();
      }, BATCH_MS);
    });
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const wake of this.#waiting) wake();
  }

  /** Until something changes, the time is up or nobody is interested any more. */
  #wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        signal.removeEventListener('abort', end);
        resolve();
      };
      // setTimeout takes no more than this.
      const timer = setTimeout(end, Math.min(milliseconds, 2 ** 31 - 1));
      signal.addEventListener('abort', end);
      this.#waiting.add(end);
      if (signal.aborted) end();
    });
  }

  #collect(subscription: Subscription, since: number): Event[] {
    const [added, changed, removed]: Event[][] = [[], [], []];
    const event = (generation: number, name: string, operation: Event['operation'], ref: string): Event => {
      return { id: String(generation), timestamp: '0.0', class: name, operation, ref };
    };
    for (const row of this.#db.log.changesAfter(since)) {
      const name = row.schema.eventName;
      if (!EVENT_CLASSES.has(name) || !subscription.wants(name, row.ref)) continue;
      const operation = row.created > since ? 'add' : 'mod';
      const list = operation === 'add' ? added : changed;
      list.push({ ...event(row.modified, name, operation, row.ref), snapshot: row });
    }
    for (const { schema, ref, created, generation } of this.#db.log.removalsAfter(since)) {
      // What came and went in between was never seen.
      if (created > since || !EVENT_CLASSES.has(schema.eventName) || !subscription.wants(schema.eventName, ref))
        continue;
      removed.push(event(generation, schema.eventName, 'del', ref));
    }
    return [...added, ...changed, ...removed];
  }

  async from(classes: string[], token: string, timeout: number, signal: AbortSignal): Promise<EventBatch> {
    const subscription = new Subscription(classes);
    // A token of a database that has been replaced: everything is new.
    const given = readToken(token);
    let since = given > this.#db.generation ? 0 : given;
    const deadline = performance.now() + Math.min(Math.max(timeout, 0), MAX_TIMEOUT_S) * 1000;
    let batch = this.#look(subscription, classes, since);
    while (batch.events.length === 0 && !signal.aborted) {
      // Nothing until here was of interest.
      since = this.#db.generation;
      const left = deadline - performance.now();
      if (left <= 0) break;
      await this.#wait(left, signal);
      batch = this.#look(subscription, classes, since);
    }
    return batch;
  }

  #look(subscription: Subscription, classes: string[], since: number): EventBatch {
    const key = `${since} ${JSON.stringify(classes)}`;
    const known = this.#shared.get(key);
    if (known) return known;
    const made = this.#batch(subscription, this.#collect(subscription, since));
    this.#shared.set(key, made);
    return made;
  }

  #batch(subscription: Subscription, events: Event[]): EventBatch {
    const valid_ref_counts: Record<string, number> = {};
    for (const name of subscription.classes())
      valid_ref_counts[name] = this.#db.table(EVENT_CLASSES.get(name)!.name).size;
    return { events, valid_ref_counts, token: tokenOf(this.#db.generation) };
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
      const events = this.#collect(new Subscription([...mine.classes]), mine.since);
      mine.since = generation;
      if (events.length > 0 || signal.aborted) return events;
      await this.#wait(Infinity, signal);
    }
  }
}
