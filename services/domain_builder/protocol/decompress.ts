/** A bzImage's payload: recognised by its magic, unpacked to exactly the size it declares. */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { BadImage, Window } from './bytes.ts';
import { lz4Legacy } from './lz4.ts';
import { xz } from './xz.ts';

/** The largest kernel accepted; it bounds what a hostile payload can make us allocate. */
export const MAX_KERNEL = 256 << 20;

const isGzip = (bytes: Uint8Array): boolean => bytes[0] === 0x1f && bytes[1] === 0x8b;

/** A file as a whole in one gzip member, unpacked; undefined if it is none of exactly the size that it declares, or larger than `most`. */
export function gunzipped(file: Uint8Array, most = MAX_KERNEL): Uint8Array | undefined {
  if (!isGzip(file) || file.length < 18) return undefined;
  const size = new Window(file, 'the file').u32(file.length - 4);
  if (size > most || size === 0) return undefined;
  try {
    const out = gunzipSync(file, { maxOutputLength: size });
    return out.length === size ? out : undefined;
  } catch {
    return undefined;
  }
}

/** An initrd as a PV guest gets it: as in Xen a packed one is unpacked here, if that is neither long work nor too much for its memory. */
export const unpackedModule = (file: Uint8Array, memory: number): Uint8Array =>
  gunzipped(file, Math.min(memory / 2, MAX_KERNEL)) ?? file;

type Unpack = (packed: Uint8Array, size: number) => Uint8Array;
const FORMATS: readonly { name: string; magic: readonly number[]; unpack?: Unpack }[] = [
  { name: 'gzip', magic: [0x1f, 0x8b], unpack: (packed, size) => gunzipSync(packed, { maxOutputLength: size + 1 }) },
  { name: 'xz', magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], unpack: xz },
  { name: 'lz4', magic: [0x02, 0x21, 0x4c, 0x18], unpack: lz4Legacy },
  {
    name: 'zstd',
    magic: [0x28, 0xb5, 0x2f, 0xfd],
    unpack: (packed, size) => zstdDecompressSync(packed, { maxOutputLength: size + 1 }),
  },
  { name: 'bzip2', magic: [0x42, 0x5a, 0x68] },
  { name: 'lzma', magic: [0x5d, 0, 0] },
  { name: 'lzo', magic: [0x89, 0x4c, 0x5a, 0x4f] },
  { name: 'none', magic: [0x7f, 0x45, 0x4c, 0x46], unpack: (packed) => packed },
];

export function decompress(payload: Uint8Array): Uint8Array {
  const format = FORMATS.find(({ magic }) => magic.every((byte, i) => payload[i] === byte));
  if (!format?.unpack) {
    const seen = format ? `is compressed with ${format.name}` : 'has an unknown compression';
    throw new BadImage(
      `the payload of the bzImage ${seen}; gzip, xz, lz4 and zstd are supported, or give the uncompressed vmlinux.`,
    );
  }
  if (format.name === 'none') return payload;
  // The kernel's build appends the uncompressed size as a word; gzip's own trailer ends with the same one.
  const size = new Window(payload, "the bzImage's payload").u32(payload.length - 4);
  if (size > MAX_KERNEL)
    throw new BadImage(`the payload of the bzImage declares ${size} bytes; at most ${MAX_KERNEL} are accepted.`);
  const packed = format.name === 'gzip' ? payload : payload.subarray(0, -4);
  let out: Uint8Array;
  try {
    out = format.unpack(packed, size);
  } catch (error) {
    if (error instanceof BadImage) throw error;
    throw new BadImage(
      `the ${format.name} payload of the bzImage is corrupt (${(error as Error).message}); fetch the file again.`,
    );
  }
  if (out.length !== size)
    throw new BadImage(
      `the ${format.name} payload of the bzImage does not unpack to the ${size} bytes it declares; fetch the file again.`,
    );
  return out;
}
