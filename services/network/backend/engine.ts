// netif's back end: requests of all front ends are taken in one call, their bytes come in few, and go on as frames to the
// switch; frames for guests go into the buffers that these have set aside. One of it in the service's worker; it does no I/O but
// by the calls it is given, so tests drive it with front ends of their own.
import type { Copy, RingAt, TakeResult } from '../../lib/ring_calls.ts';
import type { Frame } from '../protocol/frame.ts';
import { BrokenRing, buffersFor, place, readBuffer, refusedStatus, STATUS, writeRxAnswer, writeTxAnswer, type RxAnswer, type TxPacket } from '../protocol/netif.ts'; // prettier-ignore
import type { Calls, Limits } from './calls.ts';
import type { Connection, Queue, Vif } from './vif.ts';

/** Times that rings are looked at before others have their turn. */
const MOST_ROUNDS = 8;

export interface EngineEvents {
  /** A front end broke the protocol: it is served no more. */
  broken(vif: Vif, why: string): void;
}

/** A part of the heap for frames on their way: the front half for what comes, the other for what goes. */
export interface Heap {
  bytes: Uint8Array;
  from: number;
}

interface Arrived {
  queue: Queue;
  packet: TxPacket;
  heap: number;
}

export class Engine {
  readonly vifs = new Set<Vif>();
  readonly #calls: Calls;
  readonly #limits: Limits;
  readonly #heap: Uint8Array;
  readonly #in: number;
  readonly #out: number;
  readonly #events: EngineEvents;
  #scheduled = false;

  constructor(calls: Calls, limits: Limits, heap: Heap, events: EngineEvents) {
    this.#calls = calls;
    this.#limits = limits;
    this.#heap = heap.bytes;
    this.#in = heap.from;
    this.#out = heap.from + ((heap.bytes.length - heap.from) >> 1);
    this.#events = events;
  }

  /** Takes a front end up. What the journals say is due comes first: requests that a worker before had taken. */
  connect(
    vif: Vif,
    connection: Connection,
    journal: (ring: RingAt) => { view: DataView; taken: TakeResult['requests'] },
  ): void {
    vif.connect(connection);
    this.vifs.add(vif);
    for (const queue of vif.queues) {
      const { view, taken } = journal(queue.description.rx);
      for (const { slot, at } of taken) queue.buffers.push(readBuffer(view, at, slot));
      const due = journal(queue.description.tx);
      const arrived: Arrived[] = [];
      this.#assemble(queue, due.view, due.taken, arrived);
      this.#arrive(arrived);
    }
    this.work();
  }

  disconnect(vif: Vif): void {
    vif.disconnect();
    this.vifs.delete(vif);
  }

  /** Frames for a guest have come to its port: they go on when this turn of the loop is over. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  /** Takes what is new in all rings, until there is nothing more; the pending events are cleared. */
  work(): void {
    const all = [...this.#queues()];
    this.#flushAnswers(all);
    // At least one call, which clears the events.
    let due: Queue[] = all.filter(({ vif }) => !vif.paused);
    for (let round = 0; round === 0 || due.length > 0; round++) {
      // The host's sockets have their turn, too, however much guests send.
      if (round === MOST_ROUNDS) return void setImmediate(() => this.work());
      const again: Queue[] = [];
      for (let i = 0; i === 0 || i < due.length; i += this.#limits.rings)
        again.push(...this.#takeFrom(due.slice(i, i + this.#limits.rings)));
      this.#flush();
      due = again.filter(({ vif }) => !vif.broken && !vif.paused && vif.connection);
    }
  }

  *#queues(): Generator<Queue> {
    for (const vif of this.vifs) if (!vif.broken) yield* vif.queues;
  }

  // ---- from guests

  /** Gives the queues that have more. */
  #takeFrom(queues: readonly Queue[]): Queue[] {
    const { taken } = this.#calls.take(queues.map(({ description }) => description.tx), this.#limits.entries); // prettier-ignore
    const arrived: Arrived[] = [];
    const more: Queue[] = [];
    taken.forEach((result, i) => {
      const queue = queues[i]!;
      this.#assemble(queue, this.#calls.view, result.requests, arrived);
      if (result.status !== 0) this.#break(queue.vif, `its transmit ring cannot be read (${result.status})`);
      else if (result.more) more.push(queue);
    });
    this.#arrive(arrived);
    return more;
  }

  #assemble(queue: Queue, view: DataView, requests: TakeResult['requests'], arrived: Arrived[]): void {
    try {
      for (const { slot, at } of requests) {
        const packet = queue.assembler.add(view, at, slot);
        if (packet) arrived.push({ queue, packet, heap: 0 });
      }
    } catch (error) {
      if (!(error instanceof BrokenRing)) throw error;
      this.#break(queue.vif, error.message);
    }
  }

  #break(vif: Vif, why: string): void {
    if (vif.broken) return;
    vif.broken = true;
    this.#events.broken(vif, why);
  }

  /** Whole packets: their bytes come, they are answered, and go on. */
  #arrive(arrived: readonly Arrived[]): void {
    for (let i = 0; i < arrived.length; ) {
      let heap = this.#in;
      const from = i;
      for (; i < arrived.length && heap + arrived[i]!.packet.size <= this.#out; i++) {
        arrived[i]!.heap = heap;
        heap += (arrived[i]!.packet.size + 7) & ~7;
      }
      this.#fetch(arrived.slice(from, i));
    }
  }

  #fetch(batch: readonly Arrived[]): void {
    const copies: Copy[] = [];
    const owners: TxPacket[] = [];
    for (const { queue, packet, heap } of batch) {
      if (packet.bad || !queue.vif.connection) continue;
      const { domid } = queue.vif.connection;
      let at = heap;
      for (const { gref, offset, length } of packet.parts) {
        copies.push({ domid, gref, offset, length, heap: at, toGuest: false });
        owners.push(packet);
        at += length;
      }
    }
    if (copies.length > 0) this.#calls.copy(copies, (i) => (owners[i]!.bad = true));
    const frames = new Map<Vif, Frame[]>();
    const queues = new Set<Queue>();
    for (const { queue, packet, heap } of batch) {
      const { vif } = queue;
      queues.add(queue);
      const status = packet.bad ? refusedStatus(packet) : STATUS.okay;
      if (status !== STATUS.okay) vif.statistics.errors++;
      for (const slot of packet.slots) queue.answers.push({ ...slot, status });
      for (const { add, mac } of packet.groups) vif.group(add, mac);
      if (packet.bad || !vif.connection) continue;
      const { size, checksum, gso, segment } = packet;
      let list = frames.get(vif);
      if (!list) frames.set(vif, (list = []));
      list.push({ bytes: this.#heap.slice(heap, heap + size), checksum, gso, segment });
    }
    this.#flushAnswers(queues);
    for (const [vif, list] of frames) {
      this.#limit(vif, list.reduce((sum, { bytes }) => sum + bytes.length, 0)); // prettier-ignore
      vif.port.send(list);
    }
  }

  /** Who has sent more than its rate allows is not looked at for a while. */
  #limit(vif: Vif, bytes: number): void {
    const ms = vif.sent(bytes);
    if (ms === 0 || vif.paused) return;
    vif.paused = setTimeout(() => {
      vif.paused = undefined;
      this.work();
    }, ms);
  }

  #flushAnswers(queues: Iterable<Queue>): void {
    for (const queue of queues) {
      const { answers, vif } = queue;
      if (answers.length === 0) continue;
      queue.answers = [];
      for (let i = 0; i < answers.length && !vif.broken; i += this.#limits.answers) {
        const part = answers.slice(i, i + this.#limits.answers);
        const status = this.#calls.put(queue.description.tx, part.map(({ slot }) => slot), (n, at) => {
          const { slot, id, status: said } = part[n]!;
          writeTxAnswer(this.#calls.view, at, { slot, id }, said);
        }); // prettier-ignore
        if (status !== 0) this.#break(vif, `its transmit ring cannot be written (${status})`);
      }
    }
  }

  // ---- to guests

  /** Gives guests what waits for them, as far as they have buffers. */
  #flush(): void {
    let going = true;
    while (going) {
      going = false;
      this.#refill();
      for (const vif of this.vifs) if (!vif.broken) going = this.#flushVifs([...vif.queues].filter(({ ready }) => ready)) || going; // prettier-ignore
    }
  }

  /** Takes buffers for those that have fewer than their next frame needs. */
  #refill(): void {
    const empty = [...this.#queues()].filter(({ waiting, ready }) => waiting.length > 0 && !ready);
    for (let i = 0; i < empty.length; i += this.#limits.rings) {
      const part = empty.slice(i, i + this.#limits.rings);
      const { taken } = this.#calls.take(part.map(({ description }) => description.rx), this.#limits.entries); // prettier-ignore
      taken.forEach(({ requests, status }, n) => {
        const queue = part[n]!;
        for (const { slot, at } of requests) queue.buffers.push(readBuffer(this.#calls.view, at, slot));
        if (status !== 0) this.#break(queue.vif, `its receive ring cannot be read (${status})`);
      });
    }
  }

  /** One batch of copies and answers; true if there was any. */
  #flushVifs(queues: readonly Queue[]): boolean {
    const copies: Copy[] = [];
    const owners: RxAnswer[] = [];
    const answers = new Map<Queue, RxAnswer[]>();
    let heap = this.#out;
    for (const queue of queues) {
      const list: RxAnswer[] = [];
      const { domid } = queue.vif.connection!;
      let taken = 0;
      let used = 0;
      for (; taken < queue.waiting.length; taken++) {
        const frame = queue.waiting[taken]!;
        const need = buffersFor(frame);
        if (used + need > queue.buffers.length || heap + frame.bytes.length > this.#heap.length) break;
        const { answers: own, parts } = place(frame, queue.buffers.slice(used, used + need));
        used += need;
        this.#heap.set(frame.bytes, heap);
        const data = own.filter(({ gso }) => !gso);
        parts.forEach(({ gref, from, length }, i) => {
          copies.push({ domid, gref, offset: 0, length, heap: heap + from, toGuest: true });
          owners.push(data[i]!);
        });
        heap += (frame.bytes.length + 7) & ~7;
        queue.bytes -= frame.bytes.length;
        list.push(...own);
      }
      queue.waiting.splice(0, taken);
      queue.buffers.splice(0, used);
      if (list.length > 0) answers.set(queue, list);
    }
    if (copies.length === 0) return false;
    this.#calls.copy(copies, (i) => {
      owners[i]!.status = STATUS.error;
    });
    for (const [queue, list] of answers) this.#putRx(queue, list);
    for (const { vif } of answers.keys()) vif.taken();
    return true;
  }

  #putRx(queue: Queue, list: readonly RxAnswer[]): void {
    for (let i = 0; i < list.length && !queue.vif.broken; i += this.#limits.answers) {
      const part = list.slice(i, i + this.#limits.answers);
      const status = this.#calls.put(queue.description.rx, part.map(({ slot }) => slot), (n, at) => {
        writeRxAnswer(this.#calls.view, at, part[n]!);
      }); // prettier-ignore
      if (status !== 0) this.#break(queue.vif, `its receive ring cannot be written (${status})`);
    }
  }
}
