/**
 * AssemblyScript made from `spec/abi/`: numbers and offsets (`core/gen/abi.ts`), the XSM hooks and their default classes
 * (`core/gen/xsm.ts`), the hypercall dispatcher (`core/gen/hypercalls.ts`) and where handles are (`core/gen/handles.ts`); with them the CPU policy's modules.
 */
import * as constants from '../../spec/abi/constants.ts';
import { ERRNO } from '../../spec/abi/errno.ts';
import { FURTHER_CHECKS, HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import { members, type Struct } from '../../spec/abi/layout.ts';
import {
  GUESTS,
  XSM_CLASSES,
  type ArgType,
  type Check,
  type Hypercall,
  type SubOp,
  type XsmCheck,
} from '../../spec/abi/op.ts';
import { STRUCTS } from '../../spec/abi/structs/index.ts';
import { generateCompat } from './compat.ts';
import { generateCpuPolicy } from './cpu_policy.ts';

export interface Generated {
  path: string;
  text: string;
}

const HEADER = '// Generated from spec/abi by tools/generate/abi.ts. Do not edit.\n';

/** One constant. A literal initialiser lets asc fold it at every use, so the module needs no start code. */
export function constant(name: string, value: number | bigint): string {
  if (typeof value === 'bigint') return `export const ${name}: u64 = 0x${value.toString(16)};`;
  const type = value > 0x7fffffff ? 'u32' : 'i32';
  return `export const ${name}: ${type} = ${value};`;
}

function structConstants(s: Struct): string[] {
  const lines = [constant(`sizeof_${s.name}`, s.size)];
  for (const m of members(s)) {
    const name = `${s.name}__${m.path.join('__')}`;
    lines.push(constant(name, m.offset));
    if (m.bit) lines.push(constant(`${name}__shift`, m.bit.shift), constant(`${name}__mask`, 2 ** m.bit.width - 1));
  }
  return lines;
}

function abiModule(): string {
  const lines = [HEADER];
  for (const [name, value] of Object.entries(constants)) lines.push(constant(name, value));
  for (const [name, value] of Object.entries(ERRNO)) lines.push(constant(name, value));
  for (const h of HYPERCALLS) {
    lines.push(constant(`__HYPERVISOR_${h.name}`, h.nr));
    for (const op of h.subOps?.ops ?? []) lines.push(constant(op.name, op.nr));
  }
  for (const s of Object.values(STRUCTS)) lines.push(...structConstants(s as Struct));
  return lines.join('\n') + '\n';
}

const isXsm = (c: Check): c is XsmCheck => c.hook !== null;

/** Every hook of the table with its class, in order of first use. Throws on a row without a check or with a contradicting one. */
export function hooks(table: readonly Hypercall[] = HYPERCALLS): Map<string, XsmCheck> {
  const found = new Map<string, XsmCheck>();
  const seen = new Set<number>();
  for (const h of table) {
    if (seen.has(h.nr)) throw new Error(`hypercall ${h.nr} is listed twice`);
    seen.add(h.nr);
    if (h.check === 'by op' && !h.subOps) throw new Error(`${h.name}: no sub-ops to take checks from`);
    const rows: { name: string; check: Check }[] =
      h.check === 'by op' ? [...h.subOps!.ops] : [{ name: h.name, check: h.check }];
    for (const { name, check } of rows) {
      if (!check) throw new Error(`${name} has no access check`);
      if (!isXsm(check)) {
        if (!check.why) throw new Error(`${name}: say why nothing is checked`);
        continue;
      }
      const before = found.get(check.hook);
      if (before && (before.class !== check.class || before.by !== check.by))
        throw new Error(`${name}: ${check.hook} has two classes`);
      found.set(check.hook, check);
    }
  }
  return found;
}

/** Hooks that a handler must ask but that `source`, the handlers' text, never asks. A lint of the core fails if there is one. */
export function unasked(source: string): string[] {
  const asked = new Set([...source.matchAll(/\bxsm_check\(\s*XSM_(\w+)/g)].map((m) => m[1]));
  const due = HYPERCALLS.filter((h) => h.status === 'supported').flatMap((h) =>
    h.check === 'by op' ? h.subOps!.ops.filter((op) => op.status === 'supported').map((op) => op.check) : [h.check],
  );
  const names = [...due, ...FURTHER_CHECKS]
    .filter(isXsm)
    .filter((c) => c.by === 'handler')
    .map((c) => c.hook);
  return [...new Set(names)].filter((hook) => !asked.has(hook));
}

function xsmModule(): string {
  const all = [...hooks(), ...FURTHER_CHECKS.map((c): [string, XsmCheck] => [c.hook, c])];
  const lines = [HEADER];
  XSM_CLASSES.forEach((c, i) => lines.push(constant(`XSM_CLASS_${c}`, i)));
  all.forEach(([hook], i) => lines.push(constant(`XSM_${hook}`, i)));
  lines.push(constant('XSM_NR_HOOKS', all.length));
  lines.push(
    '',
    "/** The default policy's class of a hook; -1 for an unknown one. */",
    'export function xsm_class(hook: i32): i32 {',
  );
  lines.push('  switch (hook) {');
  for (const c of XSM_CLASSES) {
    const of = all.filter(([, check]) => check.class === c);
    if (of.length === 0) continue;
    lines.push(...of.map(([hook]) => `    case XSM_${hook}:`), `      return XSM_CLASS_${c};`);
  }
  lines.push('    default:', '      return -1;', '  }', '}');
  return lines.join('\n') + '\n';
}

const CAST: Record<ArgType, { type: string; cast: (a: string) => string }> = {
  op: { type: 'u32', cast: (a) => `<u32>${a}` },
  u32: { type: 'u32', cast: (a) => `<u32>${a}` },
  i32: { type: 'i32', cast: (a) => `<i32>${a}` },
  domid: { type: 'u32', cast: (a) => `<u32>${a} & 0xffff` },
  u64: { type: 'u64', cast: (a) => a },
  ptr: { type: 'u64', cast: (a) => a },
  i64: { type: 'i64', cast: (a) => `<i64>${a}` },
};

const gated = (h: Hypercall) => h.status === 'supported' && h.subOps !== undefined;
const verdict = (status: string) => (status === 'supported' ? '0' : `-${status}`);

/** What is answered before the handler runs: 0 to go on. */
function opAnswer(op: SubOp): string {
  if (op.pvOnly && op.status === 'supported') return 'return is_pv(d) ? 0 : -EOPNOTSUPP;';
  if (!isXsm(op.check) || op.check.by === 'handler') return `return ${verdict(op.status)};`;
  const check = `xsm_check(XSM_${op.check.hook}, d, null)`;
  return op.status === 'supported'
    ? `return ${check};`
    : `rc = ${check};\n      return rc != 0 ? rc : ${verdict(op.status)};`;
}

function gate(h: Hypercall): string {
  const { mask, unknown, ops } = h.subOps!;
  const answers = new Map<string, SubOp[]>();
  for (const op of ops) answers.set(opAnswer(op), [...(answers.get(opAnswer(op)) ?? []), op]);
  const cases = [...answers].map(
    ([answer, of]) => of.map((op) => `    case ${op.name}:`).join('\n') + `\n      ${answer}`,
  );
  const rc = [...answers.keys()].some((a) => a.startsWith('rc')) ? '  let rc: i32 = 0;\n' : '';
  const masked = mask === 0xffffffff ? 'cmd' : `cmd & ${mask}`;
  return `/** ${h.name}: 0 if the op may go to its handler, else the errno. Checks that need no target are made here. */
export function gate_${h.name}(d: Domain, cmd: u32): i32 {
${rc}  switch (${masked}) {
${cases.join('\n')}
    default:
      return -${unknown};
  }
}
`;
}

function dispatchCase(h: Hypercall): string {
  const guests = h.guests.map((g) => `GUEST_${g}`).join(' | ');
  const lines = [`    case __HYPERVISOR_${h.name}:`, `      if ((guest & (${guests})) == 0) return -ENOSYS;`];
  if (h.check !== 'by op' && isXsm(h.check) && h.check.by === 'dispatch') {
    lines.push(`      rc = xsm_check(XSM_${h.check.hook}, d, null);`, '      if (rc != 0) return rc;');
  }
  if (h.status !== 'supported') return [...lines, `      return -${h.status};`].join('\n');
  const index = h.args.findIndex(([, type]) => type === 'op');
  if (gated(h) && index >= 0)
    lines.push(`      rc = gate_${h.name}(d, <u32>a${index});`, '      if (rc != 0) return rc;');
  const args = h.args.map(([, type], i) => CAST[type].cast(`a${i}`));
  return [...lines, `      return do_${h.name}(${['d', 'v', ...args].join(', ')});`].join('\n');
}

const list = (names: string[]) => names.map((n) => `  ${n},\n`).join('');

/** Which argument is the handle of a structure, by the argument's type: what a trace shows of it. */
function handlesModule(): string {
  const rows = HYPERCALLS.map((h) => ({ nr: h.nr, at: h.args.findIndex(([, type]) => type === 'ptr') })).filter(
    ({ at }) => at >= 0,
  );
  const cases = [...new Set(rows.map(({ at }) => at))]
    .sort()
    .flatMap((at) => [
      ...rows.filter((row) => row.at === at).map(({ nr }) => `    case ${nr}:`),
      `      return ${at};`,
    ]);
  return `${HEADER}
/** Index of the argument that is a guest handle, -1 if there is none. */
export function hypercall_handle(nr: u32): i32 {
  switch (nr) {
${cases.join('\n')}
    default:
      return -1;
  }
}
`;
}

function hypercallsModule(): string {
  const live = HYPERCALLS.filter((h) => h.status === 'supported');
  const body = [...live.filter(gated).map(gate).join('\n').split('\n'), ...HYPERCALLS.map(dispatchCase)].join('\n');
  const uses = (pattern: RegExp) => [...new Set([...body.matchAll(pattern)].map((m) => m[1]))].sort();
  const ops = live.flatMap((h) => (gated(h) ? h.subOps!.ops.map((o) => o.name) : []));
  const abi = [...uses(/-(E[A-Z0-9]+)\b/g), ...HYPERCALLS.map((h) => `__HYPERVISOR_${h.name}`), ...ops];
  const abiImports = [...new Set(['ENOSYS', ...abi])];
  const signatures = live.map(
    (h) =>
      `//   do_${h.name}(${['d: Domain', 'v: Vcpu', ...h.args.map(([n, t]) => `${n}: ${CAST[t].type}`)].join(', ')}): i64`,
  );
  return `${HEADER}
import { Domain, is_pv } from '../hypervisor/domain';
import { Vcpu } from '../hypervisor/vcpu';
import { xsm_check } from '../hypervisor/xsm';
import {
${list(live.map((h) => `do_${h.name}`))}} from '../hypervisor/hypercalls';
import {
${list(abiImports)}} from './abi';
import {
${list(uses(/\b(XSM_\w+)/g))}} from './xsm';

// Handlers, with the types they are called with:
${signatures.join('\n')}

${GUESTS.map((g, i) => constant(`GUEST_${g}`, 1 << i)).join('\n')}

${live.filter(gated).map(gate).join('\n')}
/** Runs hypercall \`nr\` for \`v\` of \`d\`, a domain of kind \`guest\` (one of GUEST_*). The result goes to the guest; errors are negative. */
export function hypercall_dispatch(
  d: Domain, v: Vcpu, guest: u32, nr: u32, a0: u64, a1: u64, a2: u64, a3: u64, a4: u64,
): i64 {
  let rc: i32 = 0;
  switch (nr) {
${HYPERCALLS.map(dispatchCase).join('\n')}
    default:
      return -ENOSYS;
  }
}
`;
}

/** The modules as text; the caller writes them. */
export function generateAbi(): Generated[] {
  return [
    { path: 'core/gen/abi.ts', text: abiModule() },
    { path: 'core/gen/xsm.ts', text: xsmModule() },
    { path: 'core/gen/hypercalls.ts', text: hypercallsModule() },
    { path: 'core/gen/handles.ts', text: handlesModule() },
    ...generateCompat(),
    ...generateCpuPolicy(),
  ];
}
