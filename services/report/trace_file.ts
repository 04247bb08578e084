// `--trace-file`: what happened when, for chrome://tracing and Perfetto. A process a domain with a track a vCPU; a process for the host
// with a track a pCPU and a thread.
import { LOG_EVENT, LOG_HYPERCALL, LOG_INTERRUPT, LOG_RUN, LOG_STATE } from '../../platform/core.ts';
import type { Machine, MachineOptions } from '../../platform/machine.ts';
import type { ThreadSpan } from '../../platform/span.ts';
import { hypercallRecord } from './hypercall_record.ts';
import { LogReader, type LogRecord } from './log_reader.ts';
import { TraceEvents, type Track } from './trace_events.ts';

/** EXIT_* of core/arch/x86/cpu.ts, as far as they reach the scheduler. */
export const EXITS: Readonly<Record<number, string>> = {
  2: 'halt',
  3: 'hypercall',
  4: 'io',
  5: 'triple fault',
  7: 'end of slice',
  10: 'debugger',
};
/** RUNSTATE_* (public/vcpu.h). */
const STATES = ['running', 'runnable', 'blocked', 'offline'];

interface Traced {
  machine: Machine;
  onXenstore: ((domid: number, text: string) => void) | undefined;
}

const HOST = 'host';

export class TraceFile {
  readonly #events: TraceEvents;
  #machine: Machine | null = null;
  #log: LogReader | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.#events = new TraceEvents(path);
  }

  readonly machineOptions: NonNullable<MachineOptions['trace']> = { hypercalls: true, events: true, runs: true };

  attach(host: Traced): void {
    const { machine } = host;
    this.#machine = machine;
    this.#log = new LogReader(machine);
    machine.onSpan((span) => this.span(span));
    const before = host.onXenstore;
    host.onXenstore = (domid, text) => {
      before?.(domid, text);
      const [, arrow, name] = /^(\S) (\S+)/.exec(text) ?? [];
      const track = { process: HOST, thread: 'xenstore' };
      this.#events.instant(track, `${arrow} ${name}`, machine.now(), { domain: domid, text });
    };
    this.#timer = setInterval(() => this.drain(), 5);
    this.#timer.unref();
    // However the process ends, short of being killed.
    process.on('exit', this.#end);
  }

  readonly #end = (): void => this.close();

  drain(): void {
    for (const record of this.#log?.read() ?? []) {
      if (record) this.#record(record);
      else this.#events.instant({ process: HOST, thread: 'trace' }, 'records were lost', this.#machine?.now() ?? 0);
    }
    this.#events.flush();
  }

  close(): void {
    clearInterval(this.#timer);
    process.off('exit', this.#end);
    this.drain();
    this.#events.close();
  }

  /** Work of a thread of the host: a compilation, a service's turn. Workers post it as `{ span }`. */
  span({ thread, ...span }: ThreadSpan): void {
    this.#events.span({ process: HOST, thread }, span);
  }

  #record(record: LogRecord): void {
    const { type, domid, payload: p } = record;
    const time = Number(record.time);
    const vcpu = (at: number): Track => ({ process: `domain ${domid}`, thread: `vCPU ${p.getUint32(at, true)}` });
    if (type === LOG_HYPERCALL) {
      const { name, text, result, start, end, vcpu: id } = hypercallRecord(record);
      const track = { process: `domain ${domid}`, thread: `vCPU ${id}` };
      this.#events.span(track, { name, start, duration: end - start, args: { call: text, result } });
    } else if (type === LOG_RUN) {
      const start = Number(p.getBigUint64(0, true));
      const exit = p.getInt32(24, true);
      const args = { exit: EXITS[exit] ?? exit, instructions: Number(p.getBigUint64(8, true)) };
      this.#events.span(vcpu(16), { name: 'guest code', start, duration: time - start, args });
    } else if (type === LOG_STATE) this.#state(record, vcpu(16));
    else if (type === LOG_INTERRUPT) {
      const vector = p.getUint32(4, true);
      const name = p.getUint32(8, true) ? 'upcall' : vector === 2 ? 'NMI' : 'interrupt';
      this.#events.instant(vcpu(0), name, time, { vector });
    } else if (type === LOG_EVENT) {
      const track = { process: `domain ${domid}`, thread: `vCPU ${p.getBigUint64(8, true)}` };
      this.#events.instant(track, 'event', time, { port: Number(p.getBigUint64(0, true)) });
    }
  }

  /** A run state that has ended; a vCPU's running is drawn on its pCPU's track too. */
  #state({ payload: p, domid }: LogRecord, track: Track): void {
    const start = Number(p.getBigUint64(0, true));
    const was = STATES[p.getUint32(20, true)] ?? 'unknown';
    const duration = Number(p.getBigUint64(8, true)) - start;
    this.#events.span(track, { name: was, start, duration });
    if (was !== 'running') return;
    const name = `domain ${domid} ${track.thread}`;
    this.#events.span({ process: HOST, thread: `pCPU ${p.getUint32(24, true)}` }, { name, start, duration });
  }
}
