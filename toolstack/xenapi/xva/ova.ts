/** ova.xml: records of machines and what they need, whose references are to each other. */
import { hostname } from 'node:os';
import { classOf, ENUMS } from '../../../spec/xenapi/index.ts';
import { NULL_REF, parseType, zero, type Type, type Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { initial } from '../database/schema.ts';
import { Failure } from '../failure.ts';
import { Malformed, type Raw } from '../rpc/limits.ts';
import { readTime, timeText } from '../rpc/decode.ts';
import { escapeXml, partsOf, xmlValue } from '../rpc/encode.ts';
import { XmlReader } from '../rpc/xml_read.ts';
import { turn } from '../turns.ts';

export const EXPORT_VERSION = 2;
export const MAX_OVA = 16 * 2 ** 20;
/** So much is read at a time. */
const READ = 64 * 1024;

/** Gives each object a name of its own. */
export class Names {
  readonly #ids = new Map<string, string>();

  id({ ref }: Row): string {
    const known = this.#ids.get(ref) ?? `Ref:${this.#ids.size}`;
    this.#ids.set(ref, known);
    return known;
  }

  find(ref: string): string {
    return this.#ids.get(ref) ?? NULL_REF;
  }
}

/** References to what is not exported lead nowhere. */
function renamed(type: Type, value: Value, names: Names): Value {
  if (type.kind === 'ref') return names.find(value as string);
  if (type.kind === 'set' && type.of.kind === 'ref')
    return [...(value as string[])].map((ref) => names.find(ref)).filter((ref) => ref !== NULL_REF);
  if (type.kind === 'map' && (type.value.kind === 'ref' || type.key.kind === 'ref')) return {};
  return value;
}

const STRING = parseType('string');
const member = (name: string, value: string): string => `<member><name>${escapeXml(name)}</name>${value}</member>`;
const struct = (...members: string[]): string => `<value><struct>${members.join('')}</struct></value>`;
const text = (value: string): string => xmlValue(STRING, value);

function objectOf(row: Row, names: Names): string {
  const fields = partsOf(row.schema.name).map(({ name, type, before, first, whole }) => {
    const value = row.fields[name];
    return value === first ? whole : `${before}${xmlValue(type, renamed(type, value as Value, names))}</member>`;
  });
  return struct(
    member('class', text(row.schema.name)),
    member('id', text(names.id(row))),
    member('snapshot', struct(...fields)),
  );
}

/** In pieces, an object each. `version`: this program's. */
export function* ovaPieces(rows: readonly Row[], names: Names, version: string): Generator<string> {
  for (const row of rows) names.id(row);
  const about = struct(
    ...[member('hostname', text(hostname())), member('date', text(timeText(Date.now())))],
    ...[member('product_version', text('8.3.0')), member('product_brand', text('Xenolith'))],
    ...[member('build_number', text(version)), member('xapi_major', '<value>2</value>')],
    ...[member('xapi_minor', '<value>21</value>'), member('export_vsn', `<value>${EXPORT_VERSION}</value>`)],
  );
  const [before, after] = struct(
    member('version', about),
    member('objects', '<value><array><data>\0</data></array></value>'),
  ).split('\0');
  yield before;
  for (const row of rows) yield objectOf(row, names);
  yield after;
}

export const writeOva = (rows: readonly Row[], names: Names, version: string): string =>
  [...ovaPieces(rows, names, version)].join('');

export interface Exported {
  class: string;
  id: string;
  fields: { [name: string]: Raw };
}

const bad = (why: string): Failure => new Failure('IMPORT_ERROR_FAILED_TO_FIND_OBJECT', why);
const isMap = (raw: Raw): raw is { [key: string]: Raw } =>
  typeof raw === 'object' && raw !== null && !Array.isArray(raw);

export async function readOva(bytes: Buffer): Promise<Exported[]> {
  const xml = new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/^\s*<\?xml[^>]*\?>/, '');
  const reader = new XmlReader();
  reader.write('<methodCall><methodName>ova</methodName><params><param>');
  for (let at = 0; at < xml.length; at += READ) {
    reader.write(xml.slice(at, at + READ));
    await turn();
  }
  reader.write('</param></params></methodCall>');
  let whole: Raw;
  try {
    [whole] = reader.end().params;
  } catch (error) {
    if (error instanceof Malformed) throw bad(`ova.xml: ${error.message}`);
    throw error;
  }
  if (!isMap(whole) || !isMap(whole.version) || !Array.isArray(whole.objects)) throw bad('ova.xml');
  const version = Number(whole.version.export_vsn ?? 0);
  if (!(version <= EXPORT_VERSION)) throw new Failure('IMPORT_INCOMPATIBLE_VERSION');
  return whole.objects.map((each) => {
    if (!isMap(each) || typeof each.class !== 'string' || typeof each.id !== 'string' || !isMap(each.snapshot))
      throw bad('object');
    return { class: each.class, id: each.id, fields: each.snapshot };
  });
}

/** A value as another version wrote it; what cannot be meant is what the field begins with. */
function coerce(type: Type, raw: Raw, otherwise: Value): Value {
  switch (type.kind) {
    case 'string':
      return typeof raw === 'object' ? otherwise : String(raw);
    case 'int': {
      const number = typeof raw === 'string' || typeof raw === 'number' ? Number(raw) : NaN;
      return Number.isSafeInteger(number) ? number : otherwise;
    }
    case 'float':
      return Number.isFinite(Number(raw)) ? Number(raw) : otherwise;
    case 'bool':
      return typeof raw === 'boolean' ? raw : typeof raw === 'string' ? raw === 'true' || raw === '1' : otherwise;
    case 'datetime':
      return (typeof raw === 'string' && readTime(raw)) || otherwise;
    case 'enum':
      return ENUMS.get(type.name)!.find((each) => each.toLowerCase() === String(raw).toLowerCase()) ?? otherwise;
    case 'set':
      return Array.isArray(raw) ? raw.map((each) => coerce(type.of, each, zero(type.of))) : otherwise;
    case 'map': {
      if (!isMap(raw)) return otherwise;
      const map = Object.create(null) as Record<string, Value>;
      for (const [key, value] of Object.entries(raw)) map[key] = coerce(type.value, value, zero(type.value));
      return map;
    }
    default:
      return otherwise;
  }
}

/** An object's fields but its references, which the importer sees to. */
export function valuesOf({ class: name, fields }: Exported): Record<string, Value> {
  const values: Record<string, Value> = {};
  for (const field of classOf(name).fields.values()) {
    const { type } = field;
    if (type.kind === 'ref' || (type.kind === 'set' && type.of.kind === 'ref') || type.kind === 'record') continue;
    if (type.kind === 'map' && (type.value.kind === 'ref' || type.key.kind === 'ref')) continue;
    if (Object.hasOwn(fields, field.name)) values[field.name] = coerce(type, fields[field.name], initial(field));
  }
  return values;
}

export const refOf = ({ fields }: Exported, field: string): string => {
  const value = fields[field];
  return typeof value === 'string' ? value : NULL_REF;
};
