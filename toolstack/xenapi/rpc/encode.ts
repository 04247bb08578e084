/**
 * Answers as text, by their types. Both encoders give their work in pieces, one for each object, so that who sends a long
 * answer can let others have their turn in between.
 */
import { classOf } from '../../../spec/xenapi/index.ts';
import { parseType, type Type } from '../../../spec/xenapi/types.ts';
import { Row, templateOf } from '../database/row.ts';
import { SCHEMAS } from '../database/schema.ts';

/** The parts of an event as clients see it, which are not those of the class `event`. */
export interface Event {
  id: string;
  timestamp: string;
  class: string;
  operation: 'add' | 'mod' | 'del';
  ref: string;
  snapshot?: Row;
}
/** Iterated, it makes its events one by one. */
export interface EventBatch extends Iterable<Event> {
  readonly events: Event[];
  readonly valid_ref_counts: Record<string, number>;
  readonly token: string;
}

/** Whatever a message may answer: plain values, rows where records are meant, maps of rows. */
export type Answer = unknown;

// ---- JSON

export function* json(type: Type, value: Answer): Generator<string | Buffer> {
  if (type.kind === 'void') yield '""';
  else if (value instanceof Row) yield value.json;
  else if (type.kind === 'batch') yield* once('json', value as EventBatch, jsonBatch);
  else if (value instanceof Map) {
    let before = '{';
    for (const [key, each] of value as Map<string, Answer>) {
      yield `${before}${JSON.stringify(key)}:`;
      yield* json((type as { value: Type }).value, each);
      before = ',';
    }
    yield before === '{' ? '{}' : '}';
  } else yield JSON.stringify(value);
}

/** Batches that several clients get are written once in each protocol, as the bytes that go to them. */
const texts = { json: new WeakMap<EventBatch, Buffer>(), xml: new WeakMap<EventBatch, Buffer>() };
const MAX_KEPT = 2 ** 20;

function* once(
  protocol: keyof typeof texts,
  batch: EventBatch,
  write: (batch: EventBatch) => Generator<string>,
): Generator<string | Buffer> {
  const known = texts[protocol].get(batch);
  if (known !== undefined) {
    yield known;
    return;
  }
  let whole: string | undefined = '';
  for (const piece of write(batch)) {
    if (whole !== undefined) whole = whole.length < MAX_KEPT ? whole + piece : undefined;
    yield piece;
  }
  if (whole !== undefined) texts[protocol].set(batch, Buffer.from(whole));
}

function* jsonBatch(batch: EventBatch): Generator<string> {
  const { valid_ref_counts, token } = batch;
  yield '{"events":[';
  let before = '';
  for (const { id, class: name, operation, ref, snapshot } of batch) {
    const head = `${before}{"id":"${id}","timestamp":"0.0","class":"${name}","operation":"${operation}","ref":${JSON.stringify(ref)}`;
    yield snapshot ? `${head},"snapshot":${snapshot.json}}` : `${head}}`;
    before = ',';
  }
  yield `],"valid_ref_counts":${JSON.stringify(valid_ref_counts)},"token":${JSON.stringify(token)}}`;
}

// ---- XML

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '\r': '&#xD;' };
// XML 1.0 has no way to write these (section 2.2, Char).
const SPECIAL = /[&<>\r\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g;

export const escapeXml = (text: string): string =>
  text.toWellFormed().replace(SPECIAL, (character) => ESCAPES[character] ?? '\ufffd');

const STRING: Type = { kind: 'string' };
const INT: Type = { kind: 'int' };

const member = (name: string, value: string): string => `<member><name>${escapeXml(name)}</name>${value}</member>`;
const struct = (members: string): string => `<value><struct>${members}</struct></value>`;

function floatText(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
}

/** One value as a whole. */
export function xmlValue(type: Type, value: Answer): string {
  switch (type.kind) {
    case 'void':
      return '<value/>';
    case 'int':
      return `<value>${value as number}</value>`;
    case 'float':
      return `<value><double>${floatText(value as number)}</double></value>`;
    case 'bool':
      return `<value><boolean>${value === true ? 1 : 0}</boolean></value>`;
    case 'datetime':
      return `<value><dateTime.iso8601>${value as string}</dateTime.iso8601></value>`;
    case 'set':
    case 'option': {
      let data = '';
      for (const each of value as Iterable<Answer>) data += xmlValue(type.of, each);
      return `<value><array><data>${data}</data></array></value>`;
    }
    case 'map': {
      const entries = value instanceof Map ? value : Object.entries(value as object);
      let members = '';
      for (const [key, each] of entries) members += member(key as string, xmlValue(type.value, each));
      return struct(members);
    }
    case 'record':
      return xmlRecord(type.class!, value as Row | Record<string, Answer>);
    case 'batch':
      return [...xmlBatch(value as EventBatch)].join('');
    default:
      return `<value>${escapeXml(value as string)}</value>`;
  }
}

export interface Part {
  name: string;
  type: Type;
  /** The member until its value. */
  before: string;
  /** What most rows have there, and the whole member with it. */
  first: unknown;
  whole: string;
}
const partsByClass = new Map<string, readonly Part[]>();
const NOTHING = Symbol();

/** How a record of a class is written. */
export function partsOf(name: string): readonly Part[] {
  const known = partsByClass.get(name);
  if (known) return known;
  const schema = SCHEMAS.get(name);
  const template = schema && templateOf(schema);
  const made = [...classOf(name).fields.values()].map(({ name: field, type }): Part => {
    const before = `<member><name>${field}</name>`;
    const first = template ? template[field] : NOTHING;
    return { name: field, type, before, first, whole: template ? `${before}${xmlValue(type, first)}</member>` : '' };
  });
  partsByClass.set(name, made);
  return made;
}

function xmlRecord(name: string, value: Row | Record<string, Answer>): string {
  const fields = value instanceof Row ? value.fields : value;
  let members = '';
  for (const { name: field, type, before, first, whole } of partsOf(name)) {
    const each = fields[field];
    if (each === first) members += whole;
    else if (each !== undefined) members += `${before}${xmlValue(type, each)}</member>`;
  }
  return struct(members);
}

const EVENT_PARTS = ['id', 'timestamp', 'class', 'operation', 'ref'] as const;

export function xmlEvent(event: Event): string {
  let members = '';
  for (const part of EVENT_PARTS) members += member(part, xmlValue(STRING, event[part]));
  const { snapshot } = event;
  if (snapshot) members += member('snapshot', xmlRecord(snapshot.schema.name, snapshot));
  return struct(members);
}

function* xmlBatch(batch: EventBatch): Generator<string> {
  const { valid_ref_counts, token } = batch;
  yield '<value><struct><member><name>events</name><value><array><data>';
  for (const event of batch) yield xmlEvent(event);
  let counts = '';
  for (const [name, count] of Object.entries(valid_ref_counts)) counts += member(name, xmlValue(INT, count));
  yield `</data></array></value></member>${member('valid_ref_counts', struct(counts))}`;
  yield `${member('token', xmlValue(STRING, token))}</struct></value>`;
}

export function* xml(type: Type, value: Answer): Generator<string | Buffer> {
  if (type.kind === 'batch') yield* once('xml', value as EventBatch, xmlBatch);
  else if (type.kind === 'map' && value instanceof Map) {
    yield '<value><struct>';
    for (const [key, each] of value as Map<string, Answer>) yield member(key, xmlValue(type.value, each));
    yield '</struct></value>';
  } else yield xmlValue(type, value);
}

export const STRING_SET = parseType('string set');
