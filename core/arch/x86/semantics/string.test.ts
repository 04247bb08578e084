// String instructions, which take pages at a time where they can, against the element loop of the manual (SDM vol. 2, REP): overlaps, page
// ends, faults in the middle, addresses that wrap, both directions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openCore } from '../../../../test/cpu/core.ts';
import { EngineMachine } from '../../../../test/cpu/engine.ts';
import { CODE, WINDOW, WINDOW_SIZE, windowOf, type Mode, type State } from '../../../../test/cpu/replay.ts';
import { Random } from '../../../../test/cpu/random.ts';

const [RAX, RCX, RSI, RDI] = [0, 1, 6, 7];
const [CF, ZF, DF] = [1, 0x40, 0x400];
const OPCODES = { MOVS: 0xa4, CMPS: 0xa6, STOS: 0xaa, LODS: 0xac, SCAS: 0xae };
type Name = keyof typeof OPCODES;

interface Case {
  name: Name;
  size: number;
  mode: Mode;
  bits: 16 | 32 | 64;
  /** F2: repeat while different. */
  differ: boolean;
  state: State;
}

/** Registers as numbers: all addresses are below 2^53. */
interface Machine {
  rcx: number;
  rsi: number;
  rdi: number;
  rax: bigint;
  memory: Uint8Array;
  trapped: boolean;
  flags: number;
}

/** One element; false: it faults, and nothing has changed. */
function element(c: Case, m: Machine): boolean {
  const wrap = (v: number): number => (c.bits === 64 ? v : ((v % 2 ** c.bits) + 2 ** c.bits) % 2 ** c.bits);
  const view = new DataView(m.memory.buffer);
  const at = (register: number, base: number): number => {
    const rel = wrap(register) + base - WINDOW;
    return rel >= 0 && rel + c.size <= WINDOW_SIZE ? rel : -1;
  };
  const value = (rel: number): bigint => {
    let v = 0n;
    for (let i = c.size; i-- > 0; ) v = (v << 8n) | BigInt(view.getUint8(rel + i));
    return v;
  };
  const put = (rel: number, v: bigint): void => {
    for (let i = 0; i < c.size; i++) view.setUint8(rel + i, Number((v >> BigInt(8 * i)) & 0xffn));
  };
  const cut = BigInt.asUintN(8 * c.size, m.rax);
  const from = /^(MOVS|CMPS|LODS)$/.test(c.name) ? at(m.rsi, Number(BigInt.asIntN(64, c.state.fsBase))) : 0;
  const to = c.name === 'LODS' ? 0 : at(m.rdi, 0);
  if (from < 0 || to < 0) return false;
  const compare = (x: bigint, y: bigint): void => void (m.flags = (x < y ? CF : 0) | (x === y ? ZF : 0));
  if (c.name === 'MOVS') put(to, value(from));
  else if (c.name === 'STOS') put(to, cut);
  else if (c.name === 'LODS') m.rax = c.size === 4 ? value(from) : m.rax - cut + value(from);
  else compare(c.name === 'CMPS' ? value(from) : cut, value(to));
  const step = c.state.rflags & DF ? -c.size : c.size;
  const moved = (v: number): number => (c.bits === 16 ? v - (v % 65536) + wrap((v % 65536) + step) : wrap(v + step));
  if (/^(MOVS|CMPS|LODS)$/.test(c.name)) m.rsi = moved(m.rsi);
  if (c.name !== 'LODS') m.rdi = moved(m.rdi);
  m.rcx--;
  return true;
}

function model(c: Case): Machine {
  const { gpr } = c.state;
  const m: Machine = {
    ...{ rcx: Number(gpr[RCX]), rsi: Number(gpr[RSI]), rdi: Number(gpr[RDI]), rax: gpr[RAX]! },
    ...{ memory: windowOf(c.state), trapped: false, flags: c.state.rflags & (CF | ZF) },
  };
  const compares = c.name === 'CMPS' || c.name === 'SCAS';
  while (m.rcx > 0) {
    if (!element(c, m)) {
      m.trapped = true;
      break;
    }
    if (compares && ((m.flags & ZF) !== 0) === c.differ) break;
  }
  return m;
}

function bytesOf(c: Case): Uint8Array {
  const usual = c.mode === 64 ? 64 : 32;
  const prefixes = [
    ...(c.state.fsBase ? [0x64] : []),
    ...(c.bits === usual ? [] : [0x67]),
    ...(c.size === 2 ? [0x66] : []),
  ];
  const repeat = c.differ ? 0xf2 : 0xf3;
  const opcode = OPCODES[c.name] + (c.size === 1 ? 0 : 1);
  return Uint8Array.from([...prefixes, repeat, ...(c.size === 8 ? [0x48] : []), opcode]);
}

/** Two areas of the window that overlap, or end near a page or the window. */
function areas(r: Random, bytes: number): [number, number] {
  const place = (): number =>
    r.chance(0.3) ? r.pick([0x1000, 0x2000, WINDOW_SIZE]) - r.below(bytes + 64) : r.range(-8, WINDOW_SIZE - 1);
  const from = place();
  return [from, r.chance(0.5) ? from + r.range(-80, 80) : place()];
}

function draw(r: Random): Case {
  const mode = r.pick([64, 32] as const);
  const size = r.pick(mode === 64 ? [1, 2, 4, 8] : [1, 2, 4]);
  const name = r.pick(['MOVS', 'MOVS', 'STOS', 'CMPS', 'SCAS', 'LODS'] as const);
  const bits = r.chance(0.7) ? mode : mode === 64 ? 32 : 16;
  const count = r.chance(0.8) ? r.below(200) : Math.floor(r.below(0x3800) / size);
  const [from, to] = areas(r, count * size);
  const down = r.chance(0.15);
  const gpr = new BigUint64Array(16);
  gpr[RAX] = r.chance(0.5) ? r.u64() : BigInt(r.below(256)) * 0x0101010101010101n;
  if (mode === 32) gpr[RAX] = BigInt.asUintN(32, gpr[RAX]);
  gpr[RCX] = BigInt(count);
  gpr[RSI] = BigInt(WINDOW + from);
  gpr[RDI] = BigInt(WINDOW + to);
  let fsBase = 0n;
  if (bits === 32 && mode === 64 && r.chance(0.3)) {
    // offsets that wrap inside the window
    const before = r.below(count * size + 8);
    gpr[RSI] = BigInt(2 ** 32 - before);
    fsBase = BigInt.asUintN(64, BigInt(WINDOW + from + before - 2 ** 32));
  }
  const fx = new Uint8Array(512);
  new DataView(fx.buffer).setUint16(0, 0x37f, true);
  new DataView(fx.buffer).setUint32(24, 0x1f80, true);
  // comparisons go on for a while where all is alike
  const memory = r.chance(0.5)
    ? [{ offset: 0, bytes: new Uint8Array(WINDOW_SIZE).fill(Number(gpr[RAX] & 0xffn)) }]
    : [];
  if (memory[0]) memory[0].bytes[r.below(WINDOW_SIZE)]! ^= 1;
  const rflags = 0x202 | (down ? DF : 0);
  const state: State = { rip: BigInt(CODE), gpr, fx, memory, rflags, fsBase, gsBase: 0n };
  return { name, size, mode, bits, differ: r.chance(0.3), state };
}

test('repetitions do what their elements do one after the other', () => {
  const machine = new EngineMachine(openCore());
  const r = new Random(20240607);
  const seen = { faults: 0, long: 0 };
  for (let n = 0; n < 4000; n++) {
    const c = draw(r);
    const m = model(c);
    const got = machine.run(bytesOf(c), c.mode, c.state);
    const g = (i: number): number => Number(got.gpr[i]);
    const what = `${n}: ${c.name} ${c.size} mode ${c.mode} address ${c.bits} of ${[...c.state.gpr].slice(0, 8).map((v) => v.toString(16))} df ${c.state.rflags & DF} fs ${c.state.fsBase.toString(16)}`;
    assert.equal(got.trap?.vector, m.trapped ? 14 : undefined, what);
    assert.deepEqual([g(RCX), g(RSI), g(RDI), got.gpr[RAX]], [m.rcx, m.rsi, m.rdi, m.rax], what);
    assert.equal(got.rflags & (CF | ZF), m.flags, what);
    assert.equal(Buffer.compare(got.memory, m.memory), 0, what);
    if (m.trapped && m.rcx < Number(c.state.gpr[RCX])) seen.faults++;
    if (Number(c.state.gpr[RCX]) - m.rcx > 4096) seen.long++;
  }
  assert.ok(seen.faults > 100 && seen.long > 20, JSON.stringify(seen));
});
