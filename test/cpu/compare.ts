// What must agree between a recorded answer and another machine's: everything the manuals define.
import type { Row } from '../../spec/x86/rows.ts';
import { sizeBits } from '../../spec/x86/rows.ts';
import type { Case } from './replay.ts';
import { WINDOW, WINDOW_SIZE, canonicalFx, type Result } from './machine.ts';

const FLAG: Record<string, number> = { CF: 1, PF: 4, AF: 0x10, ZF: 0x40, SF: 0x80, OF: 0x800 };
const REGISTERS = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

/** Flags that are undefined after this very case. For shifts and rotates the count decides (SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD). */
export function undefinedFlags(c: Case): number {
  if (c.answer.trap) return 0; // a fault leaves the flags alone
  const { row, opsize, bytes, state } = c;
  const name = row.name;
  if (!/^(RO[LR]|RC[LR]|SH[LR]D?|SAR)$/.test(name)) return row.undef.reduce((mask, f) => mask | (FLAG[f] ?? 0), 0);
  const bits = sizeBits(row.operands[0]!.size, opsize);
  const source = row.operands.at(-1)!.code;
  const raw = source === 'CL' ? Number(state.gpr[1]! & 0xffn) : source === '1' ? 1 : bytes.at(-1)!;
  const count = raw & (bits === 64 ? 63 : 31);
  if (count === 0) return 0;
  let mask = /^R/.test(name) ? 0 : FLAG.AF!;
  if (count > 1) mask |= FLAG.OF!;
  if (/^SH[LR]$/.test(name) && count >= bits) mask |= FLAG.CF!;
  if (/^SH[LR]D$/.test(name) && count > bits) mask |= FLAG.CF! | FLAG.PF! | FLAG.ZF! | FLAG.SF!;
  return mask;
}

export const TRANSCENDENTAL = /^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)$/;
const APPROXIMATE = /^R(CP|SQRT)[PS]S$/;
/** Condition codes C0, C2 and C3 (and, for control instructions, C1) that the manual calls undefined: all but these instructions'. */
const CONDITION = /^F(I?COM|U?COMI|UCOM|TST|XAM|PREM|LDENV|RSTOR|NINIT|NSAVE|XRSTOR)/;

function undefinedStatus(row: Row): number {
  if (!row.attrs.has('x87')) return 0;
  if (CONDITION.test(row.name)) return 0;
  // C2 of FSIN, FCOS, FSINCOS and FPTAN says whether the operand was in range; C1 the rounding of a result that may be an ulp away
  if (TRANSCENDENTAL.test(row.name)) return 0x4100 | (/^F(SIN|COS|PTAN|SINCOS)$/.test(row.name) ? 0 : 0x400) | 0x200;
  return 0x4500;
}

/** Parts of a memory operand that depend on the maker of the processor: [offset, length] from its start. */
function makersBytes(c: Case): [number, number][] {
  const { name } = c.row;
  if (/^FXSAVE|^XSAVE/.test(name)) {
    const out: [number, number][] = [
      [5, 19],
      [28, 4],
      [416, 96],
    ];
    for (let i = 0; i < 8; i++) out.push([42 + 16 * i, 6]);
    // XSTATE_BV: whether a component counts as initial is the processor's choice
    if (name.startsWith('X')) out.push([512, 1]);
    return out;
  }
  // opcode and pointers of the last instruction
  if (/^F(NSTENV|NSAVE)$/.test(name)) return [c.opsize === 16 ? [6, 8] : [12, 16]];
  return [];
}

const hex = (value: bigint | number): string => '0x' + value.toString(16);

/** Repeat prefixes are reserved but for string, port and SSE instructions, and may be unpredictable (SDM vol. 2, 2.1.1): here they change the condition. */
const unpredictable = ({ row, bytes }: Case): boolean =>
  /^LOOPN?Z$/.test(row.name) && bytes.subarray(0, -2).some((prefix) => prefix === 0xf2 || prefix === 0xf3);

/** An image in compacted form, which XRSTOR refuses where CPUID has no XSAVEC (SDM vol. 1, 13.8): the recording processor had it. */
const compacted = ({ row, draft }: Case): boolean =>
  row.name.startsWith('XRSTOR') && draft.memory && (draft.content[527]! & 0x80) !== 0;

/** How `got` differs from the recorded answer; empty when it agrees. */
export function diff(c: Case, got: Result): string[] {
  const { answer } = c;
  if (unpredictable(c) || (compacted(c) && got.trap?.vector === 13)) return [];
  const out: string[] = [];
  const say = (what: string, is: bigint | number | string, should: bigint | number | string) =>
    out.push(
      `${what} ${typeof is === 'string' ? is : hex(is)}, not ${typeof should === 'string' ? should : hex(should)}`,
    );
  const trap = (r: Result) =>
    r.trap
      ? `trap ${r.trap.vector}(${hex(r.trap.error)})${r.trap.vector === 14 ? ' at ' + hex(r.trap.address) : ''}`
      : 'no trap';
  if (trap(answer) !== trap(got)) say('trap:', trap(got), trap(answer));
  if (answer.rip !== got.rip) say('rip', got.rip, answer.rip);
  const flags = ~undefinedFlags(c);
  if ((answer.rflags ^ got.rflags) & flags) say('rflags', got.rflags & flags, answer.rflags & flags);
  for (let i = 0; i < 16; i++) if (answer.gpr[i] !== got.gpr[i]) say(REGISTERS[i]!, got.gpr[i]!, answer.gpr[i]!);
  if (answer.fsBase !== got.fsBase) say('fs base', got.fsBase, answer.fsBase);
  if (answer.gsBase !== got.gsBase) say('gs base', got.gsBase, answer.gsBase);
  compareFx(c, got, say);
  compareMemory(c, got, say);
  return out;
}

type Say = (what: string, is: bigint | number | string, should: bigint | number | string) => void;

function compareFx(c: Case, got: Result, say: Say): void {
  const fx = new Uint8Array(got.fx);
  canonicalFx(fx);
  const is = new DataView(fx.buffer);
  const should = new DataView(c.answer.fx.buffer, c.answer.fx.byteOffset);
  if (is.getUint16(0, true) !== should.getUint16(0, true)) say('fcw', is.getUint16(0, true), should.getUint16(0, true));
  const status = ~undefinedStatus(c.row) & 0xffff;
  const [fsw, wanted] = [is.getUint16(2, true) & status, should.getUint16(2, true) & status];
  if (fsw !== wanted) say('fsw', fsw, wanted);
  if (is.getUint8(4) !== should.getUint8(4)) say('tags', is.getUint8(4), should.getUint8(4));
  if (is.getUint32(24, true) !== should.getUint32(24, true))
    say('mxcsr', is.getUint32(24, true), should.getUint32(24, true));
  const near = TRANSCENDENTAL.test(c.row.name) ? ulps80 : (a: bigint, b: bigint) => a === b;
  const wide = (v: DataView, at: number) => v.getBigUint64(at, true) | (v.getBigUint64(at + 8, true) << 64n);
  for (let i = 0; i < 8; i++) {
    const [a, b] = [wide(is, 32 + 16 * i), wide(should, 32 + 16 * i)];
    if (!near(a, b)) say(`st${i}`, a, b);
  }
  for (let i = 0; i < 16; i++) {
    const at = 160 + 16 * i;
    const [a, b] = [wide(is, at), wide(should, at)];
    if (a !== b && !(APPROXIMATE.test(c.row.name) && approximate(c, i, is, should))) say(`xmm${i}`, a, b);
  }
}

/** Equal, or neighbours: the last place of a double-extended number. */
function ulps80(a: bigint, b: bigint): boolean {
  if (a === b) return true;
  const [signA, signB] = [a >> 79n, b >> 79n];
  const magnitude = (v: bigint) => ((v >> 64n) & 0x7fffn) * (1n << 63n) + (v & ((1n << 63n) - 1n));
  const finite = (v: bigint) => ((v >> 64n) & 0x7fffn) !== 0x7fffn;
  const distance = magnitude(a) - magnitude(b);
  return finite(a) && finite(b) && signA === signB && distance >= -1n && distance <= 1n;
}

/** RCPPS and RSQRTPS: relative error at most 1.5 * 2^-12; zeros, infinities and NaNs as recorded. */
function approximate(c: Case, register: number, is: DataView, should: DataView): boolean {
  const { draft, row, state } = c;
  if (register !== draft.reg) return false;
  const source = draft.memory ? draft.content : state.fx.subarray(160 + 16 * draft.rm, 176 + 16 * draft.rm);
  const from = new DataView(source.buffer, source.byteOffset);
  for (let lane = 0; lane < 4; lane++) {
    const at = 160 + 16 * register + 4 * lane;
    if (is.getUint32(at, true) === should.getUint32(at, true)) continue;
    if (lane > 0 && row.name.endsWith('SS')) return false;
    const x = from.getFloat32(4 * lane, true);
    const exact = row.name.startsWith('RCP') ? 1 / x : 1 / Math.sqrt(x);
    const value = is.getFloat32(at, true);
    const ordinary = [value, should.getFloat32(at, true)].every((v) => Number.isFinite(v) && v !== 0);
    if (!ordinary || !(Math.abs(value - exact) <= 1.5 * 2 ** -12 * Math.abs(exact))) return false;
  }
  return true;
}

function compareMemory(c: Case, got: Result, say: Say): void {
  const { answer, draft } = c;
  if (Buffer.compare(got.memory, answer.memory) === 0) return;
  const skip = new Set<number>();
  const start = Number(BigInt.asIntN(64, draft.linear - BigInt(WINDOW)));
  if (draft.memory)
    for (const [at, length] of makersBytes(c)) for (let i = 0; i < length; i++) skip.add(start + at + i);
  let said = 0;
  for (let i = 0; i < WINDOW_SIZE && said < 8; i++) {
    if (got.memory[i] === answer.memory[i] || skip.has(i)) continue;
    say(`[${hex(WINDOW + i)}]`, got.memory[i]!, answer.memory[i]!);
    said++;
  }
}
