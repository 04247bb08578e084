// Event delivery, far transfers, system calls, saved state and the local APIC against the layouts and rules of the manual.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, normalize, relative } from 'node:path';
import { before, beforeEach, test } from 'node:test';

const ROOT = join(import.meta.dirname, '../../..');
const BASE = 0x100000;
const FRAMES = 64;
const CPU = 0x20000;
const UOP = 0x30100;

const STUBS: Record<string, string> = {
  'core/hypervisor/engine.ts': `
    import { Cpu } from '../arch/x86/cpu';
    export let engine_frame_writable: bool = true;
    export let engine_port_value: u32 = 0;
    export function engine_gfn_frame(cpu: Cpu, gfn: u64, write: bool): u32 {
      return gfn >= ${FRAMES} ? 0xffffffff : ${BASE >> 12} + <u32>gfn;
    }
    export function engine_mmio(cpu: Cpu, gpa: u64, size: i32, write: bool, data: usize): i32 { return 0; }
    export function engine_port(cpu: Cpu, port: u32, size: i32, write: bool, value: u32): i32 { return 0; }
    export function engine_tsc(cpu: Cpu): u64 { return cpu.retired; }
    export function engine_domain(cpu: Cpu): u32 { return 1; }
    export function engine_upcall_vector(cpu: Cpu): i32 { return -1; }
    export function engine_is_table(cpu: Cpu, mfn: u64, level: i32): bool { return false; }
    export function engine_table_walked(cpu: Cpu, mfn: u32, va: u64): void {}
    export function engine_io_bitmap(cpu: Cpu, va: u64): u32 { return 0; }
    export function engine_new_root(cpu: Cpu, mfn: u64): i32 { return -1; }
    export function engine_store_entry(cpu: Cpu, ma: u64, mask: u64, old: u64, value: u64): i32 { return -1; }`,
  'core/arch/x86/pv/bounce.ts': `
    import { Cpu } from '../cpu';
    export function pv_deliver(cpu: Cpu, vector: u32, error: u32, kind: u32): i32 { return 0; }
    export function pv_interrupt(cpu: Cpu, vector: u32, kind: u32, next: u64): i32 { return 1; }`,
  'core/arch/x86/pv/syscall.ts': `
    import { Cpu } from '../cpu';
    export function pv_syscall(cpu: Cpu, next: u64): i32 { return 1; }
    export function pv_sysenter(cpu: Cpu): i32 { return 1; }`,
  'core/arch/x86/pv/descriptors.ts': `
    import { Cpu } from '../cpu';
    export let pv_found: u64 = 0;
    export function pv_inside(cpu: Cpu, selector: u32): bool { return false; }
    export function pv_read_descriptor(cpu: Cpu, selector: u32, vector: u32, ext: u32): bool { return false; }
    export function pv_set_accessed(cpu: Cpu, selector: u32): bool { return false; }`,
  'core/arch/x86/pv/window.ts': `
    import { Cpu } from '../cpu';
    export function pv_reserved(cpu: Cpu, va: u64): bool { return false; }
    export function pv_window_frame(cpu: Cpu, va: u64): u32 { return 0; }`,
  'core/engine/code_writes.ts': `
    export function code_in(mfn: u32): bool { return false; }
    export function code_written(p: usize, len: u32): bool { return true; }`,
  'core/translator/regions.ts': `
    export function regions_changed(): void {}
    export function regions_space(): u64 { return 0; }
    export function regions_globals(): u64 { return 0; }
    export function regions_enter(known: u64): void {}
    export function regions_enter_globals(known: u64): void {}
    export function regions_unmapped(va: u64): void {}`,
  'core/arch/x86/identity.ts': `
    import { Cpu } from './cpu';
    export function apic_id(cpu: Cpu): u32 { return 0; }
    export function tsc_khz(cpu: Cpu): u32 { return 1000000; }`,
  'core/gen/cpuid.ts': `
    export function cpuid_leaf(c: usize, l: u32, s: u32, o: usize): void {}
    export function cpuid_leaf_pv(c: usize, l: u32, s: u32, o: usize): void {}`,
  'core/gen/msr.ts': `
    export let msr_value: u64 = 0;
    export function msr_read(c: usize, n: u32): bool { return false; }
    export function msr_write(c: usize, n: u32, v: u64): bool { return false; }
    export function msr_read_pv(c: usize, n: u32): bool { return false; }
    export function msr_write_pv(c: usize, n: u32, v: u64): bool { return false; }`,
  'core/hypervisor/hypercall_page.ts': 'export function hypercall_page_write(c: usize, v: u64): bool { return false; }',
};

type Exports = Record<string, (...args: (number | bigint)[]) => number> & Record<string, WebAssembly.Global>;
let core: Exports;
const memory = new WebAssembly.Memory({ initial: 1024, maximum: 1024, shared: true });
const view = new DataView(memory.buffer);
const at = (name: string) => CPU + (core[name] as unknown as WebAssembly.Global).value;
const get = (name: string) => view.getBigUint64(at(name), true);
const set = (name: string, v: bigint) => view.setBigUint64(at(name), v, true);
const get32 = (name: string) => view.getUint32(at(name), true);
const set32 = (name: string, v: number) => view.setUint32(at(name), v, true);
const REGS = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11'];
const reg = (name: string) => view.getBigUint64(CPU + 8 * REGS.indexOf(name), true);
const setReg = (name: string, v: bigint) => view.setBigUint64(CPU + 8 * REGS.indexOf(name), v, true);
const g64 = (va: number) => view.getBigUint64(BASE + va, true);
const p64 = (va: number, v: bigint) => view.setBigUint64(BASE + va, v, true);
const selector = (i: number) => view.getUint16(at('SEGMENTS') + 16 * i, true);
const [ES, CS, SS, DS] = [0, 1, 2, 3];

before(async () => {
  const name: string = 'assemblyscript/asc';
  const { main } = await import(name);
  let wasm = new Uint8Array();
  const readFile = (file: string, base: string) => {
    const path = normalize(join(base, file));
    const stub = STUBS[relative(ROOT, path)];
    if (stub) return stub;
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return null;
    }
  };
  const flags = [
    '--runtime',
    'stub',
    '--importMemory',
    '--sharedMemory',
    '--initialMemory',
    '1',
    '--maximumMemory',
    '1024',
  ];
  const { error, stderr } = await main(
    [
      'core/arch/x86/system_entry.ts',
      '--baseDir',
      ROOT,
      '--outFile',
      'system.wasm',
      ...flags,
      '--enable',
      'threads',
      '-O1',
    ],
    { readFile, writeFile: (_: string, data: Uint8Array) => void (wasm = data), listFiles: () => [] },
  );
  assert.equal(error, null, stderr.toString());
  const env = { memory, abort: () => assert.fail('abort') };
  const { instance } = await WebAssembly.instantiate(wasm as BufferSource, { env });
  core = instance.exports as unknown as Exports;
});

// Guest memory: page tables at 0x1000, GDT 0x4000, IDT 0x5000, TSS 0x6000, stacks below 0xa000 (kernel), 0xc000 (IST), 0xe000 (user).
const KCODE = 0x08, KDATA = 0x10, UCODE32 = 0x1b, UDATA = 0x23, UCODE = 0x2b, TSS = 0x30, KCODE32 = 0x40, GATE = 0x48; // prettier-ignore
const HANDLER = 0x7000;
const flat = (access: number, flags: number) =>
  0xffffn | (0xfn << 48n) | (BigInt(access) << 40n) | (BigInt(flags) << 52n);

function gate(vector: number, access: number, ist = 0, target = HANDLER + vector * 16, cs = KCODE): void {
  const low = BigInt(target & 0xffff) | (BigInt(cs) << 16n) | (BigInt(ist) << 32n) | (BigInt(access) << 40n);
  p64(0x5000 + vector * 16, low | (BigInt(target >>> 16) << 48n));
  p64(0x5000 + vector * 16 + 8, 0n);
}

function gate32(vector: number, access: number, cs = KCODE32): void {
  p64(0x5000 + vector * 8, BigInt(HANDLER + vector * 16) | (BigInt(cs) << 16n) | (BigInt(access) << 40n));
}

/** The micro-op of the next instruction: at 0x2010 in CS, 2 bytes long. */
function micro(o: { r?: number; b?: number; m?: number; disp?: number; imm?: number } = {}): void {
  view.setUint16(UOP + 2, 0x010 | (2 << 12), true);
  [o.r ?? 0, o.b ?? 128, 128, o.m ?? 0].forEach((v, i) => view.setUint8(UOP + 4 + i, v));
  view.setInt32(UOP + 8, o.disp ?? 0, true);
  view.setInt32(UOP + 12, o.imm ?? 0, true);
}
const MEM = 0x40 | (7 << 2);

function descriptors(): void {
  const rows: [number, bigint][] = [
    [KCODE, flat(0x9b, 0xa)], [KDATA, flat(0x93, 0xc)], [UCODE32, flat(0xfb, 0xc)], [UDATA, flat(0xf3, 0xc)],
    [UCODE, flat(0xfb, 0xa)], [KCODE32, flat(0x9b, 0xc)],
  ]; // prettier-ignore
  for (const [s, d] of rows) p64(0x4000 + (s & ~7), d);
  p64(0x4000 + TSS, 0x67n | (0x6000n << 16n) | (0x89n << 40n));
  p64(0x4000 + TSS + 8, 0n);
  set('GDT_BASE', 0x4000n);
  set32('GDT_LIMIT', 0x7f);
  set('IDT_BASE', 0x5000n);
  set32('IDT_LIMIT', 0xfff);
}

function segmentIs(i: number, s: number, attr: number, limit = 0xffffffff, base = 0n): void {
  const p = at('SEGMENTS') + 16 * i;
  view.setUint16(p, s, true);
  view.setUint16(p + 2, attr, true);
  view.setUint32(p + 4, limit, true);
  view.setBigUint64(p + 8, base, true);
}

beforeEach(() => {
  new Uint8Array(memory.buffer, CPU, 0x2000).fill(0);
  new Uint8Array(memory.buffer, BASE, FRAMES * 4096).fill(0);
  core.attach();
});

/** 64-bit mode, identity-mapped with user rights. */
function long(cpl: 0 | 3): void {
  p64(0x1000, 0x2007n);
  p64(0x2000, 0x3007n);
  p64(0x3000, 0x87n);
  descriptors();
  p64(0x6004, 0xa000n);
  p64(0x6024, 0xc000n);
  set('CR0', 0x80050033n);
  set('CR3', 0x1000n);
  set('CR4', 0x40620n);
  set('EFER', 0xd01n);
  core.flags(0x202n);
  set('RIP', 0x2010n);
  set('PAGE_VA', 0x2000n);
  set32('CPL', cpl);
  segmentIs(CS, cpl ? UCODE : KCODE, cpl ? 0xafb : 0xa9b);
  segmentIs(SS, cpl ? UDATA : KDATA, cpl ? 0xcf3 : 0xc93);
  segmentIs(DS, UDATA, 0xcf3);
  segmentIs(7, TSS, 0x8b, 0x67, 0x6000n);
  setReg('rsp', cpl ? 0xe008n : 0x9008n);
  core.sync();
  micro();
}

/** 32-bit protected mode without paging. */
function protected32(cpl: 0 | 3): void {
  descriptors();
  view.setUint32(BASE + 0x6004, 0xa000, true);
  view.setUint32(BASE + 0x6008, KDATA, true);
  set('CR0', 0x33n);
  core.flags(0x202n);
  set('RIP', 0x2010n);
  set('PAGE_VA', 0x2000n);
  set32('CPL', cpl);
  segmentIs(CS, cpl ? UCODE32 : KCODE32, cpl ? 0xcfb : 0xc9b);
  for (const i of [SS, DS, ES]) segmentIs(i, cpl ? UDATA : KDATA, cpl ? 0xcf3 : 0xc93);
  segmentIs(7, TSS, 0x8b, 0x67, 0x6000n);
  setReg('rsp', cpl ? 0xe008n : 0x9008n);
  core.sync();
  micro();
}

const frame = (va: number, n: number) => Array.from({ length: n }, (_, i) => g64(va + 8 * i));
const frame32 = (va: number, n: number) => Array.from({ length: n }, (_, i) => view.getUint32(BASE + va + 4 * i, true));
const pending = () => [get32('EXIT'), get32('EXC_VECTOR'), get32('EXC_ERROR')];

test('64-bit: a page fault of user code and IRETQ back', () => {
  long(3);
  gate(14, 0x8e);
  assert.equal(core.exception(14, 7, 1), 0);
  // SDM figure 6-9: SS, RSP, RFLAGS (RF set), CS, RIP, error code on the stack that TSS.RSP0 names
  assert.equal(reg('rsp'), 0xa000n - 48n);
  assert.deepEqual(frame(0xa000 - 48, 6), [7n, 0x2010n, BigInt(UCODE), 0x10202n, 0xe008n, BigInt(UDATA)]);
  assert.equal(get('RIP'), BigInt(HANDLER + 14 * 16));
  assert.deepEqual([get32('CPL'), selector(CS), selector(SS)], [0, KCODE, 0]);
  assert.equal(get('RFLAGS'), 2n);
  setReg('rsp', reg('rsp') + 8n);
  assert.equal(core.iret64(), 1);
  assert.deepEqual([get('RIP'), reg('rsp'), get('RFLAGS')], [0x2010n, 0xe008n, 0x10202n]);
  assert.deepEqual([get32('CPL'), selector(CS), selector(SS), get32('EXIT')], [3, UCODE, UDATA, 0]);
});

test('64-bit: stack alignment, trap gates, interrupt stacks', () => {
  long(0);
  gate(3, 0x8f);
  assert.equal(core.interrupt(3), 0);
  assert.equal(reg('rsp'), 0x9000n - 40n, 'RSP is aligned to 16 before the frame');
  assert.deepEqual(frame(0x9000 - 40, 5), [0x2010n, BigInt(KCODE), 0x202n, 0x9008n, BigInt(KDATA)]);
  assert.equal(get('RFLAGS'), 0x202n, 'a trap gate leaves IF');
  assert.equal(selector(SS), KDATA, 'SS stays without a change of privilege');
  long(0);
  gate(8, 0x8e, 1);
  assert.equal(core.exception(8, 0, 1), 0);
  assert.equal(reg('rsp'), 0xc000n - 48n);
  assert.equal(g64(0xc000 - 48 + 24), 0x202n, 'an abort pushes RF as it is');
});

test('64-bit: an absent gate is #NP, contributory faults double, the third shuts down', () => {
  long(3);
  gate(6, 0x0e);
  gate(11, 0x8e);
  assert.equal(core.exception(6, 0, 0), 0);
  assert.equal(get('RIP'), BigInt(HANDLER + 11 * 16));
  assert.equal(g64(Number(reg('rsp'))), 6n * 8n + 3n, 'IDT and EXT bits');
  long(3);
  gate(13, 0x0e);
  gate(8, 0x8e);
  assert.equal(core.exception(13, 0x18, 1), 0);
  assert.equal(get('RIP'), BigInt(HANDLER + 8 * 16));
  assert.equal(g64(Number(reg('rsp'))), 0n);
  long(3);
  gate(8, 0x0e);
  assert.equal(core.exception(13, 0, 1), 5, 'EXIT_SHUTDOWN');
});

test('64-bit: a page fault on the new stack during #GP is delivered as a page fault', () => {
  long(3);
  gate(13, 0x8e);
  gate(14, 0x8e, 1);
  p64(0x6004, 0x40000000n);
  assert.equal(core.exception(13, 0, 1), 0);
  assert.equal(get('RIP'), BigInt(HANDLER + 14 * 16));
  assert.equal(get('CR2') & ~0xfffn, 0x3ffff000n);
  assert.equal(g64(Number(reg('rsp'))), 2n, 'a supervisor write');
});

test('64-bit: INT n looks at the gate DPL and reports without EXT', () => {
  long(3);
  gate(0x80, 0x8e);
  micro({ imm: 0x80 });
  assert.equal(core.int(), 1);
  assert.deepEqual(pending(), [1, 13, 0x80 * 8 + 2]);
  assert.deepEqual([get('RIP'), get32('CPL'), reg('rsp')], [0x2010n, 3, 0xe008n]);
  gate(0x80, 0xee);
  assert.equal(core.int(), 1);
  assert.equal(get32('EXIT'), 0);
  assert.equal(g64(0xa000 - 40), 0x2012n, 'returns behind the instruction');
});

test('SYSCALL and SYSRET', () => {
  long(3);
  set('STAR', (BigInt(UCODE32) << 48n) | (BigInt(KCODE) << 32n));
  set('LSTAR', 0xffffffff81000000n);
  set('SFMASK', 0x47700n);
  core.flags(0x40202n);
  core.sync();
  assert.equal(core.syscall(), 1);
  assert.deepEqual([get('RIP'), reg('rcx'), reg('r11')], [0xffffffff81000000n, 0x2012n, 0x40202n]);
  assert.deepEqual([get32('CPL'), selector(CS), selector(SS), get('RFLAGS')], [0, KCODE, KDATA, 2n]);
  setReg('rcx', 0x800000000000n);
  assert.equal(core.sysret64(), 1);
  assert.deepEqual([...pending(), get32('CPL')], [1, 13, 0, 0], 'not canonical: #GP(0) in the kernel');
  setReg('rcx', 0x2012n);
  assert.equal(core.sysret64(), 1);
  assert.deepEqual([get('RIP'), get32('CPL'), selector(CS), selector(SS)], [0x2012n, 3, UCODE, UDATA]);
  assert.equal(get('RFLAGS'), 0x40202n);
});

test('SYSENTER from compatibility mode and SYSEXIT', () => {
  long(3);
  segmentIs(CS, UCODE32, 0xcfb);
  core.sync();
  set('SYSENTER_CS', BigInt(KCODE));
  set('SYSENTER_ESP', 0x9f00n);
  set('SYSENTER_EIP', 0x7000n);
  assert.equal(core.sysenter(), 1);
  assert.deepEqual([get('RIP'), reg('rsp'), get32('CPL'), get('RFLAGS')], [0x7000n, 0x9f00n, 0, 2n]);
  setReg('rdx', 0x2012n);
  setReg('rcx', 0xe000n);
  assert.equal(core.sysexit64(), 1);
  assert.deepEqual([get('RIP'), reg('rsp'), selector(CS), selector(SS)], [0x2012n, 0xe000n, KCODE + 35, KCODE + 43]);
  set32('CPL', 3);
  core.sync();
  assert.equal(core.sysexit64(), 1);
  assert.deepEqual(pending(), [1, 13, 0]);
});

test('IRETQ refuses bad selectors and non-canonical addresses', () => {
  const cases: [string, bigint[], number, number][] = [
    ['null CS', [0x2000n, 0n, 2n, 0xe000n, BigInt(UDATA)], 13, 0],
    ['data as CS', [0x2000n, BigInt(UDATA), 2n, 0xe000n, BigInt(UDATA)], 13, UDATA & ~3],
    ['RPL does not match DPL', [0x2000n, BigInt(KCODE | 3), 2n, 0xe000n, BigInt(UDATA)], 13, KCODE],
    ['RIP', [0x1000000000000n, BigInt(UCODE), 2n, 0xe000n, BigInt(UDATA)], 13, 0],
    ['SS of another privilege', [0x2000n, BigInt(UCODE), 2n, 0xe000n, BigInt(KDATA)], 13, KDATA],
    ['null SS for privilege 3', [0x2000n, BigInt(UCODE), 2n, 0xe000n, 3n], 13, 0],
    ['beyond the GDT', [0x2000n, 0x1003n, 2n, 0xe000n, BigInt(UDATA)], 13, 0x1000],
  ];
  for (const [what, image, vector, error] of cases) {
    long(0);
    image.forEach((v, i) => p64(0x9008 + 8 * i, v));
    assert.equal(core.iret64(), 1, what);
    assert.deepEqual([...pending(), reg('rsp'), get32('CPL')], [1, vector, error, 0x9008n, 0], what);
  }
});

test('32-bit: an interrupt of user code and IRET back', () => {
  protected32(3);
  gate32(0x20, 0x8e);
  assert.equal(core.interrupt(0x20), 0);
  assert.deepEqual(frame32(0xa000 - 20, 5), [0x2010, UCODE32, 0x202, 0xe008, UDATA]);
  assert.deepEqual([reg('rsp'), selector(SS), selector(CS), get32('CPL')], [0xa000n - 20n, KDATA, KCODE32, 0]);
  assert.equal(core.segment(DS, KDATA), 0);
  assert.equal(core.iret32(), 1);
  assert.deepEqual([get('RIP'), reg('rsp'), get32('CPL'), selector(CS)], [0x2010n, 0xe008n, 3, UCODE32]);
  assert.equal(selector(DS), 0, 'a data segment of privilege 0 is cleared');
  assert.equal(selector(ES), UDATA);
});

test('32-bit: far call, far return, and a call gate to an inner privilege', () => {
  protected32(3);
  micro({ disp: 0x3000, imm: UCODE32 });
  assert.equal(core.callf32(), 1);
  assert.deepEqual([get('RIP'), ...frame32(0xe000, 2)], [0x3000n, 0x2012, UCODE32]);
  assert.equal(core.retf32(), 1);
  assert.deepEqual([get('RIP'), reg('rsp')], [0x2012n, 0xe008n]);
  // A gate of DPL 3 with two parameters
  p64(0x4000 + GATE, 0x7770n | (BigInt(KCODE32) << 16n) | (2n << 32n) | (0xecn << 40n));
  view.setUint32(BASE + 0xe008, 0x11111111, true);
  view.setUint32(BASE + 0xe00c, 0x22222222, true);
  micro({ disp: 0, imm: GATE | 3 });
  assert.equal(core.callf32(), 1);
  assert.deepEqual([get('RIP'), get32('CPL'), reg('rsp')], [0x7770n, 0, 0xa000n - 24n]);
  assert.deepEqual(frame32(0xa000 - 24, 6), [0x2012, UCODE32, 0x11111111, 0x22222222, 0xe008, UDATA]);
  protected32(3);
  micro({ disp: 0, imm: KCODE32 });
  assert.equal(core.jmpf32(), 1);
  assert.deepEqual(pending(), [1, 13, KCODE32]);
});

test('real mode: IVT and IRET', () => {
  set('CR0', 0x10n);
  core.flags(0x302n);
  set('RIP', 0x2010n);
  set32('IDT_LIMIT', 0x3ff);
  for (const i of [CS, SS, DS, ES]) segmentIs(i, 0, 0x93, 0xffff);
  segmentIs(SS, 0x100, 0x93, 0xffff, 0x1000n);
  setReg('rsp', 0x12340002n);
  core.sync();
  view.setUint32(BASE + 0x40, 0x0300_0055, true);
  assert.equal(core.interrupt(0x10), 0);
  assert.deepEqual([get('RIP'), selector(CS), reg('rsp')], [0x55n, 0x300, 0x1234fffcn]);
  assert.equal(view.getUint16(BASE + 0x1000 + 0, true), 0x302, 'the stack wraps at 64 KiB');
  assert.equal(view.getUint16(BASE + 0x1000 + 0xfffc, true), 0x2010);
  assert.equal(get('RFLAGS'), 2n);
  assert.equal(core.iret16(), 1);
  assert.deepEqual([get('RIP'), selector(CS), reg('rsp'), get('RFLAGS')], [0x2010n, 0, 0x12340002n, 0x302n]);
});

test('POPF changes what the privilege allows', () => {
  long(3);
  p64(0xe008, 0xffffffffn);
  assert.equal(core.popf64(), 1, 'TF leaves the loop');
  assert.equal(get('RFLAGS'), 0x244702n | 0x200n, 'IF stays, IOPL is not for privilege 3');
  assert.equal(reg('rsp'), 0xe010n);
  assert.equal(BigInt(core.rflags()), 0x244fd7n);
});

test('LAR, LSL, VERW, LTR', () => {
  long(0);
  micro({ r: 8, b: 0 });
  setReg('rax', BigInt(KCODE));
  assert.equal(core.lar(), 0);
  assert.equal(reg('rcx'), 0xa09b00n);
  assert.equal(core.lsl(), 0);
  assert.equal(reg('rcx'), 0xffffffffn);
  setReg('rax', 0x1000n);
  setReg('rcx', 5n);
  assert.equal(core.lar(), 0);
  assert.equal(reg('rcx'), 5n);
  setReg('rax', BigInt(TSS));
  assert.equal(core.ltr(), 0);
  assert.equal(view.getUint8(BASE + 0x4000 + TSS + 5), 0x8b, 'busy');
  assert.equal(core.ltr(), 1);
  assert.deepEqual(pending(), [1, 13, TSS], 'a busy TSS is refused');
});

test('MOV CR: illegal combinations', () => {
  const cases: [number, bigint][] = [
    [0, 0x80000000n], [0, 0x20000031n], [0, 1n << 32n], [3, 1n << 46n], [4, 0x600n], [4, 0x1000n << 8n | 0x800620n], [8, 16n], [0, 0x31n],
  ]; // prettier-ignore
  for (const [n, v] of cases) {
    long(0);
    setReg('rax', v);
    micro({ r: n * 8, b: 0 });
    assert.equal(core.mov_cr(), 1);
    assert.deepEqual(pending(), [1, 13, 0], `CR${n} = ${v.toString(16)}`);
  }
  long(0);
  setReg('rax', 0x1000n | 5n);
  micro({ r: 24, b: 0 });
  assert.equal(core.mov_cr(), 1);
  assert.deepEqual([get32('EXIT'), get('CR3'), get('RIP')], [0, 0x1005n, 0x2012n]);
});

test('FXSAVE, XSAVE and their restores', () => {
  long(0);
  set('XCR0', 3n);
  const state = new Uint8Array(memory.buffer, CPU + 1152, 416);
  for (let i = 0; i < state.length; i++) state[i] = i * 37;
  view.setUint16(CPU + 1152, 0x37f, true);
  view.setUint16(CPU + 1154, 0x1800, true); // TOP 3, nothing pending
  view.setUint16(CPU + 1158, 0x123, true);
  view.setUint32(CPU + 1176, 0x1f80, true);
  view.setUint32(CPU + 1180, 0, true);
  state[5] = 0; // behind the tag byte
  for (let i = 0; i < 8; i++) state.fill(0, 32 + i * 16 + 10, 32 + i * 16 + 16);
  const before = state.slice();
  const clobber = () => state.forEach((_, i) => (state[i] = i === 5 ? 0 : 0x55));
  micro({ m: MEM, disp: 0x10000 });
  assert.equal(core.fxsave(), 0);
  // ST(0) is physical register 3
  assert.equal(g64(0x10020), view.getBigUint64(CPU + 1184 + 48, true));
  assert.equal(view.getUint32(BASE + 0x10018, true), 0x1f80);
  clobber();
  assert.equal(core.fxrstor(), 0);
  assert.deepEqual(Buffer.from(state), Buffer.from(before));
  setReg('rax', 3n);
  micro({ m: MEM, disp: 0x11000 });
  assert.equal(core.xsave(), 0);
  assert.equal(g64(0x11200), 3n);
  clobber();
  assert.equal(core.xrstor(), 0);
  assert.deepEqual(Buffer.from(state), Buffer.from(before));
  p64(0x11200, 1n);
  assert.equal(core.xrstor(), 0);
  assert.ok(
    state.subarray(160).every((b) => b === 0),
    'SSE state is initial',
  );
  p64(0x11200, 7n);
  assert.equal(core.xrstor(), 1);
  assert.deepEqual(pending(), [1, 13, 0], 'a component that XCR0 lacks');
  p64(0x11200, 3n);
  p64(0x11208, 1n << 63n);
  assert.equal(core.xrstor(), 1, 'compacted format');
  micro({ m: MEM, disp: 0x10008 });
  assert.equal(core.fxsave(), 1);
  assert.deepEqual(pending(), [1, 13, 0], 'not aligned');
});

test('local APIC: priorities, end of interrupt, self-IPI, timer', () => {
  core.apic_raise(0x40);
  assert.equal(core.apic_pending(), -1, 'software-disabled');
  core.apic_mmio_write(0xf0, 0x1ff);
  for (const v of [0x40, 0xf3, 0x51]) core.apic_raise(v);
  assert.equal(core.apic_pending(), 0xf3);
  core.apic_ack(0xf3);
  assert.equal(core.apic_pending(), -1, '0x51 waits for the end of 0xf3');
  assert.equal(core.apic_mmio_read(0xa0), 0xf0);
  core.apic_mmio_write(0xb0, 0);
  assert.equal(core.apic_pending(), 0x51);
  core.apic_mmio_write(0x80, 0x50);
  assert.equal(core.apic_pending(), -1, 'masked by the task priority');
  core.apic_mmio_write(0x80, 0);
  core.apic_ack(0x51);
  core.apic_mmio_write(0xb0, 0);
  core.apic_copy();
  assert.equal(core.apic_pending(), 0x40, 'survives a save record');
  core.apic_ack(0x40);
  core.apic_mmio_write(0xb0, 0);
  assert.equal(core.apic_pending(), -1);
  core.apic_mmio_write(0x300, 0x40000 | 0x66);
  assert.equal(core.apic_pending(), 0x66);
  core.apic_ack(0x66);
  core.apic_mmio_write(0xb0, 0);
  // An error whose report has a bad vector is two errors, and no report.
  core.apic_mmio_write(0x370, 15);
  core.apic_mmio_write(0x300, 0x40000 | 15);
  assert.equal(core.apic_pending(), -1);
  core.apic_mmio_write(0x280, 0);
  assert.equal(core.apic_mmio_read(0x280), 0x60);
  core.apic_mmio_write(0x370, 0x10000);
  // Timer: one-shot, divide by 1, 10 ns a tick at a TSC of 1 GHz
  core.apic_mmio_write(0x3e0, 11);
  core.apic_mmio_write(0x320, 0x77);
  core.apic_mmio_write(0x380, 1000);
  assert.equal(BigInt(core.apic_deadline()), 10000n);
  view.setBigUint64(CPU + 304, 4000n, true);
  assert.equal(core.apic_mmio_read(0x390), 600);
  core.apic_poll();
  assert.equal(core.apic_pending(), -1);
  view.setBigUint64(CPU + 304, 10000n, true);
  core.apic_poll();
  assert.equal(core.apic_pending(), 0x77);
  assert.equal(core.apic_mmio_read(0x390), 0);
});

test('local APIC: x2APIC mode', () => {
  const base = 0xfee00000n;
  assert.equal(core.apic_write(0x80f, 0x1ffn), 0, 'not in x2APIC mode');
  assert.ok(!core.apic_set_base(base | 0x400n), 'x2APIC without enable');
  assert.ok(core.apic_set_base(base | 0xc00n));
  assert.ok(!core.apic_set_base(base | 0x800n), 'no way straight back');
  assert.equal(get('APIC_BASE'), base | 0xd00n, 'the BSP flag is read-only');
  assert.ok(core.apic_write(0x80f, 0x1ffn));
  assert.ok(core.apic_write(0x83f, 0x41n));
  assert.equal(core.apic_pending(), 0x41);
  assert.ok(!core.apic_write(0x80b, 1n), 'EOI takes 0 only');
  assert.equal(BigInt.asUintN(64, BigInt(core.apic_read(0x83f))), (1n << 64n) - 1n, 'write-only');
  assert.equal(BigInt(core.apic_read(0x80d)), 1n);
  assert.equal(core.apic_mmio_read(0x30) >>> 0, 0xffffffff, 'the page is gone');
});
