// The engine as the machine of the recorded cases: user mode of a long-mode vCPU, one instruction at a time.
import {
  CODE,
  CODE_SIZE,
  SELECTORS,
  WINDOW,
  WINDOW_SIZE,
  windowOf,
  type Mode,
  type Result,
  type State,
} from './replay.ts';
import { canonicalFx, FLAGS_SEEN } from './machine.ts';

/** What the tests need of a core: a vCPU's Cpu, its memory, one step. */
export interface Stepper {
  memory: WebAssembly.Memory;
  /** Address of the Cpu. */
  cpu: number;
  /** Address of guest-physical 0; the frames from 1 to PAGES are contiguous. */
  ram: number;
  /** Recompute cpu.mode and forget translations. */
  refresh(): void;
  step(): number;
  /** Have the code at RIP translated and run it so: how many instructions have retired, -1 = it cannot be translated. */
  region?(): number;
}

const EXIT_EXCEPTION = 1;

/** Offsets in Cpu (core/arch/x86/cpu.ts). */
export const AT = {
  ...{
    plus4g: 144,
    minus4g: 152,
    lfr: 160,
    lfc: 168,
    rip: 176,
    rflags: 184,
    base: 192,
    exit: 268,
    excVector: 280,
    excError: 284,
  },
  ...{
    cpl: 292,
    cr0: 320,
    cr2: 328,
    cr3: 336,
    cr4: 344,
    xcr0: 360,
    efer: 368,
    segments: 1024,
    fcw: 1152,
    fsw: 1154,
    ftw: 1156,
  },
  ...{ mxcsr: 1176, fpr: 1184, xmm: 1312, gdtBase: 552, idtBase: 560, gdtLimit: 568, idtLimit: 572, tr: 1024 + 16 * 7 },
};
const TABLES = 0x1000;
/** Kernel's page: descriptors, TSS, IDT, and the stack from its end down; and the linear address at which it sees physical 0. */
const KERNEL_GPA = 0x7000;
const KERNEL_BASE = -(1n << 47n);
const HANDLER = KERNEL_BASE + 0x100000n;
const WINDOW_GPA = 0x8000;
const CODE_GPA = 0x10000;
/** Guest frames that the machine uses: page tables from 1 on, the window, the code. */
export const PAGES = (CODE_GPA + CODE_SIZE) >>> 12;

export class EngineMachine {
  readonly #s: Stepper;
  readonly #dv: DataView;
  readonly #bytes: Uint8Array;
  #dirtyCode: [number, number] = [0, 0];

  constructor(stepper: Stepper) {
    this.#s = stepper;
    this.#dv = new DataView(stepper.memory.buffer);
    this.#bytes = new Uint8Array(stepper.memory.buffer);
    this.#tables();
    this.#kernel();
    this.#bytes.fill(0xcc, stepper.ram + CODE_GPA, stepper.ram + CODE_GPA + CODE_SIZE);
    const cpu = stepper.cpu;
    this.#put(cpu + AT.cr0, 0x80050033n);
    this.#put(cpu + AT.cr3, BigInt(TABLES));
    this.#put(cpu + AT.cr4, 0x506b0n | 0x10000n);
    this.#put(cpu + AT.xcr0, 3n);
    this.#put(cpu + AT.efer, 0xd01n);
    this.#put(cpu + AT.plus4g, 1n << 32n);
    this.#put(cpu + AT.minus4g, -(1n << 32n));
  }

  #put(at: number, v: bigint): void {
    this.#dv.setBigUint64(at, BigInt.asUintN(64, v), true);
  }

  /**
   * Four levels: window and code, accessible to user mode, everything around them not mapped. From the last page of the lower half on
   * everything is the kernel's: Linux reports faults there as those of present pages (arch/x86/mm/fault.c), and so do the answers.
   */
  #tables(): void {
    const { ram } = this.#s;
    const entry = (table: number, i: number, v: number): void => this.#put(ram + table + 8 * i, BigInt(v));
    entry(0x1000, 0, 0x2007);
    entry(0x2000, 0, 0x3007);
    const map = (va: number, gpa: number, size: number, table: number): void => {
      entry(0x3000, va >>> 21, table | 7);
      for (let i = 0; i < size >>> 12; i++) entry(table, ((va >>> 12) & 511) + i, (gpa + (i << 12)) | 7);
    };
    map(WINDOW, WINDOW_GPA, WINDOW_SIZE, 0x4000);
    map(CODE, CODE_GPA, CODE_SIZE, 0x5000);
    for (let i = 0; i < 512; i++) this.#put(ram + 0x6000 + 8 * i, (BigInt(i) << 30n) | 0x83n);
    for (let i = 256; i < 512; i++) entry(TABLES, i, 0x6003);
    // one table is all lower levels of the page at 0x7ffffffff000
    entry(TABLES, 255, 0xc003);
    entry(0xc000, 511, 0xc003);
  }

  /** What an INTO needs that traps: a gate for vector 4 open to user mode, a code segment, a TSS with a stack. */
  #kernel(): void {
    const { cpu, ram } = this.#s;
    const page = ram + KERNEL_GPA;
    const linear = KERNEL_BASE + BigInt(KERNEL_GPA);
    const [tss, idt] = [0x100, 0x200];
    this.#put(page + 0x10, 0x00af9b000000ffffn);
    this.#put(page + tss + 4, linear + 0x1000n);
    const low = (HANDLER & 0xffffn) | (0x10n << 16n) | (0xee00n << 32n) | (((HANDLER >> 16n) & 0xffffn) << 48n);
    this.#put(page + idt + 64, low);
    this.#put(page + idt + 72, (HANDLER >> 32n) & 0xffff_ffffn);
    this.#put(cpu + AT.gdtBase, linear);
    this.#put(cpu + AT.idtBase, linear + BigInt(idt));
    this.#dv.setUint32(cpu + AT.gdtLimit, 0xff, true);
    this.#dv.setUint32(cpu + AT.idtLimit, 0x4f, true);
    this.#dv.setUint16(cpu + AT.tr, 0x40, true);
    this.#dv.setUint16(cpu + AT.tr + 2, 0x8b, true);
    this.#dv.setUint32(cpu + AT.tr + 4, 0x67, true);
    this.#put(cpu + AT.tr + 8, linear + BigInt(tss));
  }

  #segments(mode: Mode): void {
    const { cpu } = this.#s;
    this.#dv.setUint32(cpu + AT.cpl, 3, true);
    const set = (i: number, selector: number, attr: number, limit: number): void => {
      const at = cpu + AT.segments + 16 * i;
      this.#dv.setUint16(at, selector, true);
      this.#dv.setUint16(at + 2, attr, true);
      this.#dv.setUint32(at + 4, limit, true);
      this.#put(at + 8, 0n);
    };
    set(0, SELECTORS.es, 0xcf3, 0xffffffff);
    set(1, mode === 64 ? SELECTORS.cs64 : SELECTORS.cs32, mode === 64 ? 0xafb : 0xcfb, 0xffffffff);
    set(2, SELECTORS.ss, 0xcf3, 0xffffffff);
    set(3, SELECTORS.ds, 0xcf3, 0xffffffff);
    set(4, 0, 0, 0);
    set(5, 0, 0, 0);
  }

  /** Executes the one instruction at state.rip. */
  run(bytes: Uint8Array, mode: Mode, state: State): Result {
    this.#place(bytes, state);
    this.#load(mode, state);
    this.#s.refresh();
    const exit = this.#s.step();
    this.#leaveKernel();
    return this.#result(exit, mode, state.rip);
  }

  /** The same in a region; null if it has left it to the interpreter. */
  runInRegion(bytes: Uint8Array, mode: Mode, state: State): Result | null {
    this.#place(bytes, state);
    this.#load(mode, state);
    this.#s.refresh();
    // once in the interpreter, which decodes what is to be translated and finds the pages
    this.#s.step();
    this.#load(mode, state);
    const retired = this.#s.region!();
    if (retired <= 0) return null;
    if (retired > 1) throw new Error(`${retired} instructions instead of one`);
    this.#trapped = false;
    return this.#result(this.#dv.getUint32(this.#s.cpu + AT.exit, true), mode, state.rip);
  }

  #place(bytes: Uint8Array, state: State): void {
    this.#bytes.fill(0xcc, this.#dirtyCode[0], this.#dirtyCode[1]);
    const code = this.#s.ram + CODE_GPA + Number(state.rip) - CODE;
    this.#bytes.set(bytes, code);
    this.#dirtyCode = [code, code + bytes.length];
  }

  #load(mode: Mode, state: State): void {
    const { cpu, ram } = this.#s;
    this.#bytes.set(windowOf(state), ram + WINDOW_GPA);
    this.#segments(mode);
    state.gpr.forEach((v, i) => this.#put(cpu + 8 * i, v));
    this.#put(cpu + AT.rip, state.rip);
    this.#flags(state.rflags);
    this.#base(4, state.fsBase);
    this.#base(5, state.gsBase);
    this.#loadFx(state.fx);
  }

  /** After an INTO that traps: what it pushed is the state that a debugger would see. Vector 4, the only gate there is. */
  #leaveKernel(): void {
    const { cpu } = this.#s;
    this.#trapped = this.#dv.getUint32(cpu + AT.cpl, true) === 0;
    if (!this.#trapped) return;
    const frame = this.#s.ram + KERNEL_GPA + 0x1000 - 40;
    const pushed = (i: number): bigint => this.#dv.getBigUint64(frame + 8 * i, true);
    this.#put(cpu + AT.rip, pushed(0));
    this.#put(cpu + AT.rflags, pushed(2));
    this.#put(cpu + 8 * 4, pushed(3));
  }
  #trapped = false;

  #base(i: number, v: bigint): void {
    this.#put(this.#s.cpu + AT.base + 8 * i, v);
    this.#put(this.#s.cpu + AT.segments + 16 * i + 8, v);
  }

  #flags(f: number): void {
    const { lfr, lfc, rflags } = lazyFlags(f);
    this.#put(this.#s.cpu + AT.lfr, lfr);
    this.#put(this.#s.cpu + AT.lfc, lfc);
    this.#put(this.#s.cpu + AT.rflags, rflags | 0x200n);
  }

  #flagsNow(): number {
    const { cpu } = this.#s;
    const r = this.#dv.getBigUint64(cpu + AT.lfr, true);
    const c = this.#dv.getBigUint64(cpu + AT.lfc, true);
    const cf = Number(c >> 63n);
    let low = Number((r ^ (c >> 8n)) & 0xffn);
    low ^= low >> 4;
    low ^= low >> 2;
    low ^= low >> 1;
    let f = cf | (low & 1 ? 0 : 4) | (c & 8n ? 0x10 : 0) | (r === 0n ? 0x40 : 0);
    f |= (Number(r >> 63n) ^ Number((c >> 16n) & 1n)) << 7;
    f |= (cf ^ Number((c >> 62n) & 1n)) << 11;
    return (Number(this.#dv.getBigUint64(cpu + AT.rflags, true)) | f) & FLAGS_SEEN;
  }

  #loadFx(fx: Uint8Array): void {
    const { cpu } = this.#s;
    const view = new DataView(fx.buffer, fx.byteOffset);
    const fsw = view.getUint16(2, true);
    this.#dv.setUint16(cpu + AT.fcw, view.getUint16(0, true), true);
    this.#dv.setUint16(cpu + AT.fsw, fsw, true);
    this.#dv.setUint8(cpu + AT.ftw, fx[4]!);
    this.#dv.setUint32(cpu + AT.mxcsr, view.getUint32(24, true), true);
    const top = (fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const to = cpu + AT.fpr + 16 * ((top + i) & 7);
      this.#bytes.set(fx.subarray(32 + 16 * i, 42 + 16 * i), to);
    }
    this.#bytes.set(fx.subarray(160, 416), cpu + AT.xmm);
  }

  #saveFx(): Uint8Array {
    const { cpu } = this.#s;
    const fx = new Uint8Array(512);
    const view = new DataView(fx.buffer);
    const fsw = this.#dv.getUint16(cpu + AT.fsw, true);
    view.setUint16(0, this.#dv.getUint16(cpu + AT.fcw, true), true);
    view.setUint16(2, fsw, true);
    fx[4] = this.#dv.getUint8(cpu + AT.ftw);
    view.setUint32(24, this.#dv.getUint32(cpu + AT.mxcsr, true), true);
    const top = (fsw >> 11) & 7;
    for (let i = 0; i < 8; i++) {
      const from = cpu + AT.fpr + 16 * ((top + i) & 7);
      fx.set(this.#bytes.subarray(from, from + 10), 32 + 16 * i);
    }
    fx.set(this.#bytes.subarray(cpu + AT.xmm, cpu + AT.xmm + 256), 160);
    canonicalFx(fx);
    return fx;
  }

  #trap(exit: number, start: bigint): Result['trap'] {
    const { cpu } = this.#s;
    if (this.#trapped) return { vector: 4, error: 0, address: 0n };
    if (exit !== EXIT_EXCEPTION) return null;
    const vector = this.#dv.getUint32(cpu + AT.excVector, true);
    const error = this.#dv.getUint32(cpu + AT.excError, true);
    const address = vector === 14 ? this.#dv.getBigUint64(cpu + AT.cr2, true) : 0n;
    const rip = this.#dv.getBigUint64(cpu + AT.rip, true);
    // a branch has been taken to where nothing is mapped: the next instruction's fault
    return vector === 14 && error & 16 && address === rip && rip !== start ? null : { vector, error, address };
  }

  #result(exit: number, mode: Mode, start: bigint): Result {
    const { cpu, ram } = this.#s;
    const gpr = new BigUint64Array(16);
    for (let i = 0; i < 16; i++) {
      const v = this.#dv.getBigUint64(cpu + 8 * i, true);
      gpr[i] = mode === 64 ? v : i < 8 ? v & 0xffff_ffffn : 0n;
    }
    return {
      trap: this.#trap(exit, start),
      rip: this.#dv.getBigUint64(cpu + AT.rip, true),
      gpr,
      rflags: this.#flagsNow(),
      fsBase: this.#dv.getBigUint64(cpu + AT.base + 32, true),
      gsBase: this.#dv.getBigUint64(cpu + AT.base + 40, true),
      fx: this.#saveFx(),
      memory: this.#bytes.slice(ram + WINDOW_GPA, ram + WINDOW_GPA + WINDOW_SIZE),
    };
  }
}

/** RFLAGS as the Cpu holds them: docs/design/core.md. */
export function lazyFlags(f: number): { lfr: bigint; lfc: bigint; rflags: bigint } {
  const zf = (f >> 6) & 1;
  let c = f & 1 ? 0xc000_0000_0000_0000n : 0n;
  if (f & 0x800) c ^= 0x4000_0000_0000_0000n;
  if (f & 0x10) c |= 8n;
  if (f & 0x80) c |= 0x10000n;
  if (((f >> 2) & 1) !== zf) c |= 0x100n;
  return { lfr: zf ? 0n : 1n, lfc: c, rflags: BigInt((f & ~0x8d5) | 2) };
}
