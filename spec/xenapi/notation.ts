/**
 * How the tables of XenAPI's classes are written, one file a class. From them come the database, implicit messages, checks of
 * arguments, access rights, events and the lists of methods: whatever can be said of XenAPI without behaviour is said there.
 */
import type { Allowed } from './roles.ts';
import { parseType, parseValue, type Type, type Value } from './types.ts';

/** `RW`: clients may set it; `ctor`: they give it when they make the object (RO/constructor); `RO`: it is the server's (RO/runtime). */
export type Qualifier = 'RW' | 'ctor' | 'RO';

/**
 * Releases in order, each with what happened: `rio` published, `~rio` as a prototype, `*rio` changed, `+rio` extended, `!rio`
 * deprecated. What has been removed is in removed.ts.
 */
export type Lifecycle = string;

interface FieldExtra {
  /** Who may set it, if not who changes the class. */
  set?: Allowed;
  /** Who may get it, if not who reads the class. */
  get?: Allowed;
  /** Keys of the map that who has `keyRole` may change as well; a `*` at the end stands for anything. */
  keys?: string;
}
/** `[name, qualifier, type = default, lifecycle, about]`; common names need no words. */
export type FieldRow = [string, Qualifier, string, Lifecycle, string?, FieldExtra?];
/** `[name, 'type name = default, …' without the session, result, who may call, lifecycle, about]` */
export type MessageRow = [string, string, string, Allowed, Lifecycle, string];

export interface ClassRow {
  name: string;
  about: string;
  lifecycle: Lifecycle;
  /** Who may set fields, create and destroy, where nothing else is said. */
  change: Allowed;
  /** Who may read it; `anyone`. */
  read?: Allowed;
  /** Clients make and destroy objects by implicit `create` and `destroy`. */
  created?: true;
  /** `unlisted`: objects without `get_all`; `value`: no objects, only records inside answers; `explicit`: every message has a row. */
  kind?: 'unlisted' | 'value' | 'explicit';
  /** Its objects go with the server, which makes those anew that it needs. */
  transient?: true;
  /** name: 'value value …' */
  enums?: Record<string, string>;
  fields: FieldRow[];
  messages?: MessageRow[];
  /** message: errors that it is known for. */
  errors?: Record<string, string>;
  /** Messages called without a session. */
  open?: string[];
}

export interface Field {
  name: string;
  qualifier: Qualifier;
  type: Type;
  /** Undefined: a creator must give it. */
  default: Value | undefined;
  lifecycle: Lifecycle;
  about: string;
  set: Allowed;
  get: Allowed | undefined;
  keys: string[];
}
export interface Parameter {
  name: string;
  type: Type;
  default: Value | undefined;
}
export interface Message {
  class: string;
  name: string;
  /** Without the session. */
  parameters: Parameter[];
  session: boolean;
  result: Type;
  allowed: Allowed;
  lifecycle: Lifecycle;
  about: string;
  errors: string[];
  /** What an implicit message does, and to which field. */
  implicit: Implicit | undefined;
}
export type Implicit =
  | { act: 'get' | 'set' | 'add_to' | 'remove_from' | 'add' | 'remove'; field: Field }
  | { act: ObjectAct; field?: undefined };
export type ObjectAct =
  | 'get_all'
  | 'get_all_records'
  | 'get_all_records_where'
  | 'get_record'
  | 'get_by_uuid'
  | 'get_by_name_label'
  | 'create'
  | 'destroy';

export interface Class {
  name: string;
  about: string;
  lifecycle: Lifecycle;
  created: boolean;
  kind: 'listed' | 'unlisted' | 'value' | 'explicit';
  transient: boolean;
  enums: ReadonlyMap<string, readonly string[]>;
  fields: ReadonlyMap<string, Field>;
  messages: ReadonlyMap<string, Message>;
}

/** What these fields are is the same everywhere. */
const COMMON: Record<string, string> = {
  uuid: 'unique for ever, and the same in other pools',
  name_label: 'a name for people',
  name_description: 'words for people',
  other_config: 'notes of clients, by key',
  tags: 'labels to group by',
  allowed_operations: 'what could be done now; a hint',
  current_operations: 'what is being done, by task',
  blobs: 'bytes kept beside it, by name',
};

/** `type name = default` */
function parameter(text: string): Parameter {
  const [declared, given] = text.split(' = ');
  const at = declared.lastIndexOf(' ');
  const type = parseType(declared.slice(0, at));
  return { name: declared.slice(at + 1), type, default: given === undefined ? undefined : parseValue(type, given) };
}

function field([name, qualifier, declared, lifecycle, about, extra]: FieldRow, change: Allowed): Field {
  const [typed, given] = declared.split(' = ');
  const type = parseType(typed);
  const text = about ?? COMMON[name];
  if (text === undefined) throw new Error(`the field ${name} needs words`);
  return {
    ...{ name, qualifier, type, lifecycle, about: text },
    default: given === undefined ? undefined : parseValue(type, given),
    set: extra?.set ?? change,
    get: extra?.get,
    keys: extra?.keys?.split(' ') ?? [],
  };
}

const STRING: Type = { kind: 'string' };
const VOID: Type = { kind: 'void' };

/** All messages that follow from the fields. */
function* implicitOf(row: ClassRow, fields: Field[]): Generator<Message> {
  const kind = row.kind ?? 'listed';
  if (kind === 'value' || kind === 'explicit') return;
  const ref: Type = { kind: 'ref', class: row.name };
  const record: Type = { kind: 'record', class: row.name };
  const self = { name: 'self', type: ref, default: undefined };
  const given = (name: string, type: Type): Parameter => ({ name, type, default: undefined });
  const read = row.read ?? 'anyone';
  const make = (
    name: string,
    parameters: Parameter[],
    result: Type,
    allowed: Allowed,
    lifecycle: Lifecycle,
    about: string,
    implicit: Implicit,
  ): Message => ({
    ...{ class: row.name, name, parameters, session: true, result, allowed, lifecycle, about, errors: [], implicit },
  });
  const object = (act: ObjectAct, parameters: Parameter[], result: Type, allowed: Allowed, about: string): Message =>
    make(act, parameters, result, allowed, row.lifecycle, about, { act });
  const all: Type = { kind: 'map', key: ref, value: record };
  if (kind === 'listed') {
    yield object('get_all', [], { kind: 'set', of: ref }, read, 'lists all');
    yield object('get_all_records', [], all, read, 'returns all with their records');
    const about = 'returns records for which an expression holds';
    yield object('get_all_records_where', [given('expr', STRING)], all, read, about);
  }
  yield object('get_record', [self], record, read, 'returns the record');
  for (const { name } of fields) {
    if (name === 'uuid') yield object('get_by_uuid', [given('uuid', STRING)], ref, read, 'finds one by its UUID');
    // A pool has no name of its own in a lookup: there is one.
    if (name !== 'name_label' || row.name === 'pool') continue;
    const act = { act: 'get_by_name_label' } as const;
    const of = { kind: 'set', of: ref } as const;
    yield make('get_by_name_label', [given('label', STRING)], of, read, row.lifecycle, 'finds by name', act);
  }
  if (row.created) {
    yield object('create', [given('args', record)], ref, row.change, 'makes one');
    yield object('destroy', [self], VOID, row.change, 'destroys it');
  }
  for (const field of fields) {
    const { name, type, lifecycle } = field;
    yield make(`get_${name}`, [self], type, field.get ?? read, lifecycle, `returns the field ${name}`, {
      act: 'get',
      field,
    });
    if (field.qualifier !== 'RW') continue;
    const change = (act: 'set' | 'add_to' | 'remove_from' | 'add' | 'remove', parameters: Parameter[], what: string) =>
      make(`${act}_${name}`, [self, ...parameters], VOID, field.set, lifecycle, `${what} the field ${name}`, {
        act,
        field,
      });
    yield change('set', [given('value', type)], 'sets');
    if (type.kind === 'map') {
      yield change('add_to', [given('key', type.key), given('value', type.value)], 'adds a pair to');
      yield change('remove_from', [given('key', type.key)], 'removes a pair from');
    } else if (type.kind === 'set') {
      yield change('add', [given('value', type.of)], 'adds a value to');
      yield change('remove', [given('value', type.of)], 'removes a value from');
    }
  }
}

function explicit([name, params, result, allowed, lifecycle, about]: MessageRow, row: ClassRow): Message {
  return {
    ...{ class: row.name, name, allowed, lifecycle, about, implicit: undefined },
    parameters: params === '' ? [] : params.split(', ').map(parameter),
    session: !row.open?.includes(name),
    result: parseType(result),
    errors: row.errors?.[name]?.split(' ') ?? [],
  };
}

/** Reads a class's table. */
export function define(row: ClassRow): Class {
  const fields = new Map(row.fields.map((each) => [each[0], field(each, row.change)]));
  const messages = new Map<string, Message>();
  for (const message of implicitOf(row, [...fields.values()])) messages.set(message.name, message);
  for (const each of row.messages ?? []) {
    if (messages.has(each[0])) throw new Error(`${row.name}.${each[0]} is there twice`);
    messages.set(each[0], explicit(each, row));
  }
  for (const name of [...Object.keys(row.errors ?? {}), ...(row.open ?? [])])
    if (!messages.has(name)) throw new Error(`${row.name} has no message ${name}`);
  return {
    ...{ name: row.name, about: row.about, lifecycle: row.lifecycle, fields, messages },
    created: row.created ?? false,
    kind: row.kind ?? 'listed',
    transient: row.transient ?? false,
    enums: new Map(Object.entries(row.enums ?? {}).map(([name, values]) => [name, values.split(' ')])),
  };
}
