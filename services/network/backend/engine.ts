// netif's back end: what all front ends have in their rings goes on as frames to the switch, and frames for guests go into the buffers that these
// have set aside. It works in rounds, each one batch of calls: bytes of requests that the round before took, bytes for guests, answers to both,
// and what is new in the rings. One of it in the service's worker; it does no I/O but by the calls it is given, so tests drive it with front ends
// of their own.
import type { Done } from '../../lib/ring_batch.ts';
import { keptAt, type RingAt, type TakeResult } from '../../lib/ring_calls.ts';
import type { Frame, Kept } from '../protocol/frame.ts';
import { answerStatus, BrokenRing, buffersFor, place, readBuffer, STATUS, writeRxAnswer, writeTxAnswer, type RxAnswer, type TxAnswer, type TxPacket } from '../protocol/netif.ts'; // prettier-ignore
import type { Calls, Limits } from './calls.ts';
import { CONTROL_HEAP, ControlRings, type ControlRound } from './control.ts';
import { FrameRoom } from './room.ts';
import { GROUPS_KEPT, type Connection, type Queue, type Vif } from './vif.ts';

/** Rounds before others have their turn. */
const MOST_ROUNDS = 8;
/** A guest for which so many bytes go at once is not asked to tell of its acknowledgements: they are looked for with the next bytes, or soon. */
const BULK = 16384;
const SOON_MS = 1;
/** Buffers that are taken before they are needed, of a guest for which frames come. */
const AHEAD = 64;

export interface EngineEvents {
  /** A front end broke the protocol: it is served no more. */
  broken(vif: Vif, why: string): void;
}

/** Of the heap, for what comes and for what goes in one round; the rest is for frames on their way. */
const SCRATCH = 0x40000;

/** The heap is the engine's from `from` on. */
export interface Heap {
  bytes: Uint8Array;
  from: number;
}

interface Arrived {
  queue: Queue;
  packet: TxPacket;
  heap: number;
  kept: Kept | undefined;
}

/** What one round does, kept until it is known that all its copies were done. */
interface Round {
  fetched: Arrived[];
  /** Answers to requests. */
  sent: { queue: Queue; list: readonly TxAnswer[] }[];
  /** Answers for frames that guests are given. */
  placed: Map<Queue, RxAnswer[]>;
  given: Frame[];
  /** By a copy's number: what is told if it fails. */
  onFailure: (() => void)[];
  /** Rings that are looked at. */
  receive: Queue[];
  transmit: Queue[];
  quiet: Set<Queue>;
  control: ControlRound;
}

export class Engine {
  readonly vifs = new Set<Vif>();
  readonly #calls: Calls;
  readonly #limits: Limits;
  readonly #heap: Uint8Array;
  readonly #in: number;
  readonly #out: number;
  /** Room for a frame. */
  readonly room: (length: number) => Kept | undefined;
  readonly #events: EngineEvents;
  readonly #control: ControlRings;
  /** Requests taken whose bytes are still to come. */
  #arrived: Arrived[] = [];
  /** Transmit rings to be looked at. */
  #due = new Set<Queue>();
  /** Transmit rings whose guests have not been asked to tell of more. */
  #quiet = new Set<Queue>();
  #soon: NodeJS.Timeout | undefined;
  #scheduled = false;
  /** Who is given frames first in the next round. */
  #first = 0;

  constructor(calls: Calls, limits: Limits, heap: Heap, events: EngineEvents) {
    this.#calls = calls;
    this.#limits = limits;
    this.#heap = heap.bytes;
    this.#control = new ControlRings(calls, limits, heap.bytes, heap.from, (vif, why) => this.#break(vif, why));
    this.#in = heap.from + CONTROL_HEAP;
    this.#out = this.#in + SCRATCH;
    const room = new FrameRoom(heap.bytes, this.#out + SCRATCH);
    this.room = (length) => room.take(length);
    this.#events = events;
  }

  /** Takes a front end up. What the journals say is due comes first: requests that a worker before had taken. */
  connect(
    vif: Vif,
    connection: Connection,
    journal: (ring: RingAt) => { view: DataView; taken: TakeResult['requests'] },
  ): void {
    vif.connect(connection);
    vif.groups = this.#calls.load(keptAt(connection.queues[0]!.tx), GROUPS_KEPT);
    this.vifs.add(vif);
    for (const queue of vif.queues) {
      const { view, taken } = journal(queue.description.rx);
      for (const { slot, at } of taken) queue.buffers.push(readBuffer(view, at, slot));
      const due = journal(queue.description.tx);
      this.#assemble(queue, due.view, due.taken);
    }
    const { control } = connection;
    if (control) this.#control.connect(vif, control, journal(control));
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
      this.#run();
    });
  }

  /** Guests have told that there is something new. */
  work(): void {
    for (const queue of this.#queues()) {
      queue.starved = false;
      if (!queue.vif.paused) this.#due.add(queue);
    }
    for (const vif of this.vifs) this.#control.due(vif.control);
    this.#run();
  }

  *#queues(): Generator<Queue> {
    for (const vif of this.vifs) if (!vif.broken) yield* vif.queues;
  }

  #run(): void {
    for (const queue of this.#quiet) if (!queue.vif.paused) this.#due.add(queue);
    this.#quiet.clear();
    let rounds = 0;
    let more = true;
    // The host's sockets have their turn, too, however much guests send.
    while (more && rounds++ < MOST_ROUNDS) more = this.#round();
    if (more) this.schedule();
    if (this.#quiet.size === 0) return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#run();
    }, SOON_MS);
  }

  /** True if there is more to do at once. */
  #round(): boolean {
    const onFailure: Round['onFailure'] = [];
    const control = this.#control.begin(onFailure);
    const round: Round = { fetched: [], sent: [], placed: new Map(), given: [], onFailure, receive: [], transmit: [], quiet: new Set(), control }; // prettier-ignore
    this.#fetch(round);
    this.#place(round);
    this.#answers(round);
    this.#choose(round);
    let done = this.#commit(round);
    if (done.failed.length > 0) {
      // The others were done: now the answers say which ones were not.
      for (const copy of done.failed) round.onFailure[copy]!();
      done = this.#commit(round);
    }
    this.#put(round, done.put);
    this.#taken(round, done.taken);
    const { told, looked } = round.control;
    const last = <T>(list: readonly T[], count: number): readonly T[] => list.slice(list.length - count);
    this.#control.end(round.control, last(done.put, told.length), last(done.taken, looked.length));
    for (const { kept } of round.given) kept?.release();
    this.#pass(round);
    if (this.#arrived.length > 0 || this.#due.size > 0 || this.#control.more) return true;
    return [...this.#queues()].some(({ answers, waiting, ready, starved }) => answers.length > 0 || ready || (waiting.length > 0 && !starved)); // prettier-ignore
  }

  // ---- what a round does

  /** Bytes of taken requests, as many as there is room for: half of it if frames for guests wait. */
  #fetch(round: Round): void {
    const most = [...this.#queues()].some(({ ready }) => ready) ? this.#limits.bytes >> 1 : Infinity;
    let heap = this.#in;
    let [n, sum] = [0, 0];
    const told = new Set<Vif>();
    for (; n < this.#arrived.length; n++) {
      const arrived = this.#arrived[n]!;
      const { queue, packet } = arrived;
      if (!queue.live) continue;
      if (!packet.bad) {
        if (sum >= most) break;
        const kept = this.room(packet.size);
        const at = kept?.at ?? heap;
        const room = kept !== undefined || heap + packet.size <= this.#out;
        const copy = room ? this.#calls.copy(queue.vif.connection!.domid, packet.parts, at, packet.size, false) : undefined; // prettier-ignore
        if (copy === undefined) {
          kept?.release();
          break;
        }
        round.onFailure[copy] = () => (packet.bad = true);
        arrived.kept = kept;
        arrived.heap = at;
        if (!kept) heap += (packet.size + 7) & ~7;
        sum += packet.size;
        this.#limit(queue.vif, packet.size);
        if (!queue.vif.paused) this.#due.add(queue);
      }
      if (packet.groups.length > 0) {
        // What has no room is answered as a packet that cannot be sent.
        if (!packet.groups.every(({ add, mac }) => queue.vif.group(add, mac))) packet.groups = [];
        told.add(queue.vif);
      }
      for (const { slot, id } of packet.slots) queue.answers.push({ slot, id, packet });
      round.fetched.push(arrived);
    }
    this.#arrived.splice(0, n);
    // Before the answers, which this round puts.
    for (const { groups, queues } of told) this.#calls.save(keptAt(queues[0]!.description.tx), groups);
  }

  /** Bytes for guests that have buffers, each of them first in turn. */
  #place(round: Round): void {
    const queues = [...this.#queues()].filter(({ ready }) => ready);
    this.#first = queues.length > 0 ? (this.#first + 1) % queues.length : 0;
    let heap = this.#out;
    let answers = 0;
    for (let i = 0; i < queues.length && i < this.#limits.puts >> 1; i++) {
      const queue = queues[(this.#first + i) % queues.length]!;
      const list: RxAnswer[] = [];
      let [taken, used, sum] = [0, 0, 0];
      for (; taken < queue.waiting.length; taken++) {
        const frame = queue.waiting[taken]!;
        const { length } = frame.bytes;
        const need = buffersFor(frame);
        const at = frame.kept?.at ?? heap;
        if (used + need > queue.buffers.length || (!frame.kept && heap + length > this.#out + SCRATCH)) break;
        if (answers + need > this.#limits.answers >> 1) break;
        const { answers: own, parts } = place(frame, queue.buffers.slice(used, used + need));
        const copy = this.#calls.copy(queue.vif.connection!.domid, parts, at, length, true);
        if (copy === undefined) break;
        // Which of its buffers was no good is not looked for: it is the guest's own mistake.
        round.onFailure[copy] = () => own.forEach((answer) => (answer.status = STATUS.error));
        if (!frame.kept) {
          this.#heap.set(frame.bytes, heap);
          heap += (length + 7) & ~7;
        }
        used += need;
        answers += need;
        sum += length;
        list.push(...own);
      }
      if (taken === 0) continue;
      round.given.push(...queue.shift(taken));
      queue.buffers.splice(0, used);
      round.placed.set(queue, list);
      if (sum >= BULK) this.#bulk(queue.vif);
    }
  }

  #bulk(vif: Vif): void {
    vif.bulk = performance.now();
    for (const queue of vif.queues) this.#due.add(queue);
  }

  /** Which rings are looked at. */
  #choose(round: Round): void {
    const { takes } = this.#limits;
    for (const queue of this.#queues()) {
      if (round.receive.length >= takes >> 1) break;
      const wanted = queue.waiting.length > 0 ? !queue.ready : round.placed.has(queue) && queue.buffers.length < AHEAD;
      if (wanted && !queue.starved) round.receive.push(queue);
    }
    for (const queue of this.#due) {
      if (round.transmit.length + round.receive.length + round.control.looked.length >= takes) break;
      this.#due.delete(queue);
      if (!queue.live || queue.vif.paused) continue;
      round.transmit.push(queue);
      if (performance.now() - queue.vif.bulk < SOON_MS) round.quiet.add(queue);
    }
  }

  /** Of each ring's answers as many as there is room for. */
  #answers(round: Round): void {
    const { told } = round.control;
    let room = (this.#limits.answers >> 1) - told.length;
    for (const queue of this.#queues()) {
      if (queue.answers.length === 0) continue;
      if (room === 0 || round.sent.length === (this.#limits.puts >> 1) - told.length) break;
      const list = queue.answers.splice(0, room);
      room -= list.length;
      round.sent.push({ queue, list });
    }
  }

  #commit({ sent, placed, receive, transmit, quiet, control }: Round): Done {
    const calls = this.#calls;
    const slots = (list: readonly { slot: number }[]): number[] => list.map(({ slot }) => slot);
    for (const { queue, list } of sent)
      calls.put(queue.description.tx, slots(list), (i, at) => writeTxAnswer(calls.view, at, list[i]!));
    for (const [queue, list] of placed)
      calls.put(queue.description.rx, slots(list), (i, at) => writeRxAnswer(calls.view, at, list[i]!));
    // Who needs buffers now waits for them.
    for (const queue of receive) calls.take(queue.description.rx, queue.waiting.length === 0);
    for (const queue of transmit) calls.take(queue.description.tx, quiet.has(queue));
    this.#control.add(control);
    return calls.go();
  }

  #put({ sent, placed }: Round, statuses: readonly number[]): void {
    const queues = [...sent.map(({ queue }) => queue), ...placed.keys()];
    queues.forEach(({ vif }, i) => {
      const which = i < sent.length ? 'transmit' : 'receive';
      if (statuses[i] !== 0) this.#break(vif, `its ${which} ring cannot be written (${statuses[i]})`);
    });
    for (const { vif } of placed.keys()) vif.taken();
  }

  #taken({ receive, transmit, quiet }: Round, taken: readonly TakeResult[]): void {
    const { view } = this.#calls;
    receive.forEach((queue, i) => {
      const { requests, status } = taken[i]!;
      for (const { slot, at } of requests) queue.buffers.push(readBuffer(view, at, slot));
      queue.starved = queue.waiting.length > 0 && !queue.ready;
      if (status !== 0) this.#break(queue.vif, `its receive ring cannot be read (${status})`);
    });
    transmit.forEach((queue, i) => {
      const { requests, more, status } = taken[receive.length + i]!;
      this.#assemble(queue, view, requests);
      if (status !== 0) this.#break(queue.vif, `its transmit ring cannot be read (${status})`);
      else if (more) this.#due.add(queue);
      else if (quiet.has(queue)) this.#quiet.add(queue);
    });
  }

  #assemble(queue: Queue, view: DataView, requests: TakeResult['requests']): void {
    try {
      for (const { slot, at } of requests) {
        const packet = queue.assembler.add(view, at, slot);
        if (packet) this.#arrived.push({ queue, packet, heap: 0, kept: undefined });
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

  /** What has come goes on to the switch. */
  #pass({ fetched }: Round): void {
    const frames = new Map<Vif, Frame[]>();
    for (const { queue, packet, heap, kept } of fetched) {
      const { vif } = queue;
      if (answerStatus(packet) !== STATUS.okay) vif.statistics.errors++;
      if (packet.bad || !queue.live) continue;
      const { size, checksum, gso, segment } = packet;
      let list = frames.get(vif);
      if (!list) frames.set(vif, (list = []));
      list.push({ bytes: kept?.bytes ?? this.#heap.slice(heap, heap + size), checksum, gso, segment, kept });
    }
    for (const [vif, list] of frames) vif.port.send(list);
    for (const { kept } of fetched) kept?.release();
  }

  /** Who has sent more than its rate allows is not looked at until that is made up for. */
  #limit(vif: Vif, bytes: number): void {
    vif.sent(bytes);
    if (!vif.paused) this.#pause(vif);
  }

  #pause(vif: Vif): boolean {
    const ms = vif.owes();
    vif.paused = ms === 0 ? undefined : setTimeout(() => this.#pause(vif) || this.work(), ms);
    return ms > 0;
  }
}
