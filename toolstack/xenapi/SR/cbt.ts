/**
 * Changed blocks of disks: a bit for each 64 KiB, the first block's the highest of the first byte. While changes of a disk are noted its image
 * has only what has changed since the last snapshot, since it is not merged into what is behind it; a snapshot's own changes are kept in a file
 * of its name, which outlives its contents.
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../database/database.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { runsOf, units } from '../xva/extents.ts';
import { HALF } from './files.ts';
import type { Storage } from './storage.ts';

const UNIT = 65536;
export const CBT = '.cbt';
const bytesFor = (size: number): number => Math.ceil(Math.ceil(size / UNIT) / 8);

interface Notes {
  /** UUID of the snapshot before it; null: notes begin here. */
  previous: string | null;
  /** What has changed since then and up to here; of a disk: what is not in its image any more. */
  bits: Buffer;
}

function merge(one: Buffer, other: Buffer): Buffer {
  const bits = Buffer.alloc(Math.max(one.length, other.length));
  for (let i = 0; i < bits.length; i++) bits[i] = (one[i] ?? 0) | (other[i] ?? 0);
  return bits;
}

export class ChangedBlocks {
  readonly #db: Database;
  readonly #storage: Storage;

  constructor(db: Database, storage: Storage) {
    this.#db = db;
    this.#storage = storage;
  }

  #path(vdi: Row): string {
    return join(this.#storage.folder(this.#db.row('SR', vdi.text('SR'))), `${vdi.uuid}${CBT}`);
  }

  async #read(vdi: Row): Promise<Notes> {
    if (!vdi.flag('cbt_enabled')) throw new Failure('VDI_NO_CBT_METADATA', vdi.ref);
    try {
      const bytes = await readFile(this.#path(vdi));
      const end = bytes.indexOf('\n');
      const { previous } = JSON.parse(bytes.toString('utf8', 0, end)) as { previous: string | null };
      return { previous, bits: bytes.subarray(end + 1) };
    } catch {
      throw new Failure('VDI_NO_CBT_METADATA', vdi.ref);
    }
  }

  async #write(vdi: Row, { previous, bits }: Notes): Promise<void> {
    const path = this.#path(vdi);
    const bytes = Buffer.concat([Buffer.from(`${JSON.stringify({ previous })}\n`), bits]);
    await writeFile(`${path}${HALF}`, bytes, { mode: 0o600, flush: true });
    await rename(`${path}${HALF}`, path);
  }

  /** What is in the disk's own image. */
  async #layer(vdi: Row, behind = this.#storage.chains.behind(vdi)): Promise<Buffer> {
    const image = await this.#storage.open(vdi, { readonly: true });
    try {
      const bits = Buffer.alloc(bytesFor(image.size));
      const runs = await runsOf(image, UNIT, behind ? this.#storage.image(behind).path : undefined);
      for (const i of units(runs)) bits[i >> 3] |= 0x80 >> (i & 7);
      return bits;
    } finally {
      await image.close();
    }
  }

  async enable(vdi: Row): Promise<void> {
    if (vdi.flag('cbt_enabled')) return;
    await this.#write(vdi, { previous: null, bits: Buffer.alloc(0) });
    this.#db.set(vdi, { cbt_enabled: true });
    // From here on its image has nothing but what changes.
    const [copy] = await this.#storage.freeze([{ vdi, values: {} }], 'enable_cbt').catch(async (error: Error) => {
      await this.disable(vdi);
      throw error;
    });
    await this.#write(vdi, { previous: null, bits: Buffer.alloc(0) });
    await this.#storage.destroy(copy);
  }

  async disable(vdi: Row): Promise<void> {
    this.#db.set(vdi, { cbt_enabled: false });
    await rm(this.#path(vdi), { force: true });
  }

  /** What a disk has had in its image is behind it now: `base`; nothing if there was nothing in it. */
  async frozen(vdi: Row, base: Row | undefined, snapshot: Row | undefined): Promise<void> {
    if (!vdi.flag('cbt_enabled')) return;
    const { previous, bits } = await this.#read(vdi);
    // What was behind the disk is behind its base, which may not be noted yet.
    const { chains } = this.#storage;
    const under = chains.behind(vdi);
    const layer = base && (await this.#layer(base, under === base ? chains.behind(base) : under));
    const changed = layer ? merge(bits, layer) : bits;
    if (!snapshot) return this.#write(vdi, { previous, bits: changed });
    await this.#write(snapshot, { previous, bits: changed });
    this.#db.set(snapshot, { cbt_enabled: true });
    await this.#write(vdi, { previous: snapshot.uuid, bits: Buffer.alloc(0) });
  }

  /** A snapshot goes: who came after it has its changes as well. */
  async forget(vdi: Row): Promise<void> {
    if (!vdi.flag('cbt_enabled')) return;
    const notes = await this.#read(vdi).catch(() => undefined);
    if (notes)
      for (const ref of this.#db.row('SR', vdi.text('SR')).refs('VDIs')) {
        const other = this.#db.row('VDI', ref);
        if (other === vdi || !other.flag('cbt_enabled')) continue;
        const { previous, bits } = await this.#read(other);
        if (previous === vdi.uuid)
          await this.#write(other, { previous: notes.previous, bits: merge(bits, notes.bits) });
      }
    await rm(this.#path(vdi), { force: true });
  }

  /** As base64, for the later one's size. */
  async between(from: Row, to: Row): Promise<string> {
    await this.#read(from);
    let changed = to.flag('is_a_snapshot') ? Buffer.alloc(0) : await this.#layer(to);
    for (let at = to; at !== from; ) {
      const { previous, bits } = await this.#read(at);
      changed = merge(changed, bits);
      if (previous === null || !this.#db.hasUuid('VDI', previous))
        throw new Failure('SR_BACKEND_FAILURE_460', '', 'Failed to calculate changed blocks for given VDIs.');
      at = this.#db.byUuid('VDI', previous);
    }
    const bits = Buffer.alloc(bytesFor(to.number('virtual_size')));
    changed.copy(bits, 0, 0, bits.length);
    // What the disk has grown by is new.
    for (let i = Math.floor(from.number('virtual_size') / UNIT); i * UNIT < to.number('virtual_size'); i++)
      if (i * UNIT >= from.number('virtual_size')) bits[i >> 3] |= 0x80 >> (i & 7);
    return bits.toString('base64');
  }
}
