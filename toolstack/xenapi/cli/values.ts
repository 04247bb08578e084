/** Values as `xe` writes and reads them. */
import { ENUMS } from '../../../spec/xenapi/index.ts';
import { NULL_REF, type Type, type Value } from '../../../spec/xenapi/types.ts';
import type { Database } from '../database/database.ts';
import { CliFailure, readBool, readBytes, readFloat, readInt } from './arguments.ts';

export const NOT_THERE = '<not in database>';

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** Enums that `xe` writes in words of its own. */
const WORDS: Record<string, (value: string) => string> = {
  vm_power_state: (value) => (value === 'ShuttingDown' ? 'shutting down' : value.toLowerCase()),
  on_normal_exit: capital,
  on_crash_behaviour: (value) =>
    value.startsWith('coredump') ? `Core dump${value.slice('coredump'.length).replaceAll('_', ' ')}` : capital(value.replaceAll('_', ' ')), // prettier-ignore
  vdi_type: (value) =>
    ({ ha_statefile: 'HA statefile', pvs_cache: 'PVS cache', cbt_metadata: 'CBT metadata', redo_log: 'Redo log', rrd: 'rrd' })[value] ?? capital(value), // prettier-ignore
  console_protocol: (value) => value.toUpperCase(),
  tristate_type: (value) => ({ yes: 'true', no: 'false' })[value] ?? value,
  domain_type: (value) => value.replaceAll('_', '-'),
  allocation_algorithm: (value) => value.replaceAll('_', '-'),
};

export const enumText = (name: string, value: string): string => WORDS[name]?.(value) ?? value;

function enumValue(name: string, field: string, text: string): string {
  const low = text.toLowerCase();
  const values = ENUMS.get(name)!;
  const found = values.find((each) => each.toLowerCase() === low || enumText(name, each).toLowerCase() === low);
  if (found !== undefined) return found;
  const known = values.map((each) => `'${enumText(name, each)}'`).join(', ');
  throw new CliFailure(`Failed to parse parameter '${field}': expected one of ${known}, got ${text}`);
}

export function uuidOf(db: Database, of: string, ref: string): string {
  return ref === NULL_REF ? NOT_THERE : (db.find(of, ref)?.uuid ?? NOT_THERE);
}

export function nameOf(db: Database, of: string, ref: string): string {
  const label = db.find(of, ref)?.fields.name_label;
  return typeof label === 'string' ? label : NOT_THERE;
}

/** A single value. */
export function valueText(db: Database, type: Type, value: Value): string {
  switch (type.kind) {
    case 'ref':
      return uuidOf(db, type.class, value as string);
    case 'enum':
      return enumText(type.name, value as string);
    case 'float':
      return (value as number).toFixed(3);
    case 'set':
    case 'option':
      return (value as Value[]).map((each) => valueText(db, type.of, each)).join('; ');
    case 'map':
      return pairsOf(db, type, value).map(([key, each]) => `${key}: ${each}`).join('; '); // prettier-ignore
    case 'record':
    case 'batch':
      return JSON.stringify(value);
    default:
      return String(value);
  }
}

export function pairsOf(db: Database, type: Type & { kind: 'map' }, value: Value): [string, string][] {
  return Object.entries(value as object).map(([key, each]) => [
    valueText(db, type.key, key),
    valueText(db, type.value, each as Value),
  ]);
}

/** What a parameter says, for a message. `byUuid` finds what is referred to. */
export async function readValue(
  name: string,
  type: Type,
  text: string,
  byUuid: (of: string, uuid: string) => Promise<string>,
  bytes = false,
): Promise<Value> {
  switch (type.kind) {
    case 'int':
      return bytes ? readBytes(name, text) : readInt(name, text);
    case 'float':
      return readFloat(name, text);
    case 'bool':
      return readBool(name, text);
    case 'enum':
      return enumValue(type.name, name, text);
    case 'ref':
      return text === '' ? NULL_REF : byUuid(type.class, text);
    case 'set':
      return Promise.all(
        text.split(',').filter((each) => each !== '').map((each) => readValue(name, type.of, each, byUuid)),
      ); // prettier-ignore
    default:
      return text;
  }
}
