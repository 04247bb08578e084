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
        : await unzstd(packed, { maxOutputLength: size, finishFlush: constants.ZSTD_e_flush });
  } catch (error) {
    throw corrupt(`a compressed cluster cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (bytes.length !== size) throw corrupt(`a compressed cluster has ${bytes.length} bytes`);
  return bytes;
}
