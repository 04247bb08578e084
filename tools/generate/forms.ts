// From the rows of spec/x86 and the bodies of core/arch/x86/semantics to forms: a body with its type arguments, and an id.
// The decoder's table, the interpreter's loop and its cold groups all come from this one list.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { hot } from '../../spec/x86/hot.ts';
import { modIgnored, rows, type Operand, type Row } from '../../spec/x86/rows.ts';

export const SEMANTICS = 'core/arch/x86/semantics';

/** A form: what the micro-op's id stands for. */
export interface Form {
  id: number;
  /** As in hot.ts: `NAME types kinds`. */
  key: string;
  name: string;
  /** Type arguments after Eval and its value types, as AssemblyScript text. */
  args: readonly string[];
  branch: boolean;
  interp: boolean;
  vector: boolean;
  hot: boolean;
}

/** Where a body stands and how many type parameters it declares. */
export interface Body {
  file: string;
  parameters: number;
}

/** The exported bodies of the semantics folder, by name. */
export function findBodies(root: string): Map<string, Body> {
  const bodies = new Map<string, Body>();
  for (const file of readdirSync(join(root, SEMANTICS)).sort()) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts')) continue;
    const text = readFileSync(join(root, SEMANTICS, file), 'utf8');
    for (const m of text.matchAll(
      /^(?:@inline )?export function ([A-Z][A-Za-z0-9_]*)(?:<([^>]*)>)?\((?:cpu: Cpu|b: B), u: usize\)/gm,
    )) {
      if (bodies.has(m[1]!)) throw new Error(`${m[1]} is in ${bodies.get(m[1]!)!.file} and in ${file}`);
      bodies.set(m[1]!, { file, parameters: m[2] ? m[2].split(',').length : 0 });
    }
  }
  return bodies;
}

const BITS = [16, 32, 64] as const;
type Bits = (typeof BITS)[number];

function typeOf(size: string, bits: Bits): string | null {
  const fixed: Record<string, string> = { b: 'u8', w: 'u16', d: 'u32', q: 'u64' };
  if (size in fixed) return fixed[size]!;
  if (size === 'v') return `u${bits}`;
  if (size === 'z') return bits === 16 ? 'u16' : 'u32';
  if (size === 'y') return bits === 64 ? 'u64' : 'u32';
  return null;
}

const isVector = (row: Row): boolean => row.attrs.has('sse') || row.attrs.has('mmx');
const accumulator = (o: Operand): boolean => ['AL', 'AX', 'rAX', 'eAX'].includes(o.code);

/** Size codes that give type arguments, in order, each once. */
function sizeCodes(row: Row): string[] {
  const codes: string[] = [];
  for (const attr of ['v', 'y']) if (row.attrs.has(attr)) codes.push(attr);
  const interp = row.attrs.has('interp');
  for (const o of row.operands) {
    const counts = 'EGRZOXYM'.includes(o.kind) || accumulator(o);
    if (!counts || codes.includes(o.size)) continue;
    // a vector row's other sizes are fixed by its name
    if (isVector(row) ? o.size === 'y' : interp ? 'bvzy'.includes(o.size) : typeOf(o.size, 64)) codes.push(o.size);
  }
  return codes.filter(Boolean);
}

export type Variant = 'any' | 'reg' | 'mem' | 'bd';
export const VARIANTS: readonly Variant[] = ['any', 'reg', 'mem', 'bd'];

/** The operand kind of an operand in a variant, or null if it is not passed. */
function kindOf(o: Operand, row: Row, variant: Variant, bits: Bits): string | null {
  const general = { any: 'E', reg: 'R', mem: 'M', bd: 'D' }[variant];
  const xmm = row.attrs.has('align') ? 'Xa' : 'Xe';
  switch (o.kind) {
    case 'E':
      return general;
    case 'M':
      if (isVector(row) && !row.operands.some((p) => 'EGR'.includes(p.kind)))
        return row.operands.some((p) => 'PNQ'.includes(p.kind)) ? 'Pe' : xmm;
      return variant === 'reg' ? 'E' : general;
    case 'G':
      return 'G';
    case 'R':
    case 'Z':
      return 'R';
    case 'I':
      return o.size === 'v' && bits === 64 ? 'I64' : 'I';
    case 'O':
      return 'O';
    case 'V':
      return 'Xg';
    case 'U':
      return 'Xr';
    case 'W':
      return variant === 'reg' && !row.attrs.has('align') ? 'Xe' : xmm;
    case 'P':
      return 'Pg';
    case 'N':
      return 'Pr';
    case 'Q':
      return 'Pe';
    case 'fixed':
      if (o.code === 'CL') return 'CL';
      if (o.code === '1') return 'I';
      return accumulator(o) ? 'G' : null;
    default:
      return null;
  }
}

function formOf(row: Row, bits: Bits, variant: Variant, bodies: Map<string, Body>): Omit<Form, 'id' | 'hot'> | null {
  const body = bodies.get(row.name);
  if (!body) return null;
  const interp = row.attrs.has('interp');
  let types = sizeCodes(row).map((code) => typeOf(code, bits)!);
  let kinds: string[] = [];
  if (interp) types = types.slice(0, body.parameters);
  else kinds = row.operands.map((o) => kindOf(o, row, variant, bits)).filter((k) => k !== null);
  const key = [row.name, types.join(','), kinds.join(',')].filter(Boolean).join(' ');
  return {
    key,
    name: row.name,
    args: [...types, ...kinds],
    branch: row.attrs.has('br'),
    interp,
    vector: !interp && isVector(row),
  };
}

export interface RowForms {
  row: Row;
  /** Keys by operand size (16, 32, 64) and variant; null = no body. */
  keys: (string | null)[];
}

/** Pseudo forms: micro-ops that are no instructions. They are branch-like: the next micro-op, or 0 after leaving. */
export const PSEUDO = ['GOTO', 'CROSS', 'RESYNC', 'STOP', 'UD', 'GP', 'UNIT', 'REGION', 'BRK'] as const;

export interface Forms {
  forms: Form[];
  byKey: Map<string, Form>;
  rows: RowForms[];
  /** Names of rows that have no body. */
  missing: string[];
  bodies: Map<string, Body>;
}

export function makeForms(root: string): Forms {
  const bodies = findBodies(root);
  const hotKeys = new Set(hot);
  const found = new Map<string, Omit<Form, 'id' | 'hot'>>();
  const missing = new Set<string>();
  const all: RowForms[] = [];
  for (const row of rows) {
    const keys: (string | null)[] = [];
    for (const bits of BITS) {
      const any = formOf(row, bits, 'any', bodies);
      if (!any) missing.add(row.name);
      for (const variant of VARIANTS) {
        const form = formOf(row, bits, variant, bodies);
        const use = form && hotKeys.has(form.key) ? form : any;
        keys.push(use ? use.key : null);
        if (use) found.set(use.key, use);
      }
    }
    all.push({ row, keys });
  }
  for (const key of hot) if (!found.has(key)) throw new Error(`spec/x86/hot.ts: no row has the form '${key}'`);
  // Dense ids: hot straight, hot branches, pseudo forms, cold straight, cold branches.
  const hotForms = hot.map((key) => found.get(key)!);
  const cold = [...found.values()].filter((f) => !hotKeys.has(f.key)).sort((a, b) => (a.key < b.key ? -1 : 1));
  const order = [
    ...hotForms.filter((f) => !f.branch),
    ...hotForms.filter((f) => f.branch),
    ...PSEUDO.map((name) => ({ key: `#${name}`, name, args: [], branch: true, interp: false, vector: false })),
    ...cold.filter((f) => !f.branch),
    ...cold.filter((f) => f.branch),
  ];
  const forms = order.map((f, id) => ({ ...f, id, hot: hotKeys.has(f.key) }));
  return { forms, byKey: new Map(forms.map((f) => [f.key, f])), rows: all, missing: [...missing].sort(), bodies };
}

export { modIgnored };
