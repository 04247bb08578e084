// Compressed clusters.
import { promisify } from 'node:util';
import { constants, inflateRaw, zstdDecompress } from 'node:zlib';
import { corrupt } from './header.ts';

const inflate = promisify(inflateRaw);
const unzstd = promisify(zstdDecompress);

/** A cluster's contents. What follows the compressed data in its last sector is something else's. */
export async function decompress(packed: Buffer, size: number, method: 'zlib' | 'zstd'): Promise<Buffer> {
  let bytes: Buffer;
  try {
    bytes =
      method === 'zlib'
        ? await inflate(packed, { maxOutputLength: size, finishFlush: constants.Z_SYNC_FLUSH })
        : await unzstd(packed.subarray(0, zstdFrame(packed)), { maxOutputLength: size });
  } catch (error) {
    throw corrupt(`a compressed cluster cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (bytes.length !== size) throw corrupt(`a compressed cluster has ${bytes.length} bytes`);
  return bytes;
}

const ZSTD_MAGIC = 0xfd2fb528;
const RLE = 1;

/** The length of the zstd frame at the beginning (RFC 8878, section 3.1.1): Node would go on with the next one behind it. */
export function zstdFrame(bytes: Buffer): number {
  if (bytes.length < 6 || bytes.readUInt32LE(0) !== ZSTD_MAGIC) throw Object.assign(new Error(), { code: 'no frame' });
  const descriptor = bytes[4]!;
  const single = (descriptor & 0x20) !== 0;
  const dictionary = [0, 1, 2, 4][descriptor & 3]!;
  const content = [single ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  let at = 5 + (single ? 0 : 1) + dictionary + content;
  for (let last = false; !last; ) {
    if (at + 3 > bytes.length) break;
    const header = bytes.readUIntLE(at, 3);
    last = (header & 1) !== 0;
    at += 3 + (((header >> 1) & 3) === RLE ? 1 : header >> 3);
  }
  return Math.min(bytes.length, at + ((descriptor & 4) !== 0 ? 4 : 0));
}
