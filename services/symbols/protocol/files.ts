/** Symbols from what a person has at hand: an ELF file with a symbol table, a System.map, or a kernel image that carries its own. */
import { extractElf } from '../../domain_builder/protocol/index.ts';
import { kallsyms } from './kallsyms.ts';
import { SymbolTable, type NamedAddress } from './table.ts';

const SHT_SYMTAB = 2;
const SHT_DYNSYM = 11;
const MAX_SYMBOLS = 1 << 22;

/** Offsets of fields in the two ELF classes (gABI, "Section Header" and "Symbol Table"). */
const LAYOUT = {
  1: { shoff: 32, sh: 46, offset: 16, size: 20, link: 24, sym: 16, value: 4, symSize: 8, info: 12, shndx: 14 },
  2: { shoff: 40, sh: 58, offset: 24, size: 32, link: 40, sym: 24, value: 8, symSize: 16, info: 4, shndx: 6 },
} as const;

class Reader {
  readonly #view: DataView;
  readonly #wide: boolean;
  constructor(bytes: Uint8Array, wide: boolean) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#wide = wide;
  }
  u8(at: number): number {
    return this.#view.getUint8(at);
  }
  u16(at: number): number {
    return this.#view.getUint16(at, true);
  }
  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }
  word(at: number): bigint {
    return this.#wide ? this.#view.getBigUint64(at, true) : BigInt(this.u32(at));
  }
}

interface Section {
  type: number;
  offset: number;
  size: number;
  link: number;
}

/** An ELF file's functions and data; undefined if it has no symbol table. Throws RangeError on a damaged one. */
function elfSymbols(bytes: Uint8Array): SymbolTable | undefined {
  const wide = bytes[4] === 2;
  const at = LAYOUT[wide ? 2 : 1];
  const file = new Reader(bytes, wide);
  const size = file.u16(at.sh);
  const sections = Array.from({ length: file.u16(at.sh + 2) }, (_, i): Section => {
    const header = Number(file.word(at.shoff)) + i * size;
    const [offset, length] = [at.offset, at.size].map((field) => Number(file.word(header + field)));
    return { type: file.u32(header + 4), offset: offset!, size: length!, link: file.u32(header + at.link) };
  });
  const table = sections.find((s) => s.type === SHT_SYMTAB) ?? sections.find((s) => s.type === SHT_DYNSYM);
  const strings = table && sections[table.link];
  if (!table || !strings) return undefined;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + strings.offset, strings.size);
  const symbols: NamedAddress[] = [];
  const count = Math.min(MAX_SYMBOLS, Math.floor(table.size / at.sym));
  for (let i = 1; i < count; i++) {
    const entry = table.offset + i * at.sym;
    const type = file.u8(entry + at.info) & 15;
    // STT_NOTYPE, STT_OBJECT, STT_FUNC, defined somewhere
    if (type > 2 || file.u16(entry + at.shndx) === 0) continue;
    const start = file.u32(entry);
    const name = text.toString('latin1', start, text.indexOf(0, start));
    if (name === '') continue;
    const symbolSize = Number(file.word(entry + at.symSize));
    symbols.push({ address: file.word(entry + at.value), name, code: type !== 1, size: symbolSize });
  }
  // A function before labels at the same address.
  symbols.sort((a, b) => b.size - a.size);
  return symbols.length > 0 ? new SymbolTable(symbols) : undefined;
}

/** Lines as nm prints them: address, type, name. */
function mapSymbols(bytes: Uint8Array): SymbolTable | undefined {
  const symbols: NamedAddress[] = [];
  for (const line of Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1').split('\n')) {
    const [, address, type, name] = /^([0-9a-f]{8,16}) (\w) ([^\s]+)/i.exec(line) ?? [];
    if (name) symbols.push({ address: BigInt(`0x${address}`), name, code: /[tw]/i.test(type!), size: 0 });
  }
  return symbols.length > 0 ? new SymbolTable(symbols) : undefined;
}

const isElf = (bytes: Uint8Array): boolean => Buffer.from(bytes.subarray(0, 4)).toString('latin1') === '\x7fELF';

/** What the file names; undefined if there is nothing. */
export function readSymbols(bytes: Uint8Array): SymbolTable | undefined {
  try {
    if (isElf(bytes)) return elfSymbols(bytes) ?? kallsyms(bytes);
    if (/^[0-9a-f]{8,16} \w /i.test(Buffer.from(bytes.subarray(0, 32)).toString('latin1'))) return mapSymbols(bytes);
    const image = extractElf(bytes);
    return elfSymbols(image) ?? kallsyms(image);
  } catch {
    return undefined; // damaged, or no kernel at all
  }
}
