/** Tasks: work that goes on by itself, and work of clients that they report on. */
import { typeText, type Type } from '../../../spec/xenapi/types.ts';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import { newRef, type Database } from '../database/database.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { timeText } from '../rpc/decode.ts';
import { xmlValue, type Answer } from '../rpc/encode.ts';
import type { Session } from '../session/sessions.ts';

/** Tasks that have ended are kept so long, others go when nothing has been heard of them for a day. */
const ENDED_MS = 65 * 60_000;
const PENDING_MS = 24 * 3600_000;

/** One piece of work, with or without a record that clients see. */
export class Task {
  readonly ref: string;
  readonly row: Row | undefined;
  readonly #db: Database;
  readonly #cancel = new AbortController();

  constructor(db: Database, row: Row | undefined, signal?: AbortSignal) {
    this.#db = db;
    this.row = row;
    this.ref = row?.ref ?? newRef();
    signal?.addEventListener('abort', () => this.#cancel.abort(), { once: true });
  }

  get signal(): AbortSignal {
    return this.#cancel.signal;
  }

  get cancelled(): boolean {
    return this.signal.aborted;
  }

  checkCancelled(): void {
    if (this.cancelled) throw new Failure('TASK_CANCELLED', this.ref);
  }

  cancel(): void {
    this.#cancel.abort();
  }

  #shown = 0;

  /** A hundredth at a time: each step is an event for everybody. */
  progress(part: number): void {
    const now = Math.floor(Math.min(1, Math.max(0, part)) * 100) / 100;
    if (!this.row || this.row.gone || now === this.#shown) return;
    this.#shown = now;
    this.#db.set(this.row, { progress: now });
  }
}

export class Tasks {
  readonly #db: Database;
  readonly #running = new Map<string, Task>();
  readonly #owners = new Map<string, string>();
  host = NULL_REF;

  constructor(db: Database) {
    this.#db = db;
  }

  create(label: string, description: string, session: Session | undefined): Row {
    const row = this.#db.change(() => {
      const made = this.#db.create('task', {
        name_label: label,
        name_description: description,
        allowed_operations: ['cancel'],
        created: timeText(Date.now()),
        status: 'pending',
        resident_on: this.host,
        type: '<none/>',
      });
      if (session && !session.row.gone) this.#db.set(session.row, { tasks: [...session.row.refs('tasks'), made.ref] });
      return made;
    });
    this.#owners.set(row.ref, session?.login.user ?? '');
    return row;
  }

  /** Whose task it is; nobody else may end it, operators apart. */
  owner(row: Row): string {
    return this.#owners.get(row.ref) ?? '';
  }

  /** Work whose caller waits for it, under a record that may be a client's; its end is told there as well. */
  async attend<T extends { type: Type; value: Answer }>(row: Row, task: Task, work: () => Promise<T>): Promise<T> {
    this.#running.set(row.ref, task);
    try {
      const result = await work();
      this.succeed(row, result.type, result.value);
      return result;
    } catch (error) {
      this.fail(row, error instanceof Failure ? error : new Failure('INTERNAL_ERROR', (error as Error).message));
      throw error;
    } finally {
      this.#running.delete(row.ref);
    }
  }

  /** Runs work under a record of its own; its end is told there. */
  run(row: Row, result: Type, work: (task: Task) => Promise<Answer>): void {
    const task = new Task(this.#db, row);
    this.#running.set(row.ref, task);
    void work(task)
      .then(
        (answer) => this.succeed(row, result, answer),
        (error: unknown) =>
          this.fail(row, error instanceof Failure ? error : new Failure('INTERNAL_ERROR', String(error))),
      )
      .finally(() => this.#running.delete(row.ref));
  }

  #end(row: Row, values: Record<string, string | number | string[]>): void {
    if (row.gone || !['pending', 'cancelling'].includes(row.text('status'))) return;
    this.#db.set(row, { ...values, finished: timeText(Date.now()), allowed_operations: [], progress: 1 });
  }

  succeed(row: Row, type: Type, answer: Answer): void {
    const nothing = type.kind === 'void';
    const result = nothing ? '' : xmlValue(type, answer);
    this.#end(row, { status: 'success', result, type: nothing ? '<none/>' : typeText(type) });
  }

  fail(row: Row, failure: Failure): void {
    const cancelled = failure.code === 'TASK_CANCELLED';
    this.#end(row, { status: cancelled ? 'cancelled' : 'failure', error_info: cancelled ? [] : failure.description });
  }

  cancel(row: Row): void {
    const task = this.#running.get(row.ref);
    if (row.text('status') !== 'pending') return;
    this.#db.set(row, { status: 'cancelling', allowed_operations: [] });
    task?.cancel();
    // A client's own work: the client looks at the status and ends it.
  }

  destroy(row: Row): void {
    this.#running.get(row.ref)?.cancel();
    this.#owners.delete(row.ref);
    this.#db.destroy(row);
  }

  /** Drops what nobody will ask for any more. */
  expire(now = Date.now()): void {
    const before = (ms: number) => timeText(now - ms);
    const [ended, pending] = [before(ENDED_MS), before(PENDING_MS)];
    for (const row of [...this.#db.table('task').values()]) {
      if (this.#running.has(row.ref)) continue;
      const done = !['pending', 'cancelling'].includes(row.text('status'));
      if (done ? row.text('finished') < ended : row.text('created') < pending) this.destroy(row);
    }
  }
}
