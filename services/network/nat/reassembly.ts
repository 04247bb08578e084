// Fragments of IP packets put together, within bounds: a few packets of a guest at a time, none for long. Overlapping
// fragments are nobody's honest work: their packet is dropped (RFC 5722).
import { ETHER, parseIp, put16, u16, u32, type Packet } from '../protocol/frame.ts';
import { fillV4Header } from '../protocol/checksum.ts';

const MOST_PACKETS = 8;
const MOST_PARTS = 64;
const LAST_MS = 15_000;

interface Part {
  from: number;
  data: Uint8Array;
}

interface Pending {
  since: number;
  parts: Part[];
  /** Of the whole payload, once the last part has come. */
  length: number | undefined;
  first: Uint8Array | undefined;
}

export class Reassembly {
  readonly #pending = new Map<string, Pending>();

  /** The whole packet's frame, if this fragment completes it. */
  add(bytes: Uint8Array, packet: Packet, now: number): Uint8Array | undefined {
    const { ip, version, payload, end } = packet;
    const header = version === 4 ? payload : fragmentHeader(bytes, packet);
    if (header === undefined) return undefined;
    const offsetWord = version === 4 ? u16(bytes, ip + 6) : u16(bytes, header + 2);
    const from = version === 4 ? (offsetWord & 0x1fff) * 8 : offsetWord & 0xfff8;
    const more = version === 4 ? (offsetWord & 0x2000) !== 0 : (offsetWord & 1) !== 0;
    const id = version === 4 ? u16(bytes, ip + 4) : u32(bytes, header + 4);
    const addresses = version === 4 ? bytes.subarray(ip + 12, ip + 20) : bytes.subarray(ip + 8, ip + 40);
    const key = `${Buffer.from(addresses).toString('latin1')} ${id} ${packet.protocol}`;
    const at = version === 4 ? payload : header + 8;
    const pending = this.#find(key, now);
    const data = bytes.slice(at, end);
    const bad =
      from + data.length > 65_000 ||
      (more && data.length % 8 !== 0) ||
      pending.parts.length >= MOST_PARTS ||
      pending.parts.some((part) => from < part.from + part.data.length && part.from < from + data.length) ||
      (!more && pending.length !== undefined);
    if (bad) {
      this.#pending.delete(key);
      return undefined;
    }
    pending.parts.push({ from, data });
    if (from === 0) pending.first = bytes.slice(0, version === 4 ? payload : header);
    if (!more) pending.length = from + data.length;
    const have = pending.parts.reduce((sum, part) => sum + part.data.length, 0);
    if (pending.length === undefined || !pending.first || have < pending.length) return undefined;
    this.#pending.delete(key);
    return have === pending.length ? whole(pending.first, pending.parts, have, packet) : undefined;
  }

  #find(key: string, now: number): Pending {
    for (const [old, { since }] of this.#pending) if (now - since > LAST_MS) this.#pending.delete(old);
    let pending = this.#pending.get(key);
    if (!pending) {
      if (this.#pending.size >= MOST_PACKETS) this.#pending.delete(this.#pending.keys().next().value!);
      this.#pending.set(key, (pending = { since: now, parts: [], length: undefined, first: undefined }));
    }
    return pending;
  }
}

/** Where IPv6's fragment header begins, if nothing but it stands between the header and the payload. */
function fragmentHeader(bytes: Uint8Array, { ip }: Packet): number | undefined {
  return bytes[ip + 6] === 44 ? ip + 40 : undefined;
}

function whole(
  first: Uint8Array,
  parts: Part[],
  length: number,
  { ip, version, protocol }: Packet,
): Uint8Array | undefined {
  const out = new Uint8Array(first.length + length);
  out.set(first);
  for (const { from, data } of parts) out.set(data, first.length + from);
  if (version === 4) {
    put16(out, ip + 2, out.length - ETHER.size);
    put16(out, ip + 6, 0);
    fillV4Header(out, ip);
  } else {
    put16(out, ip + 4, length);
    out[ip + 6] = protocol;
  }
  return parseIp(out) ? out : undefined;
}
