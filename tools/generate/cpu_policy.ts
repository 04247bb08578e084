/**
 * AssemblyScript made from the CPUID and MSR policies: `core/gen/cpuid.ts` and `core/gen/msr.ts`. Code only, no tables: the core has no
 * static data.
 */
import { CPUID, CPUID_PV, type Leaf, type Mixed, type Register } from '../../spec/x86/cpuid.ts';
import { MSRS, MSRS_PV, type Msr, type ValueCheck } from '../../spec/x86/msr.ts';
import type { Generated } from './abi.ts';

const header = (source: string) =>
  `// Generated from spec/x86/${source}.ts by tools/generate/cpu_policy.ts. Do not edit.\n`;
const hex = (n: number | bigint) => `0x${n.toString(16)}`;
const list = (names: Iterable<string>) => [...names].map((n) => `  ${n},\n`).join('');

function part(p: Mixed['add'][number]): string {
  const v = p.value === 'subleaf' ? '(subleaf & 0xff)' : `cpuid_${p.value}(cpu)`;
  return p.shift ? `(${v} << ${p.shift})` : v;
}

function register(r: Register): string {
  if (typeof r === 'number') return hex(r);
  const parts = r.add.map(part);
  return (r.base ? [hex(r.base), ...parts] : parts).join(' | ');
}

const answer = (l: Leaf, indent: string) =>
  l.regs.map((r, i) => (r === 0 ? '' : `${indent}store<u32>(out, ${register(r)}${i ? `, ${i * 4}` : ''});\n`)).join('');

function leafCase(rows: Leaf[]): string {
  const special = rows.filter((r) => r.subleaf !== 'any');
  const other = rows.find((r) => r.subleaf === 'any');
  const branches = special.map((r) => `if (subleaf == ${r.subleaf}) {\n${answer(r, '        ')}      }`);
  if (special.length === 0) return `    case ${hex(rows[0].leaf)}:\n${answer(other!, '      ')}      return;`;
  const rest = other ? ` else {\n${answer(other, '        ')}      }` : '';
  return `    case ${hex(rows[0].leaf)}:\n      ${branches.join(' else ')}${rest}\n      return;`;
}

function cpuidFunction(name: string, what: string, policy: readonly Leaf[]): string {
  const leaves = new Map<number, Leaf[]>();
  for (const l of policy) leaves.set(l.leaf, [...(leaves.get(l.leaf) ?? []), l]);
  return `/** CPUID${what}: EAX, EBX, ECX, EDX as four u32 at \`out\`; zeros for a leaf that does not exist. */
export function ${name}(cpu: Cpu, leaf: u32, subleaf: u32, out: usize): void {
  memory.fill(out, 0, 16);
  switch (leaf) {
${[...leaves.values()].map(leafCase).join('\n')}
    default:
      return;
  }
}
`;
}

function cpuidModule(): string {
  const body =
    cpuidFunction('cpuid_leaf', '', CPUID) + '\n' + cpuidFunction('cpuid_leaf_pv', ' of a PV guest', CPUID_PV);
  const values = new Set([...body.matchAll(/\b(cpuid_\w+)\(cpu\)/g)].map((m) => m[1]));
  return `${header('cpuid')}
import { Cpu } from '../arch/x86/cpu';
import {
${list(values)}} from '../arch/x86/cpuid_values';

${body}`;
}

/** Memory types that a byte may hold: PAT has UC- (7) besides UC WC WT WP WB. */
const TYPES: Record<Exclude<ValueCheck, 'canonical'>, { allowed: number; bytes: number }> = {
  pat: { allowed: 0b11110011, bytes: 8 },
  mtrr_types: { allowed: 0b01110011, bytes: 8 },
  mtrr_type: { allowed: 0b01110011, bytes: 1 },
};

const cases = (m: Msr) => m.numbers.map((n) => `    case ${hex(n)}:`).join('\n');
const field = (s: { state: string; first?: number }) =>
  s.first === undefined
    ? `cpu.${s.state}`
    : `changetype<usize>(cpu) + offsetof<Cpu>('${s.state}') + ((nr - ${hex(s.first)}) << 3)`;

function readCase(m: Msr): string {
  const s = m.source;
  if (s === 'fault') return '';
  const lines =
    'read' in s
      ? [`if (!msr_read_${s.read}(cpu, nr)) return false;`, 'msr_value = special_value;']
      : 'constant' in s
        ? [`msr_value = ${hex(s.constant)};`]
        : [`msr_value = ${s.first === undefined ? field(s) : `load<u64>(${field(s)})`};`];
  return `${cases(m)}\n${[...lines, 'return true;'].map((l) => `      ${l}\n`).join('')}`;
}

function checks(mask: bigint, check: ValueCheck | undefined, keep: boolean): string[] {
  const outside = ~mask & ((1n << 64n) - 1n);
  const lines = outside && !keep ? [`if (v & ${hex(outside)}) return false;`] : [];
  if (check === 'canonical') lines.push('if (!canonical(v)) return false;');
  else if (check)
    lines.push(`if (!memory_types(v, ${hex(TYPES[check].allowed)}, ${TYPES[check].bytes})) return false;`);
  return lines;
}

function writeCase(m: Msr): string {
  const { sink, source } = m;
  if (sink === 'fault') return '';
  let lines: string[];
  if ('write' in sink) lines = [`return msr_write_${sink.write}(cpu, nr, v);`];
  else if ('ignore' in sink) lines = [...checks(sink.ignore, undefined, false), 'return true;'];
  else {
    if (source === 'fault' || !('state' in source)) throw new Error(`${m.name}: nowhere to keep what is written`);
    const at = field(source);
    if (sink.keep && source.first !== undefined) throw new Error(`${m.name}: kept bits need a field of their own`);
    const value = sink.keep ? `(${at} & ${hex(~sink.mask & ((1n << 64n) - 1n))}) | (v & ${hex(sink.mask)})` : 'v';
    const keep = source.first === undefined ? `${at} = ${value};` : `store<u64>(${at}, v);`;
    lines = [...checks(sink.mask, sink.check, sink.keep === true), keep, 'return true;'];
  }
  return `${cases(m)}\n${lines.map((l) => `      ${l}\n`).join('')}`;
}

/** RDMSR and WRMSR of a policy; `suffix` ends their names. */
function msrFunctions(policy: readonly Msr[], suffix: string, what: string): string {
  const seen = new Set<number>();
  for (const n of policy.flatMap((m) => m.numbers)) {
    if (seen.has(n)) throw new Error(`MSR ${hex(n)} is listed twice`);
    seen.add(n);
  }
  return `/** RDMSR${what}: false raises #GP. */
export function msr_read${suffix}(cpu: Cpu, nr: u32): bool {
  switch (nr) {
${policy.map(readCase).join('')}    default:
      return false;
  }
}

/** WRMSR${what}: false raises #GP. */
export function msr_write${suffix}(cpu: Cpu, nr: u32, v: u64): bool {
  switch (nr) {
${policy.map(writeCase).join('')}    default:
      return false;
  }
}
`;
}

function msrModule(): string {
  const functions = msrFunctions(MSRS, '', '') + '\n' + msrFunctions(MSRS_PV, '_pv', ' of a PV guest');
  const resets = MSRS.filter((m) => m.reset !== undefined).map(
    (m) => `  cpu.${(m.source as { state: string }).state} = ${hex(m.reset!)};\n`,
  );
  const special = new Set([...functions.matchAll(/\b(msr_(?:read|write)_\w+)\(cpu, nr/g)].map((m) => m[1]));
  return `${header('msr')}
import { Cpu } from '../arch/x86/cpu';
import { canonical } from '../arch/x86/limits';
import {
  special_value,
${list(special)}} from '../arch/x86/msr_special';

/** What msr_read read. */
export let msr_value: u64 = 0;

/** The ${'`bytes`'} low bytes of \`v\` are memory types of the set \`allowed\` (SDM vol. 3, tables 12-2 and 12-10). */
function memory_types(v: u64, allowed: u32, bytes: i32): bool {
  for (let i = 0; i < bytes; i++) {
    const type = <u32>(v >> (i << 3)) & 0xff;
    if (type > 7 || !(allowed & (1 << type))) return false;
  }
  return true;
}

${functions}
/** Power-up values of the fields that are not 0. */
export function msr_reset(cpu: Cpu): void {
${resets.join('')}}
`;
}

/** The modules as text; the caller writes them. */
export function generateCpuPolicy(): Generated[] {
  return [
    { path: 'core/gen/cpuid.ts', text: cpuidModule() },
    { path: 'core/gen/msr.ts', text: msrModule() },
  ];
}
