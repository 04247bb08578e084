/**
 * A kernel as the domain builder needs it, to be kept: an ELF image of its loadable bytes and notes alone. Memory that
 * nobody writes is zero, so long runs of zeros become memory without file bytes.
 */
import { XEN_ELFNOTE_BSD_SYMTAB } from '../../../spec/abi/constants.ts';
import { PAGE, alignUp, concat, text, u16, u32, u64, u8, zeros } from './bytes.ts';
import { parseElf, type Elf, type Note } from './elf.ts';

/** A run is left out from this size on; it doubles until the headers fit into what `parseElf` accepts. */
const LEAST_RUN = 16 * PAGE;
const MAX_PIECES = 128;

interface Piece {
  readonly paddr: bigint;
  readonly bytes: Uint8Array;
  memSize: number;
}

const HEADER = { elf: 64, program: 56 };
const PT = { load: 1, note: 4 };
const RWX = 7;

export function compactElf(image: Uint8Array): Uint8Array {
  const elf = parseElf(image);
  if (needsSections(elf)) return image;
  let pieces: Piece[];
  let leastRun = LEAST_RUN;
  do {
    pieces = elf.segments.flatMap(({ paddr, fileOffset, fileSize, memSize }) =>
      split(paddr, image.subarray(fileOffset, fileOffset + fileSize), memSize, leastRun),
    );
    leastRun *= 2;
  } while (pieces.length > Math.max(MAX_PIECES, elf.segments.length));
  const notes = concat(elf.notes.map(noteBytes));
  const count = pieces.length + 1;
  let at = alignUp(HEADER.elf + count * HEADER.program, PAGE);
  const header = (type: number, paddr: bigint, bytes: Uint8Array, memSize: number): Uint8Array => {
    const made = concat([u32(type, RWX), u64(at, paddr, paddr, bytes.length, memSize, 4)]);
    at += bytes.length;
    return made;
  };
  const headers = [
    ...pieces.map(({ paddr, bytes, memSize }) => header(PT.load, paddr, bytes, memSize)),
    header(PT.note, 0n, notes, notes.length),
  ];
  const front = concat([
    u8(0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0),
    zeros(8),
    u16(2, elf.machine), // ET_EXEC
    u32(1),
    u64(elf.entry, HEADER.elf, 0),
    u32(0),
    u16(HEADER.elf, HEADER.program, count, 0, 0, 0),
    ...headers,
  ]);
  const padding = zeros(alignUp(front.length, PAGE) - front.length);
  return concat([front, padding, ...pieces.map(({ bytes }) => bytes), notes]);
}

/** What a builder would miss here: the older text instead of notes, or the symbols that a BSD kernel asks for. */
const needsSections = (elf: Elf): boolean =>
  elf.guestInfo !== undefined || elf.notes.some(({ name, type }) => name === 'Xen' && type === XEN_ELFNOTE_BSD_SYMTAB);

const NOTHING = zeros(PAGE);
const isZero = (page: Uint8Array): boolean => Buffer.compare(page, NOTHING.subarray(0, page.length)) === 0;

/** A segment as pieces that begin and end with something, cut where at least `leastRun` bytes are zero. */
function split(paddr: bigint, bytes: Uint8Array, memSize: number, leastRun: number): Piece[] {
  const pieces: Piece[] = [];
  const add = (from: number, to: number) =>
    pieces.push({ paddr: paddr + BigInt(from), bytes: bytes.subarray(from, to), memSize: 0 });
  let from = 0;
  let end = 0; // after the last page with something in it
  for (let at = 0; at < bytes.length; at += PAGE) {
    if (isZero(bytes.subarray(at, at + PAGE))) continue;
    if (at - end >= leastRun) {
      add(from, end);
      from = at;
    }
    end = Math.min(at + PAGE, bytes.length);
  }
  add(from, end);
  pieces.forEach(
    (piece, i) => (piece.memSize = Number((pieces[i + 1]?.paddr ?? paddr + BigInt(memSize)) - piece.paddr)),
  );
  return pieces.filter((piece) => piece.memSize > 0);
}

function noteBytes({ name, type, desc }: Note): Uint8Array {
  const padded = (bytes: Uint8Array): Uint8Array => concat([bytes, zeros(-bytes.length & 3)]);
  return concat([u32(name.length + 1, desc.length, type), padded(text(name, name.length + 1)), padded(desc)]);
}
