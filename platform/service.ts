// A service domain's mailbox, served by this thread's instance of the core.
import type { Core } from './core.ts';
import type { Mailbox } from './mailbox.ts';

const OP = { hypercall: 1, read: 2, write: 3, events: 4 };
/** Offsets in the mailbox's header (core/hypervisor/service.ts, ServiceCall). */
const AT = { op: 0, len: 4, nr: 8, args: 16, result: 56 };
const ARGS = 5;
const PAGE = 4096;

export class ServicePort implements Mailbox {
  readonly domid: number;
  readonly ram: { gpa: number; size: number };
  readonly #core: Core;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #data: number;
  readonly #room: number;

  /** The service domain exists already and has `pages` of RAM from address 0. */
  constructor(core: Core, memory: WebAssembly.Memory, domid: number, pages: number) {
    this.domid = domid;
    this.ram = { gpa: 0, size: pages * PAGE };
    this.#core = core;
    const at = core.service_mailbox(domid) >>> 0;
    if (at === 0) throw new Error(`domain ${domid} is no service`);
    this.#data = core.service_mailbox_data();
    this.#room = core.service_mailbox_size();
    this.#bytes = new Uint8Array(memory.buffer, at, this.#data + this.#room);
    this.#view = new DataView(memory.buffer, at, this.#data);
  }

  #call(op: number, len: number, nr: number, args: readonly (number | bigint)[]): bigint {
    const v = this.#view;
    v.setUint32(AT.op, op, true);
    v.setUint32(AT.len, len, true);
    v.setUint32(AT.nr, nr, true);
    for (let i = 0; i < ARGS; i++) v.setBigUint64(AT.args + 8 * i, BigInt.asUintN(64, BigInt(args[i] ?? 0)), true);
    const rc = this.#core.service_call(this.domid);
    if (rc !== 0) throw new Error(`service ${this.domid}: the core answers ${rc}`);
    return v.getBigInt64(AT.result, true);
  }

  hypercall(nr: number, ...args: (number | bigint)[]): bigint {
    return this.#call(OP.hypercall, 0, nr, args);
  }

  read(gpa: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const n = Math.min(this.#room, length - done);
      if (this.#call(OP.read, n, 0, [gpa + done]) !== 0n) throw new RangeError(`nothing is mapped at ${gpa + done}`);
      out.set(this.#bytes.subarray(this.#data, this.#data + n), done);
      done += n;
    }
    return out;
  }

  write(gpa: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const n = Math.min(this.#room, bytes.length - done);
      this.#bytes.set(bytes.subarray(done, done + n), this.#data);
      if (this.#call(OP.write, n, 0, [gpa + done]) !== 0n)
        throw new RangeError(`nothing can be written at ${gpa + done}`);
      done += n;
    }
  }

  /** Ports with events since the last call. */
  takeEvents(): number[] {
    const n = Number(this.#call(OP.events, PAGE, 0, []));
    const data = new DataView(this.#bytes.buffer, this.#bytes.byteOffset + this.#data);
    return Array.from({ length: n }, (_, i) => data.getUint32(4 * i, true));
  }
}
