// `--trace`: what a guest does, on stderr, one line an event.
import { LOG_CONSOLE, LOG_EVENT, LOG_HYPERCALL } from '../../core/hypervisor/log_codes.ts';
import type { TraceInstruction } from '../../platform/core.ts';
import type { Machine, MachineOptions } from '../../platform/machine.ts';
import { formatHypercall, formatResult } from '../../spec/abi/trace.ts';
import { disassemble } from './disassemble.ts';

export type TraceKind = 'hypercalls' | 'events' | 'xenstore' | 'insn';
const HEADER = 16;

interface Traced {
  machine: Machine;
  onXenstore: ((domid: number, text: string) => void) | undefined;
}

export class Tracer {
  readonly #kinds: ReadonlySet<TraceKind>;
  #machine: Machine | null = null;
  #seen = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(kinds: readonly TraceKind[]) {
    this.#kinds = new Set(kinds);
  }

  get machineOptions(): NonNullable<MachineOptions['trace']> {
    const instruction = this.#kinds.has('insn') ? { instruction: this.#instruction } : {};
    return { hypercalls: this.#kinds.has('hypercalls'), events: this.#kinds.has('events'), ...instruction };
  }

  attach(host: Traced): void {
    this.#machine = host.machine;
    if (this.#kinds.has('xenstore')) host.onXenstore = (domid, text) => this.#line(`d${domid} xenstore ${text}`);
    this.#timer = setInterval(() => this.drain(), 10);
    this.#timer.unref();
  }

  #line(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  readonly #instruction: TraceInstruction = (low, high, at, length) => {
    const { memory } = this.#machine!;
    const rip = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    const bytes = new Uint8Array(memory.buffer, at >>> 0, length || 1).slice();
    const decoded = disassemble(bytes, rip > 0xffff_ffffn ? 64 : 32, rip);
    this.#line(`${rip.toString(16).padStart(16, '0')} ${Buffer.from(bytes).toString('hex').padEnd(24)} ${decoded?.text ?? '?'}`);
  };

  /** Print the log records that have come since the last time. */
  drain(): void {
    const machine = this.#machine;
    if (!machine) return;
    const { core, memory } = machine;
    const size = core.log_ring_size();
    const ring = new DataView(memory.buffer, core.log_ring() >>> 0, size);
    const head = core.log_head() >>> 0;
    if (((head - this.#seen) >>> 0) > size) {
      this.#line('(records were lost)');
      this.#seen = head;
    }
    while (this.#seen !== head) {
      const at = this.#seen & (size - 1);
      const length = ring.getUint32(at, true);
      if (length < 8 || at + length > size) {
        this.#seen = head;
        return;
      }
      if (length >= HEADER) this.#record(ring, at);
      this.#seen = (this.#seen + length) >>> 0;
    }
  }

  #record(ring: DataView, at: number): void {
    const type = ring.getUint16(at + 4, true);
    const domid = ring.getUint16(at + 6, true);
    const time = ring.getBigUint64(at + 8, true);
    const where = `${(Number(time) / 1e9).toFixed(6).padStart(12)} d${domid}`;
    const u64 = (i: number): bigint => ring.getBigUint64(at + HEADER + 8 * i, true);
    if (type === LOG_HYPERCALL && this.#kinds.has('hypercalls')) {
      const args = [1, 2, 3, 4, 5].map(u64);
      this.#line(`${where} ${formatHypercall(Number(u64(0)), args, () => null)} = ${formatResult(BigInt.asIntN(64, u64(6)))}`);
    } else if (type === LOG_EVENT && this.#kinds.has('events')) this.#line(`${where} event port ${u64(0)}`);
    else if (type === LOG_CONSOLE) {
      const n = ring.getUint16(at + HEADER, true);
      const text = Buffer.from(ring.buffer, ring.byteOffset + at + HEADER + 2, n).toString('latin1');
      process.stderr.write(text);
    }
  }
}
