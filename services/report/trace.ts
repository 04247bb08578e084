// `--trace`: what a guest does, on stderr, one line an event.
import { LOG_CONSOLE, LOG_EVENT, LOG_HYPERCALL, type TraceInstruction } from '../../platform/core.ts';
import type { Machine, MachineOptions } from '../../platform/machine.ts';
import { ConsoleOnce } from './console_once.ts';
import { hypercallRecord } from './hypercall_record.ts';
import type { Disassemble } from './disassemble.ts';
import { consoleText, LogReader, type LogRecord } from './log_reader.ts';
import { Writer } from './writer.ts';

const PAGE = 4096;

export type TraceKind = 'hypercalls' | 'events' | 'xenstore' | 'insn';
interface Traced {
  machine: Machine;
  onXenstore: ((domid: number, text: string) => void) | undefined;
}

export class Tracer {
  readonly #kinds: ReadonlySet<TraceKind>;
  readonly #out = new Writer(2);
  readonly #once = new ConsoleOnce();
  #machine: Machine | null = null;
  #log: LogReader | null = null;
  #timer: NodeJS.Timeout | undefined;

  readonly #disassemble: Disassemble;

  private constructor(kinds: readonly TraceKind[], disassemble: Disassemble) {
    this.#kinds = new Set(kinds);
    this.#disassemble = disassemble;
  }

  /** The disassembler's tables take a while to make: for those only who look at instructions. */
  static async create(kinds: readonly TraceKind[]): Promise<Tracer> {
    if (!kinds.includes('insn')) return new Tracer(kinds, () => null);
    return new Tracer(kinds, (await import('./disassemble.ts')).disassemble);
  }

  get machineOptions(): NonNullable<MachineOptions['trace']> {
    const instruction = this.#kinds.has('insn') ? { instruction: this.#instruction } : {};
    return { hypercalls: this.#kinds.has('hypercalls'), events: this.#kinds.has('events'), ...instruction };
  }

  attach(host: Traced): void {
    this.#machine = host.machine;
    this.#log = new LogReader(host.machine);
    if (this.#kinds.has('xenstore')) host.onXenstore = (domid, text) => this.#line(`d${domid} xenstore ${text}`);
    this.#timer = setInterval(() => this.drain(), 10);
    this.#timer.unref();
    process.on('exit', () => this.#out.flush());
  }

  #line(text: string): void {
    this.#out.write(`${text}\n`);
  }

  readonly #instruction: TraceInstruction = (low, high, at, length) => {
    const { memory } = this.#machine!;
    const rip = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    // Of an instruction on two pages only those of the first one are known here, and its length is not.
    const here = length || PAGE - ((at >>> 0) % PAGE);
    const bytes = new Uint8Array(memory.buffer, at >>> 0, here).slice();
    const decoded = length ? this.#disassemble(bytes, rip > 0xffff_ffffn ? 64 : 32, rip) : { text: 'on two pages' };
    this.#line(
      `${rip.toString(16).padStart(16, '0')} ${Buffer.from(bytes).toString('hex').padEnd(24)} ${decoded?.text ?? '?'}`,
    );
  };

  /** The guest has written to its console: what it writes by console_io too is not printed again. */
  said(bytes: Uint8Array): void {
    this.#once.said(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1'), performance.now());
  }

  /** Print the log records that have come since the last time; at a guest's `end` all that there is. */
  drain(end = false): void {
    for (const record of this.#log?.read() ?? []) {
      if (record) this.#record(record);
      else this.#line('(records were lost)');
    }
    this.#out.write(this.#once.due(performance.now(), end));
    this.#out.flush();
  }

  #record(record: LogRecord): void {
    const { type, domid, time, payload } = record;
    const where = `${(Number(time) / 1e9).toFixed(6).padStart(12)} d${domid}`;
    const u64 = (i: number): bigint => payload.getBigUint64(8 * i, true);
    if (type === LOG_HYPERCALL && this.#kinds.has('hypercalls')) {
      const { text, result } = hypercallRecord(record);
      this.#line(`${where} ${text} = ${result}`);
    } else if (type === LOG_EVENT && this.#kinds.has('events')) this.#line(`${where} event port ${u64(0)}`);
    else if (type === LOG_CONSOLE) this.#once.logged(consoleText(record), performance.now());
  }
}
