// DHCP for IPv4 (RFC 2131): a message in, an answer out. What it gives out is the plan's and the leases'.
import { put32, u32 } from '../protocol/frame.ts';
import { host, inside, mask4, same } from './addresses.ts';
import type { Leases } from './leases.ts';
import type { Plan } from './plan.ts';

const AT = { op: 0, type: 1, size: 2, xid: 4, flags: 10, client: 12, yours: 16, relay: 24, mac: 28, cookie: 236, options: 240 } as const; // prettier-ignore
const COOKIE = 0x63825363;
const TYPE = { discover: 1, offer: 2, request: 3, decline: 4, ack: 5, nak: 6, release: 7, inform: 8 } as const;
const OPTION = { mask: 1, router: 3, dns: 6, broadcast: 28, mtu: 26, wanted: 50, lease: 51, type: 53, server: 54, renew: 58, rebind: 59, end: 255 } as const; // prettier-ignore
const LEASE_SECONDS = 86_400;
const SMALLEST = 300; // some clients take no shorter message

function optionsOf(message: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at: number = AT.options; at < message.length; ) {
    const code = message[at]!;
    if (code === OPTION.end) break;
    if (code === 0) {
      at++;
      continue;
    }
    const length = message[at + 1] ?? 0;
    if (at + 2 + length > message.length) break;
    found.set(code, message.subarray(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return found;
}

export interface Answer4 {
  message: Uint8Array;
  /** To the address that is given, or to everybody. */
  to: Uint8Array;
  broadcast: boolean;
}

const EVERYBODY = Uint8Array.of(255, 255, 255, 255);

export class Dhcp4 {
  readonly #plan: Plan;
  readonly #leases: Leases;
  readonly #mtu: number;

  constructor(plan: Plan, leases: Leases, mtu: number) {
    this.#plan = plan;
    this.#leases = leases;
    this.#mtu = mtu;
  }

  answer(message: Uint8Array, port: number): Answer4 | undefined {
    if (message.length < AT.options || message[AT.op] !== 1 || message[AT.type] !== 1 || message[AT.size] !== 6) return undefined; // prettier-ignore
    if (u32(message, AT.cookie) !== COOKIE || u32(message, AT.relay) !== 0) return undefined;
    const options = optionsOf(message);
    const client = Buffer.from(message.subarray(AT.mac, AT.mac + 6)).toString('hex');
    const server = options.get(OPTION.server);
    if (server && !same(server, this.#plan.gateway4)) return undefined; // another server's matter
    switch (options.get(OPTION.type)?.[0]) {
      case TYPE.discover: {
        const lease = this.#leases.take(port, client, this.#number(options.get(OPTION.wanted)));
        return lease && this.#reply(message, TYPE.offer, host(this.#plan.subnet4, lease.number));
      }
      case TYPE.request:
        return this.#request(message, options, port, client);
      case TYPE.release:
        this.#leases.release(port, client);
        return undefined;
      case TYPE.inform:
        return this.#reply(message, TYPE.ack, undefined);
      default:
        return undefined; // DECLINE: somebody took the address by hand; the client asks again, for the same
    }
  }

  #request(message: Uint8Array, options: Map<number, Uint8Array>, port: number, client: string): Answer4 | undefined {
    const current = message.subarray(AT.client, AT.client + 4);
    const wanted = options.get(OPTION.wanted) ?? (u32(current, 0) === 0 ? undefined : current);
    const lease = this.#leases.take(port, client, this.#number(wanted));
    if (!lease || !wanted) return undefined;
    const address = host(this.#plan.subnet4, lease.number);
    return same(wanted, address) ? this.#reply(message, TYPE.ack, address) : this.#reply(message, TYPE.nak, undefined);
  }

  #number(address: Uint8Array | undefined): number | undefined {
    if (address?.length !== 4 || !inside(this.#plan.subnet4, address)) return undefined;
    return u32(address, 0) - u32(this.#plan.subnet4.address, 0);
  }

  #reply(message: Uint8Array, type: number, given: Uint8Array | undefined): Answer4 {
    const { gateway4, subnet4, dns4 } = this.#plan;
    const seconds = (n: number) => [n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255];
    const options: number[] = [OPTION.type, 1, type, OPTION.server, 4, ...gateway4];
    if (type !== TYPE.nak) {
      const last = host(subnet4, 2 ** (32 - subnet4.bits) - 1);
      options.push(OPTION.mask, 4, ...mask4(subnet4.bits), OPTION.router, 4, ...gateway4, OPTION.dns, 4, ...dns4);
      options.push(OPTION.broadcast, 4, ...last, OPTION.mtu, 2, this.#mtu >> 8, this.#mtu & 255);
      if (given) {
        for (const [code, part] of [[OPTION.lease, 1], [OPTION.renew, 0.5], [OPTION.rebind, 0.875]] as const) // prettier-ignore
          options.push(code, 4, ...seconds(LEASE_SECONDS * part));
      }
    }
    options.push(OPTION.end);
    const out = new Uint8Array(Math.max(SMALLEST, AT.options + options.length));
    out.set(message.subarray(0, AT.client)); // xid and flags among them
    out[AT.op] = 2;
    out.set([0], 3); // no hops
    out.set([0, 0], 8);
    const current = message.subarray(AT.client, AT.client + 4);
    if (type === TYPE.ack) out.set(current, AT.client);
    if (given) out.set(given, AT.yours);
    out.set(gateway4, 20);
    out.set(message.subarray(AT.mac, AT.mac + 16), AT.mac);
    put32(out, AT.cookie, COOKIE);
    out.set(options, AT.options);
    const asked = (message[AT.flags]! & 0x80) !== 0;
    if (u32(current, 0) !== 0 && type !== TYPE.nak) return { message: out, to: current, broadcast: false };
    const broadcast = asked || !given;
    return { message: out, to: broadcast ? EVERYBODY : given!, broadcast };
  }
}
