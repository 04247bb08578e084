// The form in which answers are kept: what an instruction changed, one file for each file of rows, compressed.
import { readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, brotliDecompressSync, constants, crc32 } from 'node:zlib';
import { keyOf } from './encode.ts';
import { packCase, windowOf, type Mode, type Result, type State } from './machine.ts';
import type { Group } from './plan.ts';

/** A group as the file lists it. `inputs` is the CRC of all its cases: it tells when a generator has changed under the answers. */
export interface Section {
  key: string;
  opsize: number;
  mode: number;
  count: number;
  inputs: number;
  length: number;
}

export interface Index {
  /** The model that answered. */
  cpu: string;
  sections: Section[];
}

export interface Input {
  bytes: Uint8Array;
  state: State;
}

export const sectionKey = (g: Group): string => `${keyOf(g.row)}|${g.opsize}|${g.mode}`;

/** CRC of a group's inputs. */
export function inputsCrc(inputs: readonly Input[], mode: Mode): number {
  return inputs.reduce((crc, { bytes, state }) => crc32(packCase(bytes, mode, state), crc), 0);
}

const TRAP = 1;
const RIP = 2;
const FLAGS = 4;
const GPR = 8;
const FX = 16;
const MEMORY = 32;
const BASES = 64;

class Writer {
  bytes: number[] = [];
  varint(value: bigint | number): void {
    let rest = BigInt(value);
    for (; rest > 0x7fn; rest >>= 7n) this.bytes.push(Number(rest & 0x7fn) | 0x80);
    this.bytes.push(Number(rest));
  }
  /** Length and bytes, the least significant first. */
  sized(value: bigint): void {
    const at = this.bytes.push(0) - 1;
    for (let rest = value; rest; rest >>= 8n) this.bytes.push(Number(rest & 0xffn));
    this.bytes[at] = this.bytes.length - at - 1;
  }
}

class Reader {
  at = 0;
  private readonly data: Uint8Array;
  constructor(data: Uint8Array) {
    this.data = data;
  }
  byte(): number {
    if (this.at >= this.data.length) throw new Error('answers end early');
    return this.data[this.at++]!;
  }
  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
  sized(): bigint {
    let value = 0n;
    const length = this.byte();
    for (let i = 0; i < length; i++) value |= BigInt(this.byte()) << BigInt(8 * i);
    return value;
  }
}

const ownRip = ({ bytes, state }: Input, trap: boolean): bigint => state.rip + (trap ? 0n : BigInt(bytes.length));

/** What `result` changed, appended to the writer. */
function writeResult(w: Writer, input: Input, result: Result): void {
  const { state } = input;
  const { trap } = result;
  const head = w.bytes.push(0) - 1;
  let what = 0;
  if (trap) {
    what |= TRAP;
    w.bytes.push(trap.vector);
    w.varint(trap.error);
    if (trap.vector === 14) w.varint(trap.address);
  }
  const own = ownRip(input, trap !== null);
  if (result.rip !== own) {
    what |= RIP;
    w.varint(BigInt.asUintN(64, result.rip - own));
  }
  const flags = result.rflags ^ (state.rflags & 0xcd5);
  if (flags) {
    what |= FLAGS;
    w.varint(flags);
  }
  const changed = [...state.gpr.keys()].filter((i) => state.gpr[i] !== result.gpr[i]);
  if (changed.length) {
    what |= GPR;
    w.varint(changed.reduce((mask, i) => mask | (1 << i), 0));
    for (const i of changed) w.sized(state.gpr[i]! ^ result.gpr[i]!);
  }
  if (writeFx(w, state.fx, result.fx)) what |= FX;
  if (writeMemory(w, windowOf(state), result.memory)) what |= MEMORY;
  if (result.fsBase !== state.fsBase || result.gsBase !== state.gsBase) {
    what |= BASES;
    w.varint(result.fsBase);
    w.varint(result.gsBase);
  }
  w.bytes[head] = what;
}

/** FXSAVE image in slots of 16 bytes, each with a mask of the bytes that differ. */
function writeFx(w: Writer, from: Uint8Array, to: Uint8Array): boolean {
  const start = w.bytes.push(0) - 1;
  for (let slot = 0; slot < 32; slot++) {
    const at = 16 * slot;
    let mask = 0;
    for (let i = 0; i < 16; i++) if (from[at + i] !== to[at + i]) mask |= 1 << i;
    if (!mask) continue;
    w.bytes[start]!++;
    w.bytes.push(slot, mask & 255, mask >> 8);
    for (let i = 0; i < 16; i++) if (mask & (1 << i)) w.bytes.push(to[at + i]!);
  }
  if (w.bytes[start]) return true;
  w.bytes.pop();
  return false;
}

/** Runs of changed bytes; a gap of less than three is part of a run. */
function writeMemory(w: Writer, from: Uint8Array, to: Uint8Array): boolean {
  const runs: [number, number][] = [];
  if (Buffer.compare(from, to) === 0) return false;
  for (let i = 0; i < to.length; i++) {
    if (from[i] === to[i]) continue;
    const last = runs.at(-1);
    if (last && i - last[1] < 3) last[1] = i + 1;
    else runs.push([i, i + 1]);
  }
  w.varint(runs.length);
  for (const [start, end] of runs) {
    w.varint(start);
    w.varint(end - start);
    for (let i = start; i < end; i++) w.bytes.push(to[i]!);
  }
  return true;
}

function readResult(r: Reader, input: Input): Result {
  const { state } = input;
  const what = r.byte();
  let trap: Result['trap'] = null;
  if (what & TRAP) {
    const vector = r.byte();
    trap = { vector, error: Number(r.varint()), address: vector === 14 ? r.varint() : 0n };
  }
  const own = ownRip(input, trap !== null);
  const rip = what & RIP ? BigInt.asUintN(64, own + r.varint()) : own;
  const rflags = (state.rflags & 0xcd5) ^ (what & FLAGS ? Number(r.varint()) : 0);
  const gpr = state.gpr.slice();
  if (what & GPR) {
    const mask = Number(r.varint());
    for (let i = 0; i < 16; i++) if (mask & (1 << i)) gpr[i]! ^= r.sized();
  }
  const fx = state.fx.slice();
  if (what & FX) {
    for (let slots = r.byte(); slots > 0; slots--) {
      const at = 16 * r.byte();
      const mask = r.byte() | (r.byte() << 8);
      for (let i = 0; i < 16; i++) if (mask & (1 << i)) fx[at + i] = r.byte();
    }
  }
  const memory = windowOf(state);
  if (what & MEMORY) {
    for (let runs = r.varint(); runs > 0n; runs--) {
      const start = Number(r.varint());
      const end = start + Number(r.varint());
      for (let i = start; i < end; i++) memory[i] = r.byte();
    }
  }
  let { fsBase, gsBase } = state;
  if (what & BASES) {
    fsBase = r.varint();
    gsBase = r.varint();
  }
  return { trap, rip, rflags, gpr, fx, memory, fsBase, gsBase };
}

/** The answers of one group. */
export function packSection(
  group: Group,
  inputs: readonly Input[],
  results: readonly Result[],
): { section: Section; data: Uint8Array } {
  const w = new Writer();
  inputs.forEach((input, i) => writeResult(w, input, results[i]!));
  const data = Uint8Array.from(w.bytes);
  const inputsSum = inputsCrc(inputs, group.mode);
  const section: Section = {
    ...{ key: keyOf(group.row), opsize: group.opsize, mode: group.mode },
    ...{ count: inputs.length, inputs: inputsSum, length: data.length },
  };
  return { section, data };
}

export function* unpackSection(data: Uint8Array, inputs: readonly Input[]): Generator<Result> {
  const r = new Reader(data);
  for (const input of inputs) yield readResult(r, input);
  if (r.at !== data.length) throw new Error('answers go on after the last case');
}

const path = (file: string): URL => new URL(`answers/${file}.br`, import.meta.url);

export function store(file: string, cpu: string, parts: { section: Section; data: Uint8Array }[]): number {
  const index: Index = { cpu, sections: parts.map((p) => p.section) };
  const head = Buffer.from(JSON.stringify(index));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(head.length);
  const whole = Buffer.concat([length, head, ...parts.map((p) => p.data)]);
  const params = { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_LGWIN]: 24 };
  const packed = brotliCompressSync(whole, { params });
  writeFileSync(path(file), packed);
  return packed.length;
}

/** The stored answers of a file of rows: who answered, and each group's data by `sectionKey`. */
export function load(file: string): { cpu: string; sections: Map<string, { section: Section; data: Uint8Array }> } {
  const whole = brotliDecompressSync(readFileSync(path(file)));
  const size = whole.readUInt32LE(0);
  const index = JSON.parse(whole.subarray(4, 4 + size).toString()) as Index;
  let at = 4 + size;
  const sections = new Map<string, { section: Section; data: Uint8Array }>();
  for (const section of index.sections) {
    sections.set(`${section.key}|${section.opsize}|${section.mode}`, {
      section,
      data: whole.subarray(at, at + section.length),
    });
    at += section.length;
  }
  return { cpu: index.cpu, sections };
}
