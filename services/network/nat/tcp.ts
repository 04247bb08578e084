// A guest's TCP connections: each ends here, in a stack of the guest's own, and goes on as a connection of the host's. Both
// sides hold each other back: bytes count as taken when the host's socket has taken them, and the host's socket is read
// while the guest takes what came.
import { connect, type Socket } from 'node:net';
import { CONNECTIONS, Stack } from '../lwip/stack.ts';
import { tcpFrame } from '../protocol/build.ts';
import { PROTOCOL, u16, u32, type Frame, type Packet } from '../protocol/frame.ts';
import type { Server } from './plan.ts';

const FLAG = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;
const MOST_CONNECTIONS = 1024;
/** Attempts whose answer is open. */
const MOST_ATTEMPTS = 256;
const ATTEMPT_MS = 30_000;
/** The host's sockets are read into one place, which is free again when the stack has what was read. */
const incoming = Buffer.allocUnsafeSlow(131_072);
/** A socket is read while that much fits, and again when this does. */
const LOW = incoming.length;
const HIGH = 2 * LOW;

export interface TcpOwner {
  /** Where a connection to this address and port goes, or undefined if nowhere. */
  way(address: Uint8Array, port: number): Server | undefined;
  /** A packet of the stack's goes to the guest; the bytes are gone with the call. */
  packet(packet: Uint8Array, segment: number): void;
  frame(frame: Frame): void;
  /** The guest's port has enough waiting; `drained` says when no more. */
  full(): boolean;
  /** An attempt came to nothing: the guest is told why. */
  unreachable(bytes: Uint8Array, packet: Packet, why: 'host' | 'prohibited'): void;
}

interface Flow {
  id: number;
  key: string;
  socket: Socket;
  /** The guest's SYN, until the host's connection stands. */
  syn: Uint8Array | undefined;
  at: number;
  /** What the host has sent and the stack has had no room for. */
  rest: Uint8Array | undefined;
  /** The host has sent all it will. */
  ended: boolean;
}

const flowKey = (b: Uint8Array, { version, ip, payload }: Packet): string => {
  const addresses = version === 4 ? b.subarray(ip + 12, ip + 20) : b.subarray(ip + 8, ip + 40);
  return Buffer.concat([addresses, b.subarray(payload, payload + 4)]).toString('latin1');
};

export class GuestTcp {
  readonly #owner: TcpOwner;
  readonly #stack: Stack;
  readonly #most: number;
  readonly #flows = new Map<string, Flow>();
  readonly #byId: (Flow | undefined)[] = [];
  readonly #free: number[] = [];
  /** Flows whose bytes wait until the guest has taken what was sent to it. */
  readonly #held = new Set<Flow>();
  /** Flows that wait until others' bytes are acknowledged. */
  readonly #crowded = new Set<Flow>();
  #attempts = 0;

  constructor(owner: TcpOwner, mtu: number, large: { v4: boolean; v6: boolean }, most = MOST_CONNECTIONS) {
    this.#owner = owner;
    this.#most = Math.min(most, CONNECTIONS);
    this.#stack = new Stack(
      {
        output: (packet, segment) => owner.packet(packet, segment),
        opened: (id) => this.#opened(id),
        received: (id, bytes) => this.#received(id, bytes),
        sent: (id) => this.#sent(id),
        gone: (id, error) => this.#gone(id, error),
      },
      { mtu, largeV4: large.v4, largeV6: large.v6 },
    );
  }

  get connections(): number {
    return this.#flows.size;
  }

  get memory(): number {
    return this.#stack.memory;
  }

  /** A packet of the guest's, its checksum checked. */
  input(bytes: Uint8Array, packet: Packet): void {
    const { payload, ip, end } = packet;
    const header = payload + 20 <= end ? (bytes[payload + 12]! >> 4) * 4 : 0;
    if (packet.protocol !== PROTOCOL.tcp || header < 20 || payload + header > end) return;
    const opens = (bytes[payload + 13]! & (FLAG.syn | FLAG.ack | FLAG.rst)) === FLAG.syn;
    if (opens && this.#holdsSyn(bytes, packet)) return;
    this.#stack.input(bytes.subarray(ip, end), payload - ip);
  }

  /** After a batch of packets. */
  flush(): void {
    this.#stack.flush();
  }

  #holdsSyn(bytes: Uint8Array, packet: Packet): boolean {
    const key = flowKey(bytes, packet);
    const flow = this.#flows.get(key);
    if (flow) return flow.syn !== undefined; // one sent again
    this.#attempt(key, bytes, packet);
    return true;
  }

  #take(): number | undefined {
    if (this.#flows.size >= this.#most) return undefined;
    return this.#free.pop() ?? this.#byId.length;
  }

  #attempt(key: string, bytes: Uint8Array, packet: Packet): void {
    const { version, ip, payload, end } = packet;
    const address = version === 4 ? bytes.slice(ip + 16, ip + 20) : bytes.slice(ip + 24, ip + 40);
    const to = this.#owner.way(address, u16(bytes, payload + 2));
    if (!to) return this.#owner.unreachable(bytes, packet, 'prohibited');
    if (this.#attempts >= MOST_ATTEMPTS) return; // the guest will try again
    const id = this.#take();
    if (id === undefined) return this.#refuse(bytes, packet);
    const kept = bytes.slice(0, end);
    const callback = (length: number, buffer: Uint8Array): boolean => {
      this.#arrived(flow, buffer.subarray(0, length));
      return true;
    };
    const socket = connect({ host: to.address, port: to.port, allowHalfOpen: true, noDelay: true, onread: { buffer: incoming, callback } }); // prettier-ignore
    const flow = this.#add(id, key, socket, kept, payload - ip);
    this.#attempts++;
    socket.setTimeout(ATTEMPT_MS, () => socket.destroy(new Error('no answer')));
    let open = true;
    const settled = () => {
      if (open) this.#attempts--;
      open = false;
    };
    socket.once('connect', () => {
      settled();
      socket.setTimeout(0);
      flow.syn = undefined;
      // The host's end stands: now the guest's may.
      this.#stack.input(kept.subarray(ip, end), flow.at, id);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      settled();
      if (flow.syn && this.#byId[id] === flow) {
        if (error.code === 'ECONNREFUSED') this.#refuse(kept, packet);
        else this.#owner.unreachable(kept, packet, 'host');
      }
    });
    socket.once('close', settled);
  }

  #add(id: number, key: string, socket: Socket, syn: Uint8Array | undefined, at: number): Flow {
    const flow: Flow = { id, key, socket, syn, at, rest: undefined, ended: false };
    this.#flows.set(key, flow);
    this.#byId[id] = flow;
    socket.pause();
    // None come if it is read into `incoming`.
    socket.on('data', (chunk: Buffer) => this.#arrived(flow, chunk));
    socket.on('end', () => {
      flow.ended = true;
      this.#feed(flow);
    });
    socket.on('error', () => {});
    socket.on('close', (failed: boolean) => {
      if (this.#byId[id] !== flow) return;
      if (flow.syn) this.#remove(flow);
      else if (failed || !flow.ended) {
        this.#stack.abort(id);
        this.#remove(flow);
      }
    });
    return flow;
  }

  #remove(flow: Flow): void {
    if (this.#byId[flow.id] !== flow) return;
    this.#byId[flow.id] = undefined;
    this.#flows.delete(flow.key);
    this.#held.delete(flow);
    this.#crowded.delete(flow);
    this.#free.push(flow.id);
  }

  /** A connection from outside to the guest, through a forwarded port. */
  accept(socket: Socket, from: Uint8Array, fromPort: number, to: Uint8Array, toPort: number): void {
    const id = this.#take();
    if (id === undefined) return void socket.destroy();
    socket.setNoDelay(true);
    const ports = Uint8Array.of(toPort >> 8, toPort & 255, fromPort >> 8, fromPort & 255);
    const flow = this.#add(id, Buffer.concat([to, from, ports]).toString('latin1'), socket, undefined, 0);
    if (this.#stack.connect(id, from, fromPort, to, toPort) === 0) return;
    this.#remove(flow);
    socket.destroy();
  }

  #opened(id: number): void {
    this.#byId[id]?.socket.resume();
  }

  #received(id: number, bytes: Uint8Array | undefined): void {
    const flow = this.#byId[id];
    if (!flow) return;
    if (!bytes) return void flow.socket.end();
    const { length } = bytes;
    flow.socket.write(Buffer.from(bytes), (error) => {
      if (!error && this.#byId[id] === flow) this.#stack.consumed(id, length);
    });
  }

  /** The host has sent something: the stack has it, or as much as it takes. */
  #arrived(flow: Flow, bytes: Uint8Array): void {
    const waits = flow.rest !== undefined || this.#owner.full();
    const taken = waits ? 0 : this.#stack.write(flow.id, bytes);
    if (taken < bytes.length) {
      const left = Buffer.from(bytes.subarray(taken));
      flow.rest = flow.rest ? Buffer.concat([flow.rest, left]) : left;
      this.#wait(flow);
    } else if (this.#stack.writable(flow.id) < LOW) this.#wait(flow);
  }

  #wait(flow: Flow): void {
    flow.socket.pause();
    if (this.#owner.full()) this.#held.add(flow);
    else if (this.#stack.unacknowledged(flow.id) === 0) this.#crowded.add(flow);
  }

  /** The guest has acknowledged bytes of a flow's: there is more room, for others too. */
  #sent(id: number): void {
    this.#feed(this.#byId[id]);
    if (this.#crowded.size > 0) for (const flow of [...this.#crowded]) this.#feed(flow);
  }

  /** Gives the stack what it has room for of what the host has sent, and reads on. */
  #feed(flow: Flow | undefined): void {
    if (!flow || flow.syn) return;
    this.#crowded.delete(flow);
    if (flow.rest) {
      const taken = this.#owner.full() ? 0 : this.#stack.write(flow.id, flow.rest);
      flow.rest = taken < flow.rest.length ? flow.rest.subarray(taken) : undefined;
      if (flow.rest) return this.#wait(flow);
    }
    if (flow.ended) this.#stack.finish(flow.id);
    else if (this.#stack.writable(flow.id) >= HIGH) flow.socket.resume();
    else if (this.#stack.unacknowledged(flow.id) === 0) this.#crowded.add(flow);
  }

  /** The guest's port is full no more. */
  drained(): void {
    const held = [...this.#held];
    this.#held.clear();
    for (const flow of held) if (this.#byId[flow.id] === flow) this.#feed(flow);
  }

  #gone(id: number, error: number): void {
    const flow = this.#byId[id];
    if (!flow) return;
    this.#remove(flow);
    if (error !== 0) flow.socket.resetAndDestroy();
    else if (!flow.socket.writableEnded) flow.socket.end();
  }

  /** A reset in answer to a SYN. */
  #refuse(b: Uint8Array, { version, ip, payload }: Packet): void {
    const [from, to] = version === 4 ? [b.slice(ip + 16, ip + 20), b.slice(ip + 12, ip + 16)] : [b.slice(ip + 24, ip + 40), b.slice(ip + 8, ip + 24)]; // prettier-ignore
    const header = {
      fromPort: u16(b, payload + 2),
      toPort: u16(b, payload),
      sequence: 0,
      acknowledgement: (u32(b, payload + 4) + 1) >>> 0,
      flags: FLAG.rst | FLAG.ack,
      window: 0,
    };
    this.#owner.frame(tcpFrame({ fromMac: 0, toMac: 0, from, to }, header, new Uint8Array(0)));
  }

  close(): void {
    for (const flow of [...this.#flows.values()]) {
      this.#remove(flow);
      flow.socket.destroy();
    }
    this.#stack.close();
  }
}
