// A virtual interface in the service's worker: what stands between its front end's rings and its port of the switch.
import type { RingAt } from '../../lib/ring_calls.ts';
import { isGroup, macAt, parseIp, u16, u32, type Frame, type Offload } from '../protocol/frame.ts';
import { buffersFor, TxAssembler, type Buffer, type Outgoing, type TxAnswer } from '../protocol/netif.ts';
import { Bucket, type Rate } from '../switch/rate.ts';
import { MOST_GROUPS, type Port } from '../switch/switch.ts';
import type { Control } from './control.ts';

/** What waits for a guest that does not take it, then it is dropped. */
const MOST_BYTES = 32 << 20;
/** From here on who can is asked to send later; from there on again. */
const FULL_BYTES = 4 << 20;
const DRAINED_BYTES = 1 << 20;
const MOST_FRAMES = 8192;
/** Of it, what may take up room that others need, too. */
const MOST_KEPT = 1 << 20;

/** What its groups take. */
export const GROUPS_KEPT = MOST_GROUPS * Float64Array.BYTES_PER_ELEMENT;

/** A ring pair as the control side tells of it. */
export interface QueueDescription {
  tx: RingAt;
  rx: RingAt;
}

export interface Connection {
  /** The front end's domain. */
  domid: number;
  queues: QueueDescription[];
  /** By which it sets up how its packets are hashed, if it has one. */
  control?: RingAt;
  /** What the front end does itself. */
  offload: Offload;
  /** Frames may take more than one buffer. */
  scatter: boolean;
  /** It says which groups it wants to hear. */
  multicast: boolean;
}

export class Queue {
  readonly vif: Vif;
  readonly description: QueueDescription;
  readonly assembler = new TxAssembler();
  /** Buffers that the guest has set aside, in order. */
  readonly buffers: Buffer[] = [];
  readonly waiting: Outgoing[] = [];
  bytes = 0;
  /** Bytes of those whose place is held. */
  kept = 0;
  /** Answers not yet put. */
  readonly answers: TxAnswer[] = [];
  /** Has no buffers for what waits, and its guest has been asked to tell of some. */
  starved = false;

  constructor(vif: Vif, description: QueueDescription) {
    this.vif = vif;
    this.description = description;
  }

  add(frame: Outgoing): void {
    const { bytes, kept } = frame;
    this.bytes += bytes.length;
    if (!kept) this.waiting.push(frame);
    else if (this.kept + bytes.length > MOST_KEPT)
      this.waiting.push({ ...frame, bytes: bytes.slice(), kept: undefined });
    else {
      kept.hold();
      this.kept += bytes.length;
      this.waiting.push(frame);
    }
  }

  /** Takes the first frames out of the line; who takes them releases them. */
  shift(count: number): Outgoing[] {
    const frames = this.waiting.splice(0, count);
    for (const { bytes, kept } of frames) {
      this.bytes -= bytes.length;
      if (kept) this.kept -= bytes.length;
    }
    return frames;
  }

  /** Still one of a front end's that is served. */
  get live(): boolean {
    return !this.vif.broken && this.vif.queues.includes(this);
  }

  /** Whether the frame that is next has its buffers. */
  get ready(): boolean {
    const [frame] = this.waiting;
    return frame !== undefined && buffersFor(frame) <= this.buffers.length;
  }
}

export interface VifStatistics {
  /** Frames for the guest that it did not take in time. */
  dropped: number;
  /** Of its requests, those answered with an error. */
  errors: number;
}

export class Vif {
  readonly id: number;
  readonly port: Port;
  readonly statistics: VifStatistics = { dropped: 0, errors: 0 };
  connection: Connection | undefined;
  queues: Queue[] = [];
  control: Control | undefined;
  /** Given up: its front end broke the protocol. */
  broken = false;
  #bucket: Bucket | undefined;
  /** Nothing is taken before. */
  paused: NodeJS.Timeout | undefined;
  /** When many bytes last went to the guest at once. */
  bulk = -Infinity;
  readonly #groups = new Set<number>();

  readonly #now: () => number;

  constructor(id: number, port: Port, rate: Rate | undefined, now: () => number = () => performance.now()) {
    this.id = id;
    this.port = port;
    this.#now = now;
    this.#bucket = rate && new Bucket(rate, now());
  }

  connect(connection: Connection): void {
    this.connection = connection;
    this.queues = connection.queues.map((description) => new Queue(this, description));
    this.broken = false;
    this.port.offload = connection.offload;
    this.setMulticast(connection.multicast);
  }

  /** Whether it is given only the multicast that it has asked for; what that is it may say at any time. */
  setMulticast(multicast: boolean): void {
    this.port.groups = multicast ? this.#groups : undefined;
  }

  disconnect(): void {
    this.connection = undefined;
    for (const queue of this.queues) for (const { kept } of queue.shift(Infinity)) kept?.release();
    this.queues = [];
    this.control = undefined;
    this.#groups.clear();
    clearTimeout(this.paused);
    this.paused = undefined;
    this.taken();
  }

  #wasFull = false;

  get full(): boolean {
    const full = this.queues.some(({ bytes }) => bytes > FULL_BYTES);
    if (full) this.#wasFull = true;
    return full;
  }

  /** The guest has taken some. */
  taken(): void {
    if (!this.#wasFull || this.queues.some(({ bytes }) => bytes > DRAINED_BYTES)) return;
    this.#wasFull = false;
    for (const call of [...this.port.onDrain]) call();
  }

  /** Frames from the switch: kept until the guest has room. */
  deliver(frames: readonly Frame[]): void {
    const { queues } = this;
    for (const frame of frames) {
      const outgoing = this.#hashed(frame);
      const queue = queues[this.#steer(outgoing)];
      const fits = this.connection?.scatter || frame.bytes.length <= 4096;
      if (!queue || !fits || queue.bytes + frame.bytes.length > MOST_BYTES || queue.waiting.length >= MOST_FRAMES) {
        this.statistics.dropped++;
        continue;
      }
      queue.add(outgoing);
    }
  }

  /** With its hash, if the front end wants to know it. */
  #hashed(frame: Frame): Outgoing {
    const hash = this.control?.hashing.active ? this.control.hashing.hashOf(frame.bytes) : undefined;
    return hash ? { ...frame, hash } : frame;
  }

  #steer({ bytes, hash }: Outgoing): number {
    const { length } = this.queues;
    if (this.control?.hashing.active) return this.control.hashing.queueOf(hash, length);
    return length > 1 ? flow(bytes) % length : 0;
  }

  /** False if there is no room for another one, or it is none. */
  group(add: boolean, mac: number): boolean {
    if (!add) this.#groups.delete(mac);
    else if (!isGroup(mac) || (this.#groups.size === MOST_GROUPS && !this.#groups.has(mac))) return false;
    else this.#groups.add(mac);
    return true;
  }

  /** The groups, as they are kept behind the first transmit ring's journal: zeros are none. */
  get groups(): Uint8Array {
    const numbers = new Float64Array(MOST_GROUPS);
    numbers.set([...this.#groups]);
    return new Uint8Array(numbers.buffer);
  }

  set groups(bytes: Uint8Array) {
    for (const mac of new Float64Array(bytes.slice().buffer)) if (mac !== 0) this.group(true, mac);
  }

  /** The guest has sent so many bytes. */
  sent(bytes: number): void {
    this.#bucket?.take(bytes, this.#now());
  }

  /** How many milliseconds until it may send again. */
  owes(): number {
    return this.#bucket?.wait(this.#now()) ?? 0;
  }
}

/** A number that is equal for all frames of a connection, so that they keep their order. */
function flow(b: Uint8Array): number {
  const packet = parseIp(b);
  if (!packet) return macAt(b, 6) % 0x10000;
  const { version, ip, payload, end, fragment } = packet;
  let sum = version === 4 ? u32(b, ip + 12) ^ u32(b, ip + 16) : u32(b, ip + 20) ^ u32(b, ip + 36);
  if (fragment === 'none' && payload + 4 <= end) sum ^= u16(b, payload) ^ u16(b, payload + 2);
  return ((sum ^ (sum >>> 16)) & 0xffff) >>> 0;
}
