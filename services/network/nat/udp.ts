// A guest's UDP: each of its ports has a socket of the host's while it is used. Answers come back from those it has sent to.
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { unmapped, hexOf } from './addresses.ts';
import type { Server } from './plan.ts';

const MOST_PORTS = 256;
/** Others that one port of the guest's talks to. */
const MOST_PEERS = 64;
const IDLE_MS = 60_000;
/** Datagrams on their way to the host's kernel. */
const MOST_PENDING = 256;

export interface Datagram {
  /** As the guest knows them. */
  from: Uint8Array;
  fromPort: number;
  to: Uint8Array;
  toPort: number;
  data: Uint8Array;
}

interface Mapping {
  socket: Socket;
  used: number;
  /** By the host's name of the peer, the guest's. */
  peers: Map<string, { address: Uint8Array; port: number }>;
}

export class GuestUdp {
  readonly #deliver: (datagram: Datagram) => void;
  readonly #most: number;
  readonly #mappings = new Map<string, Mapping>();
  #timer: NodeJS.Timeout | undefined;
  #pending = 0;

  constructor(deliver: (datagram: Datagram) => void, most = MOST_PORTS) {
    this.#deliver = deliver;
    this.#most = most;
  }

  get mappings(): number {
    return this.#mappings.size;
  }

  /** The guest has sent a datagram, which really goes to `server`. */
  send(datagram: Datagram, server: Server): void {
    const version = server.address.includes(':') ? 6 : 4;
    const mapping = this.#mapping(datagram, version);
    const real = unmapped(server.address);
    if (!mapping || !real || this.#pending >= MOST_PENDING) return;
    mapping.used = performance.now();
    const peer = `${hexOf(real)} ${server.port}`;
    mapping.peers.delete(peer);
    if (mapping.peers.size >= MOST_PEERS) mapping.peers.delete(mapping.peers.keys().next().value!);
    mapping.peers.set(peer, { address: datagram.to, port: datagram.toPort });
    this.#pending++;
    mapping.socket.send(datagram.data, server.port, server.address, () => this.#pending--);
  }

  #mapping({ from, fromPort }: Datagram, version: number): Mapping | undefined {
    const key = `${hexOf(from)} ${fromPort} ${version}`;
    const has = this.#mappings.get(key);
    if (has) {
      this.#mappings.delete(key); // the last one used is the last one dropped
      this.#mappings.set(key, has);
      return has;
    }
    if (this.#mappings.size >= this.#most) this.#drop(this.#mappings.keys().next().value!);
    const socket = createSocket(version === 4 ? 'udp4' : 'udp6');
    const mapping: Mapping = { socket, used: performance.now(), peers: new Map() };
    socket.on('message', (data: Buffer, info: RemoteInfo) => {
      const address = unmapped(info.address);
      const peer = address && mapping.peers.get(`${hexOf(address)} ${info.port}`);
      if (!peer) return; // nobody it has sent to
      mapping.used = performance.now();
      this.#deliver({ from: peer.address, fromPort: peer.port, to: from, toPort: fromPort, data });
    });
    socket.on('error', () => this.#drop(key));
    socket.unref();
    this.#mappings.set(key, mapping);
    this.#arm();
    return mapping;
  }

  #drop(key: string): void {
    const mapping = this.#mappings.get(key);
    if (!mapping) return;
    this.#mappings.delete(key);
    mapping.socket.close();
  }

  /** Wakes when the oldest mapping may be idle, and only while there are any. */
  #arm(): void {
    if (this.#timer || this.#mappings.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      const now = performance.now();
      for (const [key, { used }] of this.#mappings) if (now - used >= IDLE_MS) this.#drop(key);
      this.#arm();
    }, IDLE_MS);
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const key of [...this.#mappings.keys()]) this.#drop(key);
  }
}
