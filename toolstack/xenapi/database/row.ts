import type { Value } from '../../../spec/xenapi/types.ts';
import { initial, type Schema } from './schema.ts';

/** References to a row, as the other end of a relation tells them. */
export class RefSet extends Set<string> {
  toJSON(): string[] {
    return [...this];
  }
}

export type FieldValue = Value | RefSet;
export type Fields = Record<string, FieldValue>;

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
    this.fields = {};
    for (const field of schema.fields)
      this.fields[field.name] = schema.derived.has(field.name)
        ? new RefSet()
        : Object.hasOwn(values, field.name)
          ? values[field.name]
          : initial(field);
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
    this.#json ??= JSON.stringify(this.fields);
    return this.#json;
  }

  /** What is written to the disk. */
  get stored(): string {
    const { schema, fields } = this;
    const own: Fields = {};
    for (const name of schema.stored) own[name] = fields[name];
    return JSON.stringify(own);
  }

  toJSON(): Fields {
    return this.fields;
  }

  touch(): void {
    this.#json = undefined;
  }
}
