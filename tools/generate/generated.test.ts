/** Compiles the generated modules against small stand-ins for the rooms they call, and runs them. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERRNO } from '../../spec/abi/errno.ts';
import { HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import { CPUID, CPUID_PV, cpuid, DYNAMIC, type Dynamic } from '../../spec/x86/cpuid.ts';
import { MSRS, MSRS_PV } from '../../spec/x86/msr.ts';
import { generateAbi } from './abi.ts';

interface Core {
  memory: WebAssembly.Memory;
  hypercall(guest: number, nr: number, a0: bigint): bigint;
  leaf(leaf: number, subleaf: number, pv: number): void;
  read(nr: number): number;
  readPv(nr: number): number;
  writePv(nr: number, v: bigint): number;
  value(): bigint;
  write(nr: number, v: bigint): number;
  reset(): void;
}

const NAMES = Object.keys(DYNAMIC) as Dynamic[];
/** A value that shows in its place without spilling over. */
const dynamic = (name: Dynamic) => (name === 'osxsave' || name === 'apic_enabled' ? 1 : NAMES.indexOf(name) + 2);
const fields = () => [
  ...new Set(MSRS.flatMap((m) => (m.source !== 'fault' && 'state' in m.source ? [m.source.state] : []))),
];
/** An array's first field is followed by the others. */
const FIELD_SLOTS: Record<string, number> = { mtrr_fixed1: 2, mtrr_fixed3: 8, mtrr_var0: 16 };

/** Stand-ins: a handler answers 1000 + its number; the policy refuses the classes below HOOK and TARGET with -EPERM. */
function standIns(generated: string): Record<string, string> {
  const slots = fields().flatMap((f) =>
    Array.from({ length: FIELD_SLOTS[f] ?? 1 }, (_, i) => `${f}${i ? `_${i}` : ''}: u64;`),
  );
  const handlers = [...generated.matchAll(/^\/\/   (do_(\w+)\(.*)$/gm)].map(([, signature, name]) => {
    return `export function ${signature} { return ${1000 + HYPERCALLS.find((h) => h.name === name)!.nr}; }`;
  });
  const special = [
    ...new Set(
      [...MSRS, ...MSRS_PV]
        .flatMap((m) => [m.source, m.sink])
        .flatMap((x) => (typeof x === 'object' && ('read' in x || 'write' in x) ? [x] : [])),
    ),
  ];
  const functions = special.map((s) =>
    'read' in s
      ? `export function msr_read_${s.read}(cpu: Cpu, nr: u32): bool { special_value = nr; return true; }`
      : `export function msr_write_${(s as { write: string }).write}(cpu: Cpu, nr: u32, v: u64): bool { return v == nr; }`,
  );
  const domain = '@unmanaged export class Domain { id: u32; } export function is_pv(d: Domain): bool { return false; }';
  const vcpu = '@unmanaged export class Vcpu { id: u32; }';
  const imports = "import { Domain } from './domain'; import { Vcpu } from './vcpu';";
  const cpu = "import { Cpu } from './cpu';";
  return {
    'core/hypervisor/domain.ts': domain,
    'core/hypervisor/vcpu.ts': vcpu,
    'core/hypervisor/hypercalls.ts': [imports, ...handlers].join('\n'),
    'core/hypervisor/xsm.ts': `${imports} import { xsm_class, XSM_CLASS_TARGET } from '../gen/xsm';
export function xsm_check(hook: i32, s: Domain, t: Domain | null): i32 { const c = xsm_class(hook); return c < 0 || c > XSM_CLASS_TARGET ? -1 : 0; }`,
    'core/arch/x86/cpu.ts': `@unmanaged export class Cpu { ${slots.join(' ')} }`,
    'core/arch/x86/limits.ts':
      'export function canonical(va: u64): bool { return ((<i64>va << 16) >> 16) == <i64>va; }',
    'core/arch/x86/cpuid_values.ts': [
      cpu,
      ...NAMES.map((n) => `export function cpuid_${n}(cpu: Cpu): u32 { return ${dynamic(n)}; }`),
    ].join('\n'),
    'core/arch/x86/msr_special.ts': [cpu, 'export let special_value: u64 = 0;', ...new Set(functions)].join('\n'),
    'entry.ts': `import { hypercall_dispatch } from './core/gen/hypercalls';
import { cpuid_leaf, cpuid_leaf_pv } from './core/gen/cpuid';
import { msr_read, msr_read_pv, msr_reset, msr_value, msr_write, msr_write_pv } from './core/gen/msr';
import { Cpu } from './core/arch/x86/cpu';
import { Domain } from './core/hypervisor/domain';
import { Vcpu } from './core/hypervisor/vcpu';
const cpu = changetype<Cpu>(<usize>4096);
export function hypercall(g: u32, nr: u32, a0: u64): i64 { return hypercall_dispatch(changetype<Domain>(<usize>8), changetype<Vcpu>(<usize>16), g, nr, a0, 0, 0, 0, 0); }
export function leaf(l: u32, s: u32, pv: i32): void { if (pv) cpuid_leaf_pv(cpu, l, s, 64); else cpuid_leaf(cpu, l, s, 64); }
export function read(nr: u32): bool { return msr_read(cpu, nr); }
export function readPv(nr: u32): bool { return msr_read_pv(cpu, nr); }
export function writePv(nr: u32, v: u64): bool { return msr_write_pv(cpu, nr, v); }
export function value(): u64 { return msr_value; }
export function write(nr: u32, v: u64): bool { return msr_write(cpu, nr, v); }
export function reset(): void { msr_reset(cpu); }`,
  };
}

const root = fileURLToPath(new URL('../..', import.meta.url));
let dir: string;
let core: Core;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'xenolith-generated-'));
  const generated = generateAbi();
  const files = {
    ...Object.fromEntries(generated.map((g) => [g.path, g.text])),
    ...standIns(generated.find((g) => g.path.endsWith('hypercalls.ts'))!.text),
  };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
  const asc = join(root, 'node_modules/assemblyscript/bin/asc.js');
  const flags = ['--runtime', 'stub', '--initialMemory', '1', '-O1'];
  execFileSync(process.execPath, [asc, 'entry.ts', '-o', 'out.wasm', ...flags], {
    cwd: dir,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const wasm = new Uint8Array(readFileSync(join(dir, 'out.wasm')));
  const { instance } = await WebAssembly.instantiate(wasm, { env: { abort: () => assert.fail('abort') } });
  core = instance.exports as unknown as Core;
});
after(() => rmSync(dir, { recursive: true, force: true }));

const HVM = 1;
const PV = 2;
const SERVICE = 8;
const callerOf = (h: (typeof HYPERCALLS)[number]): number =>
  h.guests.includes('hvm') ? HVM : h.guests.includes('pv') ? PV : SERVICE;

test('every hypercall answers as its row says', () => {
  for (const h of HYPERCALLS) {
    const guest = callerOf(h);
    const register = h.subOps?.in === 'register' && h.status === 'supported';
    if (register) continue;
    const expected = h.status === 'supported' ? BigInt(1000 + h.nr) : null;
    const got = core.hypercall(guest, h.nr, 0n);
    if (expected !== null) assert.equal(got, expected, h.name);
    else assert.ok(got === BigInt(-ERRNO[h.status as keyof typeof ERRNO]) || got === -1n, `${h.name}: ${got}`);
    if (!h.guests.includes('hvm')) assert.equal(core.hypercall(HVM, h.nr, 0n), -38n, h.name);
  }
  for (const nr of [11, 31, 38, 43, 63, 0xffffffff]) assert.equal(core.hypercall(HVM, nr, 0n), -38n);
});

test('every op in a register answers as its row says', () => {
  for (const h of HYPERCALLS) {
    if (h.subOps?.in !== 'register' || h.status !== 'supported') continue;
    for (const op of h.subOps.ops) {
      const got = core.hypercall(callerOf(h), h.nr, BigInt(op.nr));
      const refused =
        op.check.hook !== null &&
        op.check.by === 'dispatch' &&
        op.check.class !== 'HOOK' &&
        op.check.class !== 'TARGET';
      const expected = refused ? -1 : op.status === 'supported' ? 1000 + h.nr : -ERRNO[op.status];
      assert.equal(got, BigInt(expected), op.name);
    }
    const free = Array.from({ length: 64 }, (_, i) => i).find((i) => !h.subOps!.ops.some((o) => o.nr === i))!;
    const guest = callerOf(h);
    assert.equal(core.hypercall(guest, h.nr, BigInt(free)), BigInt(-ERRNO[h.subOps.unknown]), `${h.name} ${free}`);
  }
  // A continued call keeps its op: XENMEM_populate_physmap from extent 5.
  assert.equal(core.hypercall(HVM, 12, (5n << 6n) | 6n), 1012n);
});

test('CPUID: the code agrees with the table', () => {
  const leaves = [
    ...new Set(CPUID.map((r) => r.leaf)),
    3,
    5,
    0xe,
    0x1f,
    0x40000006,
    0x40000100,
    0x80000009,
    0xffffffff,
  ];
  for (const leaf of leaves) {
    for (const subleaf of [0, 1, 2, 3, 0x105, 0xffffffff]) {
      for (const [pv, policy] of [CPUID, CPUID_PV].entries()) {
        core.leaf(leaf, subleaf, pv);
        const got = [...new Uint32Array(core.memory.buffer, 64, 4)];
        assert.deepEqual(got, cpuid(leaf, subleaf, dynamic, policy), `${leaf.toString(16)}.${subleaf.toString(16)}`);
      }
    }
  }
  core.leaf(7, 0, 1);
  assert.equal(new Uint32Array(core.memory.buffer, 64, 4)[1] & (1 << 7), 0, 'a PV guest has no SMEP');
});

test('MSRs: reads, writes, masks, checks', () => {
  core.reset();
  const read = (nr: number) => (core.read(nr) ? BigInt.asUintN(64, core.value()) : 'fault');
  const write = (nr: number, v: bigint) => core.write(nr, v) !== 0;
  assert.equal(read(0x277), 0x0007040600070406n);
  assert.equal(read(0x1a0), 0x1801n);
  assert.equal(read(0xfe), 0x508n);
  assert.equal(read(0x2ff), 0x806n);
  assert.equal(read(0x49), 'fault');
  assert.equal(read(0xc0010015), 'fault');
  assert.ok(write(0x1a0, 0xffffffff00000000n) && read(0x1a0) === 0x1800n, 'read-only bits stay');
  assert.ok(write(0x48, 3n) && read(0x48) === 3n && !write(0x48, 4n) && read(0x48) === 3n);
  assert.ok(write(0x49, 1n) && !write(0x49, 2n));
  assert.ok(!write(0x10a, 0n) && !write(0x3b, 0n));
  assert.ok(write(0xc0000082, 0xffffffff81000000n) && !write(0xc0000082, 1n << 47n));
  assert.ok(write(0xc0000103, 0xffffffffn) && !write(0xc0000103, 1n << 32n));
  assert.ok(write(0x277, 0x0100050600070406n) && !write(0x277, 2n) && !write(0x277, 0x0800000000000000n));
  assert.ok(write(0x2ff, 0xc06n) && !write(0x2ff, 0xc07n) && !write(0x2ff, 0x1000n));
  // Each variable and fixed range has a place of its own.
  for (let i = 0; i < 8; i++) {
    assert.ok(write(0x200 + 2 * i, (BigInt(i) << 12n) | 6n) && write(0x201 + 2 * i, (BigInt(i) << 13n) | 0x800n));
    assert.ok(write(0x268 + i, BigInt(i % 2) * 0x0606060606060606n));
  }
  for (let i = 0; i < 8; i++) {
    assert.equal(read(0x200 + 2 * i), (BigInt(i) << 12n) | 6n);
    assert.equal(read(0x201 + 2 * i), (BigInt(i) << 13n) | 0x800n);
    assert.equal(read(0x268 + i), BigInt(i % 2) * 0x0606060606060606n);
  }
  assert.ok(!write(0x200, 2n) && !write(0x200, 1n << 46n) && !write(0x201, 1n));
  assert.ok(!write(0x250, 0x0200000000000000n));
  for (const nr of [0x200, 0x2ff, 0x800, 0xc0000081, 0xc0000082]) assert.equal(core.readPv(nr), 0, 'not of a PV guest');
  assert.ok(core.readPv(0x277) && BigInt.asUintN(64, core.value()) === 0x050100070406n && !core.writePv(0x277, 0n));
  assert.ok(
    core.writePv(0x1a0, 0n) && core.readPv(0x1a0) && BigInt.asUintN(64, core.value()) === 0x1800n,
    'not changed',
  );
  assert.ok(write(0x80b, 0x80bn) && !write(0x80b, 1n) && read(0x802) === 0x802n, 'x2APIC goes to its functions');
});
