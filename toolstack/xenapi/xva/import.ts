/** Machines from an XVA archive: all of it, or nothing. */
import { createHash, randomUUID } from 'node:crypto';
import { xxhash64 } from 'hash-wasm';
import type { DiskImage } from '../../../services/block/image/image.ts';
import { ImageError } from '../../../services/block/image/image.ts';
import { NULL_REF, type Value } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { decompress, Truncated } from '../http/bytes.ts';
import { done, type Done, type Transfer } from '../http/transfer.ts';
import { macFor, NO_SNAPSHOT, OWN } from '../VM/create.ts';
import { updateAllowed } from '../VM/operations.ts';
import { told } from '../SR/storage.ts';
import type { Xapi } from '../xapi.ts';
import { BLOCK } from './export.ts';
import { isZero } from './extents.ts';
import { MAX_OVA, readOva, refOf, valuesOf, type Exported } from './ova.ts';
import { BadTar, TarReader } from './tar.ts';

interface Options {
  /** Identifiers are kept: it is the machine that was exported. */
  restore: boolean;
  force: boolean;
  sr: Row | undefined;
}

/** Where an archive comes from, and what is told of it. */
export type ImportSource = Pick<Transfer, 'xapi' | 'task'> & {
  upload: { length: number | undefined; received: number };
};

const broken = (why: string): Failure => new Failure('IMPORT_ERROR', why);

export class Importer {
  readonly #xapi: Xapi;
  readonly #options: Options;
  readonly #objects = new Map<string, Exported>();
  /** What was made, by the archive's names. */
  readonly #made = new Map<string, Row>();
  readonly disks = new Map<string, Row>();

  constructor(xapi: Xapi, options: Options, objects: readonly Exported[]) {
    this.#xapi = xapi;
    this.#options = options;
    for (const object of objects) this.#objects.set(object.id, object);
  }

  #of(name: string): Exported[] {
    return [...this.#objects.values()].filter((each) => each.class === name);
  }

  #network(id: string): string {
    const { db } = this.#xapi;
    const known = this.#made.get(id);
    if (known) return known.ref;
    const object = this.#objects.get(id);
    const networks = [...db.table('network').values()];
    const values = object ? valuesOf(object) : {};
    const match = (field: string) => networks.find((row) => values[field] && row.fields[field] === values[field]);
    const found = match('uuid') ?? match('bridge') ?? match('name_label') ?? networks[0];
    if (!found) throw new Failure('IMPORT_ERROR_FAILED_TO_FIND_OBJECT', id);
    this.#made.set(id, found);
    return found.ref;
  }

  /** Only disks that a machine has, none for a disc. */
  async makeDisks(): Promise<void> {
    const { db, storage, pool } = this.#xapi;
    const sr = this.#options.sr ?? db.find('SR', pool.text('default_SR'));
    for (const vbd of this.#of('VBD')) {
      const id = refOf(vbd, 'VDI');
      const object = this.#objects.get(id);
      if (!object || this.disks.has(id)) continue;
      const values = valuesOf(object);
      if (String(vbd.fields.type).toLowerCase() === 'cd') {
        this.#disc(id, values);
        continue;
      }
      if (!sr) throw new Failure('SR_HAS_NO_PBDS', NULL_REF);
      const config = values.sm_config as Record<string, string> | undefined;
      const format = config?.['image-format'];
      const sm_config: Record<string, string> =
        format === 'vhd' || format === 'qcow2' ? { 'image-format': format } : {};
      const { name_label = '', name_description = '', type = 'user', other_config = {} } = values;
      const { sharable = false, read_only = false, xenstore_data = {}, tags = [] } = values;
      const row = await storage.create(sr, {
        ...{ name_label, name_description, type, other_config, sharable, read_only, xenstore_data, tags, sm_config },
        virtual_size: values.virtual_size ?? 0,
      });
      // Nobody else's until all is there, and gone if that never comes.
      db.set(row, { storage_lock: true });
      this.disks.set(id, row);
      this.#made.set(id, row);
    }
  }

  /** Disks that are here already, by their UUID. Without one of them a machine is not what it was; unless that is wanted so. */
  findDisks(): void {
    const { db } = this.#xapi;
    for (const vbd of this.#of('VBD')) {
      const object = this.#objects.get(refOf(vbd, 'VDI'));
      if (!object) continue;
      const values = valuesOf(object);
      if (String(vbd.fields.type).toLowerCase() === 'cd') this.#disc(object.id, values);
      else if (db.hasUuid('VDI', values.uuid as string))
        this.#made.set(object.id, db.byUuid('VDI', values.uuid as string));
      else if (!this.#options.force) throw new Failure('VDI_NOT_IN_MAP', String(values.uuid));
    }
  }

  /** A disc of that name, if this host has one. */
  #disc(id: string, { name_label }: Record<string, Value>): void {
    const { db } = this.#xapi;
    const found = [...db.table('VDI').values()].find(
      (vdi) => vdi.text('name_label') === name_label && db.row('SR', vdi.text('SR')).text('content_type') === 'iso',
    );
    if (found) this.#made.set(id, found);
  }

  #uuid(values: Record<string, Value>, name: string): { uuid?: string } {
    const uuid = values.uuid as string | undefined;
    if (!this.#options.restore || !uuid) return {};
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) throw broken(`no UUID: ${uuid.slice(0, 40)}`);
    if (!this.#xapi.db.hasUuid(name, uuid)) return { uuid };
    if (name === 'VM') throw new Failure('DUPLICATE_VM', this.#xapi.db.byUuid(name, uuid).ref);
    return {};
  }

  /** The records, when everything that they refer to is there. */
  makeRecords(): Row[] {
    const { db } = this.#xapi;
    return db.change(() => {
      const vms = this.#of('VM');
      if (vms.length === 0) throw new Failure('IMPORT_ERROR_FAILED_TO_FIND_OBJECT', 'VM');
      for (const vm of vms) this.#made.set(vm.id, this.#vm(vm));
      for (const vm of vms) this.#relate(vm);
      for (const [id, row] of this.disks) {
        db.set(row, { storage_lock: false });
        const object = this.#objects.get(id)!;
        const values = valuesOf(object);
        if (values.is_a_snapshot === true)
          db.set(row, {
            ...{ is_a_snapshot: true, snapshot_time: values.snapshot_time },
            snapshot_of: this.#made.get(refOf(object, 'snapshot_of'))?.ref ?? NULL_REF,
          });
      }
      for (const vbd of this.#of('VBD')) this.#vbd(vbd);
      for (const vif of this.#of('VIF')) this.#vif(vif);
      return vms
        .filter((vm) => valuesOf(vm).is_a_snapshot !== true || vms.length === 1)
        .map(({ id }) => this.#made.get(id)!);
    });
  }

  #vm(object: Exported): Row {
    const { db } = this.#xapi;
    const values = valuesOf(object);
    if (values.is_control_domain === true) throw broken('a control domain');
    const metrics = db.create('VM_metrics', {}).ref;
    const frozen = values.is_a_snapshot === true;
    const { uuid: _, ...rest } = values;
    // Addresses follow from it: another machine has others.
    const other_config = {
      ...(rest.other_config as object),
      ...(!this.#options.restore && { mac_seed: randomUUID() }),
    };
    const vm = db.create('VM', {
      ...rest,
      other_config,
      ...OWN,
      ...(!frozen && NO_SNAPSHOT),
      ...{ metrics, is_default_template: false, ha_restart_priority: '', ha_always_run: false },
      ...this.#uuid(values, 'VM'),
    });
    updateAllowed(this.#xapi, vm);
    return vm;
  }

  #relate(object: Exported): void {
    const vm = this.#made.get(object.id)!;
    const find = (field: string): string => this.#made.get(refOf(object, field))?.ref ?? NULL_REF;
    const affinity = this.#options.restore ? this.#xapi.hostRef : NULL_REF;
    this.#xapi.db.set(vm, { snapshot_of: find('snapshot_of'), parent: find('parent'), affinity });
    updateAllowed(this.#xapi, vm);
  }

  #vbd(object: Exported): void {
    const { uuid: _, ...values } = valuesOf(object);
    const vm = this.#made.get(refOf(object, 'VM'));
    if (!vm) return;
    const vdi = this.#made.get(refOf(object, 'VDI'));
    const cd = values.type === 'CD';
    if (!vdi && !cd) return;
    const own = { VM: vm.ref, VDI: vdi?.ref ?? NULL_REF, empty: !vdi, device: '', currently_attached: false };
    const devices = String(values.userdevice ?? '');
    if (!/^\d{1,2}$/.test(devices)) throw new Failure('INVALID_DEVICE', devices);
    this.#xapi.db.create('VBD', { ...values, ...own, current_operations: {}, allowed_operations: ['attach'] });
  }

  #vif(object: Exported): void {
    const { uuid: _, ...values } = valuesOf(object);
    const vm = this.#made.get(refOf(object, 'VM'));
    if (!vm) return;
    const device = String(values.device ?? '');
    if (!/^\d{1,2}$/.test(device)) throw new Failure('INVALID_DEVICE', device);
    const kept = this.#options.restore || values.MAC_autogenerated === false;
    const MAC = kept && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(String(values.MAC)) ? String(values.MAC).toLowerCase() : macFor(vm, device); // prettier-ignore
    this.#xapi.db.create('VIF', {
      ...{ ...values, VM: vm.ref, network: this.#network(refOf(object, 'network')), MAC },
      ...{ currently_attached: false, current_operations: {}, allowed_operations: ['attach'] },
    });
  }

  async undo(): Promise<void> {
    const { db, storage, log } = this.#xapi;
    for (const row of this.disks.values()) {
      if (row.gone) continue;
      db.set(row, { storage_lock: false });
      await storage
        .destroy(row)
        .catch((error: Error) => log(`xenapi: a disk of a failed import stays: ${error.message}`));
    }
  }
}

async function verify(name: string, given: string, bytes: Buffer): Promise<void> {
  const kind = name.endsWith('.xxhash') ? 'xxhash' : 'checksum';
  const right = kind === 'xxhash' ? await xxhash64(bytes) : createHash('sha1').update(bytes).digest('hex');
  if (given.trim().toLowerCase() !== right)
    throw new Failure('IMPORT_ERROR_SOME_CHECKSUMS_FAILED', name.slice(0, name.lastIndexOf('.')));
}

/** The disks' blocks, in order, each followed by its checksum. */
async function readDisks(tar: TarReader, importer: Importer, { xapi, task, upload }: ImportSource): Promise<void> {
  const sizes = [...importer.disks.values()].map((row) => row.number('virtual_size'));
  const total = Math.max(1, sizes.reduce((sum, size) => sum + size, 0)); // prettier-ignore
  let before = 0;
  let open: { id: string; image: DiskImage } | undefined;
  let last: { name: string; bytes: Buffer } | undefined;
  const { storage } = xapi;
  try {
    for (let entry = await tar.next(); entry; entry = await tar.next()) {
      task.checkCancelled();
      const { name, size } = entry;
      const match = /^(.*)\/(\d{8,10})(\.checksum|\.xxhash)?$/.exec(name);
      const row = match && importer.disks.get(match[1]);
      if (!match || !row) throw broken(`a file that belongs to no disk: ${name.slice(0, 80)}`);
      const bytes = await tar.read(size > BLOCK ? BLOCK + 1 : size);
      if (match[3]) {
        if (last?.name !== name.slice(0, name.lastIndexOf('.')))
          throw broken(`a checksum of nothing: ${name.slice(0, 80)}`);
        await verify(name, bytes.toString('latin1'), last.bytes);
        continue;
      }
      if (open?.id !== match[1]) {
        await open?.image.close();
        if (open) before += importer.disks.get(open.id)!.number('virtual_size');
        open = undefined;
        open = { id: match[1], image: await storage.opening([row], () => storage.open(row, { readonly: false })) };
      }
      await put(open.image, Number(match[2]) * BLOCK, bytes);
      last = { name, bytes };
      // Of the archive, if its length is known; else of the disks.
      const part = upload.length ? upload.received / upload.length : (before + Number(match[2]) * BLOCK) / total;
      task.progress(part);
    }
  } finally {
    await open?.image.close();
  }
}

async function put(image: DiskImage, at: number, bytes: Buffer): Promise<void> {
  if (bytes.length > BLOCK || at >= image.size || at + bytes.length > Math.ceil(image.size / BLOCK) * BLOCK)
    throw broken('a block lies outside of its disk');
  const part = bytes.subarray(0, Math.min(bytes.length, image.size - at));
  if (part.length % 512 !== 0) throw broken('a block is no whole number of sectors');
  // It is new, and reads as zeros.
  if (!isZero(part)) await image.write(at, [part]);
}

/** What is wrong with an archive, as XenAPI says it. */
async function explained<T>(transfer: Pick<Transfer, 'task'>, act: () => Promise<T>): Promise<T> {
  try {
    return await told(act);
  } catch (error) {
    transfer.task.checkCancelled();
    if (error instanceof Truncated) throw new Failure('IMPORT_ERROR_PREMATURE_EOF');
    if (error instanceof BadTar || error instanceof ImageError) throw broken((error as Error).message);
    if (/^(Z_|ERR_ZLIB|ZSTD)/.test((error as NodeJS.ErrnoException).code ?? ''))
      throw broken('it cannot be decompressed');
    throw error;
  }
}

async function objectsOf(tar: TarReader): Promise<Exported[]> {
  const first = await tar.next();
  if (first?.name !== 'ova.xml' || first.size > MAX_OVA) throw new Failure('IMPORT_ERROR_CANNOT_HANDLE_CHUNKED');
  return readOva(await tar.read(first.size));
}

/** Reads an archive; `act` gets the bytes after ova.xml. */
export async function importFrom(
  transfer: ImportSource,
  source: AsyncIterable<Buffer>,
  options: Options,
): Promise<Row[]> {
  const { xapi, task } = transfer;
  let importer: Importer | undefined;
  try {
    return await explained(transfer, async () => {
      const tar = new TarReader(await decompress(source));
      importer = new Importer(xapi, options, await objectsOf(tar));
      await importer.makeDisks();
      await readDisks(tar, importer, transfer);
      for (const row of importer.disks.values()) {
        xapi.storage.taken(row);
        xapi.storage.measure(xapi.db.row('SR', row.text('SR')));
      }
      task.checkCancelled();
      return importer.makeRecords();
    });
  } catch (error) {
    await importer?.undo();
    throw error;
  }
}

export async function importVm(transfer: Transfer): Promise<Done> {
  const options = {
    ...{ restore: transfer.flag('restore'), force: transfer.flag('force') },
    sr: transfer.objectOrNone('SR', 'sr_id', 'sr_uuid'),
  };
  if (options.sr) transfer.xapi.storage.assertAttached(options.sr);
  transfer.accept();
  const vms = await importFrom(transfer, transfer.body(), options);
  return done('VM ref set', vms.map(({ ref }) => ref)); // prettier-ignore
}

/** Records alone; disks are those that this host has by the same UUID. */
export async function importMetadata(transfer: Transfer): Promise<Done> {
  const { xapi } = transfer;
  const options = { restore: transfer.flag('restore'), force: transfer.flag('force'), sr: undefined };
  transfer.accept();
  const vms = await explained(transfer, async () => {
    const tar = new TarReader(await decompress(transfer.body()));
    const importer = new Importer(xapi, options, await objectsOf(tar));
    importer.findDisks();
    return transfer.flag('dry_run') ? [] : importer.makeRecords();
  });
  return done('VM ref set', vms.map(({ ref }) => ref)); // prettier-ignore
}
