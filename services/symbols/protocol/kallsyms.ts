/**
 * The symbol table that a Linux kernel carries in its own read-only data when built with CONFIG_KALLSYMS, found and decoded in the
 * uncompressed image: a stripped kernel names its functions too. Layouts: the arrays that scripts/kallsyms writes, 64-bit,
 * base-relative; before Linux 6.4 the addresses come first, since then last.
 */
import { SymbolTable, type NamedAddress } from './table.ts';

const TOKENS = 256;
/** Names between two markers. */
const STRIDE = 256;
const MAX_SYMBOLS = 1 << 20;
const KERNEL_SPACE = 0xffff_8000_0000_0000n;

const align8 = (n: number): number => (n + 7) & ~7;

interface Found {
  tokens: string[];
  /** First byte of the token strings, first byte behind their index. */
  start: number;
  end: number;
}

/**
 * The 256 token strings, each ended by a zero, and behind them the index: 256 offsets of u16. The digits' tokens are always the
 * digits themselves, which makes a pattern to search for; the index proves the find.
 */
function findTokens(image: Buffer): Found | undefined {
  const digits = Buffer.from('0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00', 'latin1');
  for (let at = image.indexOf(digits); at >= 0; at = image.indexOf(digits, at + 1)) {
    // 48 tokens before '0': as many zeros back
    let start = at - 1;
    for (let n = 0x30; n > 0 && start > 0; n--) start = image.lastIndexOf(0, start - 1);
    const found = start >= 0 ? readTokens(image, start + 1) : undefined;
    if (found) return found;
  }
  return undefined;
}

function readTokens(image: Buffer, first: number): Found | undefined {
  // What precedes is padding, also zeros: the first token may begin later than the count of zeros says.
  for (let start = first; start < first + 8; start++) {
    const offsets: number[] = [];
    const tokens: string[] = [];
    let at = start;
    for (let i = 0; i < TOKENS && at >= 0; i++) {
      const end = image.indexOf(0, at);
      if (end < 0) return undefined;
      offsets.push(at - start);
      tokens.push(image.toString('latin1', at, end));
      at = end + 1;
    }
    const index = align8(at);
    if (index + 2 * TOKENS > image.length) return undefined;
    if (offsets.every((offset, i) => image.readUInt16LE(index + 2 * i) === (offset & 0xffff)))
      return { tokens, start, end: index + 2 * TOKENS };
  }
  return undefined;
}

/** Bytes of the name at `at` with its length, which takes two bytes from 128 on. */
function nameLength(image: Buffer, at: number): number {
  const first = image[at]!;
  return first & 0x80 ? 2 + ((first & 0x7f) | (image[at + 1]! << 7)) : 1 + first;
}

interface Names {
  at: number;
  count: number;
  /** Where the markers begin: the names end before. */
  end: number;
}

/**
 * The names lie before their markers, u32 offsets of every 256th name, which lie before the tokens; newer kernels have the names'
 * order by alphabet in between.
 */
function findNames(image: Buffer, tokensAt: number): Names | undefined {
  for (let at = tokensAt & ~7; at >= Math.max(16, tokensAt - 4 * MAX_SYMBOLS); at -= 8) {
    if (image.readUInt32LE(at) !== 0) continue;
    const markers = increasing(image, at, tokensAt);
    const found = markers.length > 1 ? namesBefore(image, at, markers) : undefined;
    if (found) return found;
  }
  return undefined;
}

/** Names are 2 to 512 bytes long with their length. */
const plausible = (step: number): boolean => step >= 2 * STRIDE && step <= 512 * STRIDE;

function increasing(image: Buffer, at: number, end: number): number[] {
  const list = [0];
  for (let next = at + 4; next + 4 <= end; next += 4) {
    const value = image.readUInt32LE(next);
    if (!plausible(value - list.at(-1)!)) break;
    list.push(value);
  }
  return list;
}

/** Names with their number before them, such that the markers point at names. The list may be an entry too long. */
function namesBefore(image: Buffer, end: number, markers: number[]): Names | undefined {
  const lowest = Math.max(16, end - markers.at(-1)! - 512 * STRIDE);
  for (let at = (end - markers.at(-2)!) & ~7; at >= lowest; at -= 8) {
    const count = image.readUInt32LE(at - 8);
    const due = Math.ceil(count / STRIDE);
    if (image.readUInt32LE(at - 4) !== 0 || due > markers.length || due < markers.length - 1 || count < STRIDE)
      continue;
    let name = at;
    for (let i = 0; i < STRIDE && name < end; i++) name += nameLength(image, name);
    if (name === at + markers[1]!) return { at, count, end };
  }
  return undefined;
}

function decodeNames(image: Buffer, at: number, count: number, end: number, tokens: string[]): string[] | undefined {
  const names: string[] = [];
  for (let i = 0; i < count; i++) {
    const length = nameLength(image, at);
    if (at + length > end) return undefined;
    let text = '';
    for (let k = at + (image[at]! & 0x80 ? 2 : 1); k < at + length; k++) text += tokens[image[k]!];
    names.push(text);
    at += length;
  }
  return names;
}

/** Addresses from i32 offsets: one ≥ 0 is itself (per-CPU), a negative one is counted from the base (ABSOLUTE_PERCPU), or plain. */
function addresses(image: Buffer, at: number, count: number, baseAt: number): bigint[] | undefined {
  if (at < 0 || baseAt + 8 > image.length) return undefined;
  const base = image.readBigUInt64LE(baseAt);
  if (base < KERNEL_SPACE) return undefined;
  const offsets = Array.from({ length: count }, (_, i) => image.readInt32LE(at + 4 * i));
  const relative = offsets.some((offset) => offset < 0);
  return offsets.map((offset) => {
    if (relative) return offset >= 0 ? BigInt(offset) : base - 1n - BigInt(offset);
    return base + BigInt(offset >>> 0);
  });
}

/** The symbols of an uncompressed kernel image; undefined if it carries none that are understood. */
export function kallsyms(bytes: Uint8Array): SymbolTable | undefined {
  const image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = findTokens(image);
  const named = found && findNames(image, found.start);
  if (!found || !named || named.count > MAX_SYMBOLS) return undefined;
  const names = decodeNames(image, named.at, named.count, named.end, found.tokens);
  if (!names) return undefined;
  const size = align8(4 * named.count);
  const list =
    addresses(image, named.at - 16 - size, named.count, named.at - 16) ??
    addresses(image, found.end, named.count, found.end + size);
  if (!list) return undefined;
  // The first character is the type, as nm has it.
  const symbols = names
    .map(
      (name, i): NamedAddress => ({
        address: list[i]!,
        name: name.slice(1),
        code: /^[tTwW]/.test(name),
        size: 0,
      }),
    )
    .filter(({ address }) => address >= KERNEL_SPACE);
  return new SymbolTable(symbols);
}
