/** Bytes that clients keep beside objects: a file each, written and read over HTTP. */
import { createReadStream, createWriteStream, mkdirSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { Transfer } from '../http/transfer.ts';
import type { Handler, Handlers } from '../messages.ts';
import { timeText } from '../rpc/decode.ts';
import type { Xapi } from '../xapi.ts';

const MOST = 64 * 2 ** 20;

function pathOf({ blobs }: Xapi, { uuid }: Row): string {
  if (blobs === undefined) throw new Failure('OPERATION_NOT_ALLOWED', 'this host keeps no blobs');
  mkdirSync(blobs, { recursive: true, mode: 0o700 });
  return join(blobs, uuid);
}

const make = ({ db }: Xapi, name_label: string, mime_type: string, open: boolean): Row =>
  db.create('blob', { name_label, mime_type: mime_type || 'application/octet-stream', public: open, size: 0, last_updated: timeText(0) }); // prettier-ignore

const beside =
  (parameter: string): Handler =>
  (args, { xapi }) => {
    const row = args.row(parameter);
    const blobs = row.map('blobs');
    const name = args.text('name');
    if (Object.hasOwn(blobs, name)) throw new Failure('BLOB_ALREADY_EXISTS', row.ref, blobs[name]);
    return xapi.db.change(() => {
      const made = make(xapi, name, args.text('mime_type'), args.flag('public'));
      xapi.db.set(row, { blobs: { ...blobs, [name]: made.ref } });
      return made.ref;
    });
  };

const OWNERS = ['VM', 'host', 'pool', 'network', 'SR'];

export const blob: Handlers = {
  'VM.create_new_blob': beside('vm'),
  'host.create_new_blob': beside('host'),
  'pool.create_new_blob': beside('pool'),
  'network.create_new_blob': beside('network'),
  'SR.create_new_blob': beside('sr'),
  'blob.create': (args, { xapi }) => make(xapi, '', args.text('mime_type'), args.flag('public')).ref,
  'blob.destroy': async (args, { xapi }) => {
    const row = args.row('self');
    await rm(pathOf(xapi, row), { force: true });
    xapi.db.change(() => {
      for (const name of OWNERS)
        for (const owner of xapi.db.table(name).values()) {
          const kept = Object.entries(owner.map('blobs')).filter(([, ref]) => ref !== row.ref);
          if (kept.length < Object.keys(owner.map('blobs')).length) xapi.db.set(owner, { blobs: Object.fromEntries(kept) }); // prettier-ignore
        }
      xapi.db.destroy(row);
    });
  },
};

export async function getBlob(transfer: Transfer): Promise<void> {
  const row = transfer.object('blob', 'ref', 'uuid');
  const path = pathOf(transfer.xapi, row);
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  transfer.begin(row.text('mime_type').replace(/[^\w/+.;= -]/g, ''), size, {
    ...{ 'x-content-type-options': 'nosniff', 'content-disposition': 'attachment' },
  });
  if (size > 0) for await (const bytes of createReadStream(path)) await transfer.write(bytes as Buffer);
}

export async function putBlob(transfer: Transfer): Promise<void> {
  const { xapi, upload } = transfer;
  const row = transfer.object('blob', 'ref', 'uuid');
  const path = pathOf(xapi, row);
  if ((upload.length ?? 0) > MOST) throw new Failure('INVALID_VALUE', 'content-length', String(upload.length));
  transfer.accept();
  let size = 0;
  const limited = async function* (): AsyncGenerator<Buffer> {
    for await (const bytes of transfer.body()) {
      if ((size += bytes.length) > MOST) throw new Failure('INVALID_VALUE', 'content-length', String(size));
      yield bytes;
    }
    if (upload.cut && !upload.endless) throw new Failure('CLIENT_ERROR', 'the connection ended before the blob did');
  };
  try {
    await pipeline(Readable.from(limited(), { objectMode: false }), createWriteStream(`${path}.new`, { mode: 0o600 }));
    await rename(`${path}.new`, path);
  } finally {
    await rm(`${path}.new`, { force: true });
  }
  xapi.db.set(row, { size, last_updated: timeText(Date.now()) });
}
