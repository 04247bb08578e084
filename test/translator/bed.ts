// A vCPU over core.wasm that is driven slice by slice, with the translator beside it or without: two of them run the same program and are compared.
// The guest is a long-mode kernel that does nothing but stop: every exception and interrupt ends in HLT on a stack of its own.
import assert from 'node:assert/strict';
import '../lazy_regions.ts';
import { createDomain, Service } from '../hypervisor.ts';
import { instantiate, loadCore, type Core } from '../../platform/core.ts';
import { regionCounts, Regions, type RegionCounts } from '../../platform/regions.ts';
import { Translator } from '../../platform/translator.ts';
import { AT, lazyFlags } from '../cpu/engine.ts';

const WASM_PAGES = 1024;
const DETERMINISTIC = 1;
const PAGE = 0x1000;

/** Linear addresses; guest-physical ones are the number of the page from BASE on, see `map`. */
export const BASE = 0x1000_0000;
const at = (page: number): number => BASE + page * PAGE;
/** Writable pages, then one that is read-only, one that is the supervisor's, a hole, and one behind which there is no memory. */
export const DATA = at(4);
export const DATA_PAGES = 5;
export const READ_ONLY = at(9);
export const SUPERVISOR = at(10);
export const HOLE = at(11);
export const NO_MEMORY = at(12);
export const STACK_TOP = at(18);
/** What programs count with; no random store goes there. */
export const COUNTERS = at(18);
export const CODE = at(32);
export const CODE_PAGES = 16;
/** The same frames once more. */
export const ALIAS = at(48);
/** The last GiB before the addresses that are not canonical: the layout once more. */
export const HIGH = 0x7fff_c000_0000;
const KERNEL = at(64);
const IDT = at(65);
const IST_TOP = at(67);
/** Where every exception ends. */
export const HANDLER = KERNEL + 0x800;

const TABLES = 0x1000;
/** Guest-physical address of page 0 of the layout. */
const FIRST_GPA = 0x5000;
const LAYOUT_PAGES = 67;
const GUEST_PAGES = (FIRST_GPA >>> 12) + LAYOUT_PAGES;
const RAM_BYTES = (GUEST_PAGES - 1) * PAGE;
const P = 1, W = 2, U = 4, A = 0x20; // prettier-ignore

export const SELECTORS = { code64: 0x08, data: 0x10, code32: 0x18, userCode32: 0x23, userData: 0x2b, userCode64: 0x33 };
const TSS = 0x40;

export type Mode = 32 | 64;
export const EXIT = { halt: 2, hypercall: 3, ioreq: 4, shutdown: 5, budget: 7 };

export interface Start {
  mode: Mode;
  cpl: 0 | 3;
  rip: number;
  gpr: BigUint64Array;
  /** CF PF AF ZF SF OF, and the others as they are. */
  rflags: number;
  mxcsr: number;
  xmm: Uint8Array;
  fsBase: number;
  gsBase: number;
  /** Laid over memory, by linear address of the layout. */
  memory: readonly { at: number; bytes: Uint8Array }[];
}

type Calls = Record<
  'cpu_refresh' | 'cpu_run_for' | 'region_want' | 'region_run' | 'frame_changed',
  (...args: number[]) => number
>;

/** Parts of the Cpu that a program can see. What is left out: caches, and pointers into them. */
const COMPARED: readonly [number, number][] = [
  [0, 136],
  [144, 256],
  [280, 828],
  [864, 3072],
  [3200, 3248],
];
const NAMES = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');

export class Bed {
  readonly core: Core;
  readonly cpu: number;
  /** Address of guest-physical 0 in machine memory. */
  readonly ram: number;
  readonly memory: WebAssembly.Memory;
  readonly #calls: Calls;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #translator?: Translator;
  readonly #regions?: Regions;
  readonly #cpu0: Uint8Array;
  readonly #ram0: Uint8Array;

  /** `failed` is told of what the translator cannot translate; without it that is thrown. */
  constructor(translate: boolean, image = loadCore(), failed?: (error: Error) => void) {
    this.memory = new WebAssembly.Memory({ initial: WASM_PAGES, maximum: 65536, shared: true });
    this.core = instantiate(image.module, this.memory, () => 0);
    const x = this.core as unknown as Record<string, (...args: (number | bigint)[]) => number>;
    assert.equal(this.core.host_init(WASM_PAGES, image.tables.length, 1, DETERMINISTIC, 0, 0), 0);
    new Uint8Array(this.memory.buffer).set(image.tables, this.core.host_tables() >>> 0);
    this.core.pcpu_init(0);
    assert.equal(this.core.service_create(0, 1, 0, 32), 0);
    const domid = createDomain(new Service({ memory: this.memory, x }, 0), GUEST_PAGES);
    const frame = (gfn: number): number => x.domain_frame!(domid, gfn) >>> 0;
    this.ram = frame(1) - PAGE;
    for (let gfn = 1; gfn < GUEST_PAGES; gfn++) assert.equal(frame(gfn), this.ram + (gfn << 12), 'scattered frames');
    this.cpu = this.core.domain_cpu(domid, 0) >>> 0;
    this.#calls = this.core as unknown as Calls;
    this.#bytes = Buffer.from(this.memory.buffer as unknown as ArrayBuffer);
    this.#view = new DataView(this.memory.buffer);
    if (translate) {
      this.core.translator_enable(1);
      this.#translator = new Translator(image.translator, this.memory, undefined, failed);
      this.#regions = new Regions(this.core, this.memory);
    }
    this.#kernel();
    this.#cpu0 = Uint8Array.from(this.#bytes.subarray(this.cpu, this.cpu + PAGE));
    this.#ram0 = Uint8Array.from(this.#bytes.subarray(this.ram + PAGE, this.ram + PAGE + RAM_BYTES));
  }

  put(address: number, value: bigint): void {
    this.#view.setBigUint64(address, BigInt.asUintN(64, value), true);
  }
  get(address: number): bigint {
    return this.#view.getBigUint64(address, true);
  }

  /** Machine address behind a linear one of the layout. */
  host(linear: number): number {
    const page = linear >= ALIAS && linear < ALIAS + CODE_PAGES * PAGE ? linear - (ALIAS - CODE) : linear;
    return this.ram + FIRST_GPA + page - BASE;
  }

  #kernel(): void {
    const entry = (table: number, i: number, v: bigint): void => this.put(this.ram + table + 8 * i, v);
    entry(TABLES, 0, 0x2000n | BigInt(P | W | U | A));
    entry(0x2000, 0, 0x3000n | BigInt(P | W | U | A));
    entry(0x3000, BASE >>> 21, 0x4000n | BigInt(P | W | U | A));
    const map = (linear: number, pages: number, flags: number, from = linear): void => {
      for (let i = 0; i < pages; i++)
        entry(0x4000, ((linear >>> 12) & 511) + i, BigInt((FIRST_GPA + from - BASE + i * PAGE) | flags));
    };
    map(DATA, DATA_PAGES, P | W | U);
    map(READ_ONLY, 1, P | U);
    map(SUPERVISOR, 1, P | W);
    entry(0x4000, (NO_MEMORY >>> 12) & 511, 0x0300_0000n | BigInt(P | W | U));
    map(STACK_TOP - 2 * PAGE, 3, P | W | U);
    map(CODE, CODE_PAGES, P | W | U | A);
    map(ALIAS, CODE_PAGES, P | W | U | A, CODE);
    map(KERNEL, LAYOUT_PAGES - 64, P | W);
    const kernel = this.host(KERNEL);
    const flat = (access: number, flags: number): bigint =>
      0xffffn | (BigInt(access) << 40n) | (BigInt(0xf | (flags << 4)) << 48n);
    const gdt = [
      0n,
      flat(0x9b, 0xa),
      flat(0x93, 0xc),
      flat(0x9b, 0xc),
      flat(0xfb, 0xc),
      flat(0xf3, 0xc),
      flat(0xfb, 0xa),
    ];
    gdt.forEach((d, i) => this.put(kernel + 8 * i, d));
    const tss = BigInt(KERNEL + 0x100);
    this.put(kernel + TSS, 0x67n | ((tss & 0xffffffn) << 16n) | (0x8bn << 40n) | ((tss >> 24n) << 56n));
    this.put(kernel + 0x100 + 0x24, BigInt(IST_TOP));
    this.#bytes[this.host(HANDLER)] = 0xf4; // HLT
    for (let i = 0; i < 256; i++) {
      const low = BigInt(HANDLER & 0xffff) | (BigInt(SELECTORS.code64) << 16n) | (0xee01n << 32n);
      this.put(this.host(IDT) + 16 * i, low | (BigInt(HANDLER >>> 16) << 48n));
    }
    const { cpu } = this;
    this.put(cpu + AT.cr0, 0x80050033n);
    this.put(cpu + AT.cr3, BigInt(TABLES));
    this.put(cpu + AT.cr4, 0x506b0n | 0x10000n);
    this.put(cpu + AT.xcr0, 3n);
    this.put(cpu + AT.efer, 0xd01n);
    this.put(cpu + AT.plus4g, 1n << 32n);
    this.put(cpu + AT.minus4g, -(1n << 32n));
    this.put(cpu + AT.gdtBase, BigInt(KERNEL));
    this.put(cpu + AT.idtBase, BigInt(IDT));
    this.#view.setUint32(cpu + AT.gdtLimit, 0xff, true);
    this.#view.setUint32(cpu + AT.idtLimit, 0xfff, true);
    this.#segment(7, TSS, 0x8b, 0x67, tss);
  }

  #segment(i: number, selector: number, attr: number, limit = 0xffffffff, base = 0n): void {
    const at = this.cpu + AT.segments + 16 * i;
    this.#view.setUint16(at, selector, true);
    this.#view.setUint16(at + 2, attr, true);
    this.#view.setUint32(at + 4, limit, true);
    this.put(at + 8, base);
  }

  /** Forget everything and begin anew. */
  load(s: Start): void {
    const { cpu } = this;
    this.#bytes.set(this.#cpu0, cpu);
    this.#bytes.set(this.#ram0, this.ram + PAGE);
    for (const { at, bytes } of s.memory) this.#bytes.set(bytes, this.host(at));
    const user = s.cpl === 3;
    this.#view.setUint32(cpu + AT.cpl, s.cpl, true);
    const { code64, code32, userCode64, userCode32, data, userData } = SELECTORS;
    const cs = s.mode === 64 ? (user ? userCode64 : code64) : user ? userCode32 : code32;
    this.#segment(1, cs, (s.mode === 64 ? 0xa9b : 0xc9b) | (user ? 0x60 : 0));
    for (const i of [0, 2, 3]) this.#segment(i, user ? userData : data, user ? 0xcf3 : 0xc93);
    for (const [i, base] of [[4, s.fsBase], [5, s.gsBase]] as const) {
      this.#segment(i, user ? userData : data, user ? 0xcf3 : 0xc93, 0xffffffff, BigInt(base));
      this.put(cpu + AT.base + 8 * i, BigInt(base));
    } // prettier-ignore
    s.gpr.forEach((v, i) => this.put(cpu + 8 * i, v));
    this.put(cpu + AT.rip, BigInt(s.rip));
    this.putFlags(s.rflags);
    this.#view.setUint16(cpu + AT.fcw, 0x37f, true);
    this.#view.setUint32(cpu + AT.mxcsr, s.mxcsr, true);
    this.#bytes.set(s.xmm, cpu + AT.xmm);
    this.#calls.cpu_refresh(cpu);
  }

  /** Give a page of the layout other flags (P, W, U), in the tables only. */
  setEntry(linear: number, flags: number): void {
    const at = this.ram + 0x4000 + 8 * ((linear >>> 12) & 511);
    this.put(at, (this.get(at) & ~0x7n) | BigInt(flags));
  }

  /** Let a page of the layout lie where another does, in the tables only. */
  moveEntry(linear: number, to: number): void {
    const at = this.ram + 0x4000 + 8 * ((linear >>> 12) & 511);
    this.put(at, (this.get(at) & 0xfffn) | BigInt(FIRST_GPA + to - BASE));
  }

  /** Map a code page at another address below 4 GiB too, through the same tables; for what is loaded now. */
  mapCodeAt(linear: number, code: number): void {
    const entry = (table: number, i: number, v: number): void => this.put(this.ram + table + 8 * i, BigInt(v));
    entry(0x2000, linear >>> 30, 0x3000 | P | W | U | A);
    entry(0x3000, (linear >>> 21) & 511, 0x4000 | P | W | U | A);
    entry(0x4000, (linear >>> 12) & 511, (FIRST_GPA + code - BASE) | P | W | U | A);
    this.#calls.cpu_refresh(this.cpu);
  }

  /** Map all of the layout at HIGH too, through the same tables; for what is loaded now. */
  mapHigh(): void {
    const entry = (table: number, i: number, v: number): void => this.put(this.ram + table + 8 * i, BigInt(v));
    entry(TABLES, 255, 0x2000 | P | W | U | A);
    entry(0x2000, 511, 0x3000 | P | W | U | A);
    this.#calls.cpu_refresh(this.cpu);
  }

  /** The hypervisor has written to a page. */
  written(linear: number): void {
    this.#calls.frame_changed(this.host(linear));
  }

  putFlags(f: number): void {
    const { lfr, lfc, rflags } = lazyFlags(f);
    this.put(this.cpu + AT.lfr, lfr);
    this.put(this.cpu + AT.lfc, lfc);
    this.put(this.cpu + AT.rflags, rflags);
  }

  get rip(): bigint {
    return this.get(this.cpu + AT.rip);
  }
  get retired(): bigint {
    return this.get(this.cpu + 304);
  }

  run(budget: number): number {
    return this.#calls.cpu_run_for(this.cpu, budget);
  }

  /** Ask for a region at RIP. */
  want(): boolean {
    return this.#calls.region_want(this.cpu) !== 0;
  }

  /** Have the code at RIP translated, as the platform does; `see` is shown each module. */
  translate(see: (module: Uint8Array) => void = () => {}): boolean {
    return this.want() && this.serve(see);
  }

  /** What is asked for is translated and installed; false: there was nothing that could be. */
  serve(see: (module: Uint8Array) => void = () => {}): boolean {
    let answered = false;
    this.#translator!.serve((_pcpu, answer) => {
      answered = true;
      this.#regions!.install(answer);
    }, see);
    return answered;
  }

  /** States of the request slots that are not free (core/translator/layout.ts). */
  get busySlots(): number[] {
    const area = this.#translator!.posted * 4 + 0x1000;
    return Array.from({ length: 32 }, (_, i) => this.#view.getUint32(area + 512 * i, true)).filter(Boolean);
  }
  /** How often the pCPU was rung. */
  get rung(): number {
    return this.#view.getUint32(this.core.pcpu_doorbell(0) >>> 0, true);
  }

  /** See region_run in core/engine/inspect.ts. */
  runRegion(): number {
    return this.#calls.region_run(this.cpu);
  }

  get counts(): RegionCounts {
    return regionCounts(this.core, 0);
  }

  /** How this one's processor differs from another's, in words; '' if it does not. */
  difference(other: Bed): string {
    return cpuDifference(this.memory, this.cpu, other.memory, other.cpu);
  }

  /** The same for memory. */
  memoryDifference(other: Bed): string {
    const mine = this.#bytes.subarray(this.ram + PAGE, this.ram + PAGE + RAM_BYTES);
    const theirs = other.#bytes.subarray(other.ram + PAGE, other.ram + PAGE + RAM_BYTES);
    if (mine.equals(theirs)) return '';
    const i = mine.findIndex((b, n) => b !== theirs[n]);
    return `[${(BASE - FIRST_GPA + PAGE + i).toString(16)}] ${mine[i]!.toString(16)} / ${theirs[i]!.toString(16)}`;
  }
}

/** How two processors differ, in words; '' if they do not. */
export function cpuDifference(mine: WebAssembly.Memory, a: number, theirs: WebAssembly.Memory, b: number): string {
  for (const [from, to] of COMPARED) {
    const [x, y] = [
      Buffer.from(mine.buffer as ArrayBuffer, a + from, to - from),
      Buffer.from(theirs.buffer as ArrayBuffer, b + from, to - from),
    ];
    if (x.equals(y)) continue;
    const out: string[] = [];
    for (let i = 0; i < to - from; i += 4) {
      const [v, w] = [x.readUInt32LE(i), y.readUInt32LE(i)];
      const at = from + i;
      const name = (at < 128 && NAMES[at >> 3]) || (at >> 3 === AT.rip >> 3 ? 'rip' : String(at));
      if (v !== w) out.push(`${name}${at & 4 ? ' high' : ''} ${v.toString(16)} / ${w.toString(16)}`);
    }
    return out.join('; ');
  }
  return '';
}
