/** Disks alone, out and in: raw, VHD and qcow2. */
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HostFile } from '../../../services/block/image/file.ts';
import { ImageError, type DiskImage } from '../../../services/block/image/image.ts';
import { check_image } from '../../../services/block/image/info.ts';
import { open_image } from '../../../services/block/image/open.ts';
import {
  qcow2_stream,
  QCOW2_UNIT,
  vhd_stream,
  VHD_UNIT,
  type ImageStream,
} from '../../../services/block/image/stream.ts';
import { VhdImage } from '../../../services/block/image/vhd/vhd.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Transfer } from '../http/transfer.ts';
import { HALF, type Format } from '../SR/files.ts';
import { told, writeDifferences } from '../SR/storage.ts';
import { withDisks } from '../xva/export.ts';
import { isZero, runsOf, union, type Run } from '../xva/extents.ts';

const PIECE = 2 ** 20;

function formatOf(transfer: Transfer, known: readonly string[]): Format {
  const format = (transfer.query.get('format') ?? 'raw').toLowerCase();
  if (!known.includes(format)) throw new Failure('INVALID_VALUE', 'format', format);
  return format as Format;
}

// ---- out

/** What differs between two disks of one family; all of the first if they are none. */
export async function differences(
  transfer: Transfer,
  vdi: Row,
  image: DiskImage,
  base: Row,
  unit: number,
): Promise<Run[]> {
  const { storage } = transfer.xapi;
  const family = new Set(storage.chains.down(vdi));
  const common = [...storage.chains.down(base)].find((each) => family.has(each));
  const until = common ? storage.image(common).path : '';
  if (common === vdi) return [];
  const mine = await runsOf(image, unit, until);
  if (common === base || !common) return mine;
  const other = await storage.open(base, { readonly: true });
  try {
    return union(mine, await runsOf(other, unit, until));
  } finally {
    await other.close();
  }
}

async function streamOf(transfer: Transfer, vdi: Row, image: DiskImage, format: Format): Promise<ImageStream> {
  const base = transfer.objectOrNone('VDI', 'base');
  if (format === 'raw') {
    if (base) throw new Failure('INVALID_VALUE', 'base', 'a raw disk has no base');
    return { length: image.size, bytes: () => raw(image) };
  }
  const unit = format === 'vhd' ? VHD_UNIT : QCOW2_UNIT;
  const runs = base ? await differences(transfer, vdi, image, base, unit) : await runsOf(image, unit);
  if (format === 'qcow2') return qcow2_stream(image, runs);
  const hex = (row: Row): string => row.uuid.replaceAll('-', '');
  return vhd_stream(image, runs, hex(vdi), base && { uuid: hex(base), name: `${base.uuid}.vhd` });
}

async function* raw(image: DiskImage): AsyncGenerator<Buffer> {
  for (let at = 0; at < image.size; at += PIECE) {
    const bytes = Buffer.alloc(Math.min(PIECE, image.size - at));
    await image.read(at, [bytes]);
    yield bytes;
  }
}

export async function exportDisk(transfer: Transfer): Promise<void> {
  const { xapi, task } = transfer;
  const vdi = transfer.object('VDI', 'vdi', 'ref', 'uuid');
  const format = formatOf(transfer, ['raw', 'vhd', 'qcow2']);
  await withDisks(xapi, [vdi], 'copy', ([image]) =>
    told(async () => {
      const { length, bytes } = await streamOf(transfer, vdi, image, format);
      transfer.begin('application/octet-stream', length, {
        'content-disposition': `attachment; filename="${vdi.uuid}.${format}"`,
      });
      let sent = 0;
      for await (const piece of bytes()) {
        await transfer.write(piece);
        task.progress((sent += piece.length) / length);
      }
    }),
  );
}

// ---- in

const failed = (vdi: Row, why: string): Failure => new Failure('VDI_IO_ERROR', vdi.ref, why);

/** A stretch of zeros is given back to the file system. */
async function put(image: DiskImage, at: number, bytes: Buffer): Promise<void> {
  if (isZero(bytes)) await image.write_zeroes(at, bytes.length);
  else await image.write(at, [bytes]);
}

/** All of the disk, or the beginning of it; what comes after its end is an error. */
async function importRaw(transfer: Transfer, vdi: Row, image: DiskImage): Promise<void> {
  const { task, upload } = transfer;
  if ((upload.length ?? 0) > image.size) throw failed(vdi, 'more than the disk holds is to come');
  transfer.accept();
  let at = 0;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of transfer.body()) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    if (at + rest.length > image.size) throw failed(vdi, 'more has come than the disk holds');
    if (rest.length >= PIECE || at + rest.length === image.size) {
      const whole = rest.length - (rest.length % 512);
      await put(image, at, rest.subarray(0, whole));
      at += whole;
      rest = Buffer.from(rest.subarray(whole));
      task.progress(at / image.size);
    }
    // A client that claims an endless length waits for nothing more.
    if (at === image.size && upload.endless) break;
  }
  if (upload.cut && at < image.size) throw failed(vdi, 'the connection ended before the disk did');
  if (rest.length > 0) {
    const bytes = Buffer.alloc(Math.ceil(rest.length / 512) * 512);
    // The rest of a sector is what it was.
    await image.read(at, [bytes]);
    rest.copy(bytes);
    await image.write(at, [bytes]);
  }
  await image.flush();
}

/** An image is read as a whole before anything of the disk changes: its tables may be anywhere in it. */
async function importImage(transfer: Transfer, vdi: Row, into: DiskImage, format: 'vhd' | 'qcow2'): Promise<void> {
  const { task, xapi, upload } = transfer;
  const half = `${xapi.storage.image(vdi).path}.upload${HALF}`;
  // More than a whole disk with all its tables is no image of it.
  const most = into.size * 1.02 + 64 * PIECE;
  if ((upload.length ?? 0) > most) throw failed(vdi, 'more than an image of the disk is to come');
  transfer.accept();
  try {
    let size = 0;
    const limited = async function* (): AsyncGenerator<Buffer> {
      for await (const chunk of transfer.body()) {
        size += chunk.length;
        if (size > most) throw failed(vdi, 'more has come than an image of the disk');
        if (upload.length) task.progress(size / upload.length / 2);
        yield chunk;
      }
    };
    await pipeline(Readable.from(limited(), { objectMode: false }), createWriteStream(half, { mode: 0o600 }));
    if (upload.cut && !upload.endless) throw failed(vdi, 'the connection ended before the image did');
    await apply(half, format, into, transfer);
  } finally {
    await rm(half, { force: true });
  }
}

async function apply(path: string, format: 'vhd' | 'qcow2', into: DiskImage, { task }: Transfer): Promise<void> {
  const { error_count, errors } = await check_image(path, { format });
  if (error_count > 0) throw new ImageError('corrupt', errors[0] ?? 'the image is damaged');
  const image =
    format === 'vhd' ? await alone(path) : await open_image(path, { format, backing: 'none', readonly: true });
  try {
    if (image.size > into.size)
      throw new ImageError('range', `the image is of a disk of ${image.size} bytes, which is larger`);
    if (image instanceof VhdImage && image.kind === 'differencing') await applyDifferences(image, into, task);
    else
      await writeDifferences(image, into, undefined, {
        checkCancelled: () => task.checkCancelled(),
        progress: (part) => task.progress(0.5 + part / 2),
      });
  } finally {
    await image.close();
  }
}

/** Without what is behind it: that is in the disk already. */
async function alone(path: string): Promise<DiskImage> {
  const file = new HostFile(path, { readonly: true });
  try {
    return await VhdImage.open(file, { readonly: true });
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function applyDifferences(image: DiskImage, into: DiskImage, task: Transfer['task']): Promise<void> {
  for (let at = 0; at < image.size; )
    for (const { kind, length } of await image.map(at, image.size - at)) {
      const end = at + length;
      for (; kind === 'data' && at < end; at += PIECE) {
        task.checkCancelled();
        const bytes = Buffer.alloc(Math.min(PIECE, end - at));
        await image.read(at, [bytes]);
        await put(into, at, bytes);
      }
      at = end;
      task.progress(0.5 + at / image.size / 2);
    }
  await into.flush();
}

export async function importDisk(transfer: Transfer): Promise<void> {
  const { xapi } = transfer;
  const { db, storage } = xapi;
  const vdi = transfer.object('VDI', 'vdi', 'ref', 'uuid');
  const format = formatOf(transfer, ['raw', 'vhd', 'qcow2']);
  storage.assertUnused(vdi, 'update');
  const sr = db.row('SR', vdi.text('SR'));
  storage.assertAttached(sr);
  if (vdi.flag('read_only') || !vdi.flag('managed')) throw new Failure('VDI_READONLY', vdi.ref);
  await storage.busy(vdi, 'update', async () => {
    const image = await storage.opening([vdi], () => storage.open(vdi, { readonly: false }));
    try {
      if (format === 'raw') await importRaw(transfer, vdi, image);
      else await importImage(transfer, vdi, image, format);
    } catch (error) {
      transfer.task.checkCancelled();
      if (error instanceof ImageError && error.kind !== 'no_space') throw failed(vdi, error.message);
      throw error;
    } finally {
      await image.close();
    }
  });
  storage.taken(vdi);
  storage.measure(sr);
}
