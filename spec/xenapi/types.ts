/**
 * XenAPI's types in XenAPI's own notation: `string`, `VM ref`, `enum vm_power_state`, `string set`, `(string -> blob ref) map`,
 * `VM record`, `sr_stat record option`. Parsed once, when the tables load.
 */
export type Type =
  | { kind: 'void' | 'string' | 'int' | 'float' | 'bool' | 'datetime' }
  | { kind: 'enum'; name: string }
  | { kind: 'ref'; class: string }
  /** Undefined: of whatever class an event is about. */
  | { kind: 'record'; class: string | undefined }
  /** What event.from returns. */
  | { kind: 'batch' }
  | { kind: 'set'; of: Type }
  | { kind: 'option'; of: Type }
  | { kind: 'map'; key: Type; value: Type };

const SIMPLE = new Set(['void', 'string', 'int', 'float', 'bool', 'datetime']);

/** Where the arrow of a map's outermost pair is. */
function arrow(text: string): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '(') depth++;
    else if (text[i] === ')') depth--;
    else if (depth === 0 && text.startsWith(' -> ', i)) return i;
  }
  throw new Error(`no map's type: ${text}`);
}

export function parseType(text: string): Type {
  if (SIMPLE.has(text)) return { kind: text as 'string' };
  if (text === 'an event batch') return { kind: 'batch' };
  const suffix = text.slice(text.lastIndexOf(' ') + 1);
  const rest = text.slice(0, -suffix.length - 1);
  if (suffix === 'set') return { kind: 'set', of: parseType(rest) };
  if (suffix === 'option') return { kind: 'option', of: parseType(rest) };
  if (suffix === 'ref') return { kind: 'ref', class: rest };
  if (suffix === 'record') return { kind: 'record', class: rest === '<class>' ? undefined : rest };
  if (suffix === 'map' && rest.startsWith('(') && rest.endsWith(')')) {
    const inner = rest.slice(1, -1);
    const at = arrow(inner);
    return { kind: 'map', key: parseType(inner.slice(0, at)), value: parseType(inner.slice(at + 4)) };
  }
  if (/^enum \w+$/.test(text)) return { kind: 'enum', name: suffix };
  throw new Error(`no type of XenAPI: ${text}`);
}

export function typeText(type: Type): string {
  switch (type.kind) {
    case 'enum':
      return `enum ${type.name}`;
    case 'ref':
      return `${type.class} ref`;
    case 'record':
      return `${type.class ?? '<class>'} record`;
    case 'batch':
      return 'an event batch';
    case 'set':
    case 'option':
      return `${typeText(type.of)} ${type.kind}`;
    case 'map':
      return `(${typeText(type.key)} -> ${typeText(type.value)}) map`;
    default:
      return type.kind;
  }
}

/** What a field has when nobody gives it a value: the tables write it behind the type, as in `int = 1500`. */
export type Value = string | number | boolean | Value[] | { [key: string]: Value };

export const NULL_REF = 'OpaqueRef:NULL';
export const EPOCH = '19700101T00:00:00Z';

/** The value that a type has by nature. */
export function zero(type: Type): Value {
  switch (type.kind) {
    case 'int':
    case 'float':
      return 0;
    case 'bool':
      return false;
    case 'datetime':
      return EPOCH;
    case 'ref':
      return NULL_REF;
    case 'set':
    case 'option':
      return [];
    case 'map':
    case 'record':
    case 'batch':
      return {};
    default:
      return '';
  }
}

/** `text` as the tables write it: `""`, `0`, `true`, `Null`, `{}`, `{0}`, `{"a": "b"}`, an enum's value. */
export function parseValue(type: Type, text: string): Value {
  if (text === '{}' || text === 'Null') return zero(type);
  if (type.kind === 'map' || text.startsWith('"')) return JSON.parse(text) as Value;
  if (type.kind === 'set') return [parseValue(type.of, text.slice(1, -1))];
  if (type.kind === 'int' || type.kind === 'float') return Number(text);
  return type.kind === 'bool' ? text === 'true' : text;
}
