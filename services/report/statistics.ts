// What `--stats` writes.
import { readFileSync } from 'node:fs';
import type { Machine, Translation } from '../../platform/machine.ts';
import { HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import { CpuState } from './cpu_state.ts';
import { crashFields } from './layout.ts';

export interface Stats {
  outcome: string;
  shutdownReason: number | null;
  /** Milliseconds from the start of the process. */
  firstConsoleByteMs: number | null;
  exitMs: number;
  /** Retired instructions: REP counts once, halted time none. */
  instructions: number;
  mips: number;
  /** Why guest code was left, of the last boot; endOfSlice: its instructions were used up, or it was kicked. */
  exits: { hypercall: number; hlt: number; io: number; endOfSlice: number };
  slices: number;
  /** Taken by the guest: by its event callback, and others. */
  interrupts: { upcall: number; other: number };
  /** By name, the most frequent first. */
  hypercalls: Record<string, number>;
  /** The software TLB: entries made; sets of entries, and pages, that were forgotten. */
  tlb: { fills: number; flushes: number; pageFlushes: number };
  /** Tiers: instructions of all boots retired by the interpreter and in translated regions. */
  tiers: { interpreted: number; translated: number };
  /** Translations asked for, and how translated regions were entered and left (core/translator/counters.ts). */
  translator: Omit<Translation, 'retired'>;
  /** Bytes: the process's high-water mark, and what domains and hypervisor were given of machine memory. */
  peakMemory: number;
  machineMemory: number;
  boots: number;
}

export class Statistics {
  readonly #machine: Machine;
  #firstByte: number | null = null;
  #stats: Stats | null = null;
  #boots = 0;
  #instructions = 0;
  #running = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  output(): void {
    this.#firstByte ??= performance.now();
  }

  /** A guest has ended; its structures still exist. */
  end(domid: number, outcome: string): void {
    const { core, memory } = this.#machine;
    const state = core.domain_state(domid);
    const cpu = new CpuState(memory, core.domain_cpu(domid, 0) >>> 0);
    const exitMs = performance.now();
    this.#boots++;
    this.#instructions += Number(cpu.retired);
    this.#running += Number(cpu.u64(crashFields.timeRunning)) / 1e6;
    const { retired, ...translator } = this.#machine.translation;
    this.#stats = {
      outcome,
      shutdownReason: state < 0 ? null : state,
      firstConsoleByteMs: this.#firstByte,
      exitMs,
      instructions: this.#instructions,
      mips: this.#instructions / 1000 / (this.#machine.deterministic || this.#running === 0 ? exitMs : this.#running),
      exits: {
        hypercall: Number(cpu.u64(crashFields.hypercalls)),
        hlt: Number(cpu.u64(crashFields.exitsHlt)),
        io: Number(cpu.u64(crashFields.exitsIo)),
        endOfSlice: Number(cpu.u64(crashFields.exitsBudget)),
      },
      slices: Number(cpu.u64(crashFields.slices)),
      interrupts: {
        upcall: Number(cpu.u64(crashFields.upcalls)),
        other: Number(cpu.u64(crashFields.interrupts)),
      },
      hypercalls: hypercalls(cpu),
      tlb: cpu.tlb,
      tiers: { interpreted: this.#instructions - retired, translated: retired },
      translator,
      peakMemory: peakMemory(),
      machineMemory: this.#machine.allocatedBytes,
      boots: this.#boots,
    };
  }

  result(): Stats | { outcome: string } {
    return this.#stats ?? { outcome: 'none' };
  }
}

const CALLS = 64;

function hypercalls(cpu: CpuState): Record<string, number> {
  const counts = Array.from({ length: CALLS }, (_, nr): [string, number] => [
    HYPERCALLS.find((row) => row.nr === nr)?.name ?? `hypercall_${nr}`,
    cpu.u32(crashFields.calls + 4 * nr),
  ]);
  return Object.fromEntries(counts.filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1]));
}

function peakMemory(): number {
  try {
    const line = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (line) return Number(line[1]) * 1024;
  } catch {
    // not Linux
  }
  return process.resourceUsage().maxRSS * 1024;
}
