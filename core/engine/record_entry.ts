// Entry of the module that test/record/record.test.ts compiles: random states and micro-ops, run by Eval and as recorded IR, then compared.
// The window is two pages that may be written and one that may not; everything else faults. The same pages lie below 64 KiB for 16-bit addressing.
import { Cpu, CPU_MXCSR, CPU_SEGMENTS, CPU_XMM } from '../arch/x86/cpu';
import { MODE_CODE_KEY, MODE_CS32, MODE_CS64, MODE_FLAT, MODE_LMA, MODE_PE, MODE_SS32 } from '../arch/x86/modes';
import { eval_form } from '../gen/record_eval';
import { record_form } from '../gen/record';
import { ptr_to_mfn } from '../shared/memory';
import { branch_attach } from './branch';
import { CodePage, PAGE_OFFSETS } from './code_cache';
import { Eval } from './eval';
import {
  IR_CAS,
  IR_LOAD,
  IR_PROBE,
  IR_STORE,
  IR_VLOAD,
  IR_VSTORE,
  NODE_LIVE,
  NODE_SIZE,
  NODE_WRITE,
  Node,
  node,
} from './ir';
import { ir_escaped, ir_eval, ir_left } from './ir_eval';
import { ir_vector } from './ir_vector';
import { mem_attach } from './mem';
import { Record } from './record';
import { TLB_CODE, tlb_exec_entry, tlb_insert, tlb_pointer, tlb_select } from './tlb';
import { tlb_attach, tlb_flush } from './tlb_sets';
import { UOP_LOCK, UOP_MEM, UOP_SIZE, UOP_SPECIAL } from './uop';

const CPU: usize = 0x100000;
const WINDOW: usize = 0x104000;
const WINDOW_SIZE: usize = 0x3000;
const UOPS: usize = 0x107000;
/** What a case starts from and what Eval made of it: Cpu, window and micro-ops, as they lie from CPU on. */
const CASE_SIZE: usize = 0x7400;
const START: usize = 0x110000;
const RESULT: usize = 0x118000;
const CODE_PAGE: usize = 0x120000;
const RECORDER: usize = 0x130000;
const BUFFER: usize = 0x140000;
const BUFFER_SIZE: usize = 0x10000;
/** A byte for each op and the low byte of its k: it occurred. */
const SEEN: usize = 0x190000;
const AREA: usize = 0x200000;

const WINDOW_VA: u64 = 0x10000000;
const WINDOW_VA16: u64 = 0xa000;
const HERE: u64 = 0x20000000;
const OTHER_CODE: u64 = 0x20003000;
const TARGET: usize = 0x700000;
const ZERO: u32 = 128;

// What a form is, from the generator's table.
export const F_MEMORY: u32 = 1; // an operand may be in memory
export const F_ALWAYS: u32 = 2; // it is
export const F_FLAT: u32 = 4; // without index or segment base
export const F_PLAIN: u32 = 8; // with 64-bit addressing only
export const F_MOFFS: u32 = 16;
export const F_I64: u32 = 32;
export const F_R8: u32 = 64; // `r` is a byte register
export const F_B8: u32 = 128;
export const F_LONG: u32 = 256; // has 64-bit operands
export const F_BRANCH: u32 = 512;
export const F_RX: u32 = 1024; // `r` is an XMM register
export const F_BX: u32 = 2048;
export const F_ALIGN: u32 = 4096; // memory has to be aligned

let seed: u64 = 1;

function random(): u64 {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed * 0x2545f4914f6cdd1d;
}

function below(n: u32): u32 {
  return <u32>((random() >> 33) % n);
}
function chance(percent: u32): bool {
  return below(100) < percent;
}

/** Values at which instructions change their minds. */
function value(): u64 {
  switch (below(6)) {
    case 0:
      return below(3) - 1;
    case 1:
      return ((<u64>1) << below(64)) - below(2);
    case 2:
      return <u64>(<i64>(<i32>random()));
    case 3:
      return random() >> below(64);
    default:
      return random();
  }
}

/** How floating point is chosen: numbers of both formats from 0.5 to 16, those and special ones, anything and special ones, anything. */
const TAME: u32 = 0;
let taste: u32 = TAME;
let filled: u32 = 0;
/** Only ordinary positive numbers, and an MXCSR under which nothing shows. */
let ordinary: bool = false;

export function set_ordinary(on: bool): void {
  ordinary = on;
}

/** Two f32 that are an f64 between 2^-15 and 2^25, too. */
function tame(): u64 {
  const sign: u64 = ordinary ? 0 : random() & 0x8000000080000000;
  return (random() & 0x01ffffff01ffffff) + 0x3f0000003f000000 + (chance(10) ? 0x80000000800000 : 0) + sign;
}

/** Zero, infinity, NaN quiet and signalling, the ends of the subnormals and normals, 1, ±2^31, ±2^63, by format. */
function special(): u64 {
  const sign = random() & 0x8000000000000000;
  if (chance(50)) return sign | special_f64();
  return sign | ((<u64>special_f32()) << 32) | special_f32() | (random() & 0x80000000);
}
function special_f64(): u64 {
  switch (below(11)) {
    case 0:
    case 1:
      return 0;
    case 2:
      return 0x7ff0000000000000;
    case 3:
      return 0x7ff8000000000000;
    case 4:
      return 0x7ff0000000000001;
    case 5:
      return 1 + below(100);
    case 6:
      return 0x000fffffffffffff + below(3);
    case 7:
      return 0x7fefffffffffffff;
    case 8:
      return 0x3ff0000000000000;
    case 9:
      return 0x41dfffffffc00000 + (random() & 0x00200000) - below(2);
    default:
      return 0x43e0000000000000 - below(2);
  }
}
function special_f32(): u32 {
  switch (below(11)) {
    case 0:
    case 1:
      return 0;
    case 2:
      return 0x7f800000;
    case 3:
      return 0x7fc00000;
    case 4:
      return 0x7f800001;
    case 5:
      return 1 + below(100);
    case 6:
      return 0x007fffff + below(3);
    case 7:
      return 0x7f7fffff;
    case 8:
      return 0x3f800000;
    case 9:
      return 0x4f000000 - below(2);
    default:
      return 0x5f000000 - below(2);
  }
}

function number(): u64 {
  if (taste != TAME && taste != 3 && chance(15)) return special();
  return taste <= 1 ? tame() : random();
}

function new_floats(cpu: usize): void {
  taste = ordinary ? TAME : below(4);
  for (let i: usize = 0; i < 256; i += 8) store<u64>(cpu + CPU_XMM + i, number());
  // most of the time is spent here: other cases find what those before them left
  if (ordinary || (filled++ & 7) == 0) for (let p = WINDOW; p < WINDOW + WINDOW_SIZE; p += 8) store<u64>(p, number());
  store<u32>(cpu + CPU_MXCSR, ordinary || chance(60) ? 0x1fa0 : (<u32>random()) & 0xffff);
}

export function machine(): void {
  tlb_attach(AREA);
  branch_attach(AREA);
  mem_attach(0);
  tlb_flush(changetype<Cpu>(CPU));
  for (let tab = 0; tab < 3; tab++) {
    for (let i: u64 = 0; i < 3; i++) {
      const mfn = ptr_to_mfn(WINDOW + ((<usize>i) << 12));
      tlb_insert(changetype<Cpu>(CPU), tab, WINDOW_VA + (i << 12), mfn, i < 2 ? 3 : 1, false);
      tlb_insert(changetype<Cpu>(CPU), tab, WINDOW_VA16 + (i << 12), mfn, i < 2 ? 3 : 1, false);
    }
    tlb_insert(changetype<Cpu>(CPU), tab, OTHER_CODE, ptr_to_mfn(WINDOW), 4);
    store<u32>(tlb_exec_entry(tlb_pointer(tab), OTHER_CODE), <u32>CODE_PAGE, TLB_CODE);
  }
  for (let i: usize = 0; i < 4096; i++) store<u32>(CODE_PAGE + PAGE_OFFSETS + (i << 2), <u32>(TARGET + (i << 4)));
}

/** An address near something interesting, below 2^16 if need be. */
function address(narrow: bool): u64 {
  const at: u64 = narrow ? WINDOW_VA16 : WINDOW_VA;
  switch (below(12)) {
    case 0:
      return at + 0x2000 + below(0xff0);
    case 1:
      return at + 0x1000 - below(10);
    case 2:
      return at + 0x2000 - below(10);
    case 3:
      return narrow ? below(0x10000) : random();
    case 4:
      return narrow ? below(0x10000) : 0x7fffffffffff - below(16);
    default:
      return at + below(0x1f00);
  }
}

function new_cpu(long: bool): void {
  const cpu = changetype<Cpu>(CPU);
  memory.fill(CPU, 0, 4096);
  for (let i: usize = 0; i < 16; i++) store<u64>(CPU + (i << 3), value());
  new_floats(CPU);
  // dividends that have a quotient
  if (chance(40)) cpu.rdx = chance(50) ? 0 : <u64>((<i64>cpu.rax) >> 63);
  cpu.page_va = HERE;
  cpu.plus4g = 0x100000000;
  cpu.minus4g = 0 - <u64>0x100000000;
  cpu.lfr = value();
  cpu.lfc = random();
  cpu.rflags = 2 | (random() & 0x200400);
  cpu.cpl = chance(50) ? 3 : 0;
  cpu.code = <u32>CODE_PAGE;
  cpu.limit = 1000;
  cpu.cr0 = 0x80010001;
  cpu.cr3 = 0x1000;
  cpu.cr4 = chance(50) ? 0x220 : 0x620;
  cpu.base_fs = chance(50) ? 0 : below(0x800);
  cpu.base_gs = chance(50) ? 0 : random();
  let mode = MODE_PE | MODE_FLAT | MODE_SS32;
  if (long) {
    mode |= MODE_CS64 | MODE_LMA;
    cpu.efer = 0xd00;
  } else {
    mode |= MODE_CS32;
    cpu.base_gs &= 0xffffffff;
    if (chance(20)) mode &= ~MODE_SS32;
    if (chance(15)) mode &= ~MODE_FLAT;
    for (let i: usize = 0; i < 8; i++) {
      store<u32>(CPU + CPU_SEGMENTS + (i << 4), 0xcf30010 | (i == 1 ? 0xb0000 : 0x30000));
      store<u32>(CPU + CPU_SEGMENTS + (i << 4), ~0, 4);
    }
  }
  cpu.mode = mode;
  changetype<CodePage>(CODE_PAGE).mode = mode & MODE_CODE_KEY;
  tlb_select(cpu);
}

function register(byte: bool, xmm: bool): u32 {
  if (xmm) return below(16) << 4;
  if (byte && chance(30)) return (below(4) << 3) + 1;
  return below(16) << 3;
}

/** A random micro-op of a form that has the flags `f`; its address registers are set unless `keep`. */
function new_uop(u: usize, form: u32, f: u32, keep: bool): void {
  const cpu = changetype<Cpu>(CPU);
  const long = (cpu.mode & MODE_CS64) != 0;
  let r = register((f & F_R8) != 0, (f & F_RX) != 0);
  let b = register((f & F_B8) != 0, (f & F_BX) != 0);
  let x = ZERO;
  let m: u32 = !long || (!(f & F_PLAIN) && chance(20)) ? UOP_SPECIAL : 0;
  let disp = <i32>value();
  const narrow = m != 0 && chance(30);
  const mem = (f & F_ALWAYS) != 0 || (f & F_MEMORY && chance(70));
  const s: u32 = long ? (f & F_FLAT || chance(60) ? 6 + below(2) : 4 + below(2)) : (2 + below(3)) % 4; // ES SS DS: the others leave
  m |= s << 2;
  let bytes: u64 = value();
  const aligned = ordinary || (f & F_ALIGN && chance(85));
  const target = aligned ? address(narrow) & ~15 : address(narrow);
  if (f & F_MOFFS) bytes = target - (chance(50) ? load<u64>(CPU + 192 + ((<usize>s) << 3)) : 0);
  else if (mem) {
    m |= UOP_MEM | below(4) | (chance(30) && !(f & F_PLAIN) ? UOP_LOCK : 0);
    b = keep ? 48 + (below(2) << 3) : chance(85) ? below(16) << 3 : ZERO;
    if (!(f & F_FLAT) && chance(50)) x = below(16) << 3;
    if (x == b) x = ZERO;
    if (f & F_FLAT) m &= ~3;
    disp = chance(50) ? below(256) - 128 : <i32>random();
    const index = load<u64>(CPU + x) << (m & 3);
    const base = target - <u64>(<i64>disp) - index - load<u64>(CPU + 192 + ((<usize>s) << 3));
    if (b == ZERO) disp = <i32>(base + <u64>(<i64>disp));
    else if (!keep) store<u64>(CPU + b, base);
  }
  if (!mem && f & F_BRANCH) {
    disp = chance(60) ? below(4096) : chance(50) ? 0x3000 + below(4096) : <i32>random();
    if (chance(10)) x = 144;
    r = 2 << below(3);
  }
  if (m & UOP_SPECIAL && narrow) x |= 1;
  store<u16>(u, <u16>form);
  store<u16>(u, <u16>(below(4080) | ((1 + below(15)) << 12)), 2);
  store<u8>(u, <u8>r, 4);
  store<u8>(u, <u8>b, 5);
  store<u8>(u, <u8>x, 6);
  store<u8>(u, <u8>m, 7);
  store<i32>(u, disp, 8);
  store<i32>(u, <i32>value(), 12);
  if (f & (F_I64 | F_MOFFS)) store<u64>(u, bytes, 8);
  if (f & F_BRANCH && !mem) store<u32>(u, chance(50) ? 0 : <u32>TARGET, 12);
  if (keep) return;
  aim(f, mem ? target : 0, b);
  if (mem && !ordinary && chance(10)) expect(target);
}

/** Stack and frame pointer near the window; what an indirect branch may find there or in a register. */
function aim(f: u32, target: u64, b: u32): void {
  const cpu = changetype<Cpu>(CPU);
  const narrow = !(cpu.mode & MODE_SS32);
  if (b != 32 && chance(90)) cpu.rsp = address(narrow);
  if (!(cpu.mode & MODE_CS64)) cpu.rsp &= 0xffffffff;
  if (b != 40 && chance(50)) cpu.rbp = address(narrow);
  if (!(f & F_BRANCH)) return;
  const to = chance(80) ? (chance(50) ? HERE : OTHER_CODE) + below(4096) : random();
  if (!target) store<u64>(CPU + (b & 0xf8), to);
  plant(target, to);
  plant(cpu.rsp, to);
}

/** What a compare and exchange wants to find. */
function expect(va: u64): void {
  if (va < WINDOW_VA || va >= WINDOW_VA + 0x2ff0) return;
  const cpu = changetype<Cpu>(CPU);
  cpu.rax = load<u64>(WINDOW + <usize>(va - WINDOW_VA));
  cpu.rdx = load<u64>(WINDOW + <usize>(va - WINDOW_VA), 8);
}

function plant(va: u64, v: u64): void {
  if (va >= WINDOW_VA && va < WINDOW_VA + 0x2ff0) store<u64>(WINDOW + <usize>(va - WINDOW_VA), v);
  if (va >= WINDOW_VA16 && va < WINDOW_VA16 + 0x2ff0) store<u64>(WINDOW + <usize>(va - WINDOW_VA16), v);
}

// What the last run of cases did.
export let faults: i32 = 0;
export let leaves: i32 = 0;
export let escapes: i32 = 0;
export let nodes: i32 = 0;
export let live: i32 = 0;
export let failed_at: u32 = 0;

/** Offset of the first difference between Eval's result and the present state, + 1; 0 = none. */
function difference(): u32 {
  for (let i: usize = 0; i < CASE_SIZE; i += 8) if (load<u64>(RESULT + i) != load<u64>(CPU + i)) return <u32>i + 1;
  return 0;
}

/** Accesses go through probes of at least their size, for writing if they write: a lowering relies on it. */
function well_formed(n: Node): bool {
  const stores = n.op == IR_STORE || n.op == IR_VSTORE || n.op == IR_CAS;
  if (!stores && n.op != IR_LOAD && n.op != IR_VLOAD) return true;
  const p = node(n.a);
  return p.op == IR_PROBE && p.size >= n.size && (!stores || (p.flags & NODE_WRITE) != 0);
}

/** Records `n` micro-ops into a block; returns the block's end. `from` is turned into `to`: a deliberate mistake. */
function record(n: u32, bytes: usize, from: u8, to: u8): usize {
  const r = changetype<Record>(RECORDER);
  r.start(BUFFER, bytes, changetype<Cpu>(CPU).mode);
  let open = true;
  for (let i: u32 = 0; i < n && open; i++) {
    const u = UOPS + <usize>i * UOP_SIZE;
    r.begin(u);
    if (!record_form(r, u, load<u16>(u))) r.leave();
    open = r.finish();
  }
  if (open) r.close();
  for (let p = BUFFER; p < <usize>r.cursor; p += NODE_SIZE) {
    const n = changetype<Node>(p);
    if (from != to && n.op == from) n.op = to;
    nodes++;
    if (!well_formed(n)) unreachable();
    store<u8>(SEEN + ((<usize>n.op) << 8) + ((<usize>n.k) & 0xff), 1);
    if (n.flags & NODE_LIVE) live++;
  }
  return <usize>r.cursor;
}

/** Runs the block and the interpreter on copies of the state; true if they agree. */
function agree(n: u32, end: usize): bool {
  const b = changetype<Eval>(CPU);
  const after = UOPS + <usize>n * UOP_SIZE;
  memory.copy(START, CPU, CASE_SIZE);
  const next = ir_eval<Eval>(b, BUFFER, end);
  const left = ir_left;
  memory.copy(RESULT, CPU, CASE_SIZE);
  memory.copy(CPU, START, CASE_SIZE);
  let u = UOPS;
  while (u >= UOPS && u < after && !(u == left && next)) {
    const v = eval_form(b, u, load<u16>(u));
    // the interpreter stops where the block did
    if (v == 0) {
      if (left != 0 && u != left) return false;
    }
    u = v;
  }
  if (next == 0) faults++;
  else if (ir_escaped) escapes++;
  else if (left) leaves++;
  failed_at = difference();
  return u == next && failed_at == 0;
}

function reset(s: u64): void {
  seed = s | 1;
  for (let i = 0; i < 4; i++) random();
  filled = 0;
  faults = leaves = escapes = nodes = live = 0;
}

/** `cases` micro-ops of one form, each alone; the number of cases that differ. */
export function single(form: u32, f: u32, s: u64, cases: i32, long: bool, from: u8, to: u8): i32 {
  reset(s);
  let wrong = 0;
  for (let i = 0; i < cases; i++) {
    new_cpu(long);
    new_uop(UOPS, form, f, false);
    if (!agree(1, record(1, BUFFER_SIZE, from, to))) wrong++;
  }
  return wrong;
}

/** Table of {form u32, flags u32} for sequence(). */
export function forms_table(): usize {
  return 0x180000;
}

/** `cases` blocks of up to `length` straight micro-ops of the `count` forms in the table, and a last one of any kind. */
export function sequence(count: u32, s: u64, cases: i32, length: u32, room: u32): i32 {
  reset(s);
  let wrong = 0;
  for (let i = 0; i < cases; i++) {
    new_cpu(true);
    changetype<Cpu>(CPU).rsi = address(false);
    changetype<Cpu>(CPU).rdi = address(false);
    changetype<Cpu>(CPU).rsp = address(false);
    const n: u32 = 1 + below(length);
    for (let j: u32 = 0; j < n; j++) {
      let at: usize;
      do at = forms_table() + <usize>(below(count) << 3);
      while (j + 1 < n && load<u32>(at, 4) & F_BRANCH);
      new_uop(UOPS + <usize>j * UOP_SIZE, load<u32>(at), load<u32>(at, 4), true);
    }
    if (!agree(n, record(n, room, 0, 0))) wrong++;
  }
  return wrong;
}

export function seen(): usize {
  return SEEN;
}

/** Evaluates a node on the operands' 16-byte values at operands(); its value is behind them. */
export function compute(op: u8, k: i64, k2: i64): void {
  for (let i: usize = 0; i < 4; i++) {
    const n = changetype<Node>(BUFFER + i * NODE_SIZE);
    memory.fill(changetype<usize>(n), 0, NODE_SIZE);
    if (i < 3) memory.copy(changetype<usize>(n) + offsetof<Node>('v'), operands() + (i << 4), 16);
  }
  const n = changetype<Node>(BUFFER + 3 * NODE_SIZE);
  n.op = op;
  n.a = <u32>BUFFER;
  n.b = <u32>(BUFFER + NODE_SIZE);
  n.c = <u32>(BUFFER + 2 * NODE_SIZE);
  n.k = k;
  n.k2 = k2;
  if (!ir_vector(n)) unreachable();
  memory.copy(operands() + 48, changetype<usize>(n) + offsetof<Node>('v'), 16);
}
export function operands(): usize {
  return 0x1a0000;
}
