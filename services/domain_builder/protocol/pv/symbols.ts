/**
 * The symbol table that BSD kernels want behind their image (XEN_ELFNOTE_BSD_SYMTAB): a word with the size of what follows, then a small ELF file
 * of three section headers (none, symbols, strings) with their contents.
 */
import { Window, alignUp, concat, u32, zeros } from '../bytes.ts';
import type { Elf, Section } from '../elf.ts';

const SHT_SYMTAB = 2;
const SIZE_WORD = 4;
const SECTIONS = 3;
/** Offsets of what differs from the kernel's own headers. */
const FORM = {
  32: {
    header: 52,
    section: 40,
    word: 4,
    phoff: 28,
    shoff: 32,
    phnum: 44,
    shnum: 48,
    shstrndx: 50,
    offset: 16,
    link: 24,
  },
  64: {
    header: 64,
    section: 64,
    word: 8,
    phoff: 32,
    shoff: 40,
    phnum: 56,
    shnum: 60,
    shstrndx: 62,
    offset: 24,
    link: 40,
  },
} as const;

export interface SymbolTable {
  /** Pseudo-physical. */
  readonly start: number;
  readonly end: number;
  bytes(image: Uint8Array): Uint8Array;
}

/** Undefined: the image has no symbols. `kernelEnd`: the first address behind it. */
export function symbolTable(elf: Elf, kernelEnd: number): SymbolTable | undefined {
  const symbols = elf.sections.find(({ type }) => type === SHT_SYMTAB);
  const strings = symbols && elf.sections[symbols.link];
  if (!strings) return undefined;
  const unit = elf.bits / 8;
  const { header, section } = FORM[elf.bits];
  const symbolsAt = alignUp(header + SECTIONS * section, unit);
  const stringsAt = alignUp(symbolsAt + symbols.size, unit);
  const start = alignUp(kernelEnd, unit);
  const end = start + alignUp(SIZE_WORD + stringsAt + strings.size, unit);
  return {
    start,
    end,
    bytes: (image) => tableBytes(elf.bits, image, { symbols, symbolsAt, strings, stringsAt }),
  };
}

interface Places {
  symbols: Section;
  symbolsAt: number;
  strings: Section;
  stringsAt: number;
}

function tableBytes(bits: 32 | 64, image: Uint8Array, places: Places): Uint8Array {
  const { symbols, symbolsAt, strings, stringsAt } = places;
  const form = FORM[bits];
  const file = new Window(image, "the kernel's symbols");
  const size = stringsAt + strings.size;
  const out = zeros(size);
  const view = new DataView(out.buffer);
  const word = (at: number, value: number): void =>
    bits === 32 ? view.setUint32(at, value, true) : view.setBigUint64(at, BigInt(value), true);
  out.set(file.slice(0, form.header));
  word(form.phoff, 0);
  word(form.shoff, form.header);
  view.setUint16(form.phnum, 0, true);
  view.setUint16(form.shnum, SECTIONS, true);
  view.setUint16(form.shstrndx, 0, true);
  const headers: [Section, number, number][] = [
    [symbols, symbolsAt, 2],
    [strings, stringsAt, 0],
  ];
  headers.forEach(([section, at, link], i) => {
    const header = form.header + (i + 1) * form.section;
    out.set(section.header, header);
    view.setUint32(header, 0, true); // no names: there is no table of them
    word(header + form.offset, at);
    view.setUint32(header + form.link, link, true);
    out.set(file.slice(section.offset, section.size), at);
  });
  return concat([u32(size), out]);
}
