/** A machine as XVA: a tar archive with ova.xml and its disks in pieces, each with a checksum. */
import { createHash } from 'node:crypto';
import type { DiskImage } from '../../../services/block/image/image.ts';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { compress, type Compression } from '../http/bytes.ts';
import type { Transfer } from '../http/transfer.ts';
import { turn } from '../turns.ts';
import { operate } from '../VM/operations.ts';
import type { Xapi } from '../xapi.ts';
import { runsOf, totalOf, union, units, type Run } from './extents.ts';
import { Names, ovaPieces, writeOva } from './ova.ts';
import { END, padded, RECORD, tarHeader, tarPadding } from './tar.ts';

export const BLOCK = 2 ** 20;
const SUM = 40;

export const blockName = (id: string, index: number): string => `${id}/${String(index).padStart(8, '0')}`;

/** The VM, its snapshots if it is none, and what they have. */
function rowsOf({ db }: Xapi, vm: Row): Row[] {
  const rows = new Set<Row>();
  const add = (name: string, ref: string): Row | undefined => {
    const row = db.find(name, ref);
    if (row) rows.add(row);
    return row;
  };
  for (const each of [vm, ...vm.refs('snapshots').flatMap((ref) => db.find('VM', ref) ?? [])]) {
    rows.add(each);
    for (const ref of each.refs('VBDs')) {
      const vdi = add('VDI', add('VBD', ref)!.text('VDI'));
      if (vdi) add('SR', vdi.text('SR'));
    }
    for (const ref of each.refs('VIFs')) add('network', add('VIF', ref)!.text('network'));
  }
  return [...rows];
}

interface Disk {
  id: string;
  image: DiskImage;
  runs: Run[];
}

/** Discs are not exported; they are what they are elsewhere as well. */
function disksIn(xapi: Xapi, rows: readonly Row[]): Row[] {
  const { db } = xapi;
  const vbds = rows.filter((row) => row.schema.name === 'VBD' && row.text('type') !== 'CD');
  return [...new Set(vbds.map((vbd) => vbd.text('VDI')))]
    .filter((ref) => ref !== NULL_REF)
    .map((ref) => db.row('VDI', ref));
}

const lengthOf = (image: DiskImage, index: number): number => Math.min(BLOCK, image.size - index * BLOCK);
const fileSize = (length: number): number => RECORD + padded(length);

/** Bytes of the archive. */
function archiveSize(ova: number, disks: readonly Disk[]): number {
  let size = fileSize(ova) + END.length;
  for (const { image, runs } of disks) {
    const last = Math.ceil(image.size / BLOCK) - 1;
    const whole = totalOf(runs) * (fileSize(BLOCK) + fileSize(SUM));
    // The last one is there in any case, and may be shorter.
    size += whole - fileSize(BLOCK) + fileSize(lengthOf(image, last));
  }
  return size;
}

function* tarFile(name: string, bytes: Buffer): Generator<Buffer> {
  yield tarHeader(name, bytes.length);
  yield bytes;
  yield tarPadding(bytes.length);
}

async function* archive(ova: Buffer, disks: readonly Disk[], onBlock: () => void): AsyncGenerator<Buffer> {
  yield* tarFile('ova.xml', ova);
  for (const { id, image, runs } of disks)
    for (const index of units(runs)) {
      const bytes = Buffer.alloc(lengthOf(image, index));
      await image.read(index * BLOCK, [bytes]);
      const name = blockName(id, index);
      yield* tarFile(name, bytes);
      yield* tarFile(`${name}.checksum`, Buffer.from(createHash('sha1').update(bytes).digest('hex')));
      onBlock();
    }
  yield END;
}

export function compressionOf(transfer: Transfer): Compression {
  const wanted = (transfer.query.get('use_compression') ?? 'false').toLowerCase();
  if (wanted === 'true' || wanted === 'gzip') return 'gzip';
  if (wanted === 'zstd') return 'zstd';
  if (wanted === 'false' || wanted === '') return 'none';
  throw new Failure('INVALID_VALUE', 'use_compression', wanted);
}

export async function exportVm(transfer: Transfer): Promise<void> {
  const { xapi, task } = transfer;
  const vm = transfer.object('VM', 'ref', 'uuid');
  const how = compressionOf(transfer);
  await operate(xapi, vm, 'export', task, () => send(transfer, vm, how));
}

/** Opens disks, and closes them whatever happens. */
export async function withDisks<T>(
  xapi: Xapi,
  vdis: readonly Row[],
  operation: string,
  act: (images: DiskImage[]) => Promise<T>,
): Promise<T> {
  const { storage } = xapi;
  for (const vdi of vdis) {
    storage.assertUnused(vdi, operation);
    storage.assertAttached(xapi.db.row('SR', vdi.text('SR')));
  }
  const images: DiskImage[] = [];
  const enter = (at: number): Promise<T> =>
    at === vdis.length ? run() : storage.busy(vdis[at], operation, () => enter(at + 1));
  const run = async (): Promise<T> => {
    try {
      await storage.opening(vdis, async () => {
        for (const vdi of vdis) images.push(await storage.open(vdi, { readonly: true }));
      });
      return await act(images);
    } finally {
      for (const image of images) await image.close();
    }
  };
  return enter(0);
}

async function send(transfer: Transfer, vm: Row, how: Compression): Promise<void> {
  const { xapi, task } = transfer;
  const rows = rowsOf(xapi, vm);
  const names = new Names();
  const ova = Buffer.from(writeOva(rows, names, xapi.version));
  const vdis = disksIn(xapi, rows);
  await withDisks(xapi, vdis, 'copy', async (images) => {
    const disks: Disk[] = [];
    for (const [i, image] of images.entries()) {
      const blocks = Math.ceil(image.size / BLOCK);
      // The first and the last tell how long it is.
      const ends = union([{ start: 0, count: 1 }], [{ start: blocks - 1, count: 1 }]);
      disks.push({ id: names.id(vdis[i]), image, runs: union(await runsOf(image, BLOCK), ends) });
    }
    const size = archiveSize(ova.length, disks);
    const blocks = disks.reduce((sum, { runs }) => sum + totalOf(runs), 0);
    let done = 0;
    const name = `${vm.text('name_label').replace(/[^\w.-]+/g, '_') || 'vm'}.xva`;
    transfer.begin('application/octet-stream', how === 'none' ? size : undefined, {
      'content-disposition': `attachment; filename="${name}"`,
    });
    const bytes = archive(ova, disks, () => task.progress(++done / blocks));
    for await (const piece of compress(bytes, how)) if (piece.length > 0) await transfer.write(piece);
  });
}

/** ova.xml alone, of one VM or of all that are somebody's. */
export async function exportMetadata(transfer: Transfer): Promise<void> {
  const { xapi } = transfer;
  const one = transfer.objectOrNone('VM', 'ref', 'uuid');
  if (!one && !transfer.flag('all')) throw new Failure('INVALID_VALUE', 'uuid', '');
  const vms = one ? [one] : [...xapi.db.table('VM').values()].filter((vm) => !vm.flag('is_control_domain') && !vm.flag('is_a_snapshot')); // prettier-ignore
  const rows = new Set<Row>();
  for (const vm of vms) {
    for (const row of rowsOf(xapi, vm)) rows.add(row);
    await turn();
  }
  await sendOva(transfer, [...rows]);
}

/** What is no longer than this is written at once. */
const SHORT = 256 * 1024;
/** So much may be more at the end than it was when the length was counted. */
const SLACK = 64 * 1024;
const SPACES = Buffer.alloc(SLACK, ' ');

/**
 * In the memory of a piece, though an archive says before a file how long it is: what is long is written twice, the first time to
 * count. What changes in between changes the length a little, so there are spaces behind it.
 */
async function sendOva(transfer: Transfer, rows: readonly Row[]): Promise<void> {
  const { version } = transfer.xapi;
  let short = '';
  let size = 0;
  for (const piece of ovaPieces(rows, new Names(), version)) {
    size += Buffer.byteLength(piece);
    if (size <= SHORT) short += piece;
    await turn();
  }
  if (size > SHORT) size += SLACK;
  transfer.begin('application/octet-stream', fileSize(size) + END.length);
  await transfer.write(tarHeader('ova.xml', size));
  await writePadded(transfer, size > SHORT ? ovaPieces(rows, new Names(), version) : [short], size);
  for (const piece of [tarPadding(size), END]) if (piece.length > 0) await transfer.write(piece);
}

async function writePadded(transfer: Transfer, pieces: Iterable<string>, size: number): Promise<void> {
  let text = '';
  const flush = async (): Promise<void> => {
    const bytes = Buffer.from(text);
    text = '';
    size -= bytes.length;
    if (size < 0) throw new Failure('INTERNAL_ERROR', 'the records have grown while they were exported');
    if (bytes.length > 0) await transfer.write(bytes);
  };
  for (const piece of pieces) {
    text += piece;
    if (text.length >= SLACK) await flush();
    await turn();
  }
  await flush();
  for (; size > 0; size -= Math.min(size, SLACK)) await transfer.write(SPACES.subarray(0, Math.min(size, SLACK)));
}
