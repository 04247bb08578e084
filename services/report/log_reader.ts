// Reading the hypervisor's log ring (core/hypervisor/log.ts): records of numbers, and what domains wrote with console_io.
import type { Machine } from '../../platform/machine.ts';

export interface LogRecord {
  /** LOG_* of core/hypervisor/log_codes.ts. */
  type: number;
  domid: number;
  /** Nanoseconds of system time. */
  time: bigint;
  payload: DataView;
}

const HEADER = 16;

export class LogReader {
  readonly #machine: Machine;
  #seen = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** The records since the last call; null first if older ones have been overwritten meanwhile. */
  read(): (LogRecord | null)[] {
    const { core, memory } = this.#machine;
    const size = core.log_ring_size();
    const ring = new Uint8Array(memory.buffer, core.log_ring() >>> 0, size);
    const records: (LogRecord | null)[] = [];
    const from = this.#seen;
    const head = core.log_head() >>> 0;
    this.#seen = head;
    const length = (head - from) >>> 0;
    if (length > size) return [null];
    const copy = new Uint8Array(length);
    const start = from & (size - 1);
    const first = Math.min(length, size - start);
    copy.set(ring.subarray(start, start + first));
    copy.set(ring.subarray(0, length - first), first);
    // The writers went on meanwhile: what they may have overwritten is of no use. A record being written lies before their head.
    if (((core.log_head() >>> 0) - from) >>> 0 > size - MARGIN) return [null];
    const view = new DataView(copy.buffer);
    for (let at = 0; at < length; ) {
      const bytes = view.getUint32(at, true);
      if (bytes < 8 || at + bytes > length) return [...records, null];
      if (bytes >= HEADER) records.push(record(view, at, bytes));
      at += bytes;
    }
    return records;
  }
}

/** More than the longest record. */
const MARGIN = 4096;

function record(view: DataView, at: number, length: number): LogRecord {
  return {
    type: view.getUint16(at + 4, true),
    domid: view.getUint16(at + 6, true),
    time: view.getBigUint64(at + 8, true),
    payload: new DataView(view.buffer, at + HEADER, length - HEADER),
  };
}

/** The bytes of a LOG_CONSOLE record. */
export function consoleText({ payload }: LogRecord): string {
  const length = Math.min(payload.getUint16(0, true), payload.byteLength - 2);
  return Buffer.from(payload.buffer, payload.byteOffset + 2, length).toString('latin1');
}
