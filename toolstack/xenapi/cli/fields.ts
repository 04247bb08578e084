/** Parameters of objects: how each is shown, compared and changed, from the tables in spec/xenapi/cli. */
import { CLASSES } from '../../../spec/xenapi/index.ts';
import type { RecordField, RecordTable } from '../../../spec/xenapi/cli/notation.ts';
import type { Field } from '../../../spec/xenapi/notation.ts';
import type { Type, Value } from '../../../spec/xenapi/types.ts';
import { Failure } from '../failure.ts';
import type { Row } from '../database/row.ts';
import { CliFailure } from './arguments.ts';
import { COMPUTED } from './computed.ts';
import type { Shell } from './shell.ts';
import { nameOf, pairsOf, readValue, valueText } from './values.ts';

export interface Mark {
  kind: 'S' | 'M' | ' ';
  writable: boolean;
}

/** A parameter on one kind of object. */
export class Param {
  readonly table: RecordTable;
  readonly field: RecordField;
  /** The last field of the path, of whatever class; undefined for what is worked out. */
  readonly last: Field | undefined;

  constructor(table: RecordTable, field: RecordField) {
    this.table = table;
    this.field = field;
    this.last = lastField(table, field);
  }

  get name(): string {
    return this.field.name;
  }

  is(flag: string): boolean {
    return this.field.flags.has(flag);
  }

  get mark(): Mark {
    const kind = this.is('set') ? 'S' : this.is('map') ? 'M' : ' ';
    return { kind, writable: this.is('rw') };
  }

  /** As lists show it: `name ( RW)`. */
  get title(): string {
    const { kind, writable } = this.mark;
    return `${this.name} (${kind}${writable ? 'RW' : 'RO'})${this.is('old') ? ' [DEPRECATED]' : ''}`;
  }

  /** The row and field that the path leads to; undefined if somebody on the way is not there. */
  #value(shell: Shell, row: Row): Value | undefined {
    let at: Row | undefined = row;
    const { path } = this.field;
    for (let i = 0; i < path.length - 1; i++) {
      const { type } = at.schema.class.fields.get(path[i])!;
      at = shell.xapi.db.find((type as Type & { kind: 'ref' }).class, at.text(path[i]));
      if (!at) return undefined;
    }
    const value = at.fields[path[path.length - 1]];
    return value instanceof Set ? [...value] : value;
  }

  async text(shell: Shell, row: Row): Promise<string> {
    const { computed, otherwise } = this.field;
    if (computed !== undefined) {
      const found = await COMPUTED[computed](shell, row);
      return typeof found === 'string' ? found : found.join('; ');
    }
    const value = this.#value(shell, row);
    if (value === undefined) return otherwise;
    const { type } = this.last!;
    if (this.is('values') || type.kind === 'set')
      return this.#members(shell, value).join(this.is('comma') ? ', ' : '; ');
    if (this.is('name') && type.kind === 'ref') return nameOf(shell.xapi.db, type.class, value as string);
    return valueText(shell.xapi.db, type, value);
  }

  #members(shell: Shell, value: Value): string[] {
    const { db } = shell.xapi;
    const { type } = this.last!;
    if (type.kind === 'map') return pairsOf(db, type, value).map(([, each]) => each);
    if (type.kind !== 'set') return [valueText(db, type, value)];
    const { of } = type;
    const named = this.is('name') && of.kind === 'ref';
    return (value as Value[]).map((each) => (named ? nameOf(db, of.class, each as string) : valueText(db, of, each)));
  }

  async members(shell: Shell, row: Row): Promise<string[]> {
    const { computed } = this.field;
    if (computed !== undefined) {
      const found = await COMPUTED[computed](shell, row);
      return typeof found === 'string' ? [found] : found;
    }
    const value = this.#value(shell, row);
    return value === undefined ? [] : this.#members(shell, value);
  }

  pairs(shell: Shell, row: Row): [string, string][] {
    const value = this.last && this.#value(shell, row);
    if (value === undefined || this.last?.type.kind !== 'map') return [];
    return pairsOf(shell.xapi.db, this.last.type, value);
  }

  // ---- changes

  #message(act: string): string {
    return `${this.table.class.name}.${act}_${this.field.path[0]}`;
  }

  #read(shell: Shell, type: Type, text: string): Promise<Value> {
    return readValue(this.name, type, text, (of, uuid) => shell.byUuid(of, uuid), this.is('bytes'));
  }

  async set(shell: Shell, row: Row, text: string): Promise<void> {
    await shell.call(this.#message('set'), row.ref, await this.#read(shell, this.last!.type, text));
  }

  async setAll(shell: Shell, row: Row, pairs: Record<string, string>): Promise<void> {
    await shell.call(this.#message('set'), row.ref, pairs);
  }

  async setPair(shell: Shell, row: Row, key: string, value: string): Promise<void> {
    if (this.pairs(shell, row).some(([each]) => each === key)) await this.removePair(shell, row, key);
    await this.addPair(shell, row, key, value);
  }

  async addPair(shell: Shell, row: Row, key: string, value: string): Promise<void> {
    const type = this.last!.type as Type & { kind: 'map' };
    const [left, right] = [await this.#read(shell, type.key, key), await this.#read(shell, type.value, value)];
    await shell.call(this.#message('add_to'), row.ref, left, right);
  }

  async removePair(shell: Shell, row: Row, key: string): Promise<void> {
    await shell.call(this.#message('remove_from'), row.ref, key);
  }

  async addMember(shell: Shell, row: Row, text: string): Promise<void> {
    const { of } = this.last!.type as Type & { kind: 'set' };
    await shell.call(this.#message('add'), row.ref, await this.#read(shell, of, text));
  }

  async removeMember(shell: Shell, row: Row, text: string): Promise<void> {
    const { of } = this.last!.type as Type & { kind: 'set' };
    await shell.call(this.#message('remove'), row.ref, await this.#read(shell, of, text));
  }
}

function lastField(table: RecordTable, { path, name }: RecordField): Field | undefined {
  let at = table.class;
  let found: Field | undefined;
  path.forEach((step, index) => {
    found = at.fields.get(step);
    if (!found) throw new Error(`${at.name} has no ${step} for ${table.name}'s ${name}`);
    if (index === path.length - 1) return;
    if (found.type.kind !== 'ref') throw new Error(`${at.name}.${step} refers to nothing`);
    at = CLASSES.get(found.type.class)!;
  });
  return found;
}

const made = new Map<RecordTable, readonly Param[]>();
export function paramsOf(table: RecordTable): readonly Param[] {
  const known = made.get(table) ?? table.fields.map((field) => new Param(table, field));
  made.set(table, known);
  return known;
}

export function paramNamed(table: RecordTable, name: string): Param {
  const found = paramsOf(table).find((each) => each.name === name);
  if (!found) throw new Failure('Missing parameter', name);
  return found;
}

/** What `name`, `name:key` or `name-key` is about. */
export function findParam(table: RecordTable, name: string): { param: Param; key: string | undefined } {
  const all = paramsOf(table);
  const whole = all.find((each) => each.name === name);
  if (whole) return { param: whole, key: undefined };
  const colon = name.indexOf(':');
  if (colon >= 0) {
    const param = all.find((each) => each.name === name.slice(0, colon));
    if (!param) throw new CliFailure(`Unknown field '${name}'`);
    if (param.mark.kind === ' ') throw new CliFailure(`Field '${param.name}' is not a set or map`);
    return { param, key: name.slice(colon + 1) };
  }
  // The old way to write it, with a dash: the longest name that fits.
  const fits = (kind: string): Param | undefined =>
    all
      .filter((each) => each.mark.kind === kind && name.startsWith(`${each.name}-`))
      .sort((a, b) => b.name.length - a.name.length)[0];
  const param = fits('M') ?? fits('S');
  if (!param) throw new CliFailure(`Unknown field '${name}'`);
  return { param, key: name.slice(param.name.length + 1) };
}

/** Whether an object is one of those that a filter of the command line means. */
export async function matches(
  shell: Shell,
  row: Row,
  param: Param,
  key: string | undefined,
  value: string,
): Promise<boolean> {
  const same = (a: string, b: string): boolean => (param.is('nocase') ? a.toLowerCase() === b.toLowerCase() : a === b);
  if (key === undefined) return same(await param.text(shell, row), value);
  if (param.mark.kind === 'M')
    return param.pairs(shell, row).some(([each, held]) => same(each, key) && same(held, value));
  if (key !== 'contains') throw new CliFailure('Invalid syntax for set filtering (should be set-param:contains=key)');
  return (await param.members(shell, row)).some((each) => same(each, value));
}
