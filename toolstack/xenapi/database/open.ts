import { createReadStream, existsSync } from 'node:fs';
import { open as openFile, rename, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { Database } from './database.ts';
import { templateOf } from './row.ts';
import { SCHEMAS, type Schema } from './schema.ts';
import { BadDatabase, Store, WriterThread, type Batch, type Kept, type Sink } from './store.ts';

/** What rows of a class begin with, but for what follows from others. */
function defaultsOf(schema: Schema): string {
  const template = templateOf(schema);
  return JSON.stringify(Object.fromEntries(schema.stored.map((name) => [name, template[name]])));
}

/** Opens the database of that file, or makes one. */
export function openDatabase(path: string): Database {
  const store = new Store(path);
  try {
    store.rebase(new Map([...SCHEMAS].map(([name, schema]) => [name, defaultsOf(schema)])));
    const database = new Database(new WriterThread(path));
    database.load(store.read(), store.generation());
    return database;
  } finally {
    store.close();
  }
}

/** A database that is gone with the process, for tests and tools. */
export function memoryDatabase(): Database {
  const nowhere: Sink = { write: () => Promise.resolve(), close: () => Promise.resolve() };
  return new Database(nowhere);
}

const DUMP = 'xenolith-xenapi-dump';
/** So much is written at a time. */
const WRITTEN = 1 << 18;

/** Writes all objects as lines of JSON, as of one moment. */
export async function dump(path: string, to: string): Promise<number> {
  if (!existsSync(path)) throw new BadDatabase(`there is no database ${path}.`);
  const store = new Store(path);
  const aside = `${to}.new`;
  const file = await openFile(aside, 'w', 0o600);
  let count = 0;
  try {
    await file.write(`${JSON.stringify({ format: DUMP, version: 1, generation: store.generation() })}\n`);
    const defaults = new Map([...store.defaults()].map(([name, text]) => [name, JSON.parse(text) as object]));
    let lines = '';
    for (const { ref, name, created, modified, record } of store.read()) {
      // As a whole, so that a dump says the same whatever its reader's classes begin with.
      const whole = { ...defaults.get(name), ...(JSON.parse(record) as object) };
      lines += `${JSON.stringify([ref, name, created, modified, whole])}\n`;
      count++;
      if (lines.length < WRITTEN) continue;
      await file.write(lines);
      lines = '';
    }
    await file.write(lines);
    await file.sync();
    await file.close();
    await rename(aside, to);
    return count;
  } catch (error) {
    await file.close();
    await rm(aside, { force: true });
    throw error;
  } finally {
    store.close();
  }
}

/** Makes a new database of a dump. */
export async function restore(from: string, path: string): Promise<number> {
  if (existsSync(path)) throw new BadDatabase(`${path} exists: a dump is restored to a new file.`);
  const batch: Batch = { generation: 0, put: [], remove: [] };
  let line = 0;
  for await (const text of createInterface({ input: createReadStream(from), crlfDelay: Infinity })) {
    line++;
    try {
      if (line === 1) batch.generation = readHead(text);
      else batch.put.push(readLine(text));
    } catch (error) {
      throw new BadDatabase(`${from}:${line}: ${(error as Error).message}`);
    }
  }
  if (line === 0) throw new BadDatabase(`${from} is empty: it is no dump.`);
  const store = new Store(path);
  store.write(batch);
  store.close();
  return batch.put.length;
}

function readHead(text: string): number {
  const head = JSON.parse(text) as { format?: unknown; version?: unknown; generation?: unknown };
  if (head.format !== DUMP || head.version !== 1) throw new Error('this is no dump that this version can read.');
  if (!Number.isSafeInteger(head.generation)) throw new Error('the generation is no number.');
  return head.generation as number;
}

function readLine(text: string): Batch['put'][number] {
  const row = JSON.parse(text) as unknown;
  if (!Array.isArray(row) || row.length !== 5) throw new Error('an object has five parts.');
  const [ref, name, created, modified, record] = row as [string, string, number, number, unknown];
  const numbers = Number.isSafeInteger(created) && Number.isSafeInteger(modified);
  if (typeof ref !== 'string' || typeof name !== 'string' || !numbers || typeof record !== 'object' || record === null)
    throw new Error('a part of this object has the wrong type.');
  return [ref, name, created, modified, JSON.stringify(record)];
}

export type { Kept };
