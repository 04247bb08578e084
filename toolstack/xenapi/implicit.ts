/** Messages that follow from the tables: nothing but the database is asked. */
import type { Field, Message } from '../../spec/xenapi/notation.ts';
import type { Value } from '../../spec/xenapi/types.ts';
import { RefSet, type Row } from './database/row.ts';
import { Failure } from './failure.ts';
import { parseExpression } from './database/expression.ts';
import type { Arguments, Caller } from './messages.ts';
import type { Answer } from './rpc/encode.ts';
import { turn } from './turns.ts';

/** These are made and destroyed without any effect but their record. The others have a folder that says more. */
const PLAIN = new Set(['secret', 'user', 'VM_group', 'VM_appliance']);

const withPair = (map: object, key: string, value: Value): Value => {
  // No prototype: a key may be anything, also __proto__.
  const copy = Object.create(null) as Record<string, Value>;
  Object.assign(copy, map);
  copy[key] = value;
  return copy;
};

function changeField(act: string, row: Row, { name }: Field, args: Arguments): Value {
  const now = row.fields[name];
  switch (act) {
    case 'set':
      return args.value('value');
    case 'add_to': {
      const [key, map] = [String(args.value('key')), now as object];
      if (Object.hasOwn(map, key)) throw new Failure('MAP_DUPLICATE_KEY', row.schema.name, name, row.ref, key);
      return withPair(map, key, args.value('value'));
    }
    case 'remove_from': {
      const copy = Object.create(null) as Record<string, Value>;
      Object.assign(copy, now);
      delete copy[String(args.value('key'))];
      return copy;
    }
    case 'add': {
      const set = now as string[];
      const value = args.text('value');
      return set.includes(value) ? set : [...set, value];
    }
    default:
      return (now as string[]).filter((each) => each !== args.text('value'));
  }
}

/** Rows that are looked at without asking whose turn it is. */
const AT_ONCE = 64;

async function recordsWhere(table: ReadonlyMap<string, Row>, expression: string): Promise<Map<string, Row>> {
  const holds = parseExpression(expression);
  const found = new Map<string, Row>();
  let count = 0;
  for (const [ref, row] of [...table]) {
    if (!row.gone && holds(row)) found.set(ref, row);
    if (++count % AT_ONCE === 0) await turn();
  }
  return found;
}

/** Undefined: the message needs behaviour that there is not. */
export function implicit(message: Message, args: Arguments, { xapi }: Caller): Answer | Promise<Answer> | undefined {
  const { db } = xapi;
  const { act, field } = message.implicit!;
  const table = () => db.table(message.class);
  switch (act) {
    case 'get_all':
      return [...table().keys()];
    case 'get_all_records':
      return new Map(table());
    case 'get_all_records_where':
      return recordsWhere(table(), args.text('expr'));
    case 'get_record':
      return args.row('self');
    case 'get_by_uuid':
      return db.byUuid(message.class, args.text('uuid')).ref;
    case 'get_by_name_label': {
      const label = args.text('label');
      return [...table().values()].filter((row) => row.fields.name_label === label).map(({ ref }) => ref);
    }
    case 'create':
      return PLAIN.has(message.class) ? db.create(message.class, args.record('args')).ref : undefined;
    case 'destroy':
      if (!PLAIN.has(message.class)) return undefined;
      db.destroy(args.row('self'));
      return '';
    case 'get': {
      const value = args.row('self').fields[field!.name];
      // It changes in place.
      return value instanceof RefSet ? [...value] : value;
    }
    default: {
      const row = args.row('self');
      db.set(row, { [field!.name]: changeField(act, row, field!, args) });
      return '';
    }
  }
}
/** Whether the database alone can answer it. */
export const answersByItself = ({ implicit: what, class: name }: Message): boolean =>
  what !== undefined && (!['create', 'destroy'].includes(what.act) || PLAIN.has(name));
