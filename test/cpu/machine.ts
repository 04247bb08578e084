// The user-mode machine in which instructions are recorded: addresses, state, and the binary layouts shared with harness.c.
import { Random, hash } from './random.ts';

/** The only data memory; the pages around it are not mapped. */
export const WINDOW = 0x1000_0000;
export const WINDOW_SIZE = 0x4000;
/** The instruction lies somewhere in the middle of this; all other bytes are INT3. */
export const CODE = 0x3000_0000;
export const CODE_SIZE = 0x1_0000;
/** Selectors: CS by mode, SS and (in both modes) DS and ES; FS and GS are null and have bases. */
export const SELECTORS = { cs64: 0x33, cs32: 0x23, ss: 0x2b, ds: 0x2b, es: 0x2b, fs: 0, gs: 0 } as const;
/** RFLAGS that states and answers hold: CF PF AF ZF SF DF OF NT AC ID. IF is 1 and IOPL 0 throughout, CPL 3. */
export const FLAGS_SEEN = 0x244cd5;
/** The control registers that matter: CR0.{PE,MP,NE,WP,AM,PG}, CR4.{OSFXSR,OSXMMEXCPT,FSGSBASE,OSXSAVE} set, CR4.{TSD,UMIP,PCE} do not matter. */

export type Mode = 32 | 64;

export interface Patch {
  /** From the start of the window. */
  offset: number;
  bytes: Uint8Array;
}

/** What an instruction starts from. */
export interface State {
  rip: bigint;
  gpr: BigUint64Array;
  rflags: number;
  fsBase: bigint;
  gsBase: bigint;
  /** FXSAVE image in the 64-bit layout; last-instruction pointers, opcode and MXCSR_MASK are zero. */
  fx: Uint8Array;
  /** Laid over `background`, in order. */
  memory: Patch[];
}

export interface Trap {
  vector: number;
  error: number;
  /** CR2, for a page fault. */
  address: bigint;
}

/** What it leaves behind. A trap leaves RIP where the processor reports it. */
export interface Result {
  trap: Trap | null;
  rip: bigint;
  gpr: BigUint64Array;
  rflags: number;
  fsBase: bigint;
  gsBase: bigint;
  fx: Uint8Array;
  /** The whole window. */
  memory: Uint8Array;
}

/** The window's contents before patches. */
export const background: Uint8Array = (() => {
  const r = new Random(hash('window'));
  return new Uint8Array(Uint32Array.from({ length: WINDOW_SIZE / 4 }, () => r.u32()).buffer);
})();

/** The window as the instruction finds it. */
export function windowOf(state: State): Uint8Array {
  const memory = background.slice();
  for (const { offset, bytes } of state.memory) memory.set(bytes, offset);
  return memory;
}

/** Clears what an FXSAVE image holds beyond the architectural registers, and what depends on the processor's maker. */
export function canonicalFx(fx: Uint8Array): void {
  fx.fill(0, 5, 24); // opcode and pointers of the last x87 instruction
  fx.fill(0, 28, 32); // MXCSR_MASK
  for (let i = 0; i < 8; i++) fx.fill(0, 32 + 16 * i + 10, 48 + 16 * i);
  fx.fill(0, 416, 512);
}

/** One case for harness.c: `struct in` and its patches. */
export function packCase(bytes: Uint8Array, mode: Mode, state: State): Uint8Array {
  const patches = state.memory.reduce((sum, p) => sum + 4 + p.bytes.length, 0);
  const out = new Uint8Array(IN_SIZE + patches);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, state.rip, true);
  state.gpr.forEach((value, i) => view.setBigUint64(8 + 8 * i, value, true));
  view.setBigUint64(136, BigInt(state.rflags), true);
  view.setBigUint64(144, state.fsBase, true);
  view.setBigUint64(152, state.gsBase, true);
  out.set(state.fx, 160);
  out[672] = mode === 32 ? 1 : 0;
  out[673] = bytes.length;
  out.set(bytes, 674);
  view.setUint16(690, state.memory.length, true);
  let at = IN_SIZE;
  for (const { offset, bytes: content } of state.memory) {
    view.setUint16(at, offset, true);
    view.setUint16(at + 2, content.length, true);
    out.set(content, at + 4);
    at += 4 + content.length;
  }
  return out;
}

const IN_SIZE = 696; // padded to a multiple of 8
const OUT_SIZE = 696;

/** Reads one `struct out` at `at`; returns the result and where the next one starts. */
export function unpackResult(
  data: Uint8Array,
  at: number,
  bytes: Uint8Array,
  mode: Mode,
  state: State,
): [Result, number] {
  const view = new DataView(data.buffer, data.byteOffset + at);
  const gpr = new BigUint64Array(16);
  // outside 64-bit mode only the low halves of eight registers exist
  for (let i = 0; i < 16; i++)
    gpr[i] = mode === 64 ? view.getBigUint64(8 + 8 * i, true) : i < 8 ? BigInt(view.getUint32(8 + 8 * i, true)) : 0n;
  const fx = new Uint8Array(data.subarray(at + 168, at + 680)); // a copy, of a Buffer as well
  canonicalFx(fx);
  const vector = view.getUint32(680, true);
  const changed = view.getUint32(688, true);
  const memory = windowOf(state);
  for (let i = 0; i < changed; i++)
    memory[view.getUint16(OUT_SIZE + 3 * i, true)] = view.getUint8(OUT_SIZE + 3 * i + 2);
  let rip = view.getBigUint64(0, true);
  let trap: Trap | null = { vector, error: view.getUint32(684, true), address: view.getBigUint64(160, true) };
  const inside = (address: bigint) => address >= state.rip && address < state.rip + BigInt(bytes.length);
  if (vector === 3 && !inside(rip - 1n)) {
    // the INT3 that follows
    trap = null;
    rip -= 1n;
  } else if (vector === 14 && trap.address === rip && rip !== state.rip && trap.error & 16) {
    // a branch to where nothing is mapped has been taken, and the next fetch has failed
    trap = null;
  }
  const result: Result = {
    ...{ trap, rip, gpr, fx, memory },
    rflags: Number(view.getBigUint64(136, true)) & FLAGS_SEEN,
    fsBase: view.getBigUint64(144, true),
    gsBase: view.getBigUint64(152, true),
  };
  return [result, at + OUT_SIZE + 3 * changed];
}
