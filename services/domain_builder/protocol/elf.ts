/** ELF images as a domain builder sees them: loadable segments at physical addresses, and notes (ELF gABI). */
import { BadImage, Window, alignUp, hex } from './bytes.ts';

export interface Segment {
  /** As the file says. Old PV kernels have virtual addresses there, which only a bigint holds. */
  readonly paddr: bigint;
  /** The same for who has nothing above 2^53. */
  readonly gpa: number;
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly memSize: number;
}

export interface Note {
  readonly name: string;
  readonly type: number;
  readonly desc: Uint8Array;
}

export interface Elf {
  readonly bits: 32 | 64;
  readonly machine: number;
  readonly entry: bigint;
  readonly segments: readonly Segment[];
  readonly notes: readonly Note[];
  /** The text of the section __xen_guest, what PV kernels had before there were notes; looked for where there are none of Xen's. */
  readonly guestInfo: string | undefined;
  readonly sections: readonly Section[];
}

export interface Section {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  /** The header as it is in the file. */
  readonly header: Uint8Array;
}

export const EM_386 = 3;
export const EM_X86_64 = 62;

const MAGIC = 0x464c457f; // "\x7fELF"
const PT_LOAD = 1;
const PT_NOTE = 4;
const SHT_NOTE = 7;
const SHT_NOBITS = 8;
/** Real kernels have a handful of each; these bounds keep a hostile file from costing time. */
const MAX_HEADERS = 256;
const MAX_SECTIONS = 65536;
const MAX_NOTE_BYTES = 1 << 20;
const MAX_GUEST_INFO = 4096;

/** Where each field lives in the two classes. */
const LAYOUT = {
  32: {
    entry: 24,
    phoff: 28,
    shoff: 32,
    phentsize: 42,
    ph: { offset: 4, paddr: 12, filesz: 16, memsz: 20, align: 28, size: 32 },
    sh: { offset: 16, fsize: 20, link: 24, align: 32, size: 40 },
  },
  64: {
    entry: 24,
    phoff: 32,
    shoff: 40,
    phentsize: 54,
    ph: { offset: 8, paddr: 24, filesz: 32, memsz: 40, align: 48, size: 56 },
    sh: { offset: 24, fsize: 32, link: 40, align: 48, size: 64 },
  },
} as const;

export const isElf = (bytes: Uint8Array): boolean => bytes.length >= 4 && new Window(bytes, '').u32(0) === MAGIC;

export function parseElf(bytes: Uint8Array, what = 'the kernel'): Elf {
  const file = new Window(bytes, what);
  if (file.u32(0) !== MAGIC) throw new BadImage(`${what} is not an ELF image.`);
  const elfClass = file.u8(4);
  if (elfClass !== 1 && elfClass !== 2) throw new BadImage(`${what} has the unknown ELF class ${elfClass}.`);
  if (file.u8(5) !== 1) throw new BadImage(`${what} is a big-endian ELF image; x86 kernels are little-endian.`);
  const bits = elfClass === 1 ? 32 : 64;
  const at = LAYOUT[bits];
  const word = (offset: number): number => (bits === 32 ? file.u32(offset) : file.u64(offset));

  const segments: Segment[] = [];
  const noteAreas: { offset: number; size: number; align: number }[] = [];
  const phnum = file.u16(at.phentsize + 2);
  const phentsize = file.u16(at.phentsize);
  if (phnum > MAX_HEADERS)
    throw new BadImage(`${what} has ${phnum} program headers; at most ${MAX_HEADERS} are accepted.`);
  if (phnum > 0 && phentsize < at.ph.size)
    throw new BadImage(`${what} has program headers of ${phentsize} bytes; ELF${bits} needs ${at.ph.size}.`);
  const phoff = word(at.phoff);
  for (let i = 0; i < phnum; i++) {
    const header = phoff + i * phentsize;
    const type = file.u32(header);
    const field = (offset: number): number => word(header + offset);
    if (type === PT_NOTE) {
      // Some linkers leave a segment of notes without its place.
      if (field(at.ph.offset) === 0) continue;
      noteAreas.push({ offset: field(at.ph.offset), size: field(at.ph.filesz), align: field(at.ph.align) });
    } else if (type === PT_LOAD && field(at.ph.memsz) > 0) {
      const paddr = bits === 32 ? BigInt(file.u32(header + at.ph.paddr)) : file.big(header + at.ph.paddr);
      const segment = {
        paddr,
        gpa: Number(paddr),
        fileOffset: field(at.ph.offset),
        fileSize: field(at.ph.filesz),
        memSize: field(at.ph.memsz),
      };
      if (segment.fileSize > segment.memSize)
        throw new BadImage(`${what} has a segment at ${hex(paddr)} larger in the file than in memory.`);
      file.slice(segment.fileOffset, segment.fileSize);
      segments.push(segment);
    }
  }
  checkOverlap(segments, what);
  let notes = readNotes(file, noteAreas);
  let guestInfo: string | undefined;
  let sections: Section[] | undefined;
  // As Xen's loader does: sections count when no segment has a note of Xen's (a linker may have put others there alone).
  if (!hasXenNote(notes)) {
    sections = readSections(file, word(at.shoff), bits, word);
    const areas = sections.filter(({ type }) => type === SHT_NOTE);
    const places = areas.map((s) => ({ offset: s.offset, size: s.size, align: alignOf(s, bits) }));
    notes = readNotes(file, [...noteAreas, ...places]);
    if (!hasXenNote(notes)) guestInfo = findGuestInfo(file, sections, file.u16(at.phentsize + 8));
  }
  return {
    ...{ bits, machine: file.u16(18), segments, notes, guestInfo },
    entry: bits === 32 ? BigInt(file.u32(at.entry)) : file.big(at.entry),
    // Only who asks for symbols looks at them.
    get sections() {
      return (sections ??= readSections(file, word(at.shoff), bits, word));
    },
  };
}

const hasXenNote = (notes: readonly Note[]): boolean => notes.some(({ name }) => name === 'Xen');

function readSections(file: Window, shoff: number, bits: 32 | 64, word: (at: number) => number): Section[] {
  const at = LAYOUT[bits];
  const size = file.u16(at.phentsize + 4);
  const count = Math.min(file.u16(at.phentsize + 6), MAX_SECTIONS);
  if (shoff === 0 || size < at.sh.size) return [];
  return Array.from({ length: count }, (_, i) => {
    const header = shoff + i * size;
    return {
      type: file.u32(header + 4),
      offset: word(header + at.sh.offset),
      size: word(header + at.sh.fsize),
      link: file.u32(header + at.sh.link),
      header: file.slice(header, at.sh.size),
    };
  });
}

function alignOf({ header }: Section, bits: 32 | 64): number {
  return new Window(header, 'a section header').u32(LAYOUT[bits].sh.align);
}

/** The section __xen_guest, by its name in the table of names (section `strings`). */
function findGuestInfo(file: Window, sections: readonly Section[], strings: number): string | undefined {
  const table = sections[strings];
  if (!table || table.type === SHT_NOBITS) return undefined;
  const names = Buffer.from(file.slice(table.offset, table.size)).toString('latin1');
  const name = '__xen_guest\0';
  const found = sections.find((s) => names.startsWith(name, new Window(s.header, 'a section header').u32(0)));
  if (!found || found.type === SHT_NOBITS) return undefined;
  const text = file.slice(found.offset, Math.min(found.size, MAX_GUEST_INFO));
  return Buffer.from(text).toString('latin1').replace(/\0.*$/s, '');
}

function readNotes(file: Window, areas: { offset: number; size: number; align: number }[]): Note[] {
  const notes: Note[] = [];
  if (areas.reduce((sum, area) => sum + area.size, 0) > MAX_NOTE_BYTES)
    throw new BadImage(`${file.what} has more than ${MAX_NOTE_BYTES} bytes of notes.`);
  for (const { offset, size, align } of areas) {
    const unit = align === 8 ? 8 : 4;
    const area = new Window(file.slice(offset, size), `the notes of ${file.what}`);
    for (let at = 0; at + 12 <= size; ) {
      const nameSize = area.u32(at);
      const descSize = area.u32(at + 4);
      const desc = at + alignUp(12 + nameSize, unit);
      notes.push({
        name: Buffer.from(area.slice(at + 12, nameSize))
          .toString('latin1')
          .replace(/\0.*$/s, ''),
        type: area.u32(at + 8),
        // GRUB's 32-bit image ends within its last one.
        desc: area.slice(Math.min(desc, size), Math.max(0, Math.min(descSize, size - desc))),
      });
      at = desc + alignUp(descSize, unit);
    }
  }
  return notes;
}

function checkOverlap(segments: readonly Segment[], what: string): void {
  const sorted = [...segments].sort((a, b) => (a.paddr < b.paddr ? -1 : 1));
  sorted.forEach((segment, i) => {
    const before = sorted[i - 1];
    if (before && before.paddr + BigInt(before.memSize) > segment.paddr)
      throw new BadImage(`${what} has overlapping segments at ${hex(segment.paddr)}.`);
  });
}
