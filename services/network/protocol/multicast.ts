// Who wants to hear which group: IGMP (RFC 3376, and the versions before) and MLD (RFC 3810, 2710), read and asked.
import { ipFrame } from './build.ts';
import { add, fold } from './checksum.ts';
import { parseIp, PROTOCOL, put16, u16, u32, type Frame } from './frame.ts';

const IGMP = { query: 0x11, report1: 0x12, report2: 0x16, leave: 0x17, report3: 0x22 } as const;
const MLD = { query: 130, report1: 131, done: 132, report2: 143 } as const;
/** Kinds of records in the newest reports. */
const RECORD = { isInclude: 1, toInclude: 3, block: 6 } as const;
const MOST_RECORDS = 256;

export const QUERY_SECONDS = 125;
export const RESPONSE_SECONDS = 10;
const ROBUSTNESS = 2;

export interface Said {
  kind: 'query' | 'report';
  /** By the groups' MAC addresses. */
  groups: { mac: number; joins: boolean }[];
}

const mac4 = (b: Uint8Array, at: number): number => 0x01005e000000 + (u32(b, at) & 0x7fffff);
const mac6 = (b: Uint8Array, at: number): number => 0x333300000000 + u32(b, at + 12);

/** What a frame says of groups; undefined if nothing. */
export function groupsIn(b: Uint8Array): Said | undefined {
  const packet = parseIp(b);
  if (!packet || packet.fragment !== 'none' || packet.payload + 8 > packet.end) return undefined;
  const { protocol, version, payload, end } = packet;
  if (version === 4 && protocol === PROTOCOL.igmp) return igmp(b, payload, end);
  return version === 6 && protocol === PROTOCOL.icmp6 ? mld(b, payload, end) : undefined;
}

function igmp(b: Uint8Array, at: number, end: number): Said | undefined {
  switch (b[at]) {
    case IGMP.query:
      return { kind: 'query', groups: [] };
    case IGMP.report1:
    case IGMP.report2:
    case IGMP.leave:
      return { kind: 'report', groups: [{ mac: mac4(b, at + 4), joins: b[at] !== IGMP.leave }] };
    case IGMP.report3:
      return { kind: 'report', groups: records(b, at, end, 4) };
    default:
      return undefined;
  }
}

function mld(b: Uint8Array, at: number, end: number): Said | undefined {
  switch (b[at]) {
    case MLD.query:
      return { kind: 'query', groups: [] };
    case MLD.report1:
    case MLD.done:
      if (at + 24 > end) return undefined;
      return { kind: 'report', groups: [{ mac: mac6(b, at + 8), joins: b[at] !== MLD.done }] };
    case MLD.report2:
      return { kind: 'report', groups: records(b, at, end, 16) };
    default:
      return undefined;
  }
}

/** Records of a report: kind, length of what follows the sources, their number, group. Sources themselves are not told apart. */
function records(b: Uint8Array, from: number, end: number, size: 4 | 16): Said['groups'] {
  const groups: Said['groups'] = [];
  let at = from + 8;
  for (let left = Math.min(u16(b, from + 6), MOST_RECORDS); left > 0 && at + 4 + size <= end; left--) {
    const [kind, more, sources] = [b[at]!, b[at + 1]! * 4, u16(b, at + 2)];
    const mac = size === 4 ? mac4(b, at + 4) : mac6(b, at + 4);
    const onlySome = kind === RECORD.isInclude || kind === RECORD.toInclude;
    if (kind !== RECORD.block) groups.push({ mac, joins: !onlySome || sources > 0 });
    at += 4 + size + sources * size + more;
  }
  return groups;
}

const bytesOf = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

/** Asks all who hear it which groups they want. */
export function query4(fromMac: number, from: Uint8Array): Frame {
  const message = bytesOf(IGMP.query, RESPONSE_SECONDS * 10, 0, 0, 0, 0, 0, 0, ROBUSTNESS, QUERY_SECONDS, 0, 0);
  put16(message, 2, fold(add(message, 0, message.length)) ^ 0xffff);
  return ipFrame({ fromMac, toMac: 0x01005e000001, from, to: bytesOf(224, 0, 0, 1) }, PROTOCOL.igmp, message, 1);
}

export function query6(fromMac: number, from: Uint8Array): Frame {
  // A hop-by-hop header with the router alert (RFC 2711) comes first: hosts want it.
  const message = new Uint8Array(8 + 28);
  message.set([PROTOCOL.icmp6, 0, 5, 2, 0, 0, 1, 0]);
  message[8] = MLD.query;
  put16(message, 12, RESPONSE_SECONDS * 1000);
  message.set([ROBUSTNESS, QUERY_SECONDS], 8 + 24);
  const to = new Uint8Array(16);
  to.set([0xff, 2]);
  to[15] = 1;
  return ipFrame({ fromMac, toMac: 0x333300000001, from, to }, 0, message, 1);
}
