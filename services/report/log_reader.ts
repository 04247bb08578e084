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
    const ring = new DataView(memory.buffer, core.log_ring() >>> 0, size);
    const head = core.log_head() >>> 0;
    const records: (LogRecord | null)[] = [];
    if ((head - this.#seen) >>> 0 > size) {
      records.push(null);
      this.#seen = head;
    }
    while (this.#seen !== head) {
      const at = this.#seen & (size - 1);
      const length = ring.getUint32(at, true);
      if (length < 8 || at + length > size) {
        // The writer has overtaken us in the middle of a record.
        records.push(null);
        this.#seen = head;
        break;
      }
      if (length >= HEADER) records.push(record(ring, at, length));
      this.#seen = (this.#seen + length) >>> 0;
    }
    return records;
  }
}

function record(ring: DataView, at: number, length: number): LogRecord {
  const bytes = new Uint8Array(ring.buffer, ring.byteOffset + at, length).slice();
  const view = new DataView(bytes.buffer);
  return {
    type: view.getUint16(4, true),
    domid: view.getUint16(6, true),
    time: view.getBigUint64(8, true),
    payload: new DataView(bytes.buffer, HEADER),
  };
}

/** The bytes of a LOG_CONSOLE record. */
export function consoleText({ payload }: LogRecord): string {
  const length = Math.min(payload.getUint16(0, true), payload.byteLength - 2);
  return Buffer.from(payload.buffer, payload.byteOffset + 2, length).toString('latin1');
}
