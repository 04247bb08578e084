/**
 * Storage repositories that are folders of this host: `file`, with a disk image a VDI, and `iso`, with discs that are only read.
 * All of them lie below one folder: who may make an SR may not thereby reach other files.
 */
import { constants, mkdirSync, statfsSync, statSync } from 'node:fs';
import { copyFile, readdir, rename, rm, unlink } from 'node:fs/promises';
import { isAbsolute, join, normalize, relative } from 'node:path';
import { ImageError } from '../../../services/block/image/image.ts';
import { image_info } from '../../../services/block/image/info.ts';
import { create_image, open_image } from '../../../services/block/image/open.ts';
import type { Value } from '../../../spec/xenapi/types.ts';
import type { Database } from '../database/database.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import type { DiskDescription } from '../xenops/xenops.ts';

export type Format = DiskDescription['format'];
const EXTENSIONS: Record<Format, string> = { qcow2: 'qcow2', vhd: 'vhd', raw: 'raw' };
const SECTOR = 512;
const MAX_SIZE = 2 ** 46;

/** The driver's words for what went wrong below. */
const backend = (code: string, text: string): Failure => new Failure(`SR_BACKEND_FAILURE_${code}`, '', text);

async function told<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof Failure) throw error;
    if (error instanceof ImageError && error.kind === 'no_space') throw backend('44', 'there is not enough space');
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC') throw backend('44', 'there is not enough space');
    if (error instanceof ImageError || code !== undefined) throw backend('40', message);
    throw error;
  }
}

export class Storage {
  readonly #db: Database;
  readonly #root: string | undefined;

  /** Without a root the host has no storage. */
  constructor(db: Database, root: string | undefined) {
    this.#db = db;
    this.#root = root;
  }

  get there(): boolean {
    return this.#root !== undefined;
  }

  // ---- repositories

  /** The folder of an SR, which `device_config` names or which is its own. */
  folder(sr: Row): string {
    for (const ref of sr.refs('PBDs')) {
      const location = this.#db.row('PBD', ref).map('device_config').location;
      if (location) return this.locate(location);
    }
    return this.locate(sr.uuid);
  }

  locate(location: string): string {
    if (this.#root === undefined) throw backend('90', 'this host has no storage');
    const path = normalize(isAbsolute(location) ? location : join(this.#root, location));
    const inside = relative(this.#root, path);
    if (inside === '' || inside.startsWith('..') || isAbsolute(inside) || location.includes('\0'))
      throw backend('90', `storage of this host lies below ${this.#root}`);
    return path;
  }

  assertAttached(sr: Row): void {
    const pbds = sr.refs('PBDs').map((ref) => this.#db.row('PBD', ref));
    if (pbds.length === 0) throw new Failure('SR_HAS_NO_PBDS', sr.ref);
    if (!pbds.some((pbd) => pbd.flag('currently_attached'))) throw new Failure('SR_NOT_ATTACHED', sr.ref);
  }

  make(path: string): void {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw backend('40', (error as Error).message);
    }
  }

  /** The folder has to be there: an SR that has lost its disk is not an empty one. */
  assertThere(sr: Row): void {
    const path = this.folder(sr);
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw backend('90', `there is no folder ${path}`);
  }

  async remove(sr: Row): Promise<void> {
    await told(() => rm(this.folder(sr), { recursive: true, force: true }));
  }

  /** How full it is. */
  measure(sr: Row): void {
    const vdis = sr.refs('VDIs').map((ref) => this.#db.row('VDI', ref));
    const sum = (field: string) => vdis.reduce((total, vdi) => total + vdi.number(field), 0);
    const values: Record<string, Value> = {
      virtual_allocation: sum('virtual_size'),
      physical_utilisation: sum('physical_utilisation'),
    };
    try {
      const { blocks, bsize } = statfsSync(this.folder(sr));
      values.physical_size = blocks * bsize;
    } catch {
      // It is not there; `scan` tells.
    }
    this.#db.set(sr, values);
  }

  // ---- disks

  image(vdi: Row): { path: string; format: Format } {
    const sr = this.#db.row('SR', vdi.text('SR'));
    const format = (vdi.map('sm_config')['image-format'] ?? 'raw') as Format;
    return { path: this.locate(join(this.folder(sr), vdi.text('location'))), format };
  }

  assertUnused(vdi: Row, operation: string): void {
    const used = vdi.refs('VBDs').some((ref) => this.#db.row('VBD', ref).flag('currently_attached'));
    if (used) throw new Failure('VDI_IN_USE', vdi.ref, operation);
    this.assertIdle(vdi);
  }

  /** Nothing is being done with its image. */
  assertIdle(vdi: Row): void {
    if (Object.keys(vdi.map('current_operations')).length > 0)
      throw new Failure('OTHER_OPERATION_IN_PROGRESS', 'VDI', vdi.ref);
  }

  #writable(sr: Row): void {
    this.assertAttached(sr);
    if (sr.text('type') === 'iso') throw new Failure('SR_OPERATION_NOT_SUPPORTED', sr.ref);
  }

  /** Bytes that the image takes. */
  #taken(path: string): number {
    return (statSync(path, { throwIfNoEntry: false })?.blocks ?? 0) * SECTOR;
  }

  /** What is being done with a disk is told, and keeps others from it. */
  async #busy<T>(vdi: Row, operation: string, act: () => Promise<T>): Promise<T> {
    this.#db.set(vdi, { current_operations: { here: operation } });
    try {
      return await told(act);
    } finally {
      if (!vdi.gone) this.#db.set(vdi, { current_operations: {} });
    }
  }

  async create(sr: Row, values: Record<string, Value>): Promise<Row> {
    this.#writable(sr);
    const wanted = values.virtual_size as number;
    const size = Math.ceil(wanted / SECTOR) * SECTOR;
    if (wanted <= 0 || size > MAX_SIZE) throw backend('79', `a disk has 1 to ${MAX_SIZE} bytes`);
    const sm_config = values.sm_config as Record<string, string>;
    const format = (sm_config['image-format'] ?? 'qcow2') as Format;
    if (!(format in EXTENSIONS))
      throw new Failure('VALUE_NOT_SUPPORTED', 'image-format', format, 'qcow2, vhd and raw are');
    const row = this.#record(sr, {
      ...values,
      sm_config: { ...sm_config, 'image-format': format },
      virtual_size: size,
    });
    try {
      await this.#busy(row, 'update', () => create_image(this.image(row).path, { format, size }));
    } catch (error) {
      this.#db.destroy(row);
      throw error;
    }
    return this.#done(row);
  }

  #record(sr: Row, values: Record<string, Value>): Row {
    return this.#db.change(() => {
      const row = this.#db.create('VDI', { ...values, SR: sr.ref, managed: true, missing: false, storage_lock: false });
      const format = row.map('sm_config')['image-format'] as Format;
      const allowed = ['snapshot', 'clone', 'copy', 'destroy', 'resize', 'update', 'forget'];
      this.#db.set(row, { location: `${row.uuid}.${EXTENSIONS[format]}`, allowed_operations: allowed });
      return row;
    });
  }

  #done(row: Row): Row {
    this.#db.set(row, { physical_utilisation: this.#taken(this.image(row).path) });
    this.measure(this.#db.row('SR', row.text('SR')));
    return row;
  }

  async destroy(vdi: Row): Promise<void> {
    this.assertUnused(vdi, 'destroy');
    const sr = this.#db.row('SR', vdi.text('SR'));
    this.#writable(sr);
    const { path } = this.image(vdi);
    await this.#busy(vdi, 'destroy', () =>
      unlink(path).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error;
      }),
    );
    this.forget(vdi);
    this.measure(sr);
  }

  forget(vdi: Row): void {
    this.#db.change(() => {
      for (const ref of vdi.refs('VBDs')) this.#db.destroy(this.#db.row('VBD', ref));
      this.#db.destroy(vdi);
    });
  }

  async resize(vdi: Row, size: number): Promise<void> {
    this.assertUnused(vdi, 'resize');
    this.#writable(this.#db.row('SR', vdi.text('SR')));
    if (size < vdi.number('virtual_size'))
      throw new Failure('VDI_TOO_SMALL', vdi.ref, String(vdi.number('virtual_size')));
    if (size > MAX_SIZE) throw backend('79', `a disk has 1 to ${MAX_SIZE} bytes`);
    const whole = Math.ceil(size / SECTOR) * SECTOR;
    const { path, format } = this.image(vdi);
    await this.#busy(vdi, 'resize', async () => {
      const image = await open_image(path, { format, backing: 'none' });
      try {
        await image.resize(whole);
      } finally {
        await image.close();
      }
    });
    this.#db.set(vdi, { virtual_size: whole });
    this.#done(vdi);
  }

  /** A disk with the same contents, in that SR. Where the file system can share blocks, it does. */
  async copy(vdi: Row, sr: Row, operation: string, values: Record<string, Value> = {}): Promise<Row> {
    this.assertUnused(vdi, operation);
    this.#writable(sr);
    this.assertAttached(this.#db.row('SR', vdi.text('SR')));
    const kept: Record<string, Value> = {};
    for (const field of [
      'name_label',
      'name_description',
      'type',
      'sharable',
      'read_only',
      'other_config',
      'xenstore_data',
      'tags',
      'virtual_size',
      'on_boot',
      'allow_caching',
    ])
      kept[field] = vdi.fields[field] as Value;
    const { path, format } = this.image(vdi);
    const row = this.#record(sr, { ...kept, sm_config: { 'image-format': format }, ...values });
    const to = this.image(row).path;
    try {
      await this.#busy(vdi, operation, () =>
        this.#busy(row, 'update', async () => {
          await copyFile(path, `${to}.new`, constants.COPYFILE_FICLONE);
          await rename(`${to}.new`, to);
        }),
      );
    } catch (error) {
      await rm(`${to}.new`, { force: true });
      this.#db.destroy(row);
      throw error;
    }
    return this.#done(row);
  }

  /** Compares the folder with the records. */
  async scan(sr: Row): Promise<void> {
    this.assertAttached(sr);
    const folder = this.folder(sr);
    const files = await told(() => readdir(folder, { withFileTypes: true }));
    const here = new Set(files.filter((file) => file.isFile()).map(({ name }) => name));
    for (const ref of sr.refs('VDIs')) {
      const vdi = this.#db.row('VDI', ref);
      const there = here.delete(vdi.text('location'));
      if (vdi.flag('missing') === there) this.#db.set(vdi, { missing: !there });
    }
    for (const name of here) await this.#found(sr, name);
    this.measure(sr);
  }

  async #found(sr: Row, name: string): Promise<void> {
    const iso = sr.text('type') === 'iso';
    const match = iso ? /\.(iso|img)$/i.exec(name) : /^([0-9a-f-]{36})\.(qcow2|vhd|raw)$/.exec(name);
    if (!match) return;
    const format = (iso ? 'raw' : match[2]) as Format;
    const path = join(this.folder(sr), name);
    const info = await image_info(path, { format, lock: false }).catch(() => undefined);
    // Not an image, whatever it is called.
    if (!info) return;
    const uuid = iso || this.#db.hasUuid('VDI', match[1]) ? undefined : match[1];
    const row = this.#db.create('VDI', {
      ...{
        ...(uuid && { uuid }),
        name_label: iso ? name : '',
        SR: sr.ref,
        type: 'user',
        location: name,
        managed: true,
      },
      ...{ read_only: iso, sharable: false, virtual_size: info.size, sm_config: { 'image-format': format } },
    });
    this.#db.set(row, { physical_utilisation: this.#taken(path) });
  }

  /** What a host that was killed has left: halves of copies go, records and files are compared. */
  async recover(): Promise<void> {
    for (const pbd of this.#db.table('PBD').values()) {
      if (!pbd.flag('currently_attached')) continue;
      const sr = this.#db.row('SR', pbd.text('SR'));
      try {
        const folder = this.folder(sr);
        for (const name of await readdir(folder))
          if (name.endsWith('.new')) await rm(join(folder, name), { force: true });
        await this.scan(sr);
      } catch {
        // It has gone: who uses it is told so.
        this.#db.set(pbd, { currently_attached: false });
      }
    }
  }
}
