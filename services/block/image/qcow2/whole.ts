// Whether the file is all there. An image that was closed has every cluster within it; one that was not may have entries whose clusters a power cut has
// kept from the file, where nothing was flushed, and read as zeros.
import type { BlockFile } from '../file.ts';
import { ImageError } from '../image.ts';
import { compressedAt, kindAt, offsetAt } from './entries.ts';
import { INCOMPATIBLE, type Header } from './header.ts';
import { readL1 } from './tables.ts';

/** Tables that are looked through: of clusters of 64 KiB, 128 GiB. In a larger image the first ones are. */
const MOST_TABLES = 256;

/** Throws if the file ends before clusters that the tables name. As the image was found: before it is put in order. */
export async function checkWhole(file: BlockFile, header: Header): Promise<void> {
  if (header.version === 2 || header.incompatible & INCOMPATIBLE.dirty) return;
  const { clusterBits } = header;
  const l1 = await readL1(file, header.l1Offset, header.l1Size, 2 ** clusterBits);
  const within = (offset: number): void => {
    if (offset < file.size) return;
    const why = `its file ends at ${file.size}, and something of it lies at ${offset}`;
    throw new ImageError('corrupt', `the qcow2 image is cut off: ${why}; get a whole copy of it.`);
  };
  const table = Buffer.alloc(2 ** clusterBits);
  for (const at of l1.offsets.filter((offset) => offset !== 0).slice(0, MOST_TABLES)) {
    within(at);
    await file.read(at, [table]);
    for (let k = 0; k < table.length / 8; k++) {
      const kind = kindAt(table, k);
      if (kind === 'data') within(offsetAt(table, k));
      else if (kind === 'compressed') within(compressedAt(table, k, clusterBits).offset);
    }
  }
}
