/**
 * Storage repositories that are folders of this host: `file`, with a disk image a VDI, and `iso`, with discs that are only read.
 * All of them lie below one folder: who may make an SR may not thereby reach other files.
 */
import { mkdirSync, statfsSync, statSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { isAbsolute, join, normalize, relative } from 'node:path';
import { copy_image } from '../../../services/block/image/convert.ts';
import { ImageError, type DiskImage } from '../../../services/block/image/image.ts';
import { create_image, open_image } from '../../../services/block/image/open.ts';
import type { Value } from '../../../spec/xenapi/types.ts';
import type { Database } from '../database/database.ts';
import type { Row } from '../database/row.ts';
import type { Task } from '../task/tasks.ts';
import { Failure } from '../failure.ts';
import { CBT, ChangedBlocks } from './cbt.ts';
import { Chains } from './chains.ts';
import { EXTENSIONS, filesIn, formatOf, HALF, look, uuidOf, type Format, type Found } from './files.ts';
import { Lock } from './lock.ts';

const SECTOR = 512;
const MAX_SIZE = 2 ** 46;

/** What a copy has of its original. */
const COPIED = [
  ...['name_label', 'name_description', 'type', 'sharable', 'read_only', 'other_config', 'xenstore_data', 'tags'],
  ...['virtual_size', 'on_boot', 'allow_caching'],
];
const ALLOWED = ['snapshot', 'clone', 'copy', 'destroy', 'resize', 'update', 'forget', 'enable_cbt', 'set_on_boot'];

/** Does something while guests' disks are let go of. */
export type Holder = <T>(vdis: readonly Row[], act: () => Promise<T>) => Promise<T>;

/** The driver's words for what went wrong below. */
export const backend = (code: string, text: string): Failure => new Failure(`SR_BACKEND_FAILURE_${code}`, '', text);

export async function told<T>(act: () => Promise<T>): Promise<T> {
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
  readonly #locks = new WeakMap<Row, Lock>();
  readonly chains: Chains;
  readonly changes: ChangedBlocks;
  readonly held: Holder;
  readonly log: (text: string) => void;

  /** Without a root the host has no storage. */
  constructor(db: Database, root: string | undefined, held: Holder, log: (text: string) => void) {
    this.#db = db;
    this.#root = root;
    this.held = held;
    this.log = log;
    this.chains = new Chains(db, this);
    this.changes = new ChangedBlocks(db, this);
  }

  close(): Promise<void> {
    return this.chains.close();
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

  attached(sr: Row): boolean {
    return sr.refs('PBDs').some((ref) => this.#db.row('PBD', ref).flag('currently_attached'));
  }

  assertAttached(sr: Row): void {
    if (sr.refs('PBDs').length === 0) throw new Failure('SR_HAS_NO_PBDS', sr.ref);
    if (!this.attached(sr)) throw new Failure('SR_NOT_ATTACHED', sr.ref);
  }

  #lock(sr: Row): Lock {
    const lock = this.#locks.get(sr) ?? new Lock();
    this.#locks.set(sr, lock);
    return lock;
  }

  /** No image of the SR is opened or renamed by others meanwhile. */
  alone<T>(sr: Row, act: () => Promise<T>): Promise<T> {
    return this.#lock(sr).alone(act);
  }

  /** Images of these disks are opened: what lies behind them stays where it is meanwhile, and nobody else writes them. */
  async opening<T>(vdis: readonly Row[], act: () => Promise<T>): Promise<T> {
    for (const vdi of vdis) await this.chains.claim(vdi);
    const srs = [...new Set(vdis.map((vdi) => this.#db.row('SR', vdi.text('SR'))))];
    const enter = (at: number): Promise<T> =>
      at === srs.length ? act() : this.#lock(srs[at]).shared(() => enter(at + 1));
    return enter(0);
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
    const sum = (field: string, of = vdis) => of.reduce((total, vdi) => total + vdi.number(field), 0);
    const values: Record<string, Value> = {
      virtual_allocation: sum(
        'virtual_size',
        vdis.filter((vdi) => vdi.flag('managed')),
      ),
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

  /** Its format is told by its name, which is the driver's: what a client notes of it decides nothing. */
  image(vdi: Row): { path: string; format: Format; within: string } {
    const sr = this.#db.row('SR', vdi.text('SR'));
    const within = this.folder(sr);
    const location = vdi.text('location');
    const format = sr.text('type') === 'iso' ? 'raw' : formatOf(location);
    return { path: this.locate(join(within, location)), format, within };
  }

  /** The disk's image, with what is behind it. */
  async open(vdi: Row, { readonly }: { readonly: boolean }): Promise<DiskImage> {
    this.assertContents(vdi);
    const { path, format, within } = this.image(vdi);
    return told(() => open_image(path, { format, readonly, backing: { within } }));
  }

  used(vdi: Row): boolean {
    return vdi.refs('VBDs').some((ref) => this.#db.row('VBD', ref).flag('currently_attached'));
  }

  assertUnused(vdi: Row, operation: string): void {
    if (this.used(vdi)) throw new Failure('VDI_IN_USE', vdi.ref, operation);
    this.assertIdle(vdi);
  }

  /** Nothing is being done with its image. */
  assertIdle(vdi: Row): void {
    if (Object.keys(vdi.map('current_operations')).length > 0 || vdi.flag('storage_lock'))
      throw new Failure('OTHER_OPERATION_IN_PROGRESS', 'VDI', vdi.ref);
  }

  #writable(sr: Row): void {
    this.assertAttached(sr);
    if (sr.text('type') === 'iso') throw new Failure('SR_OPERATION_NOT_SUPPORTED', sr.ref);
  }

  /** Notes how many bytes the image takes. */
  taken(vdi: Row): void {
    const blocks = statSync(this.image(vdi).path, { throwIfNoEntry: false })?.blocks ?? 0;
    this.#db.set(vdi, { physical_utilisation: blocks * SECTOR });
  }

  /** What is being done with a disk is told, and keeps others from it. */
  async busy<T>(vdi: Row, operation: string, act: () => Promise<T>): Promise<T> {
    this.#db.set(vdi, { current_operations: { here: operation } });
    try {
      await this.chains.claim(vdi);
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
    const row = this.#add(sr, {
      ...values,
      sm_config: { ...sm_config, 'image-format': format },
      virtual_size: size,
    });
    try {
      await this.busy(row, 'update', async () => {
        // A file without a record would become a disk at the next start.
        await this.#db.durable();
        await create_image(this.image(row).path, { format, size });
      });
    } catch (error) {
      this.#db.destroy(row);
      throw error;
    }
    return this.#done(row);
  }

  #add(sr: Row, values: Record<string, Value>): Row {
    return this.#db.change(() => {
      const row = this.#db.create('VDI', { ...values, SR: sr.ref, managed: true, missing: false, storage_lock: true });
      const format = row.map('sm_config')['image-format'] as Format;
      this.#db.set(row, { location: `${row.uuid}.${EXTENSIONS[format]}`, allowed_operations: ALLOWED });
      return row;
    });
  }

  /** A record for a copy of a disk. */
  record(vdi: Row, values: Record<string, Value>, sr = this.#db.row('SR', vdi.text('SR'))): Row {
    const kept = Object.fromEntries(COPIED.map((field) => [field, vdi.fields[field] as Value]));
    return this.#add(sr, { ...kept, sm_config: { 'image-format': this.image(vdi).format }, ...values });
  }

  /** Its file is there: the record is kept from now on. */
  #done(row: Row): Row {
    this.#db.set(row, { storage_lock: false });
    this.taken(row);
    this.measure(this.#db.row('SR', row.text('SR')));
    return row;
  }

  async destroy(vdi: Row): Promise<void> {
    this.assertUnused(vdi, 'destroy');
    const sr = this.#db.row('SR', vdi.text('SR'));
    this.#writable(sr);
    if (!vdi.flag('managed')) throw new Failure('VDI_NOT_MANAGED', vdi.ref);
    // Another SR's record of the same file, or a file that others are based on by somebody else's doing.
    if (this.chains.upon(vdi).length > 0) throw new Failure('VDI_IN_USE', vdi.ref, 'destroy');
    const { path } = this.image(vdi);
    try {
      await this.busy(vdi, 'destroy', async () => {
        // Should the host be killed now, its next start makes an end of it. Where that cannot be written there is all the more reason to go on.
        this.#db.set(vdi, { storage_lock: true });
        await this.#db.durable().catch(() => {});
        await this.changes.forget(vdi);
        await rm(path, { force: true });
      });
    } catch (error) {
      if (!vdi.gone) this.#db.set(vdi, { storage_lock: false });
      throw error;
    }
    this.forget(vdi);
    this.measure(sr);
    this.chains.kick(sr);
  }

  /** Deletes what is in a snapshot; which blocks had changed in it stays known. */
  async destroyData(vdi: Row): Promise<void> {
    if (!vdi.flag('is_a_snapshot')) throw new Failure('OPERATION_NOT_ALLOWED', 'The VDI is not a snapshot');
    if (!vdi.flag('cbt_enabled')) throw new Failure('VDI_NO_CBT_METADATA', vdi.ref);
    if (vdi.text('type') === 'cbt_metadata') return;
    this.assertUnused(vdi, 'data_destroy');
    const sr = this.#db.row('SR', vdi.text('SR'));
    this.#writable(sr);
    if (this.chains.upon(vdi).length > 0) throw new Failure('VDI_IN_USE', vdi.ref, 'data_destroy');
    const { path } = this.image(vdi);
    await this.busy(vdi, 'data_destroy', async () => {
      this.#db.change(() => {
        for (const ref of vdi.refs('VBDs')) this.#db.destroy(this.#db.row('VBD', ref));
        this.#db.set(vdi, { type: 'cbt_metadata', location: `${vdi.uuid}${CBT}`, allowed_operations: ['destroy'] });
      });
      await this.#db.durable();
      await rm(path, { force: true });
    });
    this.chains.drop(vdi);
    this.#done(vdi);
    this.chains.kick(sr);
  }

  /** It has contents. */
  assertContents(vdi: Row): void {
    if (vdi.text('type') === 'cbt_metadata') throw new Failure('VDI_INCOMPATIBLE_TYPE', vdi.ref, 'cbt_metadata');
  }

  /** A guest uses it no more. */
  released(vdi: Row): void {
    if (this.chains.behind(vdi)) this.chains.kick(this.#db.row('SR', vdi.text('SR')));
  }

  forget(vdi: Row): void {
    this.chains.drop(vdi);
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
    await this.busy(vdi, 'resize', async () => {
      const image = await this.open(vdi, { readonly: false });
      try {
        await image.resize(whole);
      } finally {
        await image.close();
      }
    });
    this.#db.set(vdi, { virtual_size: whole });
    this.#done(vdi);
  }

  /**
   * New disks that share blocks with these, as these are at one moment; disks that guests use may be among them. Raw images cannot
   * share: they are copied, if nobody uses them.
   */
  async freeze(wanted: readonly { vdi: Row; values: Record<string, Value> }[], operation: string): Promise<Row[]> {
    for (const { vdi } of wanted) {
      const sr = this.#db.row('SR', vdi.text('SR'));
      this.#writable(sr);
      if (!vdi.flag('managed')) throw new Failure('VDI_NOT_MANAGED', vdi.ref);
      if (vdi.flag('missing')) throw new Failure('VDI_MISSING', sr.ref, vdi.ref);
      this.assertContents(vdi);
      if (this.image(vdi).format === 'raw') this.assertUnused(vdi, operation);
      else this.assertIdle(vdi);
    }
    const made = new Map<Row, Row>();
    const sharing = wanted.filter(({ vdi }) => this.image(vdi).format !== 'raw');
    const srs = [...new Set(sharing.map(({ vdi }) => this.#db.row('SR', vdi.text('SR'))))];
    const enter = (at: number): Promise<Row[]> =>
      at === srs.length ? this.chains.freeze(sharing) : this.alone(srs[at], () => enter(at + 1));
    const hold = (at: number): Promise<Row[]> =>
      at === sharing.length ? enter(0) : this.busy(sharing[at].vdi, operation, () => hold(at + 1));
    try {
      for (const { vdi, values } of wanted)
        if (this.image(vdi).format === 'raw')
          made.set(vdi, await this.copy(vdi, this.#db.row('SR', vdi.text('SR')), operation, values));
      (sharing.length === 0 ? [] : await hold(0)).forEach((row, i) => made.set(sharing[i].vdi, row));
    } catch (error) {
      for (const row of made.values()) await this.destroy(row);
      throw error;
    }
    for (const sr of srs) this.measure(sr);
    return wanted.map(({ vdi }) => made.get(vdi)!);
  }

  /** A disk with the same contents in that SR, which shares nothing. */
  async copy(
    vdi: Row,
    sr: Row,
    operation: string,
    values: Record<string, Value> = {},
    task?: Pick<Task, 'signal' | 'progress' | 'checkCancelled'>,
  ): Promise<Row> {
    this.assertUnused(vdi, operation);
    this.#writable(sr);
    this.assertAttached(this.#db.row('SR', vdi.text('SR')));
    const row = this.record(vdi, values, sr);
    const { path: to, format } = this.image(row);
    try {
      await this.busy(vdi, operation, () =>
        this.busy(row, 'update', async () => {
          const from = await this.opening([vdi], () => this.open(vdi, { readonly: true }));
          try {
            await create_image(`${to}${HALF}`, { format, size: from.size });
            const image = await open_image(`${to}${HALF}`, { format, backing: 'none' });
            const onProgress = (done: number): void => task?.progress(done / from.size);
            await copy_image(from, image, { signal: task?.signal, onProgress }).finally(() => image.close());
          } finally {
            await from.close();
          }
          await this.#db.durable();
          await rename(`${to}${HALF}`, to);
        }),
      );
    } catch (error) {
      await rm(`${to}${HALF}`, { force: true });
      this.#db.destroy(row);
      task?.checkCancelled();
      throw error;
    }
    return this.#done(row);
  }

  /** Writes a disk's contents into another one; with a base, to which that one is equal, only what differs from it. */
  async copyInto(vdi: Row, into: Row, base: Row | undefined, task: Task): Promise<void> {
    for (const each of [vdi, into]) this.assertUnused(each, 'copy');
    this.#writable(this.#db.row('SR', into.text('SR')));
    if (into.flag('read_only')) throw new Failure('VDI_READONLY', into.ref);
    if (into.number('virtual_size') < vdi.number('virtual_size'))
      throw new Failure('VDI_TOO_SMALL', into.ref, String(vdi.number('virtual_size')));
    await this.busy(vdi, 'copy', () =>
      this.busy(into, 'update', async () => {
        const opened: DiskImage[] = [];
        const open = async (row: Row, readonly: boolean): Promise<DiskImage> => {
          const image = await this.opening([row], () => this.open(row, { readonly }));
          opened.push(image);
          return image;
        };
        try {
          const [from, to] = [await open(vdi, true), await open(into, false)];
          await writeDifferences(from, to, base && (await open(base, true)), task);
        } finally {
          for (const image of opened) await image.close();
        }
      }),
    );
    this.#done(into);
  }

  /** Compares the folder with the records. */
  async scan(sr: Row): Promise<void> {
    this.assertAttached(sr);
    await this.alone(sr, () => this.#scan(sr));
  }

  async #scan(sr: Row): Promise<Map<string, Found>> {
    const folder = this.folder(sr);
    const names = await told(() => filesIn(folder));
    const here = new Set(names);
    for (const ref of sr.refs('VDIs')) {
      const vdi = this.#db.row('VDI', ref);
      const there = here.has(vdi.text('location'));
      // A hidden disk without an image was the last step of something that is done.
      if (!there && !vdi.flag('managed')) this.forget(vdi);
      else if (vdi.flag('missing') === there) this.#db.set(vdi, { missing: !there });
    }
    if (sr.text('type') === 'iso') for (const name of names) this.#disc(sr, name);
    const found = sr.text('type') === 'iso' ? new Map<string, Found>() : await this.#images(sr, names);
    this.measure(sr);
    return found;
  }

  #known(sr: Row): Set<string> {
    return new Set(sr.refs('VDIs').map((ref) => this.#db.row('VDI', ref).text('location')));
  }

  #disc(sr: Row, name: string): void {
    if (!/\.(iso|img)$/i.test(name) || this.#known(sr).has(name)) return;
    const { size } = statSync(join(this.folder(sr), name));
    const values = { name_label: name, read_only: true, virtual_size: Math.ceil(size / SECTOR) * SECTOR };
    this.taken(this.#enter(sr, name, 'raw', values));
  }

  #enter(sr: Row, location: string, format: Format, values: Record<string, Value>): Row {
    const common = { SR: sr.ref, type: 'user', location, managed: true, sharable: false };
    const allowed_operations = ALLOWED;
    return this.#db.create('VDI', { ...common, allowed_operations, sm_config: { 'image-format': format }, ...values });
  }

  /** Images get records, and what is behind each is noted. One that needs a file from elsewhere is no disk of this SR. */
  async #images(sr: Row, names: readonly string[]): Promise<Map<string, Found>> {
    const folder = this.folder(sr);
    const found = new Map<string, Found>();
    for (const name of names) {
      const image = uuidOf(name) === undefined ? undefined : await look(folder, name, formatOf(name));
      if (image) found.set(name, image);
    }
    const kept = await this.chains.recover(sr, found);
    const known = this.#known(sr);
    const needed = new Set([...found.values()].map(({ behind }) => behind));
    for (const [name, { stray, behind, size, format }] of found) {
      if (known.has(name)) continue;
      if (stray || (behind !== undefined && !found.has(behind))) {
        this.log(`storage ${sr.uuid}: ${name} is based on an image that is not in its folder, and is no disk here`);
        continue;
      }
      const uuid = this.#db.hasUuid('VDI', uuidOf(name)!) ? undefined : uuidOf(name);
      const hidden: Record<string, Value> = needed.has(name)
        ? { managed: false, name_label: 'base copy', read_only: true }
        : {};
      this.taken(this.#enter(sr, name, format, { ...(uuid && { uuid }), virtual_size: size, ...hidden }));
    }
    this.chains.learn(sr, found);
    // What had been frozen when the host was killed has changes that nobody has noted.
    for (const base of kept)
      for (const vdi of this.chains.upon(base)) await this.changes.frozen(vdi, base, undefined).catch(() => this.changes.disable(vdi)); // prettier-ignore
    return found;
  }

  /** What a host that was killed has left: halves of images go, records and files are compared. */
  async recover(): Promise<void> {
    for (const pbd of this.#db.table('PBD').values()) {
      if (!pbd.flag('currently_attached')) continue;
      const sr = this.#db.row('SR', pbd.text('SR'));
      try {
        const folder = this.folder(sr);
        for (const name of await filesIn(folder))
          if (name.endsWith(HALF)) await rm(join(folder, name), { force: true });
        await this.scan(sr);
        this.chains.kick(sr);
      } catch {
        // It has gone: who uses it is told so.
        this.#db.set(pbd, { currently_attached: false });
      }
    }
  }
}

const PIECE = 1 << 20;

/** Writes a disk over another, where they differ; with a base, where it differs from that. */
export async function writeDifferences(
  from: DiskImage,
  to: DiskImage,
  base: DiskImage | undefined,
  task: Pick<Task, 'checkCancelled' | 'progress'>,
): Promise<void> {
  const [bytes, other] = [Buffer.alloc(PIECE), Buffer.alloc(PIECE)];
  for (let at = 0; at < from.size; at += PIECE) {
    task.checkCancelled();
    const length = Math.min(PIECE, from.size - at);
    const [piece, old] = [bytes.subarray(0, length), other.subarray(0, length)];
    await from.read(at, [piece]);
    const compared = base && at + length <= base.size ? base : to;
    await compared.read(at, [old]);
    if (!piece.equals(old)) await to.write(at, [piece]);
    task.progress((at + length) / from.size);
  }
  await to.flush();
}
