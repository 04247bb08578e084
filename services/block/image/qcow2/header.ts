// The header of a qcow2 image (QEMU's docs/interop/qcow2.txt): read with a bound on everything that follows from it, and written.
import { ImageError } from '../image.ts';

export const MAGIC = 0x514649fb; // 'QFI\xfb'

/** Byte offsets of the fields. Those from `size` to `snapshotsOffset` are in a row, so that one write changes them together. */
export const FIELD = {
  version: 4,
  backingOffset: 8,
  backingLength: 16,
  clusterBits: 20,
  size: 24,
  crypt: 32,
  l1Size: 36,
  l1Offset: 40,
  refTableOffset: 48,
  refTableClusters: 56,
  snapshotCount: 60,
  snapshotsOffset: 64,
  incompatible: 72,
  compatible: 80,
  autoclear: 88,
  refcountOrder: 96,
  headerLength: 100,
  compressionType: 104,
} as const;

export const INCOMPATIBLE = { dirty: 1, corrupt: 2, externalData: 4, compression: 8, extendedL2: 16 } as const;
/** In the upper half of the autoclear features: whoever else writes to the image takes it away, and with it what a journal says. */
export const tokenOf = (header: Header): number => Number(header.autoclear >> 32n);

const V2_LENGTH = 72;
const V3_LENGTH = 104;
/** The header with its extensions is in the first cluster; this much of it is read. */
export const HEADER_BYTES = 65536;

const EXTENSION = {
  end: 0,
  backingFormat: 0xe2792aca,
  featureNames: 0x6803f857,
  encryption: 0x0537be77,
  externalData: 0x44415441,
} as const;

// QEMU's own limits: what has more is no image of anybody's.
const MAX_L1_BYTES = 32 << 20;
const MAX_REFTABLE_BYTES = 8 << 20;
const MAX_SNAPSHOTS = 65536;
const MAX_BACKING_NAME = 1023;

export interface Header {
  version: number;
  clusterBits: number;
  /** bytes, as they stand there */
  size: number;
  l1Size: number;
  l1Offset: number;
  refTableOffset: number;
  refTableClusters: number;
  snapshotCount: number;
  snapshotsOffset: number;
  incompatible: number;
  compatible: number;
  autoclear: bigint;
  refcountOrder: number;
  compression: 'zlib' | 'zstd';
  backing: string | undefined;
  backingFormat: string | undefined;
}

export const corrupt = (what: string): ImageError =>
  new ImageError('corrupt', `the qcow2 image is damaged: ${what}; \`xenolith image check\` says more.`);
const unsupported = (what: string): ImageError => new ImageError('unsupported', what);

const u64 = (bytes: Buffer, at: number, what: string): number => {
  const value = bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  if (!Number.isSafeInteger(value)) throw corrupt(`${what} is ${value}`);
  return value;
};

export const isQcow2 = (bytes: Buffer): boolean => bytes.length >= 8 && bytes.readUInt32BE(0) === MAGIC;

/** `bytes`: the beginning of the file; `fileSize`: of the whole. */
export function parseHeader(bytes: Buffer, fileSize: number): Header {
  if (!isQcow2(bytes)) throw new ImageError('unsupported', 'it is no qcow2 image; give its real format.');
  if (bytes.length < V2_LENGTH) throw corrupt('it is cut off within its header');
  const version = bytes.readUInt32BE(FIELD.version);
  if (version !== 2 && version !== 3) throw unsupported(`it is of version ${version} of qcow; 2 and 3 are supported.`);
  const clusterBits = bytes.readUInt32BE(FIELD.clusterBits);
  if (clusterBits < 9 || clusterBits > 21) throw corrupt(`its clusters are of 2^${clusterBits} bytes`);
  if (bytes.readUInt32BE(FIELD.crypt) !== 0)
    throw unsupported('it is encrypted, which is not supported; convert it with qemu-img.');
  const header: Header = {
    version,
    clusterBits,
    size: u64(bytes, FIELD.size, 'its size'),
    l1Size: bytes.readUInt32BE(FIELD.l1Size),
    l1Offset: u64(bytes, FIELD.l1Offset, "the L1 table's place"),
    refTableOffset: u64(bytes, FIELD.refTableOffset, "the refcount table's place"),
    refTableClusters: bytes.readUInt32BE(FIELD.refTableClusters),
    snapshotCount: bytes.readUInt32BE(FIELD.snapshotCount),
    snapshotsOffset: u64(bytes, FIELD.snapshotsOffset, "the snapshot table's place"),
    incompatible: 0,
    compatible: 0,
    autoclear: 0n,
    refcountOrder: 4,
    compression: 'zlib',
    backing: undefined,
    backingFormat: undefined,
  };
  const length = version === 2 ? V2_LENGTH : parseV3(bytes, header);
  parseExtensions(bytes, length, header);
  checkBounds(header, fileSize);
  return header;
}

function parseV3(bytes: Buffer, header: Header): number {
  if (bytes.length < V3_LENGTH) throw corrupt('it is cut off within its header');
  const length = bytes.readUInt32BE(FIELD.headerLength);
  if (length < V3_LENGTH || length > bytes.length || length % 8 !== 0)
    throw corrupt(`its header is said to have ${length} bytes`);
  const unknown = bytes.readUInt32BE(FIELD.incompatible) !== 0;
  header.incompatible = bytes.readUInt32BE(FIELD.incompatible + 4);
  header.compatible = bytes.readUInt32BE(FIELD.compatible + 4);
  header.autoclear = bytes.readBigUInt64BE(FIELD.autoclear);
  header.refcountOrder = bytes.readUInt32BE(FIELD.refcountOrder);
  if (header.refcountOrder > 6) throw corrupt(`its refcounts have 2^${header.refcountOrder} bits`);
  const has = (bit: number): boolean => (header.incompatible & bit) !== 0;
  if (has(INCOMPATIBLE.externalData))
    throw unsupported('its data is in an external file, which is not supported; convert it with qemu-img.');
  if (has(INCOMPATIBLE.extendedL2))
    throw unsupported('it has extended L2 entries, which are not supported; convert it with qemu-img.');
  if (unknown || header.incompatible >= 32)
    throw unsupported('it has features that are not known here; convert it with qemu-img.');
  const type = length > FIELD.compressionType ? bytes[FIELD.compressionType]! : 0;
  if (type > 1) throw unsupported(`its clusters are compressed by a method (${type}) that is not known here.`);
  if ((type !== 0) !== has(INCOMPATIBLE.compression)) throw corrupt('its compression method is set in one place only');
  header.compression = type === 1 ? 'zstd' : 'zlib';
  return length;
}

function parseExtensions(bytes: Buffer, start: number, header: Header): void {
  const nameAt = u64(bytes, FIELD.backingOffset, "the backing file's name");
  const nameLength = bytes.readUInt32BE(FIELD.backingLength);
  const end = Math.min(nameAt || bytes.length, bytes.length, 2 ** header.clusterBits);
  for (let at = start; at + 8 <= end; ) {
    const type = bytes.readUInt32BE(at);
    const length = bytes.readUInt32BE(at + 4);
    if (type === EXTENSION.end) break;
    if (length > end - at - 8) throw corrupt('an extension of its header is cut off');
    if (type === EXTENSION.backingFormat) header.backingFormat = bytes.toString('utf8', at + 8, at + 8 + length);
    if (type === EXTENSION.encryption) throw unsupported('it is encrypted, which is not supported.');
    at += 8 + Math.ceil(length / 8) * 8;
  }
  if (nameAt === 0) return;
  if (nameLength === 0 || nameLength > MAX_BACKING_NAME || nameAt < start || nameAt + nameLength > bytes.length)
    throw corrupt("its backing file's name is not within the header");
  header.backing = bytes.toString('utf8', nameAt, nameAt + nameLength);
}

function checkBounds(header: Header, fileSize: number): void {
  const cluster = 2 ** header.clusterBits;
  const fileEnd = Math.ceil(fileSize / cluster) * cluster;
  const within = (offset: number, length: number, what: string): void => {
    if (offset % cluster !== 0 || offset === 0 || offset + length > fileEnd)
      throw corrupt(`its ${what} (${length} bytes at ${offset}) lies outside of the file or off its clusters`);
  };
  if (header.l1Size * 8 > MAX_L1_BYTES) throw corrupt(`its L1 table has ${header.l1Size} entries`);
  if (header.l1Size > 0) within(header.l1Offset, header.l1Size * 8, 'L1 table');
  if (header.refTableClusters * cluster > Math.max(MAX_REFTABLE_BYTES, cluster) || header.refTableClusters === 0)
    throw corrupt(`its refcount table has ${header.refTableClusters} clusters`);
  within(header.refTableOffset, header.refTableClusters * cluster, 'refcount table');
  if (header.snapshotCount > MAX_SNAPSHOTS) throw corrupt(`it has ${header.snapshotCount} snapshots`);
  if (header.snapshotCount > 0) within(header.snapshotsOffset, header.snapshotCount * 40, 'snapshot table');
  if (Math.ceil(header.size / (cluster * (cluster / 8))) > header.l1Size)
    throw corrupt(`its L1 table of ${header.l1Size} entries is too small for ${header.size} bytes`);
}

/** A new image's header, a cluster or less. */
export function makeHeader(header: Header): Buffer {
  const cluster = 2 ** header.clusterBits;
  const length = header.version === 2 ? V2_LENGTH : V3_LENGTH + 8; // the compression type, padded
  const extension = (type: number, data: Buffer): Buffer => {
    const bytes = Buffer.alloc(8 + Math.ceil(data.length / 8) * 8);
    bytes.writeUInt32BE(type, 0);
    bytes.writeUInt32BE(data.length, 4);
    data.copy(bytes, 8);
    return bytes;
  };
  const format = header.backingFormat;
  const name = Buffer.from(header.backing ?? '');
  const parts = [
    fields(header, length),
    ...(format === undefined ? [] : [extension(EXTENSION.backingFormat, Buffer.from(format))]),
    ...(header.version === 2 ? [] : [extension(EXTENSION.featureNames, FEATURE_NAMES)]),
    Buffer.alloc(8),
    name,
  ];
  const bytes = Buffer.concat(parts);
  if (name.length > MAX_BACKING_NAME || bytes.length > cluster)
    throw new ImageError('range', `the backing file's name is too long (${name.length} bytes) for the header.`);
  if (name.length > 0) {
    bytes.writeUInt32BE(bytes.length - name.length, FIELD.backingOffset + 4);
    bytes.writeUInt32BE(name.length, FIELD.backingLength);
  }
  return bytes;
}

function fields(header: Header, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  bytes.writeUInt32BE(MAGIC, 0);
  bytes.writeUInt32BE(header.version, FIELD.version);
  bytes.writeUInt32BE(header.clusterBits, FIELD.clusterBits);
  places(header).copy(bytes, FIELD.size);
  if (header.version === 2) return bytes;
  bytes.writeUInt32BE(header.incompatible, FIELD.incompatible + 4);
  bytes.writeUInt32BE(header.compatible, FIELD.compatible + 4);
  bytes.writeUInt32BE(header.refcountOrder, FIELD.refcountOrder);
  bytes.writeUInt32BE(length, FIELD.headerLength);
  bytes[FIELD.compressionType] = header.compression === 'zstd' ? 1 : 0;
  return bytes;
}

export type Places = Pick<
  Header,
  'size' | 'l1Size' | 'l1Offset' | 'refTableOffset' | 'refTableClusters' | 'snapshotCount' | 'snapshotsOffset'
>;

/** The fields from `size` on that say where everything is: written in one piece within a sector they change all at once. */
export function places(at: Places): Buffer {
  const bytes = Buffer.alloc(FIELD.incompatible - FIELD.size);
  const put = (field: number, value: number) => bytes.writeBigUInt64BE(BigInt(value), field - FIELD.size);
  put(FIELD.size, at.size);
  bytes.writeUInt32BE(at.l1Size, FIELD.l1Size - FIELD.size);
  put(FIELD.l1Offset, at.l1Offset);
  put(FIELD.refTableOffset, at.refTableOffset);
  bytes.writeUInt32BE(at.refTableClusters, FIELD.refTableClusters - FIELD.size);
  bytes.writeUInt32BE(at.snapshotCount, FIELD.snapshotCount - FIELD.size);
  put(FIELD.snapshotsOffset, at.snapshotsOffset);
  return bytes;
}

/** For programs that meet a bit that they do not know: its kind, its number and a name of 46 bytes. */
const FEATURE_NAMES = Buffer.concat(
  (
    [
      [0, 0, 'dirty bit'],
      [0, 1, 'corrupt bit'],
      [0, 3, 'compression type'],
      [1, 0, 'lazy refcounts'],
    ] as const
  ).map(([kind, bit, name]) => {
    const row = Buffer.alloc(48);
    row.set([kind, bit]);
    row.write(name, 2, 'latin1');
    return row;
  }),
);
