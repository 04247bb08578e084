// From samples (core/hypervisor/profile.ts) to an answer: which share of the time, in which function.
import { LOG_SAMPLE, SAMPLE_GUEST, SAMPLE_IDLE } from '../../platform/core.ts';
import { HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import type { SymbolTable } from '../symbols/protocol/table.ts';
import type { LogRecord } from './log_reader.ts';

/** Offsets in a sample's payload. */
const AT = { rip: 0, kind: 16, tier: 18, weight: 20, cpl: 26, frames: 30, call: 32, lstar: 40, chain: 48 };
const TRANSLATED = 1;
/** Distinct stacks kept; what comes later counts by its kind only. */
const MAX_STACKS = 500_000;

/** Names for the addresses of a file that is loaded `base` above where it was linked. */
export interface LoadedSymbols {
  readonly table: SymbolTable;
  readonly base: bigint;
}

export type Part = 'kernel' | 'user' | 'hypervisor' | 'idle';
export const PARTS: readonly Part[] = ['kernel', 'user', 'hypervisor', 'idle'];

interface Stack {
  part: Part;
  /** Innermost first. */
  addresses: bigint[];
  call: number;
  weight: number;
}

export interface ProfileResult {
  /** Ticks by part of the machine, and all of them. */
  parts: Record<Part, number>;
  total: number;
  /** Of the guest's own ticks those that met translated code; the others were interpreted. */
  translated: number;
  /** Stacks as names, outermost first, with their ticks. */
  stacks: { frames: string[]; weight: number }[];
  /** Functions by their own time. */
  top: { name: string; part: Part; weight: number }[];
  lost: number;
  /** How far the kernel lies above where it was linked. */
  offset: bigint;
}

const CALL_NAMES = new Map(HYPERCALLS.map(({ nr, name }) => [nr, name]));

export class Profile {
  readonly #stacks = new Map<string, Stack>();
  #lost = 0;
  #translated = 0;
  #lstar = 0n;

  /** A record of the log; others than samples are ignored. null: records were lost. */
  add(record: LogRecord | null): void {
    if (record === null) this.#lost++;
    else if (record.type === LOG_SAMPLE) this.#sample(record.payload);
  }

  #sample(p: DataView): void {
    const kind = p.getUint16(AT.kind, true);
    const weight = p.getUint32(AT.weight, true);
    if (kind === SAMPLE_IDLE) return this.#count({ part: 'idle', addresses: [], call: 0, weight });
    const user = p.getUint16(AT.cpl, true) === 3;
    const n = Math.min(p.getUint16(AT.frames, true), (p.byteLength - AT.chain) >> 3);
    const addresses = [p.getBigUint64(AT.rip, true)];
    for (let i = 0; i < n; i++) addresses.push(p.getBigUint64(AT.chain + 8 * i, true));
    this.#lstar = p.getBigUint64(AT.lstar, true) || this.#lstar;
    if (kind === SAMPLE_GUEST && p.getUint16(AT.tier, true) === TRANSLATED) this.#translated += weight;
    const part = kind !== SAMPLE_GUEST ? 'hypervisor' : user ? 'user' : 'kernel';
    this.#count({ part, addresses, call: Number(p.getBigUint64(AT.call, true)), weight });
  }

  #count(stack: Stack): void {
    const call = stack.part === 'hypervisor' ? stack.call : 0;
    let key = `${stack.part} ${call} ${stack.addresses.join(' ')}`;
    if (this.#stacks.size >= MAX_STACKS && !this.#stacks.has(key)) {
      key = stack.part;
      stack.addresses = [];
    }
    const known = this.#stacks.get(key);
    if (known) known.weight += stack.weight;
    else this.#stacks.set(key, stack);
  }

  /** `kernel` names the guest's kernel as linked; where it really lies is found by its system call entry. */
  result(kernel: SymbolTable | undefined, user: readonly LoadedSymbols[] = []): ProfileResult {
    const entry = kernel?.address('entry_SYSCALL_64');
    const offset = this.#lstar && entry !== undefined ? this.#lstar - entry : 0n;
    const names = new Names([...(kernel ? [{ table: kernel, base: offset }] : []), ...user]);
    const result: ProfileResult = {
      parts: { kernel: 0, user: 0, hypervisor: 0, idle: 0 },
      total: 0,
      translated: this.#translated,
      stacks: [],
      top: [],
      lost: this.#lost,
      offset,
    };
    const folded = new Map<string, { frames: string[]; weight: number }>();
    const own = new Map<string, { name: string; part: Part; weight: number }>();
    for (const stack of this.#stacks.values()) {
      result.parts[stack.part] += stack.weight;
      result.total += stack.weight;
      const frames = [stack.part, ...framesOf(stack, names)];
      add(folded, frames.join(';'), stack.weight, () => ({ frames, weight: 0 }));
      const name = frames.at(-1)!;
      add(own, `${stack.part} ${name}`, stack.weight, () => ({ name, part: stack.part, weight: 0 }));
    }
    result.stacks = [...folded.values()];
    result.top = [...own.values()].sort((a, b) => b.weight - a.weight);
    return result;
  }
}

function add<T extends { weight: number }>(map: Map<string, T>, key: string, weight: number, make: () => T): void {
  let entry = map.get(key);
  if (!entry) map.set(key, (entry = make()));
  entry.weight += weight;
}

function framesOf(stack: Stack, names: Names): string[] {
  // A return address belongs to the instruction before it.
  const frames = stack.addresses.map((address, i) => names.of(i === 0 ? address : address - 1n, stack.part)).reverse();
  if (stack.part === 'hypervisor') frames.push(`[${CALL_NAMES.get(stack.call) ?? 'exit'}]`);
  return frames;
}

/** Linux on x86-64 runs from here once it is in 64-bit mode, and below by physical addresses before. */
const KERNEL_MAP = 0xffff_ffff_8000_0000n;
const KERNEL_SPACE = 0xffff_8000_0000_0000n;
const MODULES = 0xffff_ffff_c000_0000n;

class Names {
  readonly #sources: readonly LoadedSymbols[];
  readonly #known = new Map<bigint, string>();

  constructor(sources: readonly LoadedSymbols[]) {
    this.#sources = sources;
  }

  #find(address: bigint): string | undefined {
    for (const { table, base } of this.#sources) {
      const symbol = address >= base ? table.find(address - base) : undefined;
      if (symbol?.code) return symbol.name;
    }
    return undefined;
  }

  of(address: bigint, part: Part): string {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    let name = this.#find(address);
    if (name === undefined && part !== 'user' && address < 1n << 31n) name = this.#find(address + KERNEL_MAP);
    name ??=
      address >= MODULES ? '[module]' : address >= KERNEL_SPACE || part !== 'user' ? hex(address) : page(address);
    this.#known.set(address, name);
    return name;
  }
}

const hex = (address: bigint): string => `0x${address.toString(16)}`;
/** Code without names by its 64 KiB: single addresses would say too little and be too many. */
const page = (address: bigint): string => `[${hex((address >> 16n) << 16n)}]`;

/** One line a stack, as flame graph tools read it. */
export function folded({ stacks }: ProfileResult): string {
  return stacks
    .map(({ frames, weight }) => `${frames.map((f) => f.replaceAll(';', ':')).join(';')} ${weight}\n`)
    .join('');
}

const percent = (part: number, all: number): string => `${((100 * part) / Math.max(1, all)).toFixed(1)} %`.padStart(7);

/** Which tier ran the guest's code. */
export function tiers({ parts, translated }: ProfileResult): string {
  const all = parts.kernel + parts.user;
  return `translated ${percent(translated, all).trim()}, interpreted ${percent(all - translated, all).trim()}`;
}

/** The table for the terminal. */
export function summary(result: ProfileResult, hz: number, rows = 25): string {
  const { parts, total, top, lost, offset } = result;
  const busy = total - parts.idle;
  const lines = [
    `${total} samples at ${hz} Hz: ${PARTS.map((part) => `${part} ${percent(parts[part], total).trim()}`).join(', ')}`,
  ];
  lines.push(`guest code: ${tiers(result)}`);
  if (offset !== 0n) lines.push(`the kernel lies 0x${offset.toString(16)} above where it was linked`);
  if (lost) lines.push(`samples were lost ${lost} times: the machine was too busy to take them in`);
  lines.push('', '  own time of what was not idle');
  for (const { name, part, weight } of top.filter((row) => row.part !== 'idle').slice(0, rows))
    lines.push(`  ${percent(weight, busy)}  ${part.padEnd(10)}  ${name}`);
  return `${lines.join('\n')}\n`;
}
