// Random programs: blocks of random instructions under control flow of every kind, round and round until the fuel is used up or something faults.
import { Random, edge } from '../cpu/random.ts';
import { fillLanes, randomMxcsr } from '../cpu/state.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

/** Dwords that programs count with, from COUNTERS on: the fuel, then one for each counted loop, then tables. */
const FUEL = bed.COUNTERS;
const INNER = bed.COUNTERS + 0x10;
const MXCSRS = bed.COUNTERS + 0x100;

/** Labels: blocks from 0 on, functions from 100, the end, and places that stores rewrite from 200 on. */
const FUNCTION = 100;
const END = 99;
const REWRITTEN = 200;

/** One program and what it starts from. */
export function program(seed: number, stream: number): bed.Start {
  const r = new Random(seed, stream);
  const mode = r.chance(0.65) ? 64 : 32;
  const taste = { sse: r.pick([0, 0.1, 0.3, 0.8]), wild: r.chance(0.6) ? 0 : r.pick([0.005, 0.02]) };
  // anywhere on the first pages: some programs cross a page, or an instruction does
  const at = bed.CODE + (r.chance(0.3) ? 0x1000 * r.range(1, 3) - r.range(1, 300) : r.below(0x2000));
  const a = new Assembler(mode, r, taste, at);
  const rewrites = r.chance(0.15) ? r.range(1, 2) : 0;
  body(a, r.range(2, 9), rewrites);
  return start(r, a, mode);
}

/** Bytes without sense between instructions, in a loop if they do not get out of it: any opcode of one or two bytes, any prefix. */
export function junk(seed: number, stream: number): bed.Start {
  const r = new Random(seed, stream);
  const mode = r.chance(0.65) ? 64 : 32;
  const a = new Assembler(mode, r, { sse: 0.2, wild: 0.01 }, bed.CODE + 0x1000 - (r.chance(0.2) ? r.below(60) : 0x200));
  a.label(0);
  // the stack, so that pushes do not run out of it
  a.emit(...(mode === 64 ? [0x48, 0xc7, 0xc4] : [0xc7, 0xc4]));
  a.dword(bed.STACK_TOP - 0x100);
  for (let i = r.range(2, 14); i > 0; i--) {
    if (r.chance(0.75)) a.random(true);
    else if (r.chance(0.3)) a.emit(0x70 | r.below(16), r.below(24));
    else if (r.chance(0.5))
      a.emit(r.pick([0x0f, 0x0f, 0x66, 0xf3, 0xf2, 0x48, 0x67, 0xf0, 0x65]), r.below(256), 0xc0 | r.below(64));
    else a.emit(r.below(256), 0xc0 | r.below(64));
  }
  a.emit(0xe9);
  a.reference(0);
  return start(r, a, mode);
}

function body(a: Assembler, blocks: number, rewrites: number): void {
  const { r, mode } = a;
  a.label(0);
  // mov rsp; dec the fuel; js end
  a.emit(...(mode === 64 ? [0x48, 0xc7, 0xc4] : [0xc7, 0xc4]));
  a.dword(bed.STACK_TOP - 0x100);
  a.emit(0xff, ...a.absolute(1, FUEL), 0x0f, 0x88);
  a.reference(END);
  const functions = r.below(3);
  for (let i = 1; i <= blocks; i++) {
    a.label(i);
    straight(a, r.below(9), true);
    if (i <= rewrites) rewritten(a, REWRITTEN + i);
    if (rewrites && r.chance(0.3)) rewrite(a, REWRITTEN + r.range(1, rewrites));
    if (r.chance(0.03)) padding(a);
    terminator(a, blocks, functions, i);
  }
  // back to the head
  a.emit(0xe9);
  a.reference(0);
  a.label(END);
  a.emit(0xcd, 0x20);
  for (let i = 0; i < functions; i++) {
    a.label(FUNCTION + 10 * i);
    straight(a, r.below(6), false);
    if (r.chance(0.4)) {
      jcc(a, FUNCTION + 10 * i + 1);
      straight(a, r.below(4), false);
      if (i + 1 < functions && r.chance(0.5)) call(a, FUNCTION + 10 * (i + 1));
      a.label(FUNCTION + 10 * i + 1);
      straight(a, r.below(3), false);
    }
    if (r.chance(0.1)) a.emit(0xc2, 8, 0);
    else a.emit(0xc3);
  }
}

function straight(a: Assembler, count: number, stack: boolean): void {
  for (let i = 0; i < count; i++) a.random(stack);
}
function jcc(a: Assembler, label: number): void {
  a.emit(0x0f, 0x80 | a.r.below(16));
  a.reference(label);
}
function call(a: Assembler, label: number): void {
  a.emit(0xe8);
  a.reference(label);
}
/** The rest of the page is jumped over. */
function padding(a: Assembler): void {
  a.emit(0xe9);
  const at = a.bytes.length;
  a.dword(0);
  const room = 4096 - (a.here & 4095) - a.r.below(12);
  for (let i = 0; i < room; i++) a.emit(0xcc);
  const distance = a.bytes.length - at - 4;
  for (let i = 0; i < 4; i++) a.bytes[at + i] = (distance >> (8 * i)) & 255;
}

/** mov r, imm32 or a short branch whose displacement changes: the label is where it is written. */
function rewritten(a: Assembler, label: number): void {
  a.emit(0xb8 | a.r.pick([0, 1, 2, 6, 7]));
  a.label(label);
  a.dword(a.r.u32() | 0);
}
/** mov [label], reg: sometimes through the other mapping, sometimes only a byte. */
function rewrite(a: Assembler, label: number): void {
  const { r, mode } = a;
  const op = r.pick([0x88, 0x89, 0x89, 0x00, 0x01]);
  a.emit(op, ...(mode === 64 ? [0x04, 0x25] : [0x05]));
  if (r.chance(0.3)) a.alias(label);
  else a.reference(label, true);
}

function terminator(a: Assembler, blocks: number, functions: number, i: number): void {
  const { r, mode } = a;
  const any = (): number => r.range(0, blocks);
  const kind = r.below(100);
  if (kind < 45) jcc(a, any());
  else if (kind < 52) {
    a.emit(0xe9);
    a.reference(any());
  } else if (kind < 66 && functions) call(a, FUNCTION + 10 * r.below(functions));
  else if (kind < 72) {
    // a counted loop back to a block before, or forward
    const counter = INNER + 4 * i;
    a.emit(0xff, ...a.absolute(1, counter), 0x0f, r.pick([0x85, 0x89]));
    a.reference(r.range(1, i));
    a.emit(0xc7, ...a.absolute(0, counter));
    a.dword(r.range(1, 30));
  } else if (kind < 77) {
    // LOOP, JCXZ: over a jump
    a.emit(r.pick([0xe0, 0xe1, 0xe2, 0xe3]), 5, 0xe9);
    a.reference(any());
  } else if (kind < 83) {
    // through a register: mov eax, label; jmp or call rax
    a.emit(0xb8);
    const [to, how] = functions && r.chance(0.5) ? [FUNCTION, 0xd0] : [any(), 0xe0];
    a.reference(to, true);
    a.emit(0xff, how);
  } else if (kind < 86) {
    // push label; ret
    a.emit(0x68);
    a.reference(any(), true);
    a.emit(0xc3);
  } else if (kind < 89) {
    // SETcc al; movzx eax, al, or and eax, 15; jmp [table + eax * 8 or * 4]
    const wide = r.chance(0.5);
    a.emit(...(wide ? [0x83, 0xe0, 15] : [0x0f, 0x90 | r.below(16), 0xc0, 0x0f, 0xb6, 0xc0]));
    a.emit(0xff, 0x24, mode === 64 ? 0xc5 : 0x85);
    const table = 300 + i;
    a.reference(table, true);
    a.label(table);
    for (let j = 0; j < (wide ? 16 : 2); j++) {
      a.reference(any(), true);
      if (mode === 64) a.dword(0);
    }
  }
}

function start(r: Random, a: Assembler, mode: bed.Mode): bed.Start {
  const gpr = new BigUint64Array(16);
  const halves = new Uint32Array(gpr.buffer);
  for (let i = 0; i < (mode === 64 ? 16 : 8); i++) {
    edge(r, halves, 2 * i);
    if (mode === 32) halves[2 * i + 1] = 0;
  }
  gpr[3] = BigInt(bed.DATA + 0x1000);
  gpr[5] = BigInt(bed.DATA + 0x3000);
  gpr[4] = BigInt(bed.STACK_TOP - 0x100);
  const xmm = new Uint8Array(256);
  const lane = r.pick(['int', 'ps', 'pd'] as const);
  for (let i = 0; i < 16; i++)
    fillLanes(r, xmm, 16 * i, 16, r.chance(0.7) ? lane : r.pick(['int', 'ps', 'pd'] as const));
  const data = new Uint8Array((bed.DATA_PAGES + 2) * 4096);
  for (let i = 0; i < 512; i += 16) fillLanes(r, data, i, 16, r.pick(['int', lane, lane]));
  for (let at = 512; at < data.length; at *= 2) data.copyWithin(at, 0, at);
  const counters = new Uint8Array(0x140);
  const view = new DataView(counters.buffer);
  view.setUint32(0, r.range(3, 60), true);
  for (let i = 1; i < 40; i++) view.setUint32(FUEL + 4 * i - bed.COUNTERS, r.range(1, 30), true);
  // round to nearest with everything masked and PE set is where floating point stays in a region
  for (let i = 0; i < 8; i++) view.setUint32(MXCSRS - bed.COUNTERS + 4 * i, i < 4 ? 0x1fa0 : randomMxcsr(r), true);
  return {
    ...{ mode, gpr, xmm, rip: a.at },
    cpl: r.chance(0.5) ? 3 : 0,
    rflags: 0x2 | (r.below(256) & 0xd5) | (r.below(2) << 11),
    mxcsr: r.chance(0.7) ? 0x1fa0 : randomMxcsr(r),
    fsBase: r.pick([0, 0x40, 0x1003]),
    gsBase: r.pick([0, 0x10]),
    memory: [
      { at: bed.DATA, bytes: data },
      { at: bed.COUNTERS, bytes: counters },
      { at: a.at, bytes: a.finish() },
    ],
  };
}
