// IP addresses as bytes and as text, and the plan of a network.
import { BlockList, isIP } from 'node:net';

export const hexOf = (address: Uint8Array): string => Buffer.from(address).toString('hex');
export const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]); // prettier-ignore

/** As Node's sockets take it. */
export function addressText(address: Uint8Array): string {
  if (address.length === 4) return address.join('.');
  return hexOf(address).match(/.{4}/g)!.map((word) => word.replace(/^0+(?=.)/, '')).join(':').replace(/(^|:)0(:0)+(:|$)/, '::'); // prettier-ignore
}

/** The bytes of an IPv4 or IPv6 address, or undefined. */
export function parseAddress(text: string): Uint8Array | undefined {
  const [plain = ''] = text.split('%');
  const version = isIP(plain);
  if (version === 4) return Uint8Array.from(plain.split('.').map(Number));
  if (version !== 6) return undefined;
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain);
  const words = dotted ? `${dotted[1]}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}` : plain; // prettier-ignore
  const [head = '', tail = ''] = words.split('::');
  const numbers = (part: string) => (part === '' ? [] : part.split(':').map((word) => parseInt(word, 16)));
  const [first, last] = [numbers(head), numbers(tail)];
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 255]));
}

/** ::ffff:a.b.c.d, as a socket of both versions names an IPv4 peer, as IPv4. */
export function unmapped(text: string): Uint8Array | undefined {
  const address = parseAddress(text);
  const mapped = address?.length === 16 && hexOf(address).startsWith('00000000000000000000ffff');
  return mapped ? address.slice(12) : address;
}

export interface Subnet {
  address: Uint8Array;
  bits: number;
}

/** `10.0.2.0/24`, or undefined. */
export function parseSubnet(text: string): Subnet | undefined {
  const [head = '', bits = '', ...rest] = text.split('/');
  const address = parseAddress(head);
  if (!address || rest.length > 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > 8 * address.length) return undefined;
  return { address: masked(address, Number(bits)), bits: Number(bits) };
}

function masked(address: Uint8Array, bits: number): Uint8Array {
  return address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i))) & 0xff);
}

export const inside = ({ address, bits }: Subnet, of: Uint8Array): boolean =>
  of.length === address.length && same(masked(of, bits), address);

/** The subnet's host number `n`. */
export function host({ address }: Subnet, n: number): Uint8Array {
  const out = address.slice();
  for (let i = out.length - 1, left = n; left > 0 && i >= 0; i--) {
    left += out[i]!;
    out[i] = left & 255;
    left = Math.floor(left / 256);
  }
  return out;
}

export function mask4(bits: number): Uint8Array {
  return masked(Uint8Array.of(255, 255, 255, 255), bits);
}

/** What no guest reaches by its own address: this host itself, its link (cloud metadata among it), groups, nothing. Two
 * lists, as Node.js takes an IPv4 address for the mapped IPv6 one, too. */
const SPECIAL4 = new BlockList();
const SPECIAL6 = new BlockList();
for (const [
  net,
  bits,
] of [['0.0.0.0', 8], ['127.0.0.0', 8], ['169.254.0.0', 16], ['224.0.0.0', 4], ['240.0.0.0', 4]] as const) // prettier-ignore
  SPECIAL4.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of [
  ['::', 96],
  ['fe80::', 10],
  ['ff00::', 8],
  ['::ffff:0:0', 96],
] as const)
  SPECIAL6.addSubnet(net, bits, 'ipv6');

export const special = (address: Uint8Array): boolean =>
  address.length === 4 ? SPECIAL4.check(addressText(address), 'ipv4') : SPECIAL6.check(addressText(address), 'ipv6');
