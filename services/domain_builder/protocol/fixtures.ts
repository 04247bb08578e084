/** Generated kernels for the tests: ELF images with a PVH note, bzImages around them, and a sample for the decoders. */
import { concat, text, u16, u32, u64, u8, zeros } from './bytes.ts';

export interface ElfOptions {
  bits?: 32 | 64;
  machine?: number;
  gpa?: number;
  memSize?: number;
  code?: Uint8Array;
  /** [name, type, desc]; by default the PVH entry at `gpa` */
  notes?: [string, number, Uint8Array][];
  /** put the notes into a section instead of a segment */
  noteSection?: boolean;
  /** beside that section a note segment without any of Xen's */
  otherSegment?: boolean;
}

export const pvhNote = (entry: number): [string, number, Uint8Array] => ['Xen', 18, u32(entry)];

const padded = (bytes: Uint8Array): Uint8Array => concat([bytes, zeros(-bytes.length & 3)]);
const note = ([name, type, desc]: [string, number, Uint8Array]): Uint8Array =>
  concat([u32(name.length + 1, desc.length, type), padded(text(name, name.length + 1)), padded(desc)]);

export function makeElf(options: ElfOptions = {}): Uint8Array {
  const {
    bits = 64,
    machine = 62,
    gpa = 0x100000,
    code = u8(0xf4),
    noteSection = false,
    otherSegment = false,
  } = options;
  const memSize = options.memSize ?? code.length;
  const notes = concat((options.notes ?? [pvhNote(gpa)]).map(note));
  const word = bits === 32 ? u32 : u64;
  const sizes = bits === 32 ? { eh: 52, ph: 32, sh: 40 } : { eh: 64, ph: 56, sh: 64 };
  const phnum = noteSection && !otherSegment ? 1 : 2;
  const codeAt = sizes.eh + 2 * sizes.ph + sizes.sh;
  const noteAt = codeAt + padded(code).length;
  const header = concat([
    u8(0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1, 0),
    zeros(8),
    u16(2, machine),
    u32(1),
    word(gpa, sizes.eh, noteSection ? sizes.eh + 2 * sizes.ph : 0),
    u32(0),
    u16(sizes.eh, sizes.ph, phnum, sizes.sh, noteSection ? 1 : 0, 0),
  ]);
  const segment = (type: number, at: number, address: number, file: number, mem: number): Uint8Array =>
    bits === 32
      ? u32(type, at, address, address, file, mem, 7, 4)
      : concat([u32(type, 7), u64(at, address, address, file, mem, 4)]);
  const section = concat([u32(0, 7), word(0, 0, noteAt, notes.length), u32(0, 0), word(4, 0)]);
  return concat([
    header,
    segment(1, codeAt, gpa, code.length, memSize),
    segment(4, noteAt, 0, otherSegment ? 0 : notes.length, otherSegment ? 0 : notes.length),
    section,
    padded(code),
    notes,
  ]);
}

/** A bzImage with one setup sector; `payload` is compressed already, without the kernel's appended size. */
export function makeBzImage(
  payload: Uint8Array,
  { size, version = 0x20f }: { size?: number; version?: number } = {},
): Uint8Array {
  const setup = zeros(1024);
  const packed = size === undefined ? payload : concat([payload, u32(size)]);
  setup[0x1f1] = 1;
  setup.set(u16(0xaa55), 0x1fe);
  setup.set(text('HdrS'), 0x202);
  setup.set(u16(version), 0x206);
  setup.set(u32(16, packed.length), 0x248);
  return concat([setup, zeros(16), packed]);
}

/** Numbers of a small generator (xorshift32), the same in every run. */
export function random(seed: number): (below: number) => number {
  let x = seed | 1;
  return (below) => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
}

/**
 * Bytes with near and far repetitions, runs, literals and x86 calls: every kind of LZMA and LZ4 sequence occurs.
 * fixtures/sample.*: this, packed by `xz --check=crc32 --x86 --lzma2=lc=1,lp=2,pb=1,dict=1MiB`, `xz --check=crc64`,
 * `xz --check=sha256 --block-size=65536` and `lz4 -l -9`.
 */
export function sample(): Uint8Array {
  const next = random(20);
  const out = new Uint8Array(200_000);
  let to = 0;
  const put = (byte: number): void => {
    if (to < out.length) out[to++] = byte;
  };
  while (to < out.length) {
    const kind = next(100);
    if (kind < 12 || to < 64) for (let i = next(20); i >= 0; i--) put(next(256));
    else if (kind < 16) for (let i = next(500), byte = next(256); i >= 0; i--) put(byte);
    else if (kind < 45) {
      put(0xe8 + next(2));
      put(next(256));
      put(next(4));
      put(next(8) === 0 ? 0xff : 0);
      put([0, 0xff, 0xe8, 3][next(4)]!);
    } else {
      const from = next(3) === 0 ? next(to) : to - 1 - next(Math.min(to, 300));
      for (let i = 0, length = next(600); i < length; i++)
        put(next(200) === 0 ? next(256) : out[from + (i % (to - from))]!);
    }
  }
  return out;
}
