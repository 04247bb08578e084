/**
 * The tables as lines that can be compared with the manifest: names, types, parameters, qualifiers, roles, lifecycles, errors.
 * The manifest (manifest.json) was made from the published data model, independently of these tables.
 */
import { CLASSES } from './index.ts';
import type { Class, Field, Message } from './notation.ts';
import { CLIENT_CERT, rolesOf } from './roles.ts';
import { EPOCH, NULL_REF, typeText, type Type, type Value } from './types.ts';

/** One letter for the least role, `-` for none, `+` for client certificates. */
function letter(message: Message): string {
  const roles = rolesOf(message.allowed);
  const cert = roles.includes(CLIENT_CERT);
  const count = roles.length - Number(cert);
  return (count === 0 ? '-' : 'AOPVUR'[count - 1]) + (cert ? '+' : '');
}

function valueText(type: Type, value: Value): string {
  if (value === NULL_REF) return 'Null';
  if (value === EPOCH) return EPOCH;
  if (Array.isArray(value)) return `{${value.map((each) => valueText((type as { of: Type }).of, each)).join(', ')}}`;
  if (typeof value === 'object')
    return `{${Object.entries(value).map(([key, each]) => `"${key}": "${each as string}"`)}}`.replaceAll(',"', ', "');
  if (type.kind === 'float') return (value as number).toFixed(1);
  return type.kind === 'string' ? JSON.stringify(value) : String(value);
}

function fieldLine({ name, qualifier, type, default: value, lifecycle }: Field, of: string): string {
  const given = value === undefined ? '' : ` = ${valueText(type, value)}`;
  return `field ${of}.${name}: ${qualifier} ${typeText(type)}${given} | ${lifecycle}`;
}

function messageLine(message: Message): string {
  const { parameters, session, result, implicit, lifecycle, errors } = message;
  const all = parameters.map(({ name, type }) => `${typeText(type)} ${name}`);
  if (session) all.unshift('session');
  const kind = implicit ? 'implicit' : 'message';
  const head = `${kind} ${message.class}.${message.name}(${all.join(', ')}) ${typeText(result)}`;
  return [head, letter(message), lifecycle, ...(errors.length > 0 ? [errors.join(' ')] : [])].join(' | ');
}

function* classLines({ name, lifecycle, enums, fields, messages }: Class): Generator<string> {
  yield `class ${name} | ${lifecycle}`;
  for (const [title, values] of enums) yield `enum ${name}.${title}: ${values.join(' ')}`;
  for (const field of fields.values()) yield fieldLine(field, name);
  for (const message of messages.values()) yield messageLine(message);
}

export const manifest = (): string[] => [...CLASSES.values()].flatMap((each) => [...classLines(each)]);
