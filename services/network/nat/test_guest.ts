// A guest on a test's network: a port of the switch with a TCP stack, and UDP by hand.
import { Stack } from '../lwip/stack.ts';
import { arpFrame, framed, udpFrame, type Ends } from '../protocol/build.ts';
import { fill, fillV4Header } from '../protocol/checksum.ts';
import { CHECKSUM, ETHER, GSO, macAt, MAC_BROADCAST, parseIp, plain, PROTOCOL, u16, type Frame, type Packet } from '../protocol/frame.ts'; // prettier-ignore
import type { Port, Switch } from '../switch/switch.ts';
import { GATEWAY_MAC, type Plan } from './plan.ts';

const EMPTY = new Uint8Array(0);

export class TestGuest {
  readonly mac: number;
  readonly port: Port;
  readonly frames: Frame[] = [];
  readonly stack: Stack;
  address: Uint8Array = Uint8Array.of(0, 0, 0, 0);
  readonly plan: Plan;
  readonly #waiting = new Set<{
    match: (b: Uint8Array, p: Packet | undefined) => boolean;
    resolve: (b: Uint8Array) => void;
  }>();
  readonly #streams = new Map<number, Stream>();
  #next = 0;
  /** Accepts connections to any port. */
  onAccept: ((stream: Stream) => void) | undefined;

  constructor(net: Switch, plan: Plan, mac: number, large = true) {
    this.mac = mac;
    this.plan = plan;
    this.port = net.attach({ name: `guest ${mac}`, deliver: (frames) => this.#take(frames) });
    this.stack = new Stack(
      {
        output: (packet, segment) => {
          const bytes = framed(packet, GATEWAY_MAC, this.mac);
          if (packet[0]! >> 4 === 4) fillV4Header(bytes, ETHER.size);
          else if (segment === 0) fill(bytes, parseIp(bytes)!);
          const gso = segment === 0 ? GSO.none : packet[0]! >> 4 === 4 ? GSO.tcpv4 : GSO.tcpv6;
          const frame: Frame = { bytes, checksum: CHECKSUM.blank, gso, segment };
          setImmediate(() => this.port.send([frame]));
        },
        opened: (id) => {
          const stream = this.#streams.get(id)!;
          stream.opened.resolve();
          this.onAccept?.(stream);
        },
        received: (id, bytes) => this.#streams.get(id)!.take(bytes),
        sent: (id) => this.#streams.get(id)!.feed(),
        gone: (id, error) => {
          const stream = this.#streams.get(id)!;
          if (error === 0) stream.done.resolve();
          stream.opened.reject(new Error(`lwIP: ${error}`));
          stream.fail(error);
        },
      },
      { largeV4: large, largeV6: large },
    );
  }

  #take(frames: Frame[]): void {
    for (const frame of frames) {
      this.frames.push(frame);
      if (this.frames.length > 1000) this.frames.splice(0, 500);
      const { bytes } = frame;
      const packet = parseIp(bytes);
      for (const entry of [...this.#waiting]) {
        if (!entry.match(bytes, packet)) continue;
        this.#waiting.delete(entry);
        entry.resolve(bytes);
      }
      if (u16(bytes, ETHER.type) === ETHER.arp) this.#arp(bytes);
      if (packet?.protocol !== PROTOCOL.tcp || macAt(bytes, 0) !== this.mac) continue;
      const opens = (bytes[packet.payload + 13]! & 0x12) === 2 && this.onAccept;
      const id = opens ? this.#stream().id : undefined;
      this.stack.input(bytes.subarray(packet.ip, packet.end), packet.payload - packet.ip, id);
    }
    this.stack.flush();
  }

  #arp(b: Uint8Array): void {
    if (u16(b, 20) !== 1 || Buffer.compare(b.subarray(38, 42), this.address) !== 0) return;
    const ends = { fromMac: this.mac, toMac: macAt(b, 6), from: this.address, to: b.slice(28, 32) };
    this.port.send([arpFrame(2, ends, macAt(b, 6))]);
  }

  #stream(): Stream {
    const stream = new Stream(this.stack, this.#next++);
    this.#streams.set(stream.id, stream);
    return stream;
  }

  /** The next frame that is like it. */
  frame(match: (b: Uint8Array, p: Packet | undefined) => boolean, ms = 5000): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no such frame came')), ms);
      this.#waiting.add({
        match,
        resolve: (bytes) => {
          clearTimeout(timer);
          resolve(bytes);
        },
      });
    });
  }

  ends(to: Uint8Array, toMac = GATEWAY_MAC): Ends {
    return { fromMac: this.mac, toMac, from: this.address, to };
  }

  udp(to: Uint8Array, fromPort: number, toPort: number, data: Uint8Array, toMac = GATEWAY_MAC): void {
    this.port.send([udpFrame(this.ends(to, toMac), fromPort, toPort, data)]);
  }

  /** The next datagram to one of its ports: the payload. */
  async datagram(port: number): Promise<Uint8Array> {
    const b = await this.frame((bytes, p) => p?.protocol === PROTOCOL.udp && u16(bytes, p.payload + 2) === port);
    const p = parseIp(b)!;
    return b.slice(p.payload + 8, p.end);
  }

  /** An address by DHCP. */
  async configure(): Promise<void> {
    const message = (type: number, ...options: number[]) => {
      const bytes = new Uint8Array(300);
      bytes.set([1, 1, 6, 0, 1, 2, 3, 4]);
      bytes.set(Buffer.from(this.mac.toString(16).padStart(12, '0'), 'hex'), 28);
      bytes.set([0x63, 0x82, 0x53, 0x63, 53, 1, type, ...options, 255], 236);
      return bytes;
    };
    const everybody = Uint8Array.of(255, 255, 255, 255);
    const say = async (bytes: Uint8Array) => {
      const answer = this.datagram(68);
      this.udp(everybody, 68, 67, bytes, MAC_BROADCAST);
      return answer;
    };
    const offered = (await say(message(1))).slice(16, 20);
    const ack = await say(message(3, 50, 4, ...offered, 54, 4, ...this.plan.gateway4));
    if (ack[242] !== 5) throw new Error(`DHCP answers ${ack[242]}`);
    this.address = ack.slice(16, 20);
    this.port.send([arpFrame(1, this.ends(this.plan.gateway4, MAC_BROADCAST), 0)]);
  }

  async connect(to: Uint8Array, port: number, fromPort = 40000 + this.#next): Promise<Stream> {
    const stream = this.#stream();
    this.stack.connect(stream.id, this.address, fromPort, to, port);
    await stream.opened.promise;
    return stream;
  }

  raw(bytes: Uint8Array): void {
    this.port.send([plain(bytes)]);
  }

  close(): void {
    this.stack.close();
    this.port.detach();
  }
}

/** One connection of the guest's. */
export class Stream {
  readonly id: number;
  readonly opened = Promise.withResolvers<void>();
  readonly done = Promise.withResolvers<void>();
  /** All that came, once the other end has finished. */
  readonly ended = Promise.withResolvers<void>();
  onData: (bytes: Uint8Array) => void = (bytes) => void this.chunks.push(bytes.slice());
  readonly chunks: Uint8Array[] = [];
  received = 0;
  /** Takes what comes only while it is set. */
  reads = true;
  #unread = 0;
  #source: (() => Uint8Array | undefined) | undefined;
  #rest: Uint8Array = EMPTY;
  readonly #stack: Stack;

  constructor(stack: Stack, id: number) {
    this.#stack = stack;
    this.id = id;
    this.opened.promise.catch(() => {});
    this.ended.promise.catch(() => {});
  }

  take(bytes: Uint8Array | undefined): void {
    if (!bytes) return this.ended.resolve();
    this.received += bytes.length;
    this.onData(bytes);
    if (this.reads) this.#stack.consumed(this.id, bytes.length);
    else this.#unread += bytes.length;
  }

  resume(): void {
    this.reads = true;
    this.#stack.consumed(this.id, this.#unread);
    this.#unread = 0;
  }

  fail(error: number): void {
    if (error !== 0) this.ended.reject(new Error(`lwIP: ${error}`));
  }

  /** Sends what the source gives until it gives nothing, then finishes. */
  send(source: () => Uint8Array | undefined): void {
    this.#source = source;
    this.feed();
  }

  text(text: string): void {
    const parts = [Buffer.from(text)];
    this.send(() => parts.pop());
  }

  feed(): void {
    while (this.#source) {
      if (this.#rest.length === 0) {
        const next = this.#source();
        if (!next) {
          this.#source = undefined;
          return this.#stack.finish(this.id);
        }
        this.#rest = next;
      }
      const taken = this.#stack.write(this.id, this.#rest);
      if (taken === 0) return;
      this.#rest = this.#rest.subarray(taken);
    }
  }
}
