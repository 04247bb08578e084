// Random instructions of the rows in spec/x86, and the few that hold a program together, with labels.
import { operandSizes, rows, sizeBits, type OperandSize, type Row } from '../../spec/x86/rows.ts';
import { edge, type Random } from '../cpu/random.ts';
import { bytesLe } from '../cpu/encode.ts';
import * as bed from './bed.ts';

const words = new Uint32Array(2);
const [RAX, RCX, RDX, RBX, RBP, RSI, RDI] = [0, 1, 2, 3, 5, 6, 7];
/** RBX and RBP point to data, RSP to the stack; programs do with the others what they like. */
const FREE = { 64: [RAX, RCX, RDX, RSI, RDI, 8, 9, 10, 11, 12, 13, 14, 15], 32: [RAX, RCX, RDX, RSI, RDI] };
/** As byte registers without REX prefix: AL CL DL, AH CH DH. */
const FREE_BYTES = [0, 1, 2, 4, 5, 6];

/** What moves RSP or RBP about, jumps, or wants operands that only a rule of its own can give it (see `crafted`). */
const LEFT_OUT =
  /^(HLT|INT.*|CALL.*|JMP.*|RET.*|IRET|SYS.*|VM.*|ENTER|LEAVE|PUSHA|POPA|POPF|DIV|IDIV|AAM|BOUND|MOV_sreg|POP_sreg|L[DEFGS]S|LSL|LAR|VER[RW]|MASKMOV.*|F?XRSTOR.*|F?XSAVE.*|LDMXCSR|UD\d|RDPMC|CLAC|STAC|XABORT|[RW][DR]?(FS|GS)BASE|CPUID|RDTSCP?|XGETBV|SWAPGS|ARPL|SMSW|S[GIL]DT|STR|LOOP.*|JCXZ)$/;
export const usable = (row: Row): boolean =>
  !LEFT_OUT.test(row.name) &&
  !['priv', 'iopl', 'br', 'rep', 'repz', 'fixed'].some((a) => row.attrs.has(a)) &&
  !row.operands.some((o) => 'ASCDXY'.includes(o.kind));
const own = (unit: (row: Row) => boolean): readonly Row[] => rows.filter((row) => usable(row) && unit(row));
const INTEGER = own((row) => !['sse', 'mmx', 'x87'].some((a) => row.attrs.has(a)));
const STACK = /^(PUSH|POP)/;
const PLAIN = INTEGER.filter((row) => !STACK.test(row.name));
const SSE = own((row) => row.attrs.has('sse'));
const MMX_X87 = own((row) => row.attrs.has('mmx') || row.attrs.has('x87'));

export interface Taste {
  sse: number;
  /** Of the accesses, how many go where they are not at home. */
  wild: number;
}

/** Code at a fixed address, with labels by number. */
export class Assembler {
  readonly mode: bed.Mode;
  #last: { target: number; base: number } | null = null;
  readonly r: Random;
  readonly taste: Taste;
  readonly at: number;
  readonly bytes: number[] = [];
  readonly #labels: number[] = [];
  readonly #fixups: { at: number; label: number; from: number | null }[] = [];

  constructor(mode: bed.Mode, r: Random, taste: Taste, at: number) {
    this.mode = mode;
    this.r = r;
    this.taste = taste;
    this.at = at;
  }

  get here(): number {
    return this.at + this.bytes.length;
  }
  emit(...bytes: number[]): void {
    this.bytes.push(...bytes);
  }
  dword(v: number): void {
    this.emit(...bytesLe(BigInt(v), 4));
  }
  label(n: number): void {
    this.#labels[n] = this.bytes.length;
  }
  /** Four bytes that will hold the distance to a label, or its address. */
  reference(label: number, absolute = false): void {
    this.#fixups.push({ at: this.bytes.length, label, from: absolute ? this.at : null });
    this.dword(0);
  }
  /** A label's address in the other mapping of the code. */
  alias(label: number): void {
    this.#fixups.push({ at: this.bytes.length, label, from: this.at - bed.CODE + bed.ALIAS });
    this.dword(0);
  }
  finish(): Uint8Array {
    for (const { at, label, from } of this.#fixups) {
      const to = this.#labels[label]!;
      bytesLe(BigInt(from === null ? to - at - 4 : from + to), 4).forEach((b, i) => (this.bytes[at + i] = b));
    }
    return Uint8Array.from(this.bytes);
  }

  /** ModRM and displacement of the absolute address of 32 bits. */
  absolute(reg: number, address: number): number[] {
    return this.mode === 64
      ? [(reg << 3) | 4, 0x25, ...bytesLe(BigInt(address), 4)]
      : [(reg << 3) | 5, ...bytesLe(BigInt(address), 4)];
  }

  free(): number {
    return this.r.pick(FREE[this.mode]);
  }

  /** A random instruction. `stack`: it may push and pop. */
  random(stack: boolean): void {
    const { r } = this;
    const kind = r.below(100);
    if (kind < 6) return this.crafted();
    const list = r.chance(this.taste.sse) ? SSE : kind < 8 ? MMX_X87 : stack ? INTEGER : PLAIN;
    for (;;) {
      const row = r.pick(list);
      if (row.attrs.has(this.mode === 64 ? 'i64' : 'o64')) continue;
      const sizes = operandSizes(row, this.mode === 64);
      const size = sizes.length ? r.pick(sizes) : 32;
      if (size === 16 && r.chance(0.5)) continue;
      return this.instruction(row, size);
    }
  }

  /** An instruction of a row; `inMemory` says where an operand is that may be either. */
  instruction(row: Row, size: OperandSize, inMemory = this.r.chance(0.5)): void {
    const { r, mode } = this;
    const long = mode === 64;
    const legacy: number[] = [];
    if (row.prefix !== '' && row.prefix !== 'NP') legacy.push(parseInt(row.prefix, 16));
    if (size === 16 && row.prefix !== '66') legacy.push(0x66);
    const memory =
      row.modrm &&
      (row.form === 'mem' || (row.form === 'both' && !row.operands.some((o) => o.kind === 'R') && inMemory));
    let rex = 0;
    const sized =
      row.operands.some((o) => 'vyzpa'.includes(o.size) && o.size !== '') || row.attrs.has('v') || row.attrs.has('y');
    if (row.attrs.has('rexw') || (size === 64 && sized && !row.attrs.has('f64') && !row.attrs.has('d64'))) rex |= 8;
    const bytesWanted = row.operands.some((o) => 'EGZR'.includes(o.kind) && o.size === 'b');
    let hasRex = rex !== 0 || (long && r.chance(0.3));
    const pick = (kind: string, byte: boolean): number => {
      if ('VWU'.includes(kind)) return r.below(long ? 16 : 8);
      if ('PQN'.includes(kind)) return r.below(8);
      return byte && bytesWanted && !hasRex ? r.pick(FREE_BYTES) : this.free();
    };
    const of = (kinds: string): (typeof row.operands)[number] | undefined =>
      row.operands.find((o) => kinds.includes(o.kind));
    const [inReg, inRm, inCode] = [of('GPV'), of('EMNQRUW'), of('Z')];
    let reg = row.ext >= 0 ? row.ext : inReg ? pick(inReg.kind, inReg.size === 'b') : 0;
    const rm = inRm && !memory ? pick(inRm.kind, inRm.size === 'b') : 0;
    const code = [...row.opcode];
    if (row.plusR) {
      const z = inCode ? pick('Z', inCode.size === 'b') : r.below(8);
      code[code.length - 1]! |= z & 7;
      if (z >= 8) rex |= 1;
    }
    if (reg >= 8 && row.ext < 0) rex |= 4;
    reg &= 7;
    let tail: number[] = [];
    if (memory) {
      const bits = inRm ? sizeBits(inRm.size, size) : 0;
      const address = this.memoryOperand(reg, Math.max(1, bits / 8), row.attrs.has('align'), legacy);
      tail = address.bytes;
      rex |= address.rex;
      if (row.attrs.has('lock') && r.chance(0.15)) legacy.unshift(0xf0);
    } else if (row.modrm) {
      tail = [0xc0 | (reg << 3) | (rm & 7)];
      if (rm >= 8) rex |= 1;
    }
    // with a REX prefix 4 to 7 are SPL, BPL, SIL, DIL
    if (rex && !hasRex && bytesWanted) return this.random(false);
    hasRex ||= rex !== 0;
    for (const imm of row.imm ? row.imm.split(' ') : []) {
      const count = { ib: 1, iw: 2, iz: Math.min(size, 32) / 8, iv: size / 8, io: mode / 8, ip: 6 }[imm]!;
      edge(r, words, 0);
      const v = imm === 'io' ? BigInt(this.place(8)) : (BigInt(words[1]!) << 32n) | BigInt(words[0]!);
      tail.push(...bytesLe(v, count));
    }
    this.emit(...legacy, ...(long && hasRex ? [0x40 | rex] : []), ...code, ...tail);
  }

  /** Where a random access of so many bytes goes. */
  place(size: number, aligned = false): number {
    const { r } = this;
    const room = bed.DATA_PAGES * 4096;
    if (r.chance(this.taste.wild))
      return (
        r.pick([bed.READ_ONLY, bed.SUPERVISOR, bed.HOLE, bed.NO_MEMORY, bed.DATA - 1, bed.CODE + 0x100]) + r.below(64)
      );
    let at = r.below(room - 32);
    if (r.chance(0.06)) at = 4096 * r.range(1, bed.DATA_PAGES - 1) - r.range(1, Math.max(1, size - 1));
    return bed.DATA + (aligned && !r.chance(0.02) ? at & ~15 : at);
  }

  /** A memory operand. RBX points to the second data page at first, RBP to the last but one; both may have wandered. */
  memoryOperand(reg: number, size: number, aligned: boolean, legacy: number[]): { bytes: number[]; rex: number } {
    const { r, mode } = this;
    const kind = r.below(20);
    // often near the one before, and off the same base: such pointers serve each other
    const near = !aligned && kind >= 9 && this.#last !== null && r.chance(0.6) ? this.#last : null;
    const target = near ? near.target + r.range(-70, 70) : this.place(size, aligned);
    if (kind < 3) return { bytes: this.absolute(reg, target), rex: 0 };
    if (kind < 5 && mode === 64) {
      // the field counts from the instruction's end, which is near enough
      return { bytes: [(reg << 3) | 5, ...bytesLe(BigInt(target - (this.here + 8)), 4)], rex: 0 };
    }
    if (kind === 5 && mode === 64) legacy.push(r.pick([0x64, 0x65]));
    const base = near?.base ?? r.pick([RBX, RBP]);
    this.#last = { target, base };
    const disp = target - (base === RBX ? bed.DATA + 0x1000 : bed.DATA + 0x3000);
    if (kind >= 6 && kind < 9) {
      // an index of at most 255
      const index = this.free();
      if (mode === 64) this.emit(index >= 8 ? 0x45 : 0x40, 0x0f, 0xb6, 0xc0 | ((index & 7) << 3) | (index & 7));
      else if (index < 4) this.emit(0x0f, 0xb6, 0xc0 | (index << 3) | index);
      else this.emit(0x81, 0xe0 | index, 0xff, 0, 0, 0);
      const sib = (r.below(aligned ? 1 : 4) << 6) | ((index & 7) << 3) | base;
      return { bytes: [0x84 | (reg << 3), sib, ...bytesLe(BigInt(disp), 4)], rex: index >= 8 ? 2 : 0 };
    }
    if (disp >= -128 && disp < 128) return { bytes: [0x40 | (reg << 3) | base, disp & 255], rex: 0 };
    return { bytes: [0x80 | (reg << 3) | base, ...bytesLe(BigInt(disp), 4)], rex: 0 };
  }

  /** Instructions that need their operands prepared. */
  crafted(): void {
    const { r, mode } = this;
    const w = mode === 64 && r.chance(0.5) ? [0x48] : [];
    switch (r.below(6)) {
      case 0: // a division that has a quotient: xor edx, edx; or ecx, 1; div ecx
        return this.emit(0x31, 0xd2, ...w, 0x83, 0xc9, 1, ...w, 0xf7, r.pick([0xf1, 0xf9]));
      case 1: // lea rsi, rdi; mov ecx, n; rep movs, stos, lods, cmps, scas
        for (const [to, at] of [[RSI, this.place(64)], [RDI, this.place(64)]] as const) this.emit(0xb8 | to, ...bytesLe(BigInt(at), 4)); // prettier-ignore
        this.emit(0xb9, ...bytesLe(BigInt(r.below(40)), 4));
        return this.emit(r.pick([0xf3, 0xf3, 0xf2]), r.pick([0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xa6, 0xae]));
      case 2: // and the same once
        for (const [to, at] of [[RSI, this.place(64)], [RDI, this.place(64)]] as const) this.emit(0xb8 | to, ...bytesLe(BigInt(at), 4)); // prettier-ignore
        return this.emit(...w, r.pick([0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf]));
      case 3: // LDMXCSR of a valid word
        return this.emit(0x0f, 0xae, ...this.absolute(2, bed.COUNTERS + 0x100 + 4 * r.below(8)));
      case 4: // std, cld
        return this.emit(r.pick([0xfc, 0xfc, 0xfd]));
      default: // a pointer wanders: add rbx or rbp, small
        return this.emit(...(mode === 64 ? [0x48] : []), 0x83, 0xc0 | r.pick([RBX, RBP]), r.pick([1, 8, 16, 64, 0xf0]));
    }
  }
}
