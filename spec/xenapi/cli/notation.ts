/**
 * How the tables of `xe` are written: which parameters an object has on the command line, and which commands there are. Names,
 * order and form are those of XAPI's `xe`; scripts depend on them.
 */
import { CLASSES } from '../index.ts';
import type { Class } from '../notation.ts';

/**
 * A line a parameter: `name flags = path ? otherwise`. Flags: `rw` may be set, `set` and `map` are shown and filtered as such,
 * `values` of a map only, `comma` between values, `plain` a value that has no `(S` or `(M` mark, `bytes` sizes with a unit,
 * `expensive` not looked up in lists, `hidden`, `old` deprecated, `nocase` compared without case, `name` of what is referred to,
 * `setmap` all pairs are set at once. The path goes from field to field; `@what` is worked out by code. Without a path the name
 * says it: `vdi-uuid` is VDI. `otherwise` is shown when there is no object on the way.
 */
export interface RecordField {
  name: string;
  flags: ReadonlySet<string>;
  /** Fields from the object on; of a computed one empty. */
  path: readonly string[];
  computed: string | undefined;
  otherwise: string;
}

export interface RecordTable {
  /** As in `vm-list`. */
  name: string;
  class: Class;
  /** What all of the list have. */
  filters: readonly (readonly [string, string])[];
  /** Shown by the list when nothing else is asked for; all if empty. */
  shown: readonly string[];
  fields: readonly RecordField[];
}

const NOT_THERE = '<not in database>';
const FLAGS = new Set('rw set map values comma plain bytes expensive hidden old nocase name setmap'.split(' '));

/** `vm-uuid`, `VBDs` and `pif-uuids` are fields VM, VBDs and PIFs. */
function fieldNamed(of: Class, name: string): string {
  const key = name.toLowerCase().replaceAll('-', '_');
  const tries = [key, key.replace(/_uuid$/, ''), key.replace(/_uuids$/, 's')];
  for (const each of tries) for (const field of of.fields.keys()) if (field.toLowerCase() === each) return field;
  throw new Error(`${of.name} has no field for ${name}`);
}

export function readField(of: Class, line: string): RecordField {
  const [head, source = ''] = line.split(' = ');
  const [name, ...flags] = head.trim().split(/\s+/);
  for (const flag of flags) if (!FLAGS.has(flag)) throw new Error(`${of.name}.${name}: nothing is known of '${flag}'`);
  const [from, otherwise = NOT_THERE] = source.split(' ? ');
  const computed = from.startsWith('@') ? from.slice(1) : undefined;
  const path = computed !== undefined ? [] : from === '' ? [fieldNamed(of, name)] : from.trim().split('.');
  return { name, flags: new Set(flags), path, computed, otherwise };
}

/** The parameters of a class that has no table of its own: its fields, called as on the command line. */
function fieldsOf(of: Class): RecordField[] {
  return [...of.fields.values()].map(({ name, type, qualifier }) => {
    const flags = new Set<string>();
    if (type.kind === 'set') flags.add('set');
    if (type.kind === 'map') flags.add('map');
    if (qualifier === 'RW') flags.add('rw');
    return { name: name.replaceAll('_', '-'), flags, path: [name], computed: undefined, otherwise: NOT_THERE };
  });
}

/** Table of a class: its name on the command line, its name, the filter, what a list shows, and a line a parameter. */
export function table(name: string, className: string, filters: string, shown: string, lines?: string): RecordTable {
  const of = CLASSES.get(className);
  if (!of) throw new Error(`XenAPI has no class ${className}`);
  const rows = lines?.split('\n').map((line) => line.trim()).filter((line) => line !== ''); // prettier-ignore
  const fields = rows ? rows.map((line) => readField(of, line)) : fieldsOf(of);
  const pairs = filters === '' ? [] : filters.split(' ').map((each) => each.split('=') as [string, string]);
  const list = shown === '' ? [] : shown.split(' ');
  for (const each of list)
    if (!fields.some((field) => field.name === each)) throw new Error(`${name}-list shows ${each}, which there is not`);
  return { name, class: of, filters: pairs, shown: list, fields };
}
