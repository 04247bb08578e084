// A new qcow2 image.
import type { BlockFile } from '../file.ts';
import { ImageError } from '../image.ts';
import { putRefcount } from './entries.ts';
import { makeHeader, type Header } from './header.ts';

export interface Qcow2Creation {
  size: number;
  cluster_size?: number;
  /** `compat=0.10` of qemu-img is version 2 */
  version?: 2 | 3;
  backing?: { path: string; format: string } | undefined;
  lazy_refcounts?: boolean;
  refcount_bits?: number;
}

const MAX_L1_ENTRIES = (32 << 20) / 8;

/** Writes an empty image to an empty file. */
export async function createQcow2(file: BlockFile, options: Qcow2Creation): Promise<void> {
  const { size, cluster_size: cluster = 65536, version = 3, refcount_bits: bits = 16 } = options;
  const bad = (why: string): ImageError => new ImageError('range', why);
  if (Math.log2(cluster) % 1 !== 0 || cluster < 512 || cluster > 2 << 20)
    throw bad(`a cluster has 512 bytes to 2 MiB and is a power of two, not ${cluster}.`);
  if (Math.log2(bits) % 1 !== 0 || bits < 1 || bits > 64 || (version === 2 && bits !== 16))
    throw bad(`refcounts have 1, 2, 4 … 64 bits (version 2: 16), not ${bits}.`);
  const l1Size = Math.ceil(size / (cluster * (cluster / 8)));
  if (l1Size > MAX_L1_ENTRIES) throw bad(`${size} bytes are too many for clusters of ${cluster} bytes.`);
  const l1Clusters = Math.ceil((l1Size * 8) / cluster);
  const entries = (cluster * 8) / bits;
  // The table has room for the refcounts of the whole disk; the blocks come when they are needed.
  const table = Math.min(
    Math.max(1, Math.ceil(((Math.ceil((size / cluster) * 1.1) / entries + 2) * 8) / cluster)),
    Math.max(1, (8 << 20) / cluster),
  );
  let blocks = 1;
  while (1 + table + blocks + l1Clusters > blocks * entries) blocks++;
  const used = 1 + table + blocks + l1Clusters;
  const header: Header = {
    ...{ version, clusterBits: Math.log2(cluster), size, l1Size, l1Offset: (1 + table + blocks) * cluster },
    ...{ refTableOffset: cluster, refTableClusters: table, snapshotCount: 0, snapshotsOffset: 0 },
    ...{ incompatible: 0, compatible: options.lazy_refcounts && version > 2 ? 1 : 0, autoclear: 0n },
    ...{ refcountOrder: Math.log2(bits), compression: 'zlib', backing: undefined, backingFormat: undefined },
  };
  if (options.backing) {
    header.backing = options.backing.path;
    header.backingFormat = options.backing.format;
  }
  const tableBytes = Buffer.alloc(blocks * 8);
  const blockBytes: Buffer[] = [];
  for (let b = 0; b < blocks; b++) {
    tableBytes.writeBigUInt64BE(BigInt((1 + table + b) * cluster), b * 8);
    const block = Buffer.alloc(cluster);
    for (let i = 0; i < entries && b * entries + i < used; i++) putRefcount(block, i, header.refcountOrder, 1);
    blockBytes.push(block);
  }
  const first = makeHeader(header);
  await file.truncate(used * cluster); // the L1 table and the rest of the refcount table are zeros
  await file.write(cluster, [tableBytes]);
  await file.write((1 + table) * cluster, blockBytes);
  await file.sync();
  // The header last: before it the file is no image.
  await file.write(0, [first]);
  await file.sync();
}
