/** Clients by what they say they are and where they come from: counted, and limited to so many calls a second. Who is over his limit waits. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { timeText } from '../rpc/decode.ts';
import type { Xapi } from '../xapi.ts';

/** More calls of one limit do not wait. */
const MAX_WAITING = 500;
/** How exact `last_access` is: each step is an event for everybody. */
const ACCESS_STEP_MS = 10_000;

/** Empty is anything; a `*` at the end stands for any end. */
export const matches = (pattern: string, text: string): boolean =>
  pattern === '' || (pattern.endsWith('*') ? text.startsWith(pattern.slice(0, -1)) : text === pattern);

/** A pattern that leaves less open counts before one that leaves more. */
const openness = (pattern: string): number => (pattern === '' ? 2 : pattern.endsWith('*') ? 1 : 0);

export interface Usage {
  calls: number;
  tokens: number;
}

/** Tokens that come back by time; each call takes one, those that wait have theirs promised. */
class Bucket {
  #tokens: number;
  #at = performance.now();
  waiting = 0;

  constructor(burst: number) {
    this.#tokens = burst;
  }

  /** Milliseconds until this call may go on. */
  take(burst: number, rate: number): number {
    const now = performance.now();
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) / 1000) * rate) - 1;
    this.#at = now;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / rate) * 1000;
  }

  /** A call that went before its turn came. */
  giveBack(): void {
    this.#tokens++;
  }
}

export class Callers {
  readonly #xapi: Xapi;
  readonly #usage = new Map<string, Usage>();
  readonly #buckets = new Map<string, Bucket>();

  constructor(xapi: Xapi) {
    this.#xapi = xapi;
  }

  usage(row: Row): Usage {
    return this.#usage.get(row.ref) ?? { calls: 0, tokens: 0 };
  }

  #find(userAgent: string, address: string): Row | undefined {
    let best: Row | undefined;
    let least = Infinity;
    for (const row of this.#xapi.db.table('Caller').values()) {
      const [agent, ip] = [row.text('user_agent'), row.text('client_ip')];
      if (!matches(agent, userAgent) || !matches(ip, address)) continue;
      const open = 3 * (openness(agent) + openness(ip)) + openness(agent);
      if (open < least) [best, least] = [row, open];
    }
    return best;
  }

  /** The limit of a caller that is known, else of whoever says that it is this client. */
  #limit(caller: Row | undefined, userAgent: string): Row | undefined {
    const { db } = this.#xapi;
    const own = caller && db.find('Rate_limit', caller.text('rate_limit'));
    return own ?? [...db.table('Rate_limit').values()].find((row) => matches(row.text('client_id') || '\0', userAgent));
  }

  /** Resolved when the call may be looked at. */
  async admit(userAgent: string, address: string, signal: AbortSignal): Promise<void> {
    const { db } = this.#xapi;
    if (db.table('Caller').size + db.table('Rate_limit').size === 0) return;
    const caller = this.#find(userAgent, address);
    const limit = this.#limit(caller, userAgent);
    if (caller) this.#count(caller);
    if (limit) await this.#wait(limit, signal);
  }

  #count(caller: Row): void {
    const usage = this.usage(caller);
    usage.calls++;
    // Every call has the same price.
    usage.tokens++;
    this.#usage.set(caller.ref, usage);
    const now = Date.now();
    if (timeText(now - ACCESS_STEP_MS) >= caller.text('last_access'))
      this.#xapi.db.set(caller, { last_access: timeText(now) });
  }

  async #wait(limit: Row, signal: AbortSignal): Promise<void> {
    const [burst, rate] = [limit.number('burst_size'), limit.number('fill_rate')];
    const bucket = this.#buckets.get(limit.ref) ?? new Bucket(burst);
    this.#buckets.set(limit.ref, bucket);
    if (bucket.waiting >= MAX_WAITING) throw new Failure('TOO_BUSY');
    const ms = bucket.take(burst, rate);
    if (ms === 0) return;
    bucket.waiting++;
    try {
      await sleep(ms, undefined, { signal });
    } catch {
      bucket.giveBack();
    } finally {
      bucket.waiting--;
    }
  }

  forget(row: Row): void {
    this.#usage.delete(row.ref);
    this.#buckets.delete(row.ref);
  }

  /** A limit for a caller by its UUID, or for a User-Agent. */
  attach(limit: Row): void {
    const { db } = this.#xapi;
    const id = limit.text('client_id');
    if (db.hasUuid('Caller', id)) db.set(db.byUuid('Caller', id), { rate_limit: limit.ref });
  }

  detach(limit: Row): void {
    const { db } = this.#xapi;
    for (const row of db.table('Caller').values())
      if (row.text('rate_limit') === limit.ref) db.set(row, { rate_limit: NULL_REF });
    this.forget(limit);
  }
}
