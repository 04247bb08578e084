import type { Value } from '../../../spec/xenapi/types.ts';
import { initial, type Schema } from './schema.ts';

/** References to a row, as the other end of a relation tells them. */
export class RefSet extends Set<string> {
  toJSON(): string[] {
    return [...this];
  }
}

/** Most sets stay empty: they share this until somebody is to be in them. */
export const NONE = new RefSet();

export type FieldValue = Value | RefSet;
export type Fields = Record<string, FieldValue>;

const templates = new Map<Schema, Fields>();

/** What every row of a class begins with. Most fields of most rows stay so, which is told by identity. */
export function templateOf(schema: Schema): Fields {
  const known = templates.get(schema);
  if (known) return known;
  const names = schema.fields.map(({ name }): [string, number] => [name, 0]);
  const made = JSON.parse(JSON.stringify(Object.fromEntries(names))) as Fields;
  for (const field of schema.fields) made[field.name] = schema.derived.has(field.name) ? NONE : initial(field);
  templates.set(schema, made);
  return made;
}

function isEmpty(value: object): boolean {
  if (Array.isArray(value)) return value.length === 0;
  for (const _ in value) return false;
  return true;
}

/** A value as a row keeps it: empty ones are the template's. */
export function settled(value: FieldValue, first: FieldValue): FieldValue {
  if (typeof value !== 'object' || typeof first !== 'object' || value === first) return value;
  return isEmpty(value) && isEmpty(first) && Array.isArray(value) === Array.isArray(first) ? first : value;
}

/**
 * One object. Values are never changed in place, only replaced, so who has read one may keep it; the sets that follow from
 * other rows are the exception, and whoever keeps those copies them.
 */
export class Row {
  readonly schema: Schema;
  readonly ref: string;
  /** In the table's order; changed by the database alone. */
  readonly fields: Fields;
  /** Generations of the database. */
  created: number;
  modified: number;
  gone = false;
  #json: string | undefined;

  constructor(schema: Schema, ref: string, values: Record<string, Value>, created: number, modified: number) {
    this.schema = schema;
    this.ref = ref;
    this.created = created;
    this.modified = modified;
    const template = templateOf(schema);
    // A copy keeps the template's shape; an object of so many fields that is made by adding them one by one becomes a hash table.
    this.fields = { ...template };
    // Mostly far fewer than there are fields.
    for (const name of Object.keys(values))
      if (Object.hasOwn(template, name) && !schema.derived.has(name))
        this.fields[name] = settled(values[name], template[name]);
  }

  get uuid(): string {
    return this.fields.uuid as string;
  }

  text(field: string): string {
    return this.fields[field] as string;
  }
  number(field: string): number {
    return this.fields[field] as number;
  }
  flag(field: string): boolean {
    return this.fields[field] as boolean;
  }
  map(field: string): Record<string, string> {
    return this.fields[field] as Record<string, string>;
  }
  refs(field: string): string[] {
    return [...(this.fields[field] as string[] | RefSet)];
  }

  /** The record as JSON; made once between changes. */
  get json(): string {
    this.#json ??= JSON.stringify(this.#plain());
    return this.#json;
  }

  /** With arrays for sets: JSON.stringify is twice as fast where nothing has a toJSON. */
  #plain(): Fields {
    const plain = { ...this.fields };
    for (const { back } of this.schema.backLinks) plain[back] = [...(plain[back] as RefSet)];
    return plain;
  }

  /** What is written to the disk: what differs from what rows of its class begin with. */
  get stored(): string {
    const { schema, fields } = this;
    const template = templateOf(schema);
    const own: Fields = {};
    for (const name of schema.stored) if (fields[name] !== template[name]) own[name] = fields[name];
    return JSON.stringify(own);
  }

  toJSON(): Fields {
    return this.fields;
  }

  touch(): void {
    this.#json = undefined;
  }
}
