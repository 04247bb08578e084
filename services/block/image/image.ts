// What a disk image is to those who use it: blkif's back end, NBD, `xenolith image`. The formats are behind it.

/** Requests begin and end at multiples of it, as Xen's block protocol has them (io/blkif.h). */
export const SECTOR = 512;

export const FORMATS = ['raw', 'qcow2', 'vhd'] as const;
export type Format = (typeof FORMATS)[number];

/**
 * What went wrong, for those who have to decide: `no_space` may be tried again when there is room, a guest can be paused for it;
 * `io`: the system failed; `range`: the request, or one on an image opened read-only; `closed`: the image is no longer open.
 * The others turn up when an image is opened or changed as a whole; `corrupt` also when a table is read later.
 */
export type ImageErrorKind =
  | 'no_space'
  | 'io'
  | 'range'
  | 'closed'
  | 'corrupt'
  | 'unsupported'
  | 'locked'
  | 'missing'
  | 'permission'
  | 'exists';

/** Its message is a sentence for a person, without the image's name where `path` has it. */
export class ImageError extends Error {
  readonly kind: ImageErrorKind;
  /** the image's path, as far as it is known */
  path: string | undefined;

  constructor(kind: ImageErrorKind, message: string, options?: ErrorOptions & { path?: string }) {
    super(message, options);
    this.kind = kind;
    this.path = options?.path;
  }
}

/** Where a stretch of the disk has its contents. */
export interface Extent {
  offset: number;
  length: number;
  /** `data`: in this image; `zero`: reads as zeros; `backing`: this image has nothing, the one behind it is read */
  kind: 'data' | 'zero' | 'backing';
}

export interface Snapshot {
  id: string;
  name: string;
  /** of the disk when it was taken, in bytes */
  size: number;
  /** milliseconds since 1970 */
  date: number;
  /** bytes of a machine's state kept with it by another program */
  state_size: number;
}

/**
 * A disk. Requests may overlap in time; those that were answered are seen by every later one. An answered write is the operating
 * system's, so the end of this process does not lose it; what a flush has answered for also survives the machine's.
 */
export interface DiskImage {
  readonly format: Format;
  readonly path: string;
  readonly readonly: boolean;
  /** bytes, a multiple of the sector */
  readonly size: number;
  readonly sector_size: number;
  /** what `discard` and `write_zeroes` work on best, in bytes */
  readonly cluster_size: number;
  readonly backing: DiskImage | undefined;

  /** Fills the buffers, one after the other. */
  read(offset: number, buffers: readonly Uint8Array[]): Promise<void>;
  /** `fua`: answered when it is as safe as after a flush. The buffers are the image's until then. */
  write(offset: number, buffers: readonly Uint8Array[], options?: { fua?: boolean }): Promise<void>;
  /** Answers when every write that was answered before is on the disk. */
  flush(): Promise<void>;
  /** A hint: each sector keeps its contents or reads as zeros afterwards. */
  discard(offset: number, length: number): Promise<void>;
  /** `unmap`: space may be given back (the default), else it stays allocated where it is. */
  write_zeroes(offset: number, length: number, options?: { unmap?: boolean }): Promise<void>;
  resize(size: number): Promise<void>;
  /** What is where, from `offset` on: at least one extent, not necessarily all of them; neighbours may have the same kind. */
  map(offset: number, length: number): Promise<Extent[]>;
  /** Flushes, puts the image in order and gives up its lock; the requests that are under way are waited for. */
  close(): Promise<void>;
}

/** Internal snapshots: qcow2 has them. */
export interface Snapshots {
  readonly snapshots: readonly Snapshot[];
  create_snapshot(name: string): Promise<Snapshot>;
  /** The disk's contents and size become the snapshot's. */
  revert_snapshot(id_or_name: string): Promise<void>;
  delete_snapshot(id_or_name: string): Promise<void>;
  /** Of an image that is open for reading only: it reads as the snapshot from now on. */
  look_at_snapshot(id_or_name: string): Promise<void>;
}

export const has_snapshots = (image: DiskImage): image is DiskImage & Snapshots => 'create_snapshot' in image;

export const total = (buffers: readonly Uint8Array[]): number => {
  let sum = 0;
  for (const buffer of buffers) sum += buffer.byteLength;
  return sum;
};

/** Throws unless the request lies within the disk, on sectors. */
export function check_request(image: DiskImage, offset: number, length: number, writes: boolean): void {
  const bad = (why: string): ImageError =>
    new ImageError('range', `a request for ${length} bytes at ${offset} ${why}`, { path: image.path });
  if (writes && image.readonly) throw bad('would write to an image that is open for reading only.');
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0) throw bad('is none.');
  if (offset % SECTOR !== 0 || length % SECTOR !== 0) throw bad(`does not lie on sectors of ${SECTOR} bytes.`);
  if (offset + length > image.size) throw bad(`goes beyond the disk of ${image.size} bytes.`);
}

/** The part of a list of buffers from byte `from` on, `length` long; no bytes are copied. */
export function slice(buffers: readonly Uint8Array[], from: number, length: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const buffer of buffers) {
    const start = Math.max(from - at, 0);
    const end = Math.min(from + length - at, buffer.byteLength);
    if (start < end) parts.push(start === 0 && end === buffer.byteLength ? buffer : buffer.subarray(start, end));
    at += buffer.byteLength;
    if (at >= from + length) break;
  }
  return parts;
}

export function fill_zero(buffers: readonly Uint8Array[]): void {
  for (const buffer of buffers) buffer.fill(0);
}
