// What the values of operands should be, by instruction: near where behaviour changes, and within what the harness can run.
import { sizeBits } from '../../spec/x86/rows.ts';
import type { OperandSize, Row } from '../../spec/x86/rows.ts';
import type { Draft } from './encode.ts';
import { float, float80 } from './random.ts';
import { fillLanes, patch, randomFx, randomMxcsr, randomTags, randomX87Words, type Lane } from './state.ts';

const [RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI] = [0, 1, 2, 3, 4, 5, 6, 7];

/** What the vector registers of a row hold. */
export function laneOf(row: Row): Lane {
  const from = /^CVTT?(PS|SS|PD|SD|DQ|PI|SI)2/.exec(row.name)?.[1];
  if (from) return from === 'PS' || from === 'SS' ? 'ps' : from === 'PD' || from === 'SD' ? 'pd' : 'int';
  const sizes = row.operands.map((o) => o.size);
  if (sizes.includes('ps') || sizes.includes('ss')) return 'ps';
  return sizes.includes('pd') || sizes.includes('sd') ? 'pd' : 'int';
}

/** Bytes of a row's memory operand. */
export function memorySize(row: Row, opsize: OperandSize): number {
  const operand = row.operands.find((o) => 'EMOQW'.includes(o.kind));
  const bits = operand ? sizeBits(operand.size, opsize) : 0;
  if (bits) return bits / 8;
  if (/m80$/.test(row.name)) return 10;
  if (/^FX/.test(row.name)) return 512;
  if (/^X(SAVE|RSTOR)/.test(row.name)) return 576;
  const environment = opsize === 16 ? 14 : 28;
  if (/^F(LD|NST)ENV$/.test(row.name)) return environment;
  if (/^F(RSTOR|NSAVE)$/.test(row.name)) return environment + 80;
  return 1;
}

/** Contents of a memory operand. */
export function contentOf(d: Draft, size: number): Uint8Array<ArrayBuffer> {
  const { row, r } = d;
  const out = new Uint8Array(size);
  const view = new DataView(out.buffer);
  if (row.attrs.has('x87')) {
    const integer = /^FI/.test(row.name);
    if (/_m32$/.test(row.name) && !integer) view.setUint32(0, Number(float(r, 8, 23)), true);
    else if (/_m64$/.test(row.name) && !integer) view.setBigUint64(0, float(r, 11, 52), true);
    else if (row.name === 'FBLD_m80')
      for (let i = 0; i < 10; i++) out[i] = i < 9 ? r.below(10) * 16 + r.below(10) : r.pick([0, 0x80]);
    else if (/_m80$/.test(row.name)) writeFloat80(view, 0, float80(r));
    else fillLanes(r, out, 0, size, 'int');
  } else fillLanes(r, out, 0, size, laneOf(row));
  return out;
}

function writeFloat80(view: DataView, at: number, value: bigint): void {
  view.setBigUint64(at, value & 0xffff_ffff_ffff_ffffn, true);
  view.setUint16(at + 8, Number(value >> 64n), true);
}

/** Whether RSP is an implicit operand. */
export function usesStack(row: Row): boolean {
  return /^(PUSH|POP|PUSHA|POPA|PUSHF|POPF|CALL_rel|CALL_rm|RET|RET_imm|ENTER|PUSH_sreg|RET_far|RET_far_imm|IRET)$/.test(
    row.name,
  );
}

type Rule = (d: Draft) => void;

/** Shift counts: zero, one, around the operand's width, around what the mask leaves. */
function shiftCount(d: Draft): void {
  const bits = sizeBits(d.row.operands[0]!.size, d.opsize);
  let count = d.r.pick([
    0,
    1,
    1,
    2,
    3,
    bits - 1,
    bits,
    bits + 1,
    31,
    32,
    33,
    63,
    64,
    d.r.below(256),
    d.r.below(bits),
    d.r.below(bits),
  ]);
  // the result of a double shift by more than the width is undefined
  if (/^SH[LR]D/.test(d.row.name) && d.opsize === 16 && (count & 31) > 16) count = 16;
  if (d.row.operands.some((o) => o.code === 'CL')) d.pin(RCX, BigInt(count), 8);
  else if (d.row.imm) d.immediates = [BigInt(count)];
}

/** Makes quotients fit about half the time. */
function dividend(d: Draft): void {
  const bits = sizeBits(d.row.operands[0]!.size, d.opsize);
  const kind = d.r.below(10);
  if (kind >= 7) return;
  const low = d.state.gpr[RAX]!;
  const sign = bits === 8 ? low & 0x80n : (low >> BigInt(bits - 1)) & 1n;
  const high =
    kind < 4 ? (d.row.name === 'IDIV' && sign ? -1n : 0n) : BigInt(d.r.range(d.row.name === 'IDIV' ? -3 : 0, 3));
  if (bits === 8) d.setGpr(RAX, (high << 8n) | (low & 0xffn), 16);
  else d.setGpr(RDX, high, bits);
}

/** Equal comparands half the time. */
function comparand(d: Draft): void {
  d.pinned.add(RAX);
  if (!d.r.chance(0.5)) return;
  const operand = d.row.operands[0]!;
  if (d.memory) d.setOperand(operand, d.state.gpr[RAX]!);
  else if (d.rm >= 8 || operand.size !== 'b') d.setGpr(d.rm, d.state.gpr[RAX]!, sizeBits(operand.size, d.opsize));
}

function comparandWide(d: Draft): void {
  for (const register of [RAX, RBX, RCX, RDX]) d.pinned.add(register);
  if (!d.r.chance(0.5)) return;
  const view = new DataView(d.content.buffer);
  const { gpr } = d.state;
  if (d.content.length === 16) {
    view.setBigUint64(0, gpr[RAX]!, true);
    view.setBigUint64(8, gpr[RDX]!, true);
  } else view.setBigUint64(0, ((gpr[RDX]! & 0xffff_ffffn) << 32n) | (gpr[RAX]! & 0xffff_ffffn), true);
}

/** A pointer register of an implicit memory operand; with 32-bit addresses in 64-bit mode its upper half is ignored. */
function pointer(d: Draft, register: number, linear: bigint, base: bigint, clear: boolean): void {
  if (d.addressSize === 64 || (clear && d.long)) d.pin(register, BigInt.asUintN(d.addressSize, linear - base));
  else d.pin(register, linear - base, d.addressSize === 16 ? 32 : d.addressSize);
}

function string(d: Draft): void {
  const { r, row } = d;
  const element = Math.max(...row.operands.map((o) => sizeBits(o.size, d.opsize))) / 8;
  const repeated = d.legacy.includes(0xf3) || d.legacy.includes(0xf2);
  const count = repeated ? r.pick([0, 1, 2, 3, r.below(8), r.below(40), r.below(40)]) : 1;
  // with repetition all of RCX counts; the upper half with 32-bit addresses is left clear, for processors differ when nothing is repeated
  if (repeated) d.pin(RCX, BigInt(count));
  const down = d.state.rflags & 0x400;
  const area = (): bigint => {
    const start = d.place(element * Math.max(1, count));
    return down && start !== 0n ? start + BigInt(element * (Math.max(1, count) - 1)) : start;
  };
  if (row.operands.some((o) => o.kind === 'X')) pointer(d, RSI, area(), d.segmentBase, true);
  if (row.operands.some((o) => o.kind === 'Y')) {
    const near = r.chance(0.3) && row.name === 'MOVS';
    const to = near ? d.state.gpr[RSI]! + d.segmentBase + BigInt(r.range(-16, 16)) : area();
    pointer(d, RDI, to, 0n, true);
  }
  if (row.attrs.has('repz')) alike(d, element, count, !!down);
}

/** Comparisons and scans go on for a while only when the elements are equal, or equal a later one. */
function alike(d: Draft, element: number, count: number, down: boolean): void {
  const { r, row, state } = d;
  const length = element * Math.max(1, count);
  const back = down ? BigInt(element * (Math.max(1, count) - 1)) : 0n;
  const bytes = new Uint8Array(length);
  const first = new Uint8Array(new BigUint64Array([state.gpr[RAX]!]).buffer).subarray(0, element);
  fillLanes(r, bytes, 0, length, 'int');
  if (r.chance(0.7)) for (let i = 0; i < length; i += element) if (r.chance(0.85)) bytes.set(first, i);
  patch(state, state.gpr[RDI]! - back, bytes);
  if (row.name !== 'CMPS') return;
  const other = bytes.slice();
  if (r.chance(0.6)) other[r.below(length)]! ^= 1 << r.below(8);
  patch(state, state.gpr[RSI]! + d.segmentBase - back, other);
}

/** A bit offset in a register moves the address; in an immediate it does not. */
function bitOffset(d: Draft): void {
  if (!d.memory || d.row.imm) return;
  const operand = d.row.operands[1]!;
  if (d.r.chance(0.75)) d.pin(d.register(operand), BigInt(d.r.range(-600, 600)), d.opsize);
  else d.pinned.add(d.reg);
}

function maskMove(d: Draft): void {
  const size = d.row.name === 'MASKMOVQ' ? 8 : 16;
  d.pin(RDI, d.place(size, 1));
}

/** Explicit lengths of string comparisons: saturated at the number of elements. */
function lengths(d: Draft): void {
  for (const register of [RAX, RDX]) if (d.r.chance(0.85)) d.pin(register, BigInt(d.r.range(-20, 20)), d.opsize);
  text(d);
}

/** Text: few different characters, zeros. */
function text(d: Draft): void {
  const { r, state } = d;
  const fill = (to: Uint8Array) => {
    const wide = Number(d.immediates[0]! & 1n);
    for (let i = 0; i < to.length; i++)
      to[i] = wide && i & 1 ? 0 : r.below(5) ? 0x60 + r.below(4) : r.pick([0, 0x62, 0x80, 0xff]);
  };
  if (!r.chance(0.8)) return;
  fill(state.fx.subarray(160 + 16 * d.reg, 176 + 16 * d.reg));
  if (d.memory) fill(d.content);
  else fill(state.fx.subarray(160 + 16 * d.rm, 176 + 16 * d.rm));
}

/** Bounds in order, around the index, most of the time. */
function bounds(d: Draft): void {
  d.pinned.add(d.reg);
  if (d.r.chance(0.25)) return;
  const index = BigInt.asIntN(d.opsize, d.state.gpr[d.reg]!);
  const limit = (1n << BigInt(d.opsize - 1)) - 1n;
  const view = new DataView(d.content.buffer);
  [index - BigInt(d.r.range(-1, 9)), index + BigInt(d.r.range(-1, 9))].forEach((bound, i) => {
    const value = bound > limit ? limit : bound < ~limit ? ~limit : bound;
    if (d.opsize === 16) view.setInt16(2 * i, Number(value), true);
    else view.setInt32(4 * i, Number(value), true);
  });
}

function stackTarget(d: Draft): void {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, d.target(), true);
  patch(d.state, d.state.gpr[RSP]!, bytes);
}

const restoreImage = (d: Draft, size: number): Uint8Array<ArrayBuffer> => {
  const image = new Uint8Array(size);
  image.set(randomFx(d.r, d.r.pick(['int', 'ps', 'pd'] as const), 64, true, false));
  // reserved bits of MXCSR are #GP, but for bit 17, which processors of one maker have
  if (d.r.chance(0.06)) image[27]! |= 1 << d.r.below(8);
  return image;
};

/** x87 environment: words in their 16- or 32-bit layout. */
function environment(d: Draft): void {
  const { r } = d;
  const step = d.opsize === 16 ? 2 : 4;
  const view = new DataView(d.content.buffer);
  const { fcw, fsw } = randomX87Words(r);
  const valid = randomTags(r, (fsw >> 11) & 7);
  let tags = 0;
  for (let i = 0; i < 8; i++) tags |= (valid & (1 << i) ? r.below(3) : 3) << (2 * i);
  [fcw, fsw, tags].forEach((word, i) => view.setUint16(step * i, word, true));
  for (let at = 7 * step; at + 10 <= d.content.length; at += 10) writeFloat80(view, at, float80(r));
}

/** Puts a double-extended number of moderate size into ST(i). */
function stValue(d: Draft, i: number, exponentLow: number, exponentHigh: number, positive = false): void {
  const { r, state } = d;
  const view = new DataView(state.fx.buffer);
  const sign = !positive && r.chance(0.5) ? 0x8000 : 0;
  view.setBigUint64(32 + 16 * i, r.u64() | (1n << 63n), true);
  view.setUint16(40 + 16 * i, sign | (0x3fff + r.range(exponentLow, exponentHigh)), true);
  const top = (view.getUint16(2, true) >> 11) & 7;
  state.fx[4]! |= 1 << ((top + i) & 7);
}

function transcendental(d: Draft): void {
  const { name } = d.row;
  const ordinary = d.r.chance(0.85);
  // the manual leaves F2XM1 outside -1..1 and FYL2XP1 outside 1 - sqrt(1/2) undefined
  if (name === 'F2XM1') stValue(d, 0, -40, -1);
  else if (name === 'FYL2XP1') stValue(d, 0, -40, -3);
  else if (!ordinary) return;
  else if (name === 'FYL2X') stValue(d, 0, -30, 30, true);
  else if (name === 'FPATAN') stValue(d, 0, -10, 10);
  else stValue(d, 0, -20, d.r.pick([1, 5, 5, 20, 62]));
  if (/^(FYL2|FPATAN)/.test(name) && ordinary) stValue(d, 1, -10, 10);
}

const table: [RegExp, Rule][] = [
  [/^(ROL|ROR|RCL|RCR|SHL|SHR|SAR|SHLD|SHRD)$/, shiftCount],
  [/^(DIV|IDIV)$/, dividend],
  [/^CMPXCHG$/, comparand],
  [/^CMPXCHG(8|16)B$/, comparandWide],
  [/^(MOVS|CMPS|STOS|LODS|SCAS)$/, string],
  [/^BT[SRC]?$/, bitOffset],
  [/^MASKMOV/, maskMove],
  [/^PCMPESTR/, lengths],
  [/^PCMPISTR/, text],
  [/^XLAT$/, (d) => pointer(d, RBX, d.place(1) - (d.state.gpr[RAX]! & 0xffn), d.segmentBase, false)],
  [/^RET(_imm)?$/, stackTarget],
  [/^RET_imm$/, (d) => d.r.chance(0.8) && (d.immediates = [BigInt(d.r.below(64))])],
  [/^(CALL|JMP)_rm$/, (d) => d.setOperand(d.row.operands[0]!, d.target())],
  [
    /^(LOOP|LOOPZ|LOOPNZ|JCXZ)$/,
    (d) => d.r.chance(0.7) && d.setGpr(RCX, d.r.pick([0n, 1n, 2n, 0x10000n, 0x10001n, 1n << 32n, (1n << 32n) + 1n])),
  ],
  [
    /^ENTER$/,
    (d) => {
      d.pin(RSP, d.place(256, 8));
      d.pin(RBP, d.place(256, 8));
      d.immediates = [BigInt(d.r.below(64)), BigInt(d.r.pick([0, 0, 1, 2, 3, d.r.below(32), 32 + d.r.below(224)]))];
    },
  ],
  [/^WR[FG]SBASE$/, (d) => d.r.chance(0.7) && d.setGpr(d.rm, BigInt.asIntN(48, d.integer(48)))],
  [/^BOUND$/, bounds],
  [/^LEAVE$/, (d) => d.pin(RBP, d.place(8, 8))],
  // TF would trap after the next instruction, which belongs to the harness
  [/^POPF$/, (d) => patch(d.state, d.state.gpr[RSP]!, flagsImage(d))],
  [
    /^LDMXCSR$/,
    (d) =>
      new DataView(d.content.buffer).setUint32(
        0,
        randomMxcsr(d.r) | (d.r.chance(0.06) ? 1 << d.r.range(18, 31) : 0),
        true,
      ),
  ],
  [/^FXRSTOR/, (d) => d.content.set(restoreImage(d, 512))],
  [/^XRSTOR/, extendedImage],
  [/^X(SAVE|RSTOR)/, extendedMask],
  [/^(FLDENV|FRSTOR)$/, environment],
  [/^FLDCW$/, (d) => new DataView(d.content.buffer).setUint16(0, randomX87Words(d.r).fcw, true)],
  [/^(F2XM1|FYL2X|FYL2XP1|FPTAN|FPATAN|FSIN|FCOS|FSINCOS)$/, transcendental],
];

function flagsImage(d: Draft): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, d.r.u32() & ~0x100, true);
  return bytes;
}

/** XSAVE's area must be aligned to 64 bytes; only x87 and SSE are asked for, the two that every processor has. */
function extendedMask(d: Draft): void {
  if (d.r.chance(0.93)) d.linear &= ~63n;
  d.pin(RAX, BigInt(d.r.below(4)), 32);
  d.pin(RDX, 0n, 32);
}

function extendedImage(d: Draft): void {
  d.content.set(restoreImage(d, 576));
  d.content[512] = d.r.below(4);
  if (d.r.chance(0.06)) d.content[d.r.pick([519, 520, 527, 528, 535])] = 0x80;
}

/** The rules of a row, in order. */
export function rules(row: Row): Rule[] {
  return table.filter(([name]) => name.test(row.name)).map(([, rule]) => rule);
}
