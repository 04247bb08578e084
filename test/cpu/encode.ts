// From a row, an operand size and random numbers: one legal encoding, and the state it starts from.
import { modIgnored, operandSizes, sizeBits } from '../../spec/x86/rows.ts';
import type { Operand, OperandSize, Row } from '../../spec/x86/rows.ts';
import { CODE, WINDOW, WINDOW_SIZE } from './machine.ts';
import type { Mode, State } from './machine.ts';
import { Random, edge, hash } from './random.ts';
import { contentOf, laneOf, memorySize, rules, usesStack } from './operands.ts';
import { patch, perturb, randomFx, randomState } from './state.ts';

const SEGMENT_PREFIX = { es: 0x26, cs: 0x2e, ss: 0x36, ds: 0x3e, fs: 0x64, gs: 0x65 };
const RSP = 4;

/** An instruction under construction. Rules of operands.ts work on it between `choose` and `finish`. */
export class Draft {
  readonly row: Row;
  readonly opsize: OperandSize;
  readonly mode: Mode;
  readonly long: boolean;
  readonly r: Random;
  readonly state: State;
  /** General registers whose value must stay: an implicit operand, or part of an address. */
  readonly pinned = new Set<number>();
  readonly legacy: number[] = [];
  /** Bits WRXB; -1 when the instruction has no REX prefix. */
  rex = -1;
  addressSize: 16 | 32 | 64;
  segmentBase = 0n;
  opcode: number[];
  reg = 0;
  rm = 0;
  memory = false;
  /** Linear address and contents of the ModRM (or moffs) memory operand. */
  linear = 0n;
  content = new Uint8Array(0);
  immediates: bigint[] = [];
  /** ModRM and what follows it. */
  private address: number[] = [];
  private ripTarget: bigint | null = null;

  constructor(row: Row, opsize: OperandSize, mode: Mode, r: Random) {
    const x87 = row.attrs.has('x87') || /^F?X(SAVE|RSTOR)|^FWAIT/.test(row.name);
    this.row = row;
    this.opsize = opsize;
    this.mode = mode;
    this.long = mode === 64;
    this.r = r;
    this.state = randomState(r, mode, randomFx(r, laneOf(row), mode, x87, row.attrs.has('mmx')));
    this.state.rip = BigInt(CODE + 0x8000 + r.below(0x1000));
    this.addressSize = this.long ? 64 : 32;
    this.opcode = [...row.opcode];
    this.choose();
  }

  operand(kinds: string): Operand | undefined {
    return this.row.operands.find((o) => kinds.includes(o.kind));
  }

  /** Prefixes, registers, form: everything but addresses and values. */
  private choose(): void {
    const { row, r, long } = this;
    const { attrs } = row;
    const plain = row.prefix === '' && !attrs.has('f64') && !attrs.has('br');
    if (row.prefix !== '' && row.prefix !== 'NP') this.legacy.push(parseInt(row.prefix, 16));
    if (this.opsize === 16 && row.prefix !== '66') this.legacy.push(0x66);
    if (row.modrm && !modIgnored(row))
      this.memory = row.form === 'mem' || (row.form === 'both' && !this.operand('R') && r.chance(0.5));
    const touches = this.memory || !!this.operand('OXY') || row.name === 'XLAT';
    const counted = attrs.has('rep') || attrs.has('repz') || /^(LOOP|JCXZ)/.test(row.name);
    const narrow = long ? 0.08 : /^(LEA|LOOP|JCXZ)/.test(row.name) ? 0.3 : 0.02;
    if ((touches || counted) && r.chance(narrow)) {
      this.addressSize = long ? 32 : 16;
      this.legacy.push(0x67);
    }
    if (touches && r.chance(0.15)) this.override();
    // anywhere else LOCK is #UD
    if (r.chance(attrs.has('lock') && this.memory ? 0.2 : 0.01)) this.legacy.push(0xf0);
    if (attrs.has('rep') && r.chance(0.5)) this.legacy.push(0xf3);
    if (attrs.has('repz') && r.chance(0.7)) this.legacy.push(r.pick([0xf2, 0xf3]));
    if (plain || attrs.has('br')) this.redundant(plain);
    this.registers(plain);
  }

  /** Prefixes that mean nothing here: 66 where no operand depends on it or REX.W wins, F3 and F2 outside string instructions. */
  private redundant(plain: boolean): void {
    const { row, r, opsize } = this;
    const { attrs } = row;
    const unsized = operandSizes(row, this.long).length === 0;
    if (plain && !attrs.has('x87') && !attrs.has('d64') && (unsized || opsize === 64) && r.chance(0.04))
      this.legacy.push(0x66);
    // F3 makes LZCNT and TZCNT of BSF and BSR where these exist, and other instructions of group 9
    const taken = attrs.has('rep') || attrs.has('repz') || /^(BSF|BSR|CMPXCHG8B|CMPXCHG16B)$/.test(row.name);
    if (!taken && !attrs.has('rexb') && r.chance(0.03)) this.legacy.push(r.pick([0xf2, 0xf3]));
  }

  private override(): void {
    const { r, state } = this;
    const names: (keyof typeof SEGMENT_PREFIX)[] = this.long
      ? ['fs', 'gs', 'fs', 'gs', 'es', 'cs', 'ss', 'ds']
      : ['es', 'cs', 'ss', 'ds'];
    const name = r.pick(names);
    this.legacy.push(SEGMENT_PREFIX[name]);
    if (name === 'fs') this.segmentBase = state.fsBase;
    if (name === 'gs') this.segmentBase = state.gsBase;
  }

  private registers(plain: boolean): void {
    const { row, r, long, opsize } = this;
    const { attrs } = row;
    const reach = long ? 16 : 8;
    const kind = this.operand('CDGPSV')?.kind;
    this.reg = row.ext >= 0 ? row.ext : kind === 'S' ? r.below(6) : kind === 'P' ? r.below(8) : r.below(reach);
    if (kind === 'C') this.reg = r.pick([0, 2, 3, 4]);
    if (kind === 'D') this.reg = r.below(4);
    this.rm = r.below(this.operand('N') || (this.operand('Q') && !this.memory) ? 8 : reach);
    if (row.plusR) this.opcode[this.opcode.length - 1]! |= r.below(8);
    if (!long) return;
    let rex = 0;
    const sized =
      !attrs.has('d64') && !attrs.has('f64') && row.operands.some((o) => ['v', 'y', 'z', 'p', 'a'].includes(o.size));
    if (attrs.has('rexw') || (opsize === 64 && (sized || attrs.has('v') || attrs.has('y')) && !attrs.has('f64')))
      rex |= 8;
    else if (
      !sized &&
      !attrs.has('norexw') &&
      opsize !== 16 &&
      !(attrs.has('v') || attrs.has('y')) &&
      r.chance(plain ? 0.1 : 0.05)
    )
      rex |= 8;
    if (attrs.has('d64') && !r.chance(0.1)) rex &= ~8;
    if (attrs.has('rexb')) rex |= 1;
    else if (this.operand('Z') && r.chance(0.5)) rex |= 1;
    if (row.modrm) {
      if (this.reg >= 8) rex |= 4;
      if (!this.memory && this.rm >= 8) rex |= 1;
    }
    this.rex = rex || r.chance(0.12) ? rex : -1;
  }

  /** The general register that an operand names. */
  register(o: Operand): number {
    if (o.kind === 'Z') return (this.opcode.at(-1)! & 7) | (this.rex > 0 && this.rex & 1 ? 8 : 0);
    return o.kind === 'G' ? this.reg : this.rm;
  }

  setGpr(index: number, value: bigint, bits: number = this.long ? 64 : 32): void {
    const { gpr } = this.state;
    const mask = (1n << BigInt(bits)) - 1n;
    gpr[index] = (gpr[index]! & ~mask) | (value & mask);
  }

  pin(index: number, value: bigint, bits?: number): void {
    this.setGpr(index, value, bits);
    this.pinned.add(index);
  }

  /** Gives the E or R (or Z, G) operand a value, wherever it is. */
  setOperand(o: Operand, value: bigint): void {
    const bits = sizeBits(o.size, this.opsize);
    if ('EM'.includes(o.kind) && this.memory) {
      const wide = new Uint8Array(16);
      new DataView(wide.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
      this.content.set(wide.subarray(0, Math.min(8, bits / 8)));
    } else {
      const index = this.register(o);
      if (bits === 8 && this.rex < 0 && index >= 4 && index < 8) {
        const old = this.state.gpr[index - 4]!;
        this.state.gpr[index - 4] = (old & ~0xff00n) | ((value & 0xffn) << 8n);
        this.pinned.add(index - 4);
      } else this.pin(index, value, bits);
    }
  }

  /** An address for an operand of `size` bytes: mostly inside the window, on and off its natural alignment, across pages, at its ends; rarely nowhere. */
  place(size: number, alignment = 0): bigint {
    const { r } = this;
    const room = WINDOW_SIZE - size;
    const natural = alignment || (size & (size - 1) ? 1 : Math.max(1, size));
    const kind = r.below(100);
    let offset: number;
    if (kind < 60 || (alignment && kind < 92)) offset = Math.floor(r.below(room + 1) / natural) * natural;
    else if (kind < 78) offset = r.below(room + 1);
    else if (kind < 90) offset = r.pick([0x1000, 0x2000, 0x3000]) - r.range(0, Math.max(1, size));
    else if (kind < 97 || !this.wildAllowed()) offset = r.pick([WINDOW_SIZE - r.below(size + 1), -r.below(size + 1)]);
    else return r.pick(this.addressSize === 64 ? WILD : WILD.slice(0, 3));
    return BigInt(WINDOW + offset);
  }

  private wildAllowed(): boolean {
    return this.segmentBase === 0n && this.addressSize !== 16;
  }

  /** An edge-biased integer of so many bits. */
  integer(bits: number): bigint {
    edge(this.r, words, 0);
    return ((BigInt(words[1]!) << 32n) | BigInt(words[0]!)) & ((1n << BigInt(bits)) - 1n);
  }

  /** Where a branch may go: filled with INT3, clear of the instruction. */
  target(): bigint {
    return BigInt(CODE + 0x100 + this.r.below(0x7000));
  }

  /** Runs the row's rule, solves the address, assembles. */
  finish(): { bytes: Uint8Array; state: State } {
    const { row, r, state } = this;
    if (this.memory || this.operand('O')) {
      const size = memorySize(row, this.opsize);
      this.linear = this.place(size, row.attrs.has('align') ? 16 : 0);
      this.content = contentOf(this, size);
    }
    if (usesStack(row)) this.pin(RSP, this.place(16, r.chance(0.8) ? 8 : 1));
    this.immediates = this.row.operands.filter((o) => 'IJ'.includes(o.kind)).map((o) => this.immediate(o));
    for (const rule of rules(row)) rule(this);
    this.relate();
    if (this.memory) this.solve();
    else if (row.modrm) this.address = [0xc0 | ((this.reg & 7) << 3) | (this.rm & 7)];
    if (this.memory || this.operand('O')) patch(state, this.linear, this.content);
    return { bytes: this.assemble(), state };
  }

  /** Vector operands that are close to each other. */
  private relate(): void {
    const first = this.operand('VP');
    const second = this.operand('WUQN');
    if (!first || !second || !this.r.chance(0.3)) return;
    const { fx } = this.state;
    const top = (fx[3]! >> 3) & 7;
    const slot = (o: Operand, index: number) => {
      if ('VWU'.includes(o.kind)) return fx.subarray(160 + 16 * index, 176 + 16 * index);
      // an MMX register is a physical one, the image counts from the top of the stack
      const at = 32 + 16 * ((index - top) & 7);
      return fx.subarray(at, at + 8);
    };
    const near = perturb(this.r, slot(first, this.reg), laneOf(this.row));
    if (this.memory) this.content.set(near.subarray(0, Math.min(near.length, this.content.length)));
    else {
      const to = slot(second, this.rm);
      to.set(near.subarray(0, to.length));
    }
  }

  private immediate(o: Operand): bigint {
    const { r } = this;
    if (o.kind === 'I') return this.integer(sizeBits(o.size, this.opsize));
    const bits = sizeBits(o.size, this.opsize);
    // a branch must not reach its own bytes: control would come back another way
    let distance = bits === 8 ? r.range(-128, 127) : r.chance(0.85) ? r.range(-0x4000, 0x4000) : r.u32() | 0;
    if (distance < 0 && distance > -20) distance -= 20;
    return BigInt(distance);
  }

  private get addressMask(): bigint {
    return (1n << BigInt(this.addressSize)) - 1n;
  }

  /** The offset that, with the segment's base, gives the linear address. */
  private get offset(): bigint {
    return BigInt.asUintN(this.addressSize, this.linear - this.segmentBase);
  }

  /** Chooses an addressing form and sets its registers so that it gives the linear address. */
  private solve(): void {
    const { r } = this;
    if (this.addressSize === 16) {
      // below 64 KiB nothing is mapped: only the address counts
      const mod = r.below(3);
      const rm = r.below(8);
      const displacement = mod === 1 ? 1 : mod === 2 || rm === 6 ? 2 : 0;
      this.address = [(mod << 6) | ((this.reg & 7) << 3) | rm, ...bytesLe(r.u64(), displacement)];
      this.linear = 0n;
      return;
    }
    for (let attempt = 0; attempt < 8; attempt++) {
      const shape = r.below(16);
      if (shape === 0 && this.long && this.near(this.state.rip)) {
        this.ripTarget = this.offset;
        this.address = [((this.reg & 7) << 3) | 5, 0, 0, 0, 0];
        return;
      }
      const base = shape === 1 ? -1 : r.below(this.long ? 16 : 8);
      const index = shape < 8 && shape !== 1 ? -1 : r.below(this.long ? 16 : 8);
      if (this.form(base, index === RSP ? -1 : index, r.below(4), r.pick([0, 1, 1, 4]))) return;
    }
    const free = [6, 7, 3, 1, 2, 0, 5].find((i) => !this.pinned.has(i))!;
    if (!this.form(free, -1, 0, 1)) throw new Error(`no address for ${this.row.source}`);
  }

  private near(from: bigint): boolean {
    const distance = BigInt.asIntN(this.addressSize, this.offset - from);
    return this.addressSize === 32 || (distance > -0x7fff_0000n && distance < 0x7fff_0000n);
  }

  private form(base: number, index: number, scale: number, size: number): boolean {
    const { r, state, pinned } = this;
    const mask = this.addressMask;
    if (base === index && base >= 0) return false;
    if (base < 0) size = 4;
    else if ((base & 7) === 5 && size === 0) size = 1;
    let displacement = size === 0 ? 0n : BigInt.asIntN(8 * size, r.chance(0.3) ? this.integer(8 * size) : r.u64());
    const freeBase = base >= 0 && !pinned.has(base);
    const freeIndex = index >= 0 && !pinned.has(index);
    const rest = () => {
      const b = base >= 0 ? state.gpr[base]! : 0n;
      const x = index >= 0 ? state.gpr[index]! << BigInt(scale) : 0n;
      return { b, x };
    };
    if (freeBase) {
      if (index >= 0 && this.addressSize === 64 && !freeIndex && r.chance(0.5)) return false;
      this.setAddress(base, (this.offset - rest().x - displacement) & mask);
    } else if (freeIndex) {
      let left = this.offset - rest().b - displacement;
      if (size > 0) {
        const over = left & ((1n << BigInt(scale)) - 1n);
        if (displacement + over < 1n << BigInt(8 * size - 1)) ((displacement += over), (left -= over));
      }
      if (left & ((1n << BigInt(scale)) - 1n)) scale = 0;
      // an index shifted out of the address may hold anything in its upper bits
      this.setAddress(index, (left & mask) >> BigInt(scale));
    } else {
      const { b, x } = rest();
      displacement = BigInt.asIntN(this.addressSize, this.offset - b - x);
      if (BigInt.asIntN(32, displacement) !== displacement) return false;
      size = 4;
    }
    const { b, x } = rest();
    if (((b + x + displacement) & mask) !== this.offset) return false;
    for (const used of [base, index]) if (used >= 0) pinned.add(used);
    this.emitForm(base, index, scale, size, displacement);
    return true;
  }

  /** A register that takes part in an address: the bits beyond the address size do not matter. */
  private setAddress(index: number, value: bigint): void {
    this.setGpr(index, value, this.addressSize);
  }

  private emitForm(base: number, index: number, scale: number, size: number, displacement: bigint): void {
    const { r } = this;
    const mod = base < 0 ? 0 : size === 0 ? 0 : size === 1 ? 1 : 2;
    const sib =
      index >= 0 || (base >= 0 && (base & 7) === RSP) || (base < 0 && (this.long || r.chance(0.5))) || r.chance(0.05);
    const reg = (this.reg & 7) << 3;
    const modrm = (mod << 6) | reg | (sib ? 4 : base < 0 ? 5 : base & 7);
    this.address = [modrm];
    // without an index the scale has no meaning
    if (sib) this.address.push((scale << 6) | ((index < 0 ? 4 : index & 7) << 3) | (base < 0 ? 5 : base & 7));
    this.address.push(...bytesLe(displacement, size));
    const high = (index >= 8 ? 2 : 0) | (base >= 8 ? 1 : 0);
    // a REX prefix that appears here turns AH..BH into SPL..DIL: legal as well
    if (high) this.rex = Math.max(this.rex, 0) | high;
  }

  private assemble(): Uint8Array {
    const { row, r } = this;
    const prefixes = this.legacy;
    for (let i = prefixes.length - 1; i > 0; i--) {
      const j = r.below(i + 1);
      [prefixes[i], prefixes[j]] = [prefixes[j]!, prefixes[i]!];
    }
    const immediates: number[] = [];
    const values = [...this.immediates];
    for (const code of row.imm ? row.imm.split(' ') : []) {
      if (code === 'io') immediates.push(...bytesLe(this.offset, this.addressSize / 8));
      else if (code === 'ip') immediates.push(...bytesLe(r.u64(), this.opsize === 16 ? 4 : 6));
      else {
        const bits = { ib: 8, iw: 16, iz: Math.min(this.opsize, 32), iv: this.opsize }[code]!;
        immediates.push(...bytesLe(values.shift()!, bits / 8));
      }
    }
    const rex = this.long && this.rex >= 0 ? [0x40 | this.rex] : [];
    const bytes = [...prefixes, ...rex, ...this.opcode, ...this.address, ...immediates];
    if (this.ripTarget !== null) {
      const next = this.state.rip + BigInt(bytes.length);
      const at = bytes.length - immediates.length - 4;
      bytesLe(this.ripTarget - next, 4).forEach((b, i) => (bytes[at + i] = b));
    }
    if (bytes.length > 15) throw new Error(`${row.source}: ${bytes.length} bytes`);
    return Uint8Array.from(bytes);
  }
}

const words = new Uint32Array(2);
const WILD = [
  0n,
  0xfffn,
  0xffff_f000n,
  0x0000_8000_0000_0000n,
  0x8000_0000_0000_0000n,
  0x7fff_ffff_ffff_fff8n,
  0xffff_7fff_ffff_fff0n,
];

export function bytesLe(value: bigint, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Number(BigInt.asUintN(8, value >> BigInt(8 * i))));
}

/** What names a row in the answers: its encoding and operands, not its attributes or its place in a file. */
export function keyOf(row: Row): string {
  const [opcode, , operands] = row.source.split('|').map((c) => c.trim());
  const modes = ['o64', 'i64', 'rexw', 'norexw', 'rexb', 'norexb'].filter((a) => row.attrs.has(a));
  return [opcode, operands, ...modes].join(' ').replace(/\s+/g, ' ').trim();
}

/** The nth case of a row: the same function for recording and for replaying. */
export function generate(row: Row, opsize: OperandSize, mode: Mode, n: number): Generated {
  const draft = new Draft(row, opsize, mode, new Random(hash(`${keyOf(row)} ${opsize} ${mode}`), n));
  return { ...draft.finish(), draft };
}

export interface Generated {
  bytes: Uint8Array;
  state: State;
  /** How it was made: which registers, which address. */
  draft: Draft;
}
