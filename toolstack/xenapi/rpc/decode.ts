/** Arguments as they came become values of the types that the tables demand. */
import { classOf, ENUMS } from '../../../spec/xenapi/index.ts';
import { NULL_REF, type Type, type Value } from '../../../spec/xenapi/types.ts';
import type { Database } from '../database/database.ts';
import { SCHEMAS } from '../database/schema.ts';
import { Failure } from '../failure.ts';
import type { Raw } from './limits.ts';

const DATETIME = /^(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d):?(\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):?(\d\d))?$/;

/** Any usual way to write a time; kept is XenAPI's. */
export function readTime(text: string): string | undefined {
  const match = DATETIME.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, sign, offHour = '0', offMinute = '0'] = match;
  const offset = (Number(offHour) * 60 + Number(offMinute)) * (sign === '-' ? -1 : 1);
  const [y, mo, d, h, mi, s] = [year, month, day, hour, minute, second].map(Number);
  const time = Date.UTC(y, mo - 1, d, h, mi - offset, s);
  // Month 13 and the like wrap around; that is no time.
  const wrapped =
    mo < 1 || mo > 12 || d < 1 || d > new Date(Date.UTC(y, mo, 0)).getUTCDate() || h > 23 || mi > 59 || s > 60;
  return wrapped || Number.isNaN(time) ? undefined : timeText(time);
}

export const timeText = (milliseconds: number): string =>
  `${new Date(milliseconds).toISOString().slice(0, 19).replaceAll('-', '')}Z`;

const wrong = (name: string, expected: string): never => {
  throw new Failure('XMLRPC_UNMARSHAL_ERROR', name, `expected ${expected}`);
};

const INT = /^[+-]?\d{1,19}$/;

function readInt(name: string, raw: Raw): number {
  const value = typeof raw === 'string' && INT.test(raw.trim()) ? Number(raw) : raw;
  // Whoever sends more than 2^53 gets a refusal rather than another number.
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) return wrong(name, 'an integer');
  return value;
}

function readFloat(name: string, raw: Raw): number {
  if (typeof raw === 'number') return raw;
  if (typeof raw === 'string' && /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(raw.trim())) return Number(raw);
  return wrong(name, 'a float');
}

function readEnum(name: string, type: Type & { kind: 'enum' }, raw: Raw): string {
  if (typeof raw !== 'string') return wrong(name, 'a string');
  const values = ENUMS.get(type.name)!;
  const found = values.find((each) => each === raw) ?? values.find((each) => each.toLowerCase() === raw.toLowerCase());
  if (found === undefined) throw new Failure('INVALID_VALUE', name, raw);
  return found;
}

export class Decoder {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  read(name: string, type: Type, raw: Raw): Value {
    switch (type.kind) {
      case 'string':
        return typeof raw === 'string' ? raw : wrong(name, 'a string');
      case 'int':
        return readInt(name, raw);
      case 'float':
        return readFloat(name, raw);
      case 'bool':
        return typeof raw === 'boolean' ? raw : wrong(name, 'a boolean');
      case 'datetime':
        return (typeof raw === 'string' && readTime(raw)) || wrong(name, 'a time');
      case 'enum':
        return readEnum(name, type, raw);
      case 'ref':
        return this.#ref(name, type.class, raw);
      case 'set':
        return Array.isArray(raw) ? raw.map((each) => this.read(name, type.of, each)) : wrong(name, 'an array');
      case 'map':
        return this.#map(name, type, raw);
      case 'record':
        return this.#record(name, type.class!, raw);
      default:
        return wrong(name, 'nothing of that kind');
    }
  }

  /** A reference is to an object that there is, or to nothing. */
  #ref(name: string, of: string, raw: Raw): string {
    if (typeof raw !== 'string') return wrong(name, 'a reference');
    if (raw === NULL_REF || raw === '' || raw === 'NULL') return NULL_REF;
    if (SCHEMAS.has(of)) this.#db.row(of, raw);
    return raw;
  }

  #map(name: string, type: Type & { kind: 'map' }, raw: Raw): Value {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return wrong(name, 'a map');
    // No prototype: a key may be anything, also __proto__.
    const map = Object.create(null) as { [key: string]: Value };
    for (const [key, value] of Object.entries(raw))
      map[String(this.read(name, type.key, key))] = this.read(name, type.value, value);
    return map;
  }

  /** What a client gives for a new object: what it may give, and nothing that must be given is missing. */
  #record(name: string, of: string, raw: Raw): Value {
    if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return wrong(name, 'a record');
    const record: { [key: string]: Value } = {};
    for (const field of classOf(of).fields.values()) {
      if (field.qualifier === 'RO') continue;
      if (Object.hasOwn(raw, field.name)) record[field.name] = this.read(field.name, field.type, raw[field.name]);
      else if (field.default === undefined) throw new Failure('FIELD_TYPE_ERROR', field.name);
      else record[field.name] = field.default;
    }
    return record;
  }
}
