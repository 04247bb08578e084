/** An ELF file that holds nothing but symbols: what debuggers take for a kernel that carries its names elsewhere (gABI). */
import type { NamedAddress } from './table.ts';

const HEADER = 64;
const SECTION = 64;
const SYMBOL = 24;
const ET_EXEC = 2;
const EM_X86_64 = 62;
const SHT = { symtab: 2, strtab: 3, nobits: 8 };
const SHF_ALLOC = 2;
const SHF_EXECINSTR = 4;
const STB_GLOBAL_FUNC = 0x12;
const STB_GLOBAL_OBJECT = 0x11;

/** Strings one behind the other, each once, the empty one first. */
class Strings {
  readonly #parts: Buffer[] = [Buffer.alloc(1)];
  #length = 1;

  add(text: string): number {
    const at = this.#length;
    const bytes = Buffer.from(`${text}\0`, 'latin1');
    this.#parts.push(bytes);
    this.#length += bytes.length;
    return at;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

interface Section {
  name: string;
  type: number;
  flags?: number;
  address?: bigint;
  /** Content, or its size in memory only. */
  content: Buffer | bigint;
  link?: number;
  info?: number;
  entry?: number;
}

/** Code and data each get a section from their first to their last symbol; both may span the other's. */
function range(symbols: readonly NamedAddress[]): { address: bigint; size: bigint } {
  const first = symbols[0]?.address ?? 0n;
  const last = symbols.at(-1)?.address ?? first;
  return { address: first, size: last - first + 1n };
}

export function symbolFile(table: Iterable<NamedAddress>): Uint8Array {
  const all = [...table];
  const code = range(all.filter((s) => s.code));
  const data = range(all.filter((s) => !s.code));
  const strings = new Strings();
  const entries = Buffer.alloc(SYMBOL * (all.length + 1));
  all.forEach(({ name, address, code: isCode, size }, i) => {
    const at = SYMBOL * (i + 1);
    entries.writeUInt32LE(strings.add(name), at);
    entries.writeUInt8(isCode ? STB_GLOBAL_FUNC : STB_GLOBAL_OBJECT, at + 4);
    entries.writeUInt16LE(isCode ? 1 : 2, at + 6);
    entries.writeBigUInt64LE(address, at + 8);
    entries.writeBigUInt64LE(BigInt(size), at + 16);
  });
  return file([
    { name: '.text', type: SHT.nobits, flags: SHF_ALLOC | SHF_EXECINSTR, address: code.address, content: code.size },
    { name: '.data', type: SHT.nobits, flags: SHF_ALLOC, address: data.address, content: data.size },
    { name: '.symtab', type: SHT.symtab, content: entries, link: 4, info: 1, entry: SYMBOL },
    { name: '.strtab', type: SHT.strtab, content: strings.bytes },
  ]);
}

function file(sections: Section[]): Uint8Array {
  const names = new Strings();
  const all: Section[] = [...sections, { name: '.shstrtab', type: SHT.strtab, content: Buffer.alloc(0) }];
  const nameAt = all.map(({ name }) => names.add(name));
  all.at(-1)!.content = names.bytes;
  const headers = Buffer.alloc(SECTION * (all.length + 1));
  const parts: Buffer[] = [];
  let offset = HEADER;
  all.forEach((section, i) => {
    const at = SECTION * (i + 1);
    const { content } = section;
    headers.writeUInt32LE(nameAt[i]!, at);
    headers.writeUInt32LE(section.type, at + 4);
    headers.writeBigUInt64LE(BigInt(section.flags ?? 0), at + 8);
    headers.writeBigUInt64LE(section.address ?? 0n, at + 16);
    headers.writeBigUInt64LE(BigInt(offset), at + 24);
    headers.writeBigUInt64LE(typeof content === 'bigint' ? content : BigInt(content.length), at + 32);
    headers.writeUInt32LE(section.link ?? 0, at + 40);
    headers.writeUInt32LE(section.info ?? 0, at + 44);
    headers.writeBigUInt64LE(1n, at + 48);
    headers.writeBigUInt64LE(BigInt(section.entry ?? 0), at + 56);
    if (typeof content === 'bigint') return;
    const padded = Buffer.concat([content, Buffer.alloc(-content.length & 7)]);
    parts.push(padded);
    offset += padded.length;
  });
  const header = Buffer.alloc(HEADER);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeUInt16LE(ET_EXEC, 16);
  header.writeUInt16LE(EM_X86_64, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BigInt(offset), 40);
  header.writeUInt16LE(HEADER, 52);
  header.writeUInt16LE(SECTION, 58);
  header.writeUInt16LE(all.length + 1, 60);
  header.writeUInt16LE(all.length, 62);
  return Buffer.concat([header, ...parts, headers]);
}
