/**
 * XenAPI's objects, in memory, with every change written to disk. Reading is a matter of maps; a change is a function that runs
 * at once and as a whole or not at all, and `durable()` says when it is on the disk.
 */
import { randomUUID } from 'node:crypto';
import { setImmediate as immediate } from 'node:timers/promises';
import { NULL_REF, type Value } from '../../../spec/xenapi/types.ts';
import { Failure } from '../failure.ts';
import { ChangeLog } from './log.ts';
import { NONE, RefSet, Row, settled, templateOf, type FieldValue } from './row.ts';
import { turn } from '../turns.ts';
import { SCHEMAS } from './schema.ts';
import type { Batch, Kept, Sink } from './store.ts';

/** Rows of a batch that are read at a time. */
const AT_ONCE = 64;

export const newRef = (): string => `OpaqueRef:${randomUUID()}`;

type Values = Record<string, Value>;

/** Whether two values that are not the same object say the same. */
function same(a: FieldValue, b: FieldValue): boolean {
  if (typeof a !== 'object' || typeof b !== 'object') return false;
  if (Array.isArray(a) && Array.isArray(b) && a.length !== b.length) return false;
  return JSON.stringify(a) === JSON.stringify(b);
}

export class Database {
  readonly #sink: Sink;
  readonly #tables = new Map<string, Map<string, Row>>();
  readonly #byUuid = new Map<string, Map<string, Row>>();
  readonly log = new ChangeLog();
  #generation = 0;
  /** Called once after each change, with the new generation. */
  readonly #listeners = new Set<() => void>();

  constructor(sink: Sink) {
    this.#sink = sink;
    for (const name of SCHEMAS.keys()) {
      this.#tables.set(name, new Map());
      this.#byUuid.set(name, new Map());
    }
  }

  /** What was on the disk: of each object what differs from what its class begins with. */
  load(kept: Iterable<Kept>, generation: number): void {
    for (const { name, ref, created, modified, record } of kept) {
      const schema = SCHEMAS.get(name);
      // A class that this version does not have any more.
      if (!schema || schema.transient) continue;
      const values = JSON.parse(record) as Values;
      if ('current_operations' in values) values.current_operations = {};
      this.#enter(new Row(schema, ref, values, created, modified));
      generation = Math.max(generation, modified);
    }
    this.#generation = generation;
    for (const row of this.#all())
      for (const [field] of row.schema.links) this.#relate(row, field, row.fields[field], true);
    this.log.load(this.#all());
    this.sweep();
  }

  *#all(): Generator<Row> {
    for (const table of this.#tables.values()) yield* table.values();
  }

  // ---- reading

  get generation(): number {
    return this.#generation;
  }

  /** For who looks into the server itself. */
  statistics(): Record<string, string> {
    const rows: [string, string][] = [...this.#tables].map(([name, table]) => [`rows_${name}`, String(table.size)]);
    return Object.fromEntries([
      ['generation', String(this.#generation)],
      ['unwritten', String(this.#dirty.size)],
      ...rows,
    ]);
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  table(name: string): ReadonlyMap<string, Row> {
    const table = this.#tables.get(name);
    if (!table) throw new Error(`there is no table ${name}`);
    return table;
  }

  find(name: string, ref: string): Row | undefined {
    return this.#tables.get(name)?.get(ref);
  }

  row(name: string, ref: string): Row {
    const found = this.find(name, ref);
    if (!found) throw new Failure('HANDLE_INVALID', name, ref);
    return found;
  }

  byUuid(name: string, uuid: string): Row {
    const found = this.#byUuid.get(name)?.get(uuid);
    if (!found) throw new Failure('UUID_INVALID', name, uuid);
    return found;
  }

  hasUuid(name: string, uuid: string): boolean {
    return this.#byUuid.get(name)?.has(uuid) ?? false;
  }

  // ---- changing

  #depth = 0;
  #next = 0;
  #undo: (() => void)[] = [];
  readonly #changed = new Set<Row>();
  #removed: Row[] = [];

  /** Runs changes as one: when it throws, nothing has happened. */
  change<T>(act: () => T): T {
    if (this.#depth > 0) return act();
    this.#depth++;
    this.#next = this.#generation + 1;
    let result: T;
    try {
      result = act();
    } catch (error) {
      for (let i = this.#undo.length - 1; i >= 0; i--) this.#undo[i]();
      this.#end();
      throw error;
    }
    this.#commit();
    return result;
  }

  #end(): void {
    this.#depth--;
    this.#undo = [];
    this.#changed.clear();
    this.#removed = [];
  }

  #commit(): void {
    const touched = this.#changed.size + this.#removed.length > 0;
    if (touched) {
      this.#generation = this.#next;
      for (const row of this.#changed) {
        if (row.gone) continue;
        this.#beforeChange(row);
        row.modified = this.#generation;
        this.log.changed(row, this.#generation);
        if (!row.schema.transient) this.#dirty.set(row.ref, row);
      }
      for (const row of this.#removed) {
        // Nobody has ever seen what came and went in one change.
        if (row.created === this.#generation) continue;
        this.log.removed(row, this.#generation);
        if (!row.schema.transient) this.#dirty.set(row.ref, row);
      }
    }
    this.#end();
    if (!touched) return;
    this.#schedule();
    for (const listener of [...this.#listeners]) listener();
  }

  #enter(row: Row): void {
    this.#tables.get(row.schema.name)!.set(row.ref, row);
    this.#byUuid.get(row.schema.name)!.set(row.uuid, row);
  }

  #leave(row: Row): void {
    this.#tables.get(row.schema.name)!.delete(row.ref);
    this.#byUuid.get(row.schema.name)!.delete(row.uuid);
  }

  #mark(row: Row): void {
    row.touch();
    this.#changed.add(row);
    this.#undo.push(() => row.touch());
  }

  /** Tells the other end of a relation that `row` does or does not refer to it any more. */
  #relate(row: Row, field: string, value: FieldValue, present: boolean, loading = true): void {
    const link = row.schema.links.get(field)!;
    const refs = link.many ? (value as string[]) : [value as string];
    for (const ref of refs) {
      const target = this.find(link.to, ref);
      if (!target) continue;
      let set = target.fields[link.back] as RefSet;
      if (set.has(row.ref) === present) continue;
      if (set === NONE) target.fields[link.back] = set = new RefSet();
      const members = set;
      const put = (there: boolean) => (there ? members.add(row.ref) : members.delete(row.ref));
      put(present);
      if (loading) continue;
      this.#undo.push(() => put(!present));
      this.#mark(target);
    }
  }

  create(name: string, values: Values, ref = newRef()): Row {
    const schema = SCHEMAS.get(name);
    if (!schema) throw new Error(`there is no table ${name}`);
    return this.change(() => {
      const uuid = (values.uuid as string | undefined) || randomUUID();
      if (this.hasUuid(name, uuid) || this.find(name, ref))
        throw new Failure('DB_UNIQUENESS_CONSTRAINT_VIOLATION', name, 'uuid', uuid);
      const row = new Row(schema, ref, { ...values, uuid }, this.#next, this.#next);
      this.#enter(row);
      this.#undo.push(() => this.#leave(row));
      this.#mark(row);
      for (const [field] of schema.links) this.#relate(row, field, row.fields[field], true, false);
      return row;
    });
  }

  set(row: Row, values: Values): void {
    this.change(() => {
      if (row.gone) throw new Failure('HANDLE_INVALID', row.schema.name, row.ref);
      for (const [field, value] of Object.entries(values)) this.#setField(row, field, value);
    });
  }

  #setField(row: Row, field: string, given: Value): void {
    const before = row.fields[field];
    if (before === given) return;
    if (before === undefined || row.schema.derived.has(field) || field === 'uuid')
      throw new Error(`${row.schema.name}.${field} cannot be set`);
    const value = settled(given, templateOf(row.schema)[field]) as Value;
    if (before === value || same(before, value)) return;
    const linked = row.schema.links.has(field);
    if (linked) this.#relate(row, field, before, false, false);
    this.#beforeChange(row);
    row.fields[field] = value;
    this.#undo.push(() => (row.fields[field] = before));
    if (linked) this.#relate(row, field, value, true, false);
    this.#mark(row);
  }

  /** Counts as a change though nothing differs, for `event.inject`. */
  touch(row: Row): void {
    this.change(() => this.#changed.add(row));
  }

  destroy(row: Row): void {
    this.change(() => {
      if (row.gone) return;
      for (const [field] of row.schema.links) this.#relate(row, field, row.fields[field], false, false);
      for (const link of row.schema.backLinks)
        for (const ref of row.refs(link.back)) {
          const other = this.find(link.class, ref)!;
          const kept = link.many ? other.refs(link.field).filter((each) => each !== row.ref) : NULL_REF;
          this.#setField(other, link.field, kept);
        }
      this.#leave(row);
      this.#beforeChange(row);
      row.gone = true;
      this.#removed.push(row);
      this.#undo.push(() => {
        row.gone = false;
        this.#enter(row);
      });
      this.#sweepDue = true;
    });
  }

  // ---- garbage

  #sweepDue = false;

  /** References to what is gone become null; relations have seen to that at once, unless the file was damaged. */
  sweep(): void {
    this.#sweepDue = false;
    this.change(() => {
      for (const row of this.#all()) this.#sweepRow(row);
    });
  }

  /** The same, a little at a time. */
  async sweepIfDue(): Promise<void> {
    if (!this.#sweepDue) return;
    this.#sweepDue = false;
    for (const row of [...this.#all()]) {
      if (!row.gone) this.change(() => this.#sweepRow(row));
      await turn();
    }
  }

  #sweepRow(row: Row): void {
    for (const field of row.schema.references) {
      const { type } = row.schema.class.fields.get(field)!;
      const value = row.fields[field];
      if (type.kind === 'ref') {
        if (value !== NULL_REF && !this.find(type.class, value as string)) this.#setField(row, field, NULL_REF);
      } else if (type.kind === 'set' && type.of.kind === 'ref') {
        const of = type.of.class;
        const there = (value as string[]).filter((ref) => this.find(of, ref));
        if (there.length < (value as string[]).length) this.#setField(row, field, there);
      }
    }
  }

  // ---- the disk

  readonly #dirty = new Map<string, Row>();
  #writing: Promise<void> | undefined;
  #waiting: Promise<void> | undefined;

  /** Resolved when all changes until now are on the disk; rejected when they could not be written. */
  durable(): Promise<void> {
    if (this.#dirty.size === 0) return this.#writing ?? Promise.resolve();
    return this.#schedule();
  }

  /** Changes that come while the disk is busy are written together. */
  #schedule(): Promise<void> {
    if (this.#waiting) return this.#waiting;
    if (this.#dirty.size === 0) return this.#writing ?? Promise.resolve();
    const before = this.#writing ?? Promise.resolve();
    const waiting = before
      .catch(() => {})
      .then(() => immediate())
      .then(() => {
        this.#waiting = undefined;
        this.#writing = this.#write();
        return this.#writing;
      });
    // Whoever needs to know asks by durable(); a disk that is full is no reason to end here.
    waiting.catch(() => {});
    this.#waiting = waiting;
    return waiting;
  }

  /** Rows that are to be in the batch that is being made, and are not yet. */
  readonly #unread = new Set<Row>();
  #batch: Batch | undefined;

  /** A batch is of one moment, and made in turns: a row that changes meanwhile is read before. */
  #beforeChange(row: Row): void {
    if (this.#unread.has(row)) this.#read(row);
  }

  #read(row: Row): void {
    this.#unread.delete(row);
    if (row.gone) this.#batch!.remove.push(row.ref);
    else this.#batch!.put.push([row.ref, row.schema.name, row.created, row.modified, row.stored]);
  }

  async #write(): Promise<void> {
    const rows = [...this.#dirty.values()];
    this.#dirty.clear();
    const batch: Batch = { generation: this.#generation, put: [], remove: [] };
    this.#batch = batch;
    for (const row of rows) this.#unread.add(row);
    for (const [i, row] of rows.entries()) {
      if (this.#unread.has(row)) this.#read(row);
      // Few wait for nobody: somebody waits for them.
      if (i % AT_ONCE === AT_ONCE - 1) await turn();
    }
    try {
      await this.#sink.write(batch);
    } catch (error) {
      for (const row of rows) if (!this.#dirty.has(row.ref)) this.#dirty.set(row.ref, row);
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.durable();
    await this.#sink.close();
  }
}
