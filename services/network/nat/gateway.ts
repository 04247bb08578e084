// A network's gateway: a port of its switch behind which there is the host. It answers for itself (ARP, neighbour
// discovery, DHCP, ping), carries names, UDP and TCP on by the host's sockets, and brings forwarded ports in. What it keeps is
// kept for each guest's port apart, and bounded.
import type { Socket } from 'node:net';
import { arpFrame, ARP_OP, fragments, framed, icmpFrame, udpFrame, type Ends } from '../protocol/build.ts';
import { blank, checksumAt, fillV4Header, holds, v4HeaderHolds } from '../protocol/checksum.ts';
import { CHECKSUM, ETHER, FULL_OFFLOAD, GSO, macAt, macBytes, MAC_BROADCAST, parseIp, PROTOCOL, u16, u32, type Frame, type Kept, type Packet } from '../protocol/frame.ts'; // prettier-ignore
import type { Port, Switch } from '../switch/switch.ts';
import { addressText, hexOf, inside, same, special } from './addresses.ts';
import { Dhcp4 } from './dhcp4.ts';
import { Dhcp6 } from './dhcp6.ts';
import { query4, query6, QUERY_SECONDS } from '../protocol/multicast.ts';
import { Leases } from './leases.ts';
import { advertisement, ND, routerAdvertisement, ROUTER_SECONDS, solicitation } from './ndp.ts';
import { FIRST_LEASE, GATEWAY_MAC, way, type Plan } from './plan.ts';
import { Reassembly } from './reassembly.ts';
import { GuestTcp } from './tcp.ts';
import { GuestUdp, type Datagram } from './udp.ts';

const MTU = 1500;
/** IP addresses that are remembered for a port. */
const MOST_NEIGHBOURS = 16;
const ASK_MS = 500;
const ASK_TIMES = 3;
const MOST_WAITING = 64;
const ALL_NODES = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC = 0x333300000001;
const LAST_LEASE6 = 0xffff;
/** The gateway's own ports, for what is forwarded. */
const FIRST_PORT = 32768;
const LAST_PORT = 60999;
const MOST_RETURNS = 4096;
/** A packet's begin that an ICMP error carries. */
const QUOTED = 512;

/** All that is kept for a guest's port. */
interface Guest {
  port: Port;
  /** Its addresses, in hexadecimal, and behind which MAC address each is. */
  neighbours: Map<string, number>;
  tcp: GuestTcp | undefined;
  udp: GuestUdp;
  reassembly: Reassembly;
}

interface Waiting {
  timer: NodeJS.Timeout;
  asked: number;
  calls: ((guest: Guest | undefined, mac: number) => void)[];
}

export class Gateway {
  readonly plan: Plan;
  readonly port: Port;
  readonly leases4: Leases;
  readonly leases6: Leases;
  /** Called when a port's leases may have changed. */
  readonly onLease = new Map<number, () => void>();
  readonly #switch: Switch;
  readonly #dhcp4: Dhcp4;
  readonly #dhcp6: Dhcp6;
  readonly #guests = new Map<number, Guest>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #announce: NodeJS.Timeout;
  readonly #asking: NodeJS.Timeout;
  #out: Frame[] = [];
  #flushing = false;
  #fragment = 1;
  #nextPort = FIRST_PORT;
  readonly #returns = new Map<number, { size: number; answer: (data: Uint8Array) => void }>();

  readonly #room: (length: number) => Kept | undefined;

  /** `room`: where large frames can be made. */
  constructor(net: Switch, plan: Plan, room: (length: number) => Kept | undefined = () => undefined) {
    this.#room = room;
    this.#switch = net;
    this.plan = plan;
    this.leases4 = new Leases(FIRST_LEASE, 2 ** (32 - plan.subnet4.bits) - 2);
    this.leases6 = new Leases(FIRST_LEASE, LAST_LEASE6);
    this.#dhcp4 = new Dhcp4(plan, this.leases4, MTU);
    this.#dhcp6 = new Dhcp6(plan, this.leases6, macBytes(GATEWAY_MAC));
    this.port = net.attach({ name: 'gateway', offload: FULL_OFFLOAD, deliver: (frames, from) => this.#take(frames, from) }); // prettier-ignore
    this.#announce = setInterval(() => this.#advertise(ALL_NODES, ALL_NODES_MAC), (ROUTER_SECONDS * 1000) / 3);
    this.#announce.unref();
    this.#asking = setInterval(() => this.#askForGroups(), QUERY_SECONDS * 1000);
    this.#asking.unref();
    this.#askForGroups();
  }

  // ---- guests

  #guest(port: Port): Guest {
    let guest = this.#guests.get(port.id);
    if (!guest) {
      const most = this.plan.options.ports;
      const udp = new GuestUdp((datagram) => this.#datagram(guest!, datagram), most);
      guest = { port, neighbours: new Map(), tcp: undefined, udp, reassembly: new Reassembly() };
      this.#guests.set(port.id, guest);
    }
    return guest;
  }

  #tcp(guest: Guest): GuestTcp {
    if (guest.tcp) return guest.tcp;
    const { offload, options, onDrain } = guest.port;
    const tcp = new GuestTcp(
      {
        way: (address, port) => way(this.plan, address, addressText(address), port)?.to,
        packet: (packet, segment) => this.#packet(guest, packet, segment),
        frame: (frame) => this.#send(guest, frame),
        full: () => options.full?.() ?? false,
        unreachable: (bytes, packet, why) => this.#unreachable(guest, bytes, packet, why),
      },
      MTU,
      { v4: offload.gsoV4, v6: offload.gsoV6 },
      this.plan.options.connections,
    );
    onDrain.add(() => tcp.drained());
    return (guest.tcp = tcp);
  }

  /** A guest's port is gone. */
  forget(port: Port): void {
    const guest = this.#guests.get(port.id);
    this.#guests.delete(port.id);
    guest?.tcp?.close();
    guest?.udp.close();
    this.onLease.delete(port.id);
    this.leases4.forget(port.id);
    this.leases6.forget(port.id);
  }

  /** What is kept, for whoever looks. */
  *guests(): Generator<{ port: Port; addresses: string[]; connections: number; udp: number }> {
    for (const { port, neighbours, tcp, udp } of this.#guests.values()) {
      const addresses = [...neighbours.keys()].map((key) => addressText(Buffer.from(key, 'hex')));
      yield { port, addresses, connections: tcp?.connections ?? 0, udp: udp.mappings };
    }
  }

  #learn(guest: Guest, address: Uint8Array, mac: number): void {
    if (special(address) || !(inside(this.plan.subnet4, address) || inside(this.plan.subnet6, address) || address[0] === 0xfe)) return; // prettier-ignore
    if (this.#own(address)) return;
    const key = hexOf(address);
    if (guest.neighbours.get(key) === mac) return;
    guest.neighbours.delete(key);
    if (guest.neighbours.size >= MOST_NEIGHBOURS) guest.neighbours.delete(guest.neighbours.keys().next().value!);
    guest.neighbours.set(key, mac);
    const waiting = this.#waiting.get(key);
    if (!waiting) return;
    this.#waiting.delete(key);
    clearTimeout(waiting.timer);
    for (const call of waiting.calls) call(guest, mac);
  }

  /** Calls back with the guest that has an address and its MAC address, having asked for it if need be. */
  find(address: Uint8Array, call: (guest: Guest | undefined, mac: number) => void): void {
    const key = hexOf(address);
    for (const guest of this.#guests.values()) {
      const mac = guest.neighbours.get(key);
      if (mac !== undefined && this.#switch.ports.has(guest.port.id)) return call(guest, mac);
    }
    const waiting = this.#waiting.get(key);
    if (waiting) {
      if (waiting.calls.length < MOST_WAITING) waiting.calls.push(call);
      else call(undefined, 0);
      return;
    }
    if (this.#waiting.size >= MOST_WAITING) return call(undefined, 0);
    const entry: Waiting = { timer: setTimeout(() => this.#ask(address, key), ASK_MS), asked: 0, calls: [call] };
    this.#waiting.set(key, entry);
    this.#ask(address, key);
  }

  #ask(address: Uint8Array, key: string): void {
    const waiting = this.#waiting.get(key);
    if (!waiting) return;
    if (waiting.asked++ === ASK_TIMES) {
      this.#waiting.delete(key);
      for (const call of waiting.calls) call(undefined, 0);
      return;
    }
    clearTimeout(waiting.timer);
    waiting.timer = setTimeout(() => this.#ask(address, key), ASK_MS);
    if (address.length === 4) {
      const ends = { fromMac: GATEWAY_MAC, toMac: MAC_BROADCAST, from: this.plan.gateway4, to: address };
      this.#queue(arpFrame(ARP_OP.request, ends, 0));
    } else {
      this.#queue(solicitation(GATEWAY_MAC, this.plan.gatewayLocal, address));
    }
  }

  // ---- frames out

  #queue(frame: Frame): void {
    this.#out.push(frame);
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    const batch = this.#out;
    this.#out = [];
    this.port.send(batch);
    for (const { kept } of batch) kept?.release();
  }

  #macOf(guest: Guest, address: Uint8Array): number | undefined {
    return guest.neighbours.get(hexOf(address));
  }

  /** A frame whose MAC addresses are still to be filled in goes to the guest that has its destination. */
  #send(guest: Guest, frame: Frame): void {
    const { bytes } = frame;
    const to = bytes[ETHER.size]! >> 4 === 4 ? bytes.subarray(30, 34) : bytes.subarray(38, 54);
    const mac = this.#macOf(guest, to);
    if (mac === undefined) return;
    bytes.set(macBytes(mac), 0);
    bytes.set(macBytes(GATEWAY_MAC), 6);
    this.#queue(frame);
  }

  /** A packet of a guest's TCP stack. */
  #packet(guest: Guest, packet: Uint8Array, segment: number): void {
    const v4 = packet[0]! >> 4 === 4;
    const mac = this.#macOf(guest, v4 ? packet.subarray(16, 20) : packet.subarray(24, 40));
    if (mac === undefined) return;
    const kept = this.#room(ETHER.size + packet.length);
    const bytes = framed(packet, mac, GATEWAY_MAC, kept?.bytes);
    const parsed = parseIp(bytes)!;
    if (v4) fillV4(bytes);
    blank(bytes, parsed);
    const gso = segment === 0 ? GSO.none : v4 ? GSO.tcpv4 : GSO.tcpv6;
    this.#queue({ bytes, checksum: CHECKSUM.blank, gso, segment, kept });
  }

  #datagram(guest: Guest, { from, fromPort, to, toPort, data }: Datagram): void {
    const frame = udpFrame({ fromMac: 0, toMac: 0, from, to }, fromPort, toPort, data);
    for (const part of fragments(frame, MTU, this.#fragment++)) this.#send(guest, part);
  }

  #unreachable(guest: Guest, bytes: Uint8Array, { version, ip, end }: Packet, why: 'host' | 'prohibited'): void {
    const v4 = version === 4;
    const to = v4 ? bytes.slice(ip + 12, ip + 16) : bytes.slice(ip + 8, ip + 24);
    const ends = { fromMac: 0, toMac: 0, from: v4 ? this.plan.gateway4 : this.plan.gateway6, to };
    const code = why === 'host' ? (v4 ? 1 : 3) : v4 ? 13 : 1;
    this.#send(guest, icmpFrame(ends, v4 ? 3 : 1, code, 0, bytes.slice(ip, Math.min(end, ip + QUOTED))));
  }

  #advertise(to: Uint8Array, toMac: number): void {
    const ends = { fromMac: GATEWAY_MAC, toMac, from: this.plan.gatewayLocal, to };
    this.#queue(routerAdvertisement(ends, this.plan, MTU));
  }

  /** Which multicast who wants to hear: the switch listens to the answers. */
  #askForGroups(): void {
    this.#queue(query4(GATEWAY_MAC, this.plan.gateway4));
    this.#queue(query6(GATEWAY_MAC, this.plan.gatewayLocal));
  }

  // ---- frames in

  #own(address: Uint8Array): boolean {
    const { gateway4, gateway6, gatewayLocal, dns4, dns6 } = this.plan;
    return [gateway4, dns4, gateway6, gatewayLocal, dns6].some((own) => same(own, address));
  }

  #take(frames: Frame[], from: Port): void {
    const guest = this.#guest(from);
    for (const frame of frames) {
      const to = macAt(frame.bytes, 0);
      if (to === GATEWAY_MAC || to >= 2 ** 40) this.#one(guest, frame, to === GATEWAY_MAC); // itself, and groups
    }
    guest.tcp?.flush();
  }

  #one(guest: Guest, frame: Frame, direct: boolean): void {
    const { bytes } = frame;
    if (u16(bytes, ETHER.type) === ETHER.arp) return this.#arp(guest, bytes);
    const packet = parseIp(bytes);
    if (!packet || (packet.version === 4 && !v4HeaderHolds(bytes, packet.ip))) return;
    const { ip, version } = packet;
    const source = version === 4 ? bytes.subarray(ip + 12, ip + 16) : bytes.subarray(ip + 8, ip + 24);
    this.#learn(guest, source, macAt(bytes, 6));
    if (packet.fragment !== 'none') {
      const whole = direct ? guest.reassembly.add(bytes, packet, performance.now()) : undefined;
      if (whole) this.#packetIn(guest, whole, parseIp(whole)!, CHECKSUM.unchecked, direct);
      return;
    }
    this.#packetIn(guest, bytes, packet, frame.checksum, direct);
  }

  #packetIn(guest: Guest, bytes: Uint8Array, packet: Packet, checksum: Frame['checksum'], direct: boolean): void {
    if (checksum === CHECKSUM.unchecked && checksumAt(packet) !== undefined && !holds(bytes, packet)) return;
    switch (packet.protocol) {
      case PROTOCOL.udp:
        return this.#udp(guest, bytes, packet, direct);
      case PROTOCOL.tcp:
        return direct ? this.#tcp(guest).input(bytes, packet) : undefined;
      case PROTOCOL.icmp6:
        return packet.version === 6 ? this.#icmp6(guest, bytes, packet) : undefined;
      case PROTOCOL.icmp:
        return packet.version === 4 && direct ? this.#echo(guest, bytes, packet, 8, 0) : undefined;
      default:
        return direct ? this.#unreachable(guest, bytes, packet, 'prohibited') : undefined;
    }
  }

  #arp(guest: Guest, b: Uint8Array): void {
    if (b.length < ETHER.size + 28 || u16(b, 14) !== 1 || u16(b, 16) !== ETHER.ipv4 || u16(b, 18) !== 0x0604) return;
    const mac = macAt(b, 22);
    const sender = b.slice(28, 32);
    const target = b.slice(38, 42);
    if (mac !== macAt(b, 6)) return;
    this.#learn(guest, sender, mac);
    const { gateway4, dns4 } = this.plan;
    if (u16(b, 20) !== ARP_OP.request || !(same(target, gateway4) || same(target, dns4))) return;
    this.#queue(arpFrame(ARP_OP.reply, { fromMac: GATEWAY_MAC, toMac: mac, from: target, to: sender }, mac));
  }

  #udp(guest: Guest, b: Uint8Array, { version, ip, payload, end }: Packet, direct: boolean): void {
    if (payload + 8 > end) return;
    const [fromPort, toPort] = [u16(b, payload), u16(b, payload + 2)];
    const data = b.slice(payload + 8, Math.min(end, payload + Math.max(8, u16(b, payload + 4))));
    const v4 = version === 4;
    const from = v4 ? b.slice(ip + 12, ip + 16) : b.slice(ip + 8, ip + 24);
    const to = v4 ? b.slice(ip + 16, ip + 20) : b.slice(ip + 24, ip + 40);
    if (v4 && toPort === 67) return this.#answer4(guest, data, macAt(b, 6));
    if (!v4 && toPort === 547) return this.#answer6(guest, data, from, macAt(b, 6));
    if (!direct || special(from) || !this.#macOf(guest, from)) return;
    const datagram = { from, fromPort, to, toPort, data };
    const back = this.#returns.get(toPort);
    if (back?.size === to.length && same(to, v4 ? this.plan.gateway4 : this.plan.gateway6)) return back.answer(data);
    const server = way(this.plan, to, addressText(to), toPort)?.to;
    if (server) guest.udp.send(datagram, server);
    else this.#unreachable(guest, b, parseIp(b)!, 'prohibited');
  }

  #answer4(guest: Guest, message: Uint8Array, mac: number): void {
    const answer = this.#dhcp4.answer(message, guest.port.id);
    this.onLease.get(guest.port.id)?.();
    if (!answer) return;
    const ends: Ends = { fromMac: GATEWAY_MAC, toMac: answer.broadcast ? MAC_BROADCAST : mac, from: this.plan.gateway4, to: answer.to }; // prettier-ignore
    this.#queue(udpFrame(ends, 67, 68, answer.message));
  }

  #answer6(guest: Guest, message: Uint8Array, to: Uint8Array, mac: number): void {
    const answer = this.#dhcp6.answer(message, guest.port.id);
    this.onLease.get(guest.port.id)?.();
    if (!answer || to[0] !== 0xfe) return;
    this.#queue(udpFrame({ fromMac: GATEWAY_MAC, toMac: mac, from: this.plan.gatewayLocal, to }, 547, 546, answer));
  }

  /** A ping: answered for ourselves. Others cannot be pinged: that takes sockets that Node.js does not have. */
  #echo(guest: Guest, b: Uint8Array, packet: Packet, request: number, reply: number): void {
    const { version, ip, payload, end } = packet;
    if (payload + 8 > end || b[payload] !== request) return;
    const [from, to] = version === 4 ? [b.slice(ip + 16, ip + 20), b.slice(ip + 12, ip + 16)] : [b.slice(ip + 24, ip + 40), b.slice(ip + 8, ip + 24)]; // prettier-ignore
    if (!this.#own(from)) return this.#unreachable(guest, b, packet, 'prohibited');
    const rest = new DataView(b.buffer, b.byteOffset + payload + 4, 4).getUint32(0);
    const frame = icmpFrame({ fromMac: 0, toMac: 0, from, to }, reply, 0, rest, b.slice(payload + 8, end));
    for (const part of fragments(frame, MTU, this.#fragment++)) this.#send(guest, part);
  }

  #icmp6(guest: Guest, b: Uint8Array, packet: Packet): void {
    const { ip, payload, end } = packet;
    if (payload + 8 > end) return;
    const type = b[payload]!;
    if (type === 128) return macAt(b, 0) === GATEWAY_MAC ? this.#echo(guest, b, packet, 128, 129) : undefined;
    if (b[ip + 7] !== 255) return; // not from this link
    const source = b.slice(ip + 8, ip + 24);
    const mac = macAt(b, 6);
    if (type === ND.routerSolicitation) {
      if (source[0] === 0xfe) this.#advertise(source, mac);
      else this.#advertise(ALL_NODES, ALL_NODES_MAC);
    } else if (type === ND.solicitation && payload + 24 <= end) {
      const target = b.slice(payload + 8, payload + 24);
      if (!this.#own(target)) return;
      const known = source.some((byte) => byte !== 0);
      const [to, toMac] = known ? [source, mac] : [ALL_NODES, ALL_NODES_MAC];
      this.#queue(advertisement({ fromMac: GATEWAY_MAC, toMac, from: target, to }, target, known));
    } else if (type === ND.advertisement && payload + 24 <= end) {
      this.#learn(guest, b.slice(payload + 8, payload + 24), mac);
    }
  }

  // ---- forwarded ports

  /** A connection that came in by a forwarded port goes on to a guest's; it ends if nobody there answers. */
  connect(socket: Socket, to: Uint8Array, port: number): void {
    socket.pause();
    socket.on('error', () => {});
    this.find(to, (guest) => {
      if (!guest || socket.destroyed) return void socket.destroy();
      const from = to.length === 4 ? this.plan.gateway4 : this.plan.gateway6;
      this.#tcp(guest).accept(socket, from, this.#port(), to, port);
    });
  }

  /** A port of the gateway's for a peer of a forwarded UDP port: what guests send to it goes back by `answer`. */
  openReturn(size: number, answer: (data: Uint8Array) => void): number | undefined {
    if (this.#returns.size >= MOST_RETURNS) return undefined;
    let port = this.#port();
    while (this.#returns.has(port)) port = this.#port();
    this.#returns.set(port, { size, answer });
    return port;
  }

  closeReturn(port: number): void {
    this.#returns.delete(port);
  }

  #port(): number {
    return (this.#nextPort = this.#nextPort >= LAST_PORT ? FIRST_PORT : this.#nextPort + 1);
  }

  /** A datagram that came in by a forwarded port, of the peer that has the gateway's port `fromPort`. */
  datagram(fromPort: number, to: Uint8Array, toPort: number, data: Uint8Array): void {
    const from = to.length === 4 ? this.plan.gateway4 : this.plan.gateway6;
    this.find(to, (guest) => {
      if (guest) this.#datagram(guest, { from, fromPort, to, toPort, data });
    });
  }

  /** DHCP gives a port this address, and nobody else. */
  reserve(address: Uint8Array, port: number): void {
    const { subnet4, subnet6 } = this.plan;
    const v4 = address.length === 4;
    if (!inside(v4 ? subnet4 : subnet6, address)) return;
    const number = v4 ? u32(address, 0) - u32(subnet4.address, 0) : u32(address, 12);
    (v4 ? this.leases4 : this.leases6).reserve(number, port);
  }

  leasesOf(port: number): { version: 4 | 6; number: number; client: string }[] {
    const of = (leases: Leases, version: 4 | 6) =>
      [...leases].filter((lease) => lease.port === port).map(({ number, client }) => ({ version, number, client }));
    return [...of(this.leases4, 4), ...of(this.leases6, 6)];
  }

  close(): void {
    clearInterval(this.#announce);
    clearInterval(this.#asking);
    for (const waiting of this.#waiting.values()) {
      clearTimeout(waiting.timer);
      for (const call of waiting.calls) call(undefined, 0);
    }
    this.#waiting.clear();
    for (const guest of [...this.#guests.values()]) this.forget(guest.port);
    this.port.detach();
  }
}

function fillV4(bytes: Uint8Array): void {
  bytes[ETHER.size + 6] = 0x40; // not to be fragmented
  fillV4Header(bytes, ETHER.size);
}
