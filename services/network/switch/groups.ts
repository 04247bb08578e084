// Multicast goes to those that have asked for it (RFC 4541), where somebody asks them regularly who wants what: a router, or the network's gateway. Where
// nobody does, nobody could tell who has left, and it goes to all, as on a bridge without a querier.
import { QUERY_SECONDS, RESPONSE_SECONDS, type Said } from '../protocol/multicast.ts';

/** What is known lasts for two questions and an answer. */
const LASTS_MS = (2 * QUERY_SECONDS + RESPONSE_SECONDS) * 1000;
const RESPONSE_MS = RESPONSE_SECONDS * 1000;
/** Groups that are remembered for a port; who wants more hears all. */
const MOST_GROUPS = 64;
const IPV4 = 0x01005e;
const IPV6 = 0x3333;
const ALL_NODES = 0x333300000001;
const SOLICITED = 0x3333ff;

interface Member {
  groups: Map<number, number>;
  /** Until then it is taken for a router, or for one that wants too much: it hears all. */
  all: number;
}

interface Vlan {
  /** From when on enough is known, and the last question. */
  from: number;
  asked: number;
  members: Map<number, Member>;
}

export class Groups {
  readonly #vlans = new Map<number, Vlan>();

  #vlan(id: number, now: number): Vlan {
    let vlan = this.#vlans.get(id);
    if (!vlan) this.#vlans.set(id, (vlan = { from: Infinity, asked: -Infinity, members: new Map() }));
    if (now - vlan.asked > LASTS_MS) vlan.from = Infinity;
    return vlan;
  }

  /** A port has said something about groups. */
  heard(said: Said, id: number, port: number, now: number): void {
    const vlan = this.#vlan(id, now);
    let member = vlan.members.get(port);
    if (!member) vlan.members.set(port, (member = { groups: new Map(), all: -Infinity }));
    if (said.kind === 'query') {
      // Who does not answer this question in time wants nothing.
      if (vlan.from === Infinity) vlan.from = now + RESPONSE_MS;
      vlan.asked = now;
      member.all = now + LASTS_MS;
      return;
    }
    for (const { mac, joins } of said.groups) {
      member.groups.delete(mac);
      if (!joins) continue;
      for (const [old, until] of member.groups) if (until < now) member.groups.delete(old);
      if (member.groups.size < MOST_GROUPS) member.groups.set(mac, now + LASTS_MS);
      else member.all = now + LASTS_MS;
    }
  }

  /** Whether a port is given frames to this group. */
  wants(mac: number, id: number, port: number, now: number): boolean {
    if (!told(mac)) return true;
    const vlan = this.#vlan(id, now);
    if (now < vlan.from) return true;
    const member = vlan.members.get(port);
    return member !== undefined && (member.all >= now || (member.groups.get(mac) ?? -Infinity) >= now);
  }

  /** Reports are for who asks; other guests would keep theirs to themselves. */
  asks(id: number, port: number, now: number): boolean {
    const vlan = this.#vlan(id, now);
    return now < vlan.from || (vlan.members.get(port)?.all ?? -Infinity) >= now;
  }

  forget(port: number): void {
    for (const { members } of this.#vlans.values()) members.delete(port);
  }
}

/** Whether hosts say that they want this group: those of the link itself (224.0.0.x, all nodes) are everybody's, and without those by which neighbours are found nobody would be. */
function told(mac: number): boolean {
  if (Math.floor(mac / 2 ** 24) === IPV4) return mac % 2 ** 24 > 255;
  return Math.floor(mac / 2 ** 32) === IPV6 && mac !== ALL_NODES && Math.floor(mac / 2 ** 24) !== SOLICITED;
}
