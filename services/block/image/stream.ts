// Whole images as streams, in order from the first byte to the last, whose length is known before: nothing is written that would have to be
// changed later. What is taken of the disk is said by runs of clusters or blocks.
import type { DiskImage } from './image.ts';
import { BLOCK, DYNAMIC_HEADER, FOOTER, makeDynamic, makeFooter, MAX_SIZE, TYPE } from './vhd/format.ts';
import { ImageError, SECTOR } from './image.ts';
import { makeHeader, type Header } from './qcow2/header.ts';
import { putRefcount } from './qcow2/entries.ts';

export interface Run {
  start: number;
  count: number;
}

export interface ImageStream {
  length: number;
  bytes(): AsyncGenerator<Buffer>;
}

const totalOf = (runs: readonly Run[]): number => runs.reduce((sum, { count }) => sum + count, 0);

async function* pieces(image: DiskImage, runs: readonly Run[], unit: number, before?: Buffer): AsyncGenerator<Buffer> {
  for (const { start, count } of runs)
    for (let i = start; i < start + count; i++) {
      const bytes = Buffer.alloc(unit);
      const there = Math.min(unit, image.size - i * unit);
      await image.read(i * unit, [bytes.subarray(0, there)]);
      if (before) yield before;
      yield bytes;
    }
}

export const VHD_UNIT = BLOCK;

/** A VHD; with a parent it has what differs from it. UUIDs are 32 hexadecimal digits. */
export function vhd_stream(
  image: DiskImage,
  runs: readonly Run[],
  uuid: string,
  parent?: { uuid: string; name: string },
): ImageStream {
  if (image.size > MAX_SIZE) throw new ImageError('range', `a VHD image has at most ${MAX_SIZE} bytes.`);
  const footer = makeFooter(parent ? TYPE.differencing : TYPE.dynamic, image.size, uuid);
  const entries = Math.ceil(image.size / BLOCK);
  const table = Buffer.alloc(Math.ceil((entries * 4) / SECTOR) * SECTOR, 0xff);
  const tableOffset = FOOTER + DYNAMIC_HEADER;
  const bitmap = Buffer.alloc(BLOCK / SECTOR / 8, 0xff);
  let next = tableOffset + table.length;
  for (const { start, count } of runs)
    for (let i = start; i < start + count; i++) {
      table.writeUInt32BE(next / SECTOR, i * 4);
      next += bitmap.length + BLOCK;
    }
  const header = makeDynamic({
    ...{ tableOffset, entries, block_size: BLOCK },
    parent: parent && { ...parent, timestamp: 0, locators: [] },
  });
  return {
    length: next + FOOTER,
    async *bytes() {
      yield Buffer.concat([footer, header, table]);
      yield* pieces(image, runs, BLOCK, bitmap);
      yield footer;
    },
  };
}

const BITS = 16;
export const QCOW2_UNIT = 2 ** BITS;
const PER_TABLE = QCOW2_UNIT / 8;
const PER_BLOCK = QCOW2_UNIT / 2;
/** This cluster is used once (QEMU's docs/interop/qcow2.txt). */
const COPIED = 2n ** 63n;
const up = (value: number, unit: number): number => Math.ceil(value / unit);

export function qcow2_stream(image: DiskImage, runs: readonly Run[]): ImageStream {
  const data = totalOf(runs);
  const l1Size = Math.max(1, up(image.size, QCOW2_UNIT * PER_TABLE));
  const l1Clusters = up(l1Size * 8, QCOW2_UNIT);
  const tables = new Set<number>();
  for (const { start, count } of runs)
    for (let table = Math.floor(start / PER_TABLE); table <= Math.floor((start + count - 1) / PER_TABLE); table++) tables.add(table); // prettier-ignore
  let [blocks, refTable] = [1, 1];
  const clusters = (): number => 1 + refTable + blocks + l1Clusters + tables.size + data;
  while (blocks * PER_BLOCK < clusters() || refTable * PER_TABLE < blocks) {
    blocks = up(clusters(), PER_BLOCK);
    refTable = up(blocks, PER_TABLE);
  }
  const total = clusters();
  const l1At = 1 + refTable + blocks;
  const tablesAt = l1At + l1Clusters;
  const dataAt = tablesAt + tables.size;
  const header: Header = {
    ...{ version: 3, clusterBits: BITS, size: image.size, l1Size, l1Offset: l1At * QCOW2_UNIT },
    ...{ refTableOffset: QCOW2_UNIT, refTableClusters: refTable, snapshotCount: 0, snapshotsOffset: 0 },
    ...{ incompatible: 0, compatible: 0, autoclear: 0n, refcountOrder: 4, compression: 'zlib' },
    ...{ backing: undefined, backingFormat: undefined },
  };
  const cluster = (): Buffer => Buffer.alloc(QCOW2_UNIT);
  const offset = (index: number): bigint => BigInt(index) * BigInt(QCOW2_UNIT);
  return {
    length: total * QCOW2_UNIT,
    async *bytes() {
      const first = cluster();
      makeHeader(header).copy(first);
      yield first;
      const references = Buffer.alloc(refTable * QCOW2_UNIT);
      for (let i = 0; i < blocks; i++) references.writeBigUInt64BE(offset(1 + refTable + i), i * 8);
      yield references;
      for (let i = 0; i < blocks; i++) {
        const block = cluster();
        for (let at = 0; at < PER_BLOCK && i * PER_BLOCK + at < total; at++) putRefcount(block, at, 4, 1);
        yield block;
      }
      const l1 = Buffer.alloc(l1Clusters * QCOW2_UNIT);
      [...tables].forEach((table, i) => l1.writeBigUInt64BE(offset(tablesAt + i) | COPIED, table * 8));
      yield l1;
      yield* level2(runs, tables, (i) => offset(dataAt + i) | COPIED);
      yield* pieces(image, runs, QCOW2_UNIT);
    },
  };
}

/** The tables of a disk whose clusters lie in the file in the disk's order. */
function* level2(
  runs: readonly Run[],
  tables: ReadonlySet<number>,
  entry: (index: number) => bigint,
): Generator<Buffer> {
  let index = 0;
  let run = 0;
  let at = runs[0]?.start ?? 0;
  for (const table of tables) {
    const bytes = Buffer.alloc(QCOW2_UNIT);
    while (run < runs.length && at < (table + 1) * PER_TABLE) {
      bytes.writeBigUInt64BE(entry(index++), (at - table * PER_TABLE) * 8);
      if (++at === runs[run]!.start + runs[run]!.count) at = runs[++run]?.start ?? 0;
    }
    yield bytes;
  }
}
