// Random machine states.
import { WINDOW, WINDOW_SIZE, type Mode, type Patch, type State } from './machine.ts';
import { Random, edge, float, float80 } from './random.ts';

/** What a vector lane, an x87 operand or a memory operand holds. */
export type Lane = 'int' | 'ps' | 'pd';

const words = new Uint32Array(2);
const bytesOf = new Uint8Array(words.buffer);

/** Fills `to` from `at` on with lanes of a kind. */
export function fillLanes(r: Random, to: Uint8Array, at: number, length: number, lane: Lane): void {
  const view = new DataView(to.buffer, to.byteOffset);
  if (lane === 'ps' && length >= 4) {
    for (let i = 0; i + 4 <= length; i += 4) view.setUint32(at + i, Number(float(r, 8, 23)), true);
    return;
  }
  if (lane === 'pd' && length >= 8) {
    for (let i = 0; i + 8 <= length; i += 8) view.setBigUint64(at + i, float(r, 11, 52), true);
    return;
  }
  // integers: edges of one lane width, which the instruction may or may not share
  const width = r.pick([1, 2, 4, 8]);
  for (let i = 0; i < length; i += width) {
    edge(r, words, 0);
    for (let j = 0; j < width && i + j < length; j++) to[at + i + j] = bytesOf[j]!;
  }
}

/** A neighbour of the lane's value, or its negative: what cancels, ties and compares equal. */
export function perturb(r: Random, from: Uint8Array, lane: Lane): Uint8Array {
  const out = from.slice();
  const width = Math.min(out.length, lane === 'pd' ? 8 : lane === 'ps' ? 4 : r.pick([1, 2, 4, 8]));
  for (let i = 0; i + width <= out.length; i += width) {
    if (lane !== 'int' && r.chance(0.5)) out[i + width - 1]! ^= 0x80;
    const step = r.range(-2, 2);
    let carry = step;
    for (let j = 0; j < width && carry; j++) {
      const sum = out[i + j]! + carry;
      out[i + j] = sum;
      carry = sum >> 8;
    }
  }
  return out;
}

/** Random MXCSR: rounding, DAZ, FTZ; exceptions mostly masked. */
export function randomMxcsr(r: Random): number {
  const flags = r.chance(0.3) ? r.below(64) : 0;
  const masks = r.chance(0.85) ? 0x3f : r.below(64);
  return flags | (masks << 7) | (r.below(4) << 13) | (r.chance(0.2) ? 0x40 : 0) | (r.chance(0.2) ? 0x8000 : 0);
}

/** A random x87 control and status word that agree: ES and B say whether an unmasked exception is pending. */
export function randomX87Words(r: Random): { fcw: number; fsw: number } {
  const masks = r.chance(0.85) ? 0x3f : r.below(64);
  const precision = r.chance(0.7) ? 3 : r.pick([0, 2]);
  const fcw = 0x40 | masks | (precision << 8) | (r.below(4) << 10);
  let flags = r.chance(0.3) ? r.below(128) : 0;
  if (flags & ~masks & 0x3f && r.chance(0.8)) flags &= masks | 0x40; // pending exceptions are rare
  const pending = flags & ~masks & 0x3f ? 0x8080 : 0;
  return {
    fcw,
    fsw: flags | pending | (r.below(16) & 7 ? (r.below(8) << 8) | (r.below(2) << 14) : 0) | (r.below(8) << 11),
  };
}

/** Which registers are not empty, as the abridged tag word (by physical register). */
export function randomTags(r: Random, top: number): number {
  const kind = r.below(10);
  if (kind < 3) return 0xff;
  if (kind < 4) return r.below(256);
  const depth = kind < 5 ? r.below(2) : r.range(1, 7);
  let tags = 0;
  for (let i = 0; i < depth; i++) tags |= 1 << ((top + i) & 7);
  return tags;
}

/** Random FXSAVE image. */
export function randomFx(r: Random, lane: Lane, mode: Mode, x87: boolean, mmx: boolean): Uint8Array {
  const fx = new Uint8Array(512);
  const view = new DataView(fx.buffer);
  const { fcw, fsw } = randomX87Words(r);
  view.setUint16(0, x87 || mmx ? fcw : 0x37f, true);
  view.setUint16(2, x87 || mmx ? fsw : fsw & 0x3800, true);
  fx[4] = randomTags(r, (fsw >> 11) & 7);
  view.setUint32(24, randomMxcsr(r), true);
  for (let i = 0; i < 8; i++) {
    const at = 32 + 16 * i;
    if (x87) {
      const value = float80(r);
      view.setBigUint64(at, value & 0xffff_ffff_ffff_ffffn, true);
      view.setUint16(at + 8, Number(value >> 64n), true);
    } else {
      fillLanes(r, fx, at, 8, mmx && r.chance(0.5) ? lane : 'int');
      view.setUint16(at + 8, r.chance(0.7) ? 0xffff : r.below(65536), true);
    }
  }
  for (let i = 0; i < (mode === 64 ? 16 : 8); i++) {
    const own = r.chance(0.8) ? lane : r.pick(['int', 'ps', 'pd'] as const);
    fillLanes(r, fx, 160 + 16 * i, 16, own);
  }
  return fx;
}

/** Random general registers and flags; memory is the background alone. */
export function randomState(r: Random, mode: Mode, fx: Uint8Array): State {
  const gpr = new BigUint64Array(16);
  const halves = new Uint32Array(gpr.buffer);
  for (let i = 0; i < (mode === 64 ? 16 : 8); i++) {
    edge(r, halves, 2 * i);
    if (mode === 32) halves[2 * i + 1] = 0;
  }
  const base = () => BigInt(r.pick([0, WINDOW - 0x1000, WINDOW + r.below(0x800), r.below(WINDOW)]));
  return {
    ...{ rip: 0n, gpr, fx, memory: [] as Patch[] },
    rflags: 0x202 | (r.below(256) & 0xd5) | (r.below(2) << 11) | (r.chance(0.2) ? 0x400 : 0),
    fsBase: mode === 64 ? base() : 0n,
    gsBase: mode === 64 ? base() : 0n,
  };
}

/** Lays bytes over memory at a linear address, as far as they fall into the window. */
export function patch(state: State, address: bigint, bytes: Uint8Array): void {
  const offset = Number(BigInt.asIntN(64, address - BigInt(WINDOW)));
  if (!(offset > -bytes.length && offset < WINDOW_SIZE)) return;
  const from = Math.max(0, -offset);
  const to = Math.min(bytes.length, WINDOW_SIZE - offset);
  state.memory.push({ offset: offset + from, bytes: bytes.slice(from, to) });
}
