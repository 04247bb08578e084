/** ELF images as a domain builder sees them: loadable segments at physical addresses, and notes (ELF gABI). */
import { BadImage, Window, alignUp, hex } from './bytes.ts';

export interface Segment {
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
  readonly entry: number;
  readonly segments: readonly Segment[];
  readonly notes: readonly Note[];
}

const MAGIC = 0x464c457f; // "\x7fELF"
const PT_LOAD = 1;
const PT_NOTE = 4;
const SHT_NOTE = 7;
/** Real kernels have a handful of each; these bounds keep a hostile file from costing time. */
const MAX_HEADERS = 256;
const MAX_SECTIONS = 65536;
const MAX_NOTE_BYTES = 1 << 20;

/** Where each field lives in the two classes. */
const LAYOUT = {
  32: {
    entry: 24,
    phoff: 28,
    shoff: 32,
    phentsize: 42,
    ph: { offset: 4, paddr: 12, filesz: 16, memsz: 20, align: 28, size: 32 },
    sh: { offset: 16, fsize: 20, align: 32, size: 40 },
  },
  64: {
    entry: 24,
    phoff: 32,
    shoff: 40,
    phentsize: 54,
    ph: { offset: 8, paddr: 24, filesz: 32, memsz: 40, align: 48, size: 56 },
    sh: { offset: 24, fsize: 32, align: 48, size: 64 },
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
      noteAreas.push({ offset: field(at.ph.offset), size: field(at.ph.filesz), align: field(at.ph.align) });
    } else if (type === PT_LOAD && field(at.ph.memsz) > 0) {
      const segment = {
        gpa: field(at.ph.paddr),
        fileOffset: field(at.ph.offset),
        fileSize: field(at.ph.filesz),
        memSize: field(at.ph.memsz),
      };
      if (segment.fileSize > segment.memSize)
        throw new BadImage(`${what} has a segment at ${hex(segment.gpa)} larger in the file than in memory.`);
      file.slice(segment.fileOffset, segment.fileSize);
      segments.push(segment);
    }
  }
  checkOverlap(segments, what);
  let notes = readNotes(file, noteAreas);
  // As Xen's loader does: sections count when no segment has a note of Xen's (a linker may have put others there alone).
  if (!notes.some(({ name }) => name === 'Xen'))
    notes = readNotes(file, [...noteAreas, ...noteSections(file, word(at.shoff), bits, word)]);
  return { bits, machine: file.u16(18), entry: word(at.entry), segments, notes };
}

/** Where an image's note sections are. */
function* noteSections(file: Window, shoff: number, bits: 32 | 64, word: (at: number) => number) {
  const at = LAYOUT[bits];
  const size = file.u16(at.phentsize + 4);
  const count = Math.min(file.u16(at.phentsize + 6), MAX_SECTIONS);
  if (shoff === 0 || size < at.sh.size) return;
  for (let i = 0; i < count; i++) {
    const header = shoff + i * size;
    if (file.u32(header + 4) !== SHT_NOTE) continue;
    yield { offset: word(header + at.sh.offset), size: word(header + at.sh.fsize), align: word(header + at.sh.align) };
  }
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
        desc: area.slice(desc, descSize),
      });
      at = desc + alignUp(descSize, unit);
    }
  }
  return notes;
}

function checkOverlap(segments: readonly Segment[], what: string): void {
  const sorted = [...segments].sort((a, b) => a.gpa - b.gpa);
  sorted.forEach((segment, i) => {
    const before = sorted[i - 1];
    if (before && before.gpa + before.memSize > segment.gpa)
      throw new BadImage(`${what} has overlapping segments at ${hex(segment.gpa)}.`);
  });
}
