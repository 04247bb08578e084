/**
 * The database's file: one row for each object, as JSON, without what is as its class begins. SQLite sees to it that a batch is there
 * as a whole or not at all.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { turn } from '../turns.ts';
import { UPGRADES } from './upgrades.ts';

/** An object as it is kept. */
export interface Kept {
  ref: string;
  name: string;
  created: number;
  modified: number;
  record: string;
}
export interface Batch {
  generation: number;
  /** ref, class, created, modified, record */
  put: [string, string, number, number, string][];
  remove: string[];
}
/** Of a long batch, before it. */
export type Part = Pick<Batch, 'put'>;
/** Rows of a part. */
const PIECE = 500;

/** Where batches go. */
export interface Sink {
  write(batch: Batch): Promise<void>;
  close(): Promise<void>;
}

/** A database that was made by a later version, or is none. */
export class BadDatabase extends Error {}

export class Store {
  readonly #db: DatabaseSync;
  readonly #put: StatementSync;
  readonly #remove: StatementSync;
  readonly #generation: StatementSync;

  constructor(path: string) {
    this.#db = open(path);
    this.#put = this.#db.prepare('INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)');
    this.#remove = this.#db.prepare('DELETE FROM object WHERE ref = ?');
    this.#generation = this.#db.prepare("INSERT OR REPLACE INTO meta VALUES ('generation', ?)");
  }

  write({ generation, put, remove }: Batch): void {
    this.#transaction(() => {
      for (const each of put) this.#put.run(...each);
      for (const each of remove) this.#remove.run(each);
      this.#generation.run(generation);
    });
  }

  #transaction(act: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE');
    try {
      act();
      this.#db.exec('COMMIT');
    } catch (error) {
      // A full disk may have ended the transaction already.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      throw error;
    }
  }

  generation(): number {
    const row = this.#db.prepare("SELECT value FROM meta WHERE name = 'generation'").get();
    return Number(row?.value ?? 0);
  }

  *read(): Generator<Kept> {
    const all = this.#db.prepare('SELECT ref, class AS name, created, modified, record FROM object');
    for (const row of all.iterate()) yield row as unknown as Kept;
  }

  /** What objects of each class lack, as JSON. */
  defaults(): Map<string, string> {
    const all = this.#db.prepare('SELECT name, defaults FROM class').all();
    return new Map(all.map((row) => [row.name as string, row.defaults as string]));
  }

  /** Classes begin like this from now on: objects that were written when they began otherwise keep what they had. */
  rebase(defaults: ReadonlyMap<string, string>): void {
    const known = this.defaults();
    const changed = [...defaults].filter(([name, text]) => known.get(name) !== text);
    if (changed.length === 0) return;
    const note = this.#db.prepare('INSERT OR REPLACE INTO class VALUES (?, ?)');
    this.#transaction(() => {
      for (const [name, text] of changed) {
        this.#fill(name, known.get(name) ?? '{}', text);
        note.run(name, text);
      }
    });
  }

  #fill(name: string, before: string, now: string): void {
    const after = JSON.parse(now) as Record<string, unknown>;
    const old = Object.entries(JSON.parse(before) as Record<string, unknown>);
    const lost = old.filter(([field, value]) => JSON.stringify(value) !== JSON.stringify(after[field]));
    if (lost.length === 0) return;
    const update = this.#db.prepare('UPDATE object SET record = ? WHERE ref = ?');
    for (const { ref, record } of this.#db.prepare('SELECT ref, record FROM object WHERE class = ?').all(name)) {
      const whole = { ...Object.fromEntries(lost), ...(JSON.parse(record as string) as object) };
      update.run(JSON.stringify(whole), ref);
    }
  }

  close(): void {
    this.#db.close();
  }
}

/** So long a lock of another connection is waited for. */
const BUSY_MS = 5000;

function open(path: string): DatabaseSync {
  // From the first statement on: whoever closes the file, or opens it after a crash, has it alone for a moment.
  const db = new DatabaseSync(path, { timeout: BUSY_MS });
  try {
    // Acknowledged means synced: FULL syncs the log at every commit.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    const version = Number(db.prepare('PRAGMA user_version').get()!.user_version);
    if (version > UPGRADES.length)
      throw new BadDatabase(`${path} was written by a later version of Xenolith (schema ${version}): start that one.`);
    for (let next = version; next < UPGRADES.length; next++) {
      db.exec('BEGIN IMMEDIATE');
      UPGRADES[next](db);
      db.exec(`PRAGMA user_version = ${next + 1}; COMMIT`);
    }
    return db;
  } catch (error) {
    db.close();
    if (error instanceof BadDatabase) throw error;
    throw new BadDatabase(
      `${path} cannot be used as a database (${(error as Error).message}): restore it from a dump.`,
    );
  }
}

/** Writes in a thread of its own, since a sync to the disk may take long. */
export class WriterThread implements Sink {
  readonly #worker: Worker;
  readonly #answers: { resolve: () => void; reject: (error: Error) => void }[] = [];
  readonly #ended: Promise<void>;
  /** Why it has ended, once it has. */
  #end: BadDatabase | undefined;

  constructor(path: string) {
    this.#worker = new Worker(new URL('writer.ts', import.meta.url), { workerData: path });
    this.#worker.on('message', (failure: string | undefined) => {
      const answer = this.#answers.shift()!;
      if (failure === undefined) answer.resolve();
      else answer.reject(new Error(`the database cannot be written: ${failure}`));
    });
    this.#ended = new Promise((resolve) =>
      this.#worker.on('exit', () => {
        this.#end ??= new BadDatabase("the database's writer has ended.");
        for (const { reject } of this.#answers.splice(0)) reject(this.#end);
        resolve();
      }),
    );
    // Comes before `exit`, which tells whoever waits.
    this.#worker.on('error', (error) => (this.#end = new BadDatabase((error as Error).message)));
  }

  /** Only one at a time. */
  async write({ generation, put, remove }: Batch): Promise<void> {
    if (this.#end) throw this.#end;
    let at = 0;
    for (; put.length - at > PIECE; at += PIECE) {
      // What is sent is copied.
      this.#worker.postMessage({ put: put.slice(at, at + PIECE) } satisfies Part);
      await turn();
    }
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end);
      this.#answers.push({ resolve, reject });
      this.#worker.postMessage({ generation, put: at === 0 ? put : put.slice(at), remove } satisfies Batch);
    });
  }

  close(): Promise<void> {
    this.#worker.postMessage(undefined);
    return this.#ended;
  }
}
