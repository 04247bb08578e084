/**
 * Disks that share blocks. A disk that is frozen or cloned becomes two: what it was is a hidden disk from now on (a base copy),
 * behind the disk itself and the new one, which have only what has changed since. Nobody writes a hidden disk; it goes when nobody needs
 * it any more, and when one is left that needs it the two become one, in the background.
 *
 * The images themselves say what is behind them, so after a crash that is read anew. A record is `storage_lock`ed until its file is there.
 */
import { randomUUID } from 'node:crypto';
import { link, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { merge_down, merge_images } from '../../../services/block/image/merge.ts';
import { create_image, open_image, type CreateOptions } from '../../../services/block/image/open.ts';
import type { DiskImage } from '../../../services/block/image/image.ts';
import type { Value } from '../../../spec/xenapi/types.ts';
import type { Database } from '../database/database.ts';
import type { Row } from '../database/row.ts';
import { EXTENSIONS, HALF, syncFolder, type Format, type Found } from './files.ts';
import type { Storage } from './storage.ts';

export interface Wanted {
  vdi: Row;
  /** The new disk's own fields. */
  values: Record<string, Value>;
}

interface Plan {
  vdi: Row;
  path: string;
  format: Format;
  made: Row;
  /** What the disk was; undefined: the new one lies upon what is behind the disk already, which itself has nothing. */
  base: Row | undefined;
  behind: string;
  /** The disk has its new image. */
  swapped: boolean;
}

/** Lets everybody else have their turn before the next piece of the background's work. */
const REST_MS = 20;

export class Chains {
  readonly #db: Database;
  readonly #storage: Storage;
  readonly #behind = new Map<string, string>();
  readonly #upon = new Map<string, Set<string>>();

  constructor(db: Database, storage: Storage) {
    this.#db = db;
    this.#storage = storage;
  }

  // ---- the tree

  behind(vdi: Row): Row | undefined {
    return this.#db.find('VDI', this.#behind.get(vdi.ref) ?? '');
  }

  upon(vdi: Row): Row[] {
    return [...(this.#upon.get(vdi.ref) ?? [])].flatMap((ref) => this.#db.find('VDI', ref) ?? []);
  }

  /** The disk and all that is behind it. */
  *down(vdi: Row): Generator<Row> {
    for (let at: Row | undefined = vdi; at; at = this.behind(at)) yield at;
  }

  /** Disks that have something of this one, itself among them. */
  *above(vdi: Row): Generator<Row> {
    yield vdi;
    for (const each of this.upon(vdi)) yield* this.above(each);
  }

  put(vdi: Row, behind: Row | undefined): void {
    this.drop(vdi);
    if (!behind) return;
    this.#behind.set(vdi.ref, behind.ref);
    const upon = this.#upon.get(behind.ref) ?? new Set();
    this.#upon.set(behind.ref, upon.add(vdi.ref));
  }

  drop(vdi: Row): void {
    const behind = this.#behind.get(vdi.ref);
    this.#behind.delete(vdi.ref);
    if (behind === undefined) return;
    const upon = this.#upon.get(behind);
    upon?.delete(vdi.ref);
    if (upon?.size === 0) this.#upon.delete(behind);
  }

  /** As clients of real hosts read it; what is true is in the images. */
  #note(vdi: Row, behind: Row | undefined): void {
    const { 'vhd-parent': _, ...config } = vdi.map('sm_config');
    this.#db.set(vdi, { sm_config: behind ? { ...config, 'vhd-parent': behind.uuid } : config });
    this.put(vdi, behind);
  }

  /** Reads the tree anew from what is in an SR's folder. */
  learn(sr: Row, found: ReadonlyMap<string, Found>): void {
    const rows = new Map(sr.refs('VDIs').map((ref) => this.#db.row('VDI', ref)).map((row) => [row.text('location'), row])); // prettier-ignore
    this.#db.change(() => {
      for (const [location, row] of rows) {
        const behind = rows.get(found.get(location)?.behind ?? '');
        if (found.has(location)) this.#note(row, behind);
      }
    });
  }

  // ---- freezing

  /** Is there nothing in the image itself? */
  async #empty(image: DiskImage): Promise<boolean> {
    for (let at = 0; at < image.size; )
      for (const { kind, length } of await image.map(at, image.size - at)) {
        if (kind !== 'backing') return false;
        at += length;
      }
    return true;
  }

  async #plan({ vdi, values }: Wanted): Promise<Plan> {
    const { path, format } = this.#storage.image(vdi);
    const under = this.behind(vdi);
    let fresh = false;
    if (under && !this.#storage.used(vdi)) {
      const image = await this.#storage.open(vdi, { readonly: true });
      fresh = image.size === under.number('virtual_size') && (await this.#empty(image).finally(() => image.close()));
    }
    return this.#db.change(() => {
      const made = this.#storage.record(vdi, values);
      const size = vdi.number('virtual_size');
      const base = fresh ? undefined : this.#base(vdi, format, size);
      this.#db.set(made, { virtual_size: size, storage_lock: true });
      return { vdi, path, format, made, base, behind: (base ?? under!).text('location'), swapped: false };
    });
  }

  #base(vdi: Row, format: Format, size: number): Row {
    const uuid = randomUUID();
    const values = { name_label: 'base copy', virtual_size: size, read_only: true, uuid, other_config: {}, tags: [] };
    const base = this.#storage.record(vdi, values);
    this.#db.set(base, { managed: false, storage_lock: true, location: `${uuid}.${EXTENSIONS[format]}` });
    return base;
  }

  /** New disks that share blocks with old ones, as these are at one moment. */
  async freeze(wanted: readonly Wanted[]): Promise<Row[]> {
    const plans: Plan[] = [];
    try {
      for (const each of wanted) plans.push(await this.#plan(each));
      // Whatever happens now, the next start knows of these names.
      await this.#db.durable();
      for (const plan of plans) await this.#prepare(plan);
    } catch (error) {
      await this.#undo(plans);
      throw error;
    }
    try {
      const vdis = plans.filter(({ base }) => base).map(({ vdi }) => vdi);
      await this.#storage.held(vdis, () => Promise.all(plans.map((plan) => this.#swap(plan))));
      for (const folder of new Set(plans.map(({ path }) => dirname(path)))) await syncFolder(folder);
    } catch (error) {
      await this.#giveUp(plans);
      throw error;
    }
    for (const { vdi, made, base } of plans)
      if (base ?? made.flag('is_a_snapshot'))
        await this.#storage.changes.frozen(vdi, base, made.flag('is_a_snapshot') ? made : undefined).catch((error) => {
          this.#storage.log(`storage: changes of ${vdi.uuid} are noted no more: ${(error as Error).message}`);
          return this.#storage.changes.disable(vdi);
        });
    this.#db.change(() => plans.forEach((plan) => this.#finish(plan)));
    return plans.map(({ made }) => made);
  }

  /** Disks that have their new image keep it; what was to be made is not. */
  async #giveUp(plans: readonly Plan[]): Promise<void> {
    await this.#undo(plans.filter(({ swapped }) => !swapped));
    const over = plans.filter(({ swapped }) => swapped);
    this.#db.change(() => over.forEach((plan) => this.#finish(plan)));
    for (const { made } of over) {
      await rm(this.#storage.image(made).path, { force: true });
      this.#storage.forget(made);
    }
  }

  #child(path: string, { format, behind }: Pick<Plan, 'format' | 'behind'>, size: number): Promise<void> {
    const backing = { path: behind, format, lock: false };
    return create_image(path, { format, size, backing } as CreateOptions);
  }

  async #prepare(plan: Plan): Promise<void> {
    const { path, made, base, vdi } = plan;
    const size = vdi.number('virtual_size');
    if (base) {
      await link(path, this.#storage.image(base).path);
      await this.#child(`${path}${HALF}`, plan, size);
    }
    const to = this.#storage.image(made).path;
    await this.#child(`${to}${HALF}`, plan, size);
    await rename(`${to}${HALF}`, to);
    await syncFolder(dirname(to));
  }

  /** From here on the disk writes beside what it was. */
  async #swap(plan: Plan): Promise<void> {
    const { path, base } = plan;
    if (base) await rename(`${path}${HALF}`, path);
    plan.swapped = true;
  }

  #finish({ vdi, made, base }: Plan): void {
    const under = this.behind(vdi);
    const { sm_config } = vdi.fields;
    for (const row of [made, base])
      if (row)
        this.#db.set(row, { storage_lock: false, sm_config: { 'image-format': this.#storage.image(vdi).format } });
    this.#db.set(vdi, { sm_config: { ...(sm_config as Record<string, string>) } });
    if (base) {
      this.#note(base, under);
      this.#note(vdi, base);
    }
    this.#note(made, base ?? under);
    for (const row of [vdi, made, base]) if (row) this.#storage.taken(row);
  }

  async #undo(plans: readonly Plan[]): Promise<void> {
    for (const { path, made, base } of plans) {
      await rm(`${path}${HALF}`, { force: true });
      for (const row of [made, base]) {
        if (!row) continue;
        const to = this.#storage.image(row).path;
        for (const each of [to, `${to}${HALF}`]) await rm(each, { force: true });
        this.#db.destroy(row);
      }
    }
  }

  /** What a host that was killed has left of freezing: it is done as a whole, or it never was. */
  async recover(sr: Row, found: Map<string, Found>): Promise<Row[]> {
    const kept: Row[] = [];
    const folder = this.#storage.folder(sr);
    for (const ref of sr.refs('VDIs')) {
      const row = this.#db.row('VDI', ref);
      if (!row.flag('storage_lock')) continue;
      const location = row.text('location');
      const file = found.get(location);
      // Another name of a disk's image that has not been replaced, or what nobody was told of.
      const twin = file && [...found.values()].some(({ name, inode }) => name !== location && inode === file.inode);
      const needed = [...found.values()].some(({ behind }) => behind === location);
      if (!row.flag('managed') && file && !twin && needed) {
        this.#db.set(row, { storage_lock: false });
        kept.push(row);
      } else {
        await this.#storage.changes.forget(row).catch(() => {});
        await rm(join(folder, location), { force: true });
        found.delete(location);
        this.#storage.forget(row);
      }
    }
    return kept;
  }

  // ---- in the background

  readonly #due = new Set<Row>();
  #working: Promise<void> | undefined;
  #closed = false;
  /** The disk that is being merged into what is behind it, which whoever wants it stops. */
  #merging: { vdi: Row; stop: AbortController; done: Promise<unknown> } | undefined;

  /** Something has gone from an SR. */
  kick(sr: Row): void {
    if (this.#closed) return;
    this.#due.add(sr);
    this.#working ??= this.#work().finally(() => (this.#working = undefined));
  }

  async #work(): Promise<void> {
    for (const sr of this.#due) {
      this.#due.delete(sr);
      for (let more = true; more && !this.#closed && !sr.gone; ) {
        await new Promise((resolve) => setTimeout(resolve, REST_MS));
        more = await this.#collect(sr).catch((error: Error) => {
          this.#storage.log(`storage ${sr.uuid}: what is not needed any more stays: ${error.message}`);
          return false;
        });
      }
    }
  }

  /** Until there is nothing to be done. */
  async settled(): Promise<void> {
    while (this.#working) await this.#working;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#merging?.stop.abort();
    await this.settled();
  }

  /** Nobody merges this disk afterwards, until it is given free. */
  async claim(vdi: Row): Promise<void> {
    if (this.#merging?.vdi !== vdi) return;
    this.#merging.stop.abort();
    await this.#merging.done.catch(() => {});
  }

  /** One step; whether there was one. */
  async #collect(sr: Row): Promise<boolean> {
    if (!this.#storage.attached(sr)) return false;
    for (const ref of sr.refs('VDIs')) {
      const vdi = this.#db.find('VDI', ref);
      if (!vdi || vdi.flag('storage_lock') || vdi.flag('missing')) continue;
      const behind = this.behind(vdi);
      if (!vdi.flag('managed') && this.upon(vdi).length === 0) {
        await this.#storage.alone(sr, () => this.#remove(vdi));
        return true;
      }
      if (!behind || behind.flag('managed') || this.upon(behind).length !== 1) continue;
      if (!vdi.flag('managed')) return this.#joinHidden(sr, vdi, behind);
      // While changes are noted the image has nothing but them.
      if (vdi.flag('cbt_enabled')) continue;
      const idle = !this.#storage.used(vdi) && Object.keys(vdi.map('current_operations')).length === 0;
      if (idle && (await this.#joinLeaf(sr, vdi, behind))) return true;
    }
    return false;
  }

  async #remove(vdi: Row): Promise<void> {
    // Somebody may have come upon it meanwhile.
    if (this.upon(vdi).length > 0) return;
    const { path } = this.#storage.image(vdi);
    const sr = this.#db.row('SR', vdi.text('SR'));
    // The file first: a record without one is forgotten, a file without a record would become a disk.
    await rm(path, { force: true });
    this.drop(vdi);
    this.#storage.forget(vdi);
    await this.#db.durable();
    this.#storage.measure(sr);
  }

  #merge<T>(vdi: Row, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const done = work(stop.signal).finally(() => (this.#merging = undefined));
    this.#merging = { vdi, stop, done };
    return done;
  }

  /** A hidden disk takes over what only it needs, in a new image: others may read the old ones meanwhile. */
  async #joinHidden(sr: Row, vdi: Row, behind: Row): Promise<boolean> {
    const { path, format } = this.#storage.image(vdi);
    const deeper = this.behind(behind);
    const half = `${path}${HALF}`;
    await rm(half, { force: true });
    try {
      await this.#merge(vdi, async (signal) => {
        const from = await this.#storage.open(vdi, { readonly: true });
        try {
          const backing = deeper && { path: deeper.text('location'), format: this.#storage.image(deeper).format };
          const uuid = 'uuid' in from ? { uuid: from.uuid as string } : {};
          await create_image(half, { format, size: from.size, ...(backing && { backing }), ...uuid } as CreateOptions);
          const to = await open_image(half, { format, backing: { within: dirname(path) } });
          await merge_images(from, to, { signal }).finally(() => to.close());
        } finally {
          await from.close();
        }
      });
      return await this.#storage.alone(sr, async () => {
        if (vdi.gone || this.upon(behind).length !== 1) return false;
        await this.#replace(half, path);
        this.#db.change(() => {
          this.#note(vdi, deeper);
          this.#storage.taken(vdi);
        });
        // Guests that have the old images open get the new one.
        const users = [...this.above(vdi)].filter((each) => this.#storage.used(each));
        await this.#storage.held(users, () => Promise.resolve());
        await this.#remove(behind);
        return true;
      });
    } catch (error) {
      if (this.#closed) return false;
      throw error;
    } finally {
      await rm(half, { force: true });
    }
  }

  async #replace(from: string, to: string): Promise<void> {
    await rename(from, to);
    await syncFolder(dirname(to));
  }

  /** A disk that nobody uses is written into what only it needs, which then takes its name. */
  async #joinLeaf(sr: Row, vdi: Row, behind: Row): Promise<boolean> {
    const [{ path, format }, under] = [this.#storage.image(vdi), this.#storage.image(behind)];
    if (under.format !== format) return false;
    try {
      await this.#merge(vdi, async (signal) => {
        const top = await open_image(path, {
          ...{ format, readonly: true, lock: false, backing: { within: dirname(path) } },
        });
        try {
          const into = await this.#storage.open(behind, { readonly: false });
          await merge_down(top, into, { signal }).finally(() => into.close());
        } finally {
          await top.close();
        }
        await this.#storage.alone(sr, async () => {
          signal.throwIfAborted();
          if (this.upon(behind).length !== 1 || this.#storage.used(vdi)) return;
          await this.#replace(under.path, path);
          this.#db.change(() => {
            this.#note(vdi, this.behind(behind));
            this.drop(behind);
            this.#storage.forget(behind);
            this.#storage.taken(vdi);
          });
          await this.#db.durable();
          this.#storage.measure(sr);
        });
      });
      return behind.gone;
    } catch (error) {
      // Whoever wanted the disk has it; another time.
      if ((error as Error).name === 'AbortError') return false;
      throw error;
    }
  }
}
