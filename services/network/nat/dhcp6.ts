// DHCP for IPv6 (RFC 8415): addresses for those that do not make their own from router advertisements, and name servers.
import { put16, put32, u16 } from '../protocol/frame.ts';
import { hexOf, host, inside } from './addresses.ts';
import type { Leases } from './leases.ts';
import type { Plan } from './plan.ts';

const TYPE = { solicit: 1, advertise: 2, request: 3, confirm: 4, renew: 5, rebind: 6, reply: 7, release: 8, decline: 9, information: 11 } as const; // prettier-ignore
const OPTION = { client: 1, server: 2, ia: 3, address: 5, status: 13, rapid: 14, dns: 23 } as const;
const STATUS = { success: 0, noAddress: 2, noBinding: 3, notOnLink: 4 } as const;
const LIFETIME = 86_400;
/** Identity associations of one message. */
const MOST = 8;

type Option = [code: number, data: Uint8Array];

function* optionsOf(bytes: Uint8Array, from: number): Generator<Option> {
  for (let at = from; at + 4 <= bytes.length; ) {
    const end = at + 4 + u16(bytes, at + 2);
    if (end > bytes.length) return;
    yield [u16(bytes, at), bytes.subarray(at + 4, end)];
    at = end;
  }
}

function encode(options: Option[]): Uint8Array {
  const out = new Uint8Array(options.reduce((size, [, data]) => size + 4 + data.length, 0));
  let at = 0;
  for (const [code, data] of options) {
    put16(out, at, code);
    put16(out, at + 2, data.length);
    out.set(data, at + 4);
    at += 4 + data.length;
  }
  return out;
}

const status = (code: number): Option => [OPTION.status, Uint8Array.of(0, code)];

export class Dhcp6 {
  readonly #plan: Plan;
  readonly #leases: Leases;
  /** Our identity: of the link-layer kind (DUID-LL). */
  readonly #duid: Uint8Array;

  constructor(plan: Plan, leases: Leases, mac: Uint8Array) {
    this.#plan = plan;
    this.#leases = leases;
    this.#duid = Uint8Array.of(0, 3, 0, 1, ...mac);
  }

  answer(message: Uint8Array, port: number): Uint8Array | undefined {
    if (message.length < 4) return undefined;
    const options = [...optionsOf(message, 4)];
    const find = (code: number) => options.find(([found]) => found === code)?.[1];
    const client = find(OPTION.client);
    const server = find(OPTION.server);
    const type = message[0]!;
    if (server && hexOf(server) !== hexOf(this.#duid)) return undefined;
    if (client && (client.length < 3 || client.length > 130)) return undefined;
    const named = type === TYPE.request || type === TYPE.renew || type === TYPE.release || type === TYPE.decline;
    if (named !== (server !== undefined) && type !== TYPE.information) return undefined;
    if (!client && type !== TYPE.information) return undefined;
    const associations = options.filter(([code, data]) => code === OPTION.ia && data.length >= 12).slice(0, MOST);
    const rapid = type === TYPE.solicit && find(OPTION.rapid) !== undefined;
    const body = this.#body(type, client ? hexOf(client) : '', associations, port);
    if (!body) return undefined;
    const out: Option[] = client ? [[OPTION.client, client]] : [];
    out.push([OPTION.server, this.#duid], ...body, [OPTION.dns, this.#plan.dns6]);
    if (rapid) out.push([OPTION.rapid, new Uint8Array(0)]);
    const reply = encode(out);
    const answer = new Uint8Array(4 + reply.length);
    answer.set(message.subarray(0, 4));
    answer[0] = type === TYPE.solicit && !rapid ? TYPE.advertise : TYPE.reply;
    answer.set(reply, 4);
    return answer;
  }

  #body(type: number, client: string, associations: Option[], port: number): Option[] | undefined {
    switch (type) {
      case TYPE.solicit:
      case TYPE.request:
      case TYPE.renew:
      case TYPE.rebind:
        return associations.map(([, ia]) => [OPTION.ia, this.#association(ia, client, port)]);
      case TYPE.release:
        for (const [, ia] of associations) this.#leases.release(port, `${client} ${hexOf(ia.subarray(0, 4))}`);
        return [status(STATUS.success)];
      case TYPE.decline:
        return [status(STATUS.success)];
      case TYPE.confirm:
        return [status(this.#onLink(associations) ? STATUS.success : STATUS.notOnLink)];
      case TYPE.information:
        return [];
      default:
        return undefined;
    }
  }

  #onLink(associations: Option[]): boolean {
    for (const [, ia] of associations)
      for (const [code, data] of optionsOf(ia, 12))
        if (code === OPTION.address && !inside(this.#plan.subnet6, data.subarray(0, 16))) return false;
    return true;
  }

  #association(ia: Uint8Array, client: string, port: number): Uint8Array {
    const lease = this.#leases.take(port, `${client} ${hexOf(ia.subarray(0, 4))}`);
    const inner: Option[] = [];
    if (lease) {
      const address = new Uint8Array(24);
      address.set(host(this.#plan.subnet6, lease.number));
      put32(address, 16, LIFETIME);
      put32(address, 20, LIFETIME);
      inner.push([OPTION.address, address]);
    } else {
      inner.push(status(STATUS.noAddress));
    }
    const options = encode(inner);
    const out = new Uint8Array(12 + options.length);
    out.set(ia.subarray(0, 4));
    put32(out, 4, LIFETIME / 2);
    put32(out, 8, (LIFETIME * 4) / 5);
    out.set(options, 12);
    return out;
  }
}
