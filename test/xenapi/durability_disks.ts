// Disks and machines with disks, while the host is killed again and again: what was acknowledged is there with its contents, no disk
// stays locked, and no file stays that is no disk.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { check_image } from '../../services/block/image/info.ts';
import { diskRecord, driveRecord, VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { rpc, type Simulated } from './bed.ts';

const SIZE = 1 << 20;
const FORMATS = ['qcow2', 'qcow2', 'vhd', 'raw'];
/** Of one client. */
const MAX_DISKS = 6;
/** The background needs so long at most. */
const SETTLED_MS = 20_000;

const hashOf = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex');
const ZEROS = hashOf(new Uint8Array(SIZE));

interface Disk {
  ref: string;
  format: string;
  /** Of its contents; undefined while they are being written. */
  hash: string | undefined;
  /** Its end has been asked for; true: acknowledged. */
  gone: boolean | undefined;
}
interface Machine {
  ref: string;
  gone: boolean | undefined;
}

/** What one client knows. */
class Client {
  readonly #below: (n: number) => number;
  readonly disks: Disk[] = [];
  readonly machines: Machine[] = [];
  /** How many disks and machines may be there of which nothing was acknowledged. */
  disksAsked = 0;
  machinesAsked = 0;
  #host: Simulated;
  #session = '';
  #sr = '';
  operations = 0;

  constructor(host: Simulated, below: (n: number) => number) {
    this.#host = host;
    this.#below = below;
  }

  #call(method: string, ...params: unknown[]): Promise<never> {
    return rpc(this.#host.plain, method, this.#session, ...params);
  }

  async #transfer(method: string, path: string, body?: Buffer): Promise<Buffer> {
    const url = `${this.#host.plain}${path}&session_id=${this.#session}`;
    const reply = await fetch(url, { method, body });
    const bytes = Buffer.from(await reply.arrayBuffer());
    assert.equal(reply.status, 200, `${method} ${path}: ${bytes.toString()}`);
    return bytes;
  }

  /** Something new, which may be there though nobody was told of it. */
  async #made({ hash, format }: Pick<Disk, 'hash' | 'format'>, act: () => Promise<string>): Promise<void> {
    this.disksAsked++;
    const ref = await act();
    this.disks.push({ ref, format, hash, gone: undefined });
    this.disksAsked--;
  }

  contents(disk: Disk): Promise<Buffer> {
    return this.#transfer('GET', `/export_raw_vdi?vdi=${disk.ref}&format=raw`);
  }

  async #write(disk: Disk): Promise<void> {
    const bytes = Buffer.alloc(SIZE);
    for (let i = this.#below(8); i >= 0; i--) bytes.fill(this.#below(256), this.#below(SIZE), SIZE);
    disk.hash = undefined;
    await this.#transfer('PUT', `/import_raw_vdi?vdi=${disk.ref}&format=raw&task_id=`, bytes);
    disk.hash = hashOf(bytes);
  }

  async #destroy(disk: Disk): Promise<void> {
    disk.gone = false;
    await this.#call('VDI.destroy', disk.ref);
    disk.gone = true;
  }

  /** Another machine, with a copy of the disk; so have its snapshots, of which there are `snapshots`. */
  async #copied({ hash, format }: Disk, act: () => Promise<string>, snapshots = 0): Promise<void> {
    this.machinesAsked += 1 + snapshots;
    this.disksAsked += 1 + snapshots;
    const vm = await act();
    for (const each of [vm, ...(snapshots > 0 ? await this.#call('VM.get_snapshots', vm) : [])]) {
      this.machines.push({ ref: each, gone: undefined });
      const [vbd]: string[] = await this.#call('VM.get_VBDs', each);
      this.disks.push({ ref: await this.#call('VBD.get_VDI', vbd), format, hash, gone: undefined });
    }
    this.machinesAsked -= 1 + snapshots;
    this.disksAsked -= 1 + snapshots;
  }

  /** A machine with this disk runs, is frozen, goes out and comes in again. */
  async #machine(disk: Disk): Promise<void> {
    this.machinesAsked++;
    const vm: string = await this.#call('VM.create', { ...VM_RECORD, name_label: 'durable' });
    const machine: Machine = { ref: vm, gone: undefined };
    this.machines.push(machine);
    this.machinesAsked--;
    const vbd: string = await this.#call('VBD.create', driveRecord(vm, disk.ref));
    await this.#call('VM.start', vm, false, false);
    // A raw disk shares nothing, and is not copied while it is in use.
    if (disk.format !== 'raw' && this.#below(2) === 0)
      await this.#made(disk, () => this.#call('VDI.snapshot', disk.ref, {}));
    else if (disk.format !== 'raw') await this.#copied(disk, () => this.#call('VM.snapshot', vm, 'durable'));
    await this.#call('VM.hard_shutdown', vm);
    if (this.#below(3) === 0) await this.#copied(disk, () => this.#call('VM.clone', vm, 'durable'));
    if (this.#below(2) === 0) {
      const archive = await this.#transfer('GET', `/export?ref=${vm}`);
      const { length }: string[] = await this.#call('VM.get_snapshots', vm);
      const come = async (): Promise<string> => {
        const value = (await this.#transfer('PUT', '/import?task_id=', archive)).toString();
        return /OpaqueRef:[0-9a-f-]+/.exec(value)?.[0] ?? assert.fail(value);
      };
      await this.#copied(disk, come, length);
    }
    await this.#call('VBD.destroy', vbd);
    machine.gone = false;
    await this.#call('VM.destroy', vm);
    machine.gone = true;
  }

  async #step(): Promise<void> {
    const there = this.disks.filter(({ gone }) => gone === undefined);
    const disk = there[this.#below(there.length || 1)];
    if (there.length >= MAX_DISKS) return this.#destroy(disk);
    if (!disk || this.#below(8) === 0) {
      const format = FORMATS[this.#below(FORMATS.length)];
      return this.#made({ hash: ZEROS, format }, () => this.#call('VDI.create', diskRecord(this.#sr, SIZE, { sm_config: { 'image-format': format } }))); // prettier-ignore
    }
    switch (this.#below(9)) {
      case 0:
        return this.#made(disk, () => this.#call('VDI.snapshot', disk.ref, {}));
      case 1:
        return this.#made(disk, () => this.#call('VDI.clone', disk.ref, {}));
      case 2:
        return this.#made(disk, () => this.#call('VDI.copy', disk.ref, this.#sr, 'OpaqueRef:NULL', 'OpaqueRef:NULL'));
      case 3:
        return this.#destroy(disk);
      case 4:
        return this.#machine(disk);
      case 5: {
        const { hash } = disk;
        assert.equal(hashOf(await this.contents(disk)), hash, 'a disk has other contents');
        return;
      }
      case 6:
        return this.#through(disk, there[this.#below(there.length)]);
      default:
        return this.#write(disk);
    }
  }

  /** One disk's contents into another, as an image. */
  async #through(from: Disk, to: Disk): Promise<void> {
    const format = this.#below(2) === 0 ? 'qcow2' : 'vhd';
    const { hash } = from;
    const image = await this.#transfer('GET', `/export_raw_vdi?vdi=${from.ref}&format=${format}`);
    to.hash = undefined;
    await this.#transfer('PUT', `/import_raw_vdi?vdi=${to.ref}&format=${format}&task_id=`, image);
    to.hash = hash;
  }

  /** Until the host has gone. */
  async run(session: string, sr: string): Promise<void> {
    this.#session = session;
    this.#sr = sr;
    for (;;) {
      await this.#step();
      this.operations++;
    }
  }

  /** What there is after a kill is what was acknowledged, or what was asked for. */
  async compare(session: string, vdis: Records, vms: Records): Promise<void> {
    this.#session = session;
    for (const [list, records] of [[this.disks, vdis], [this.machines, vms]] as const) // prettier-ignore
      for (const each of list.splice(0)) {
        if (each.gone === true) assert.ok(!records[each.ref], `${each.ref} was destroyed`);
        else if (each.gone === undefined) assert.ok(records[each.ref], `${each.ref} is gone`);
        if (records[each.ref]) (list as (Disk | Machine)[]).push({ ...each, gone: undefined });
      }
    for (const disk of this.disks) {
      const now = hashOf(await this.contents(disk));
      // What was being written has something of both.
      if (disk.hash !== undefined) assert.equal(now, disk.hash, `${disk.ref} has other contents`);
      disk.hash = now;
    }
  }
}

type Records = Record<string, { [field: string]: unknown }>;

export class Disks {
  readonly #host: Simulated;
  readonly #clients: Client[];

  constructor(host: Simulated, clients: number, generator: (seed: number) => (n: number) => number) {
    this.#host = host;
    this.#clients = Array.from({ length: clients }, (_, n) => new Client(host, generator(4000 + n)));
  }

  get operations(): number {
    return this.#clients.reduce((sum, { operations }) => sum + operations, 0);
  }

  async #sr(session: string): Promise<string> {
    const [pool]: string[] = await rpc(this.#host.plain, 'pool.get_all', session);
    return rpc(this.#host.plain, 'pool.get_default_SR', session, pool);
  }

  async load(session: string): Promise<(() => Promise<void>)[]> {
    const sr = await this.#sr(session);
    return this.#clients.map((client) => () => client.run(session, sr));
  }

  /** Of which nothing was acknowledged, but no more than were asked for; they are whole and go when they are told to. */
  async #unknown(session: string, name: string, records: Records, known: Set<string>, asked: number): Promise<void> {
    const unknown = Object.entries(records).filter(([ref, { managed }]) => !known.has(ref) && managed !== false);
    assert.ok(
      unknown.length <= asked,
      `${unknown.length} ${name}s that nobody has asked for: ${JSON.stringify(unknown)}`,
    );
    for (const [ref] of unknown) await rpc(this.#host.plain, `${name}.destroy`, session, ref);
  }

  /** After a start. */
  async compare(session: string): Promise<void> {
    const call = (method: string, ...params: unknown[]): Promise<never> =>
      rpc(this.#host.plain, method, session, ...params);
    const all = async (name: string): Promise<Records> => call(`${name}.get_all_records`);
    const [vms, vbds, vdis] = [await all('VM'), await all('VBD'), await all('VDI')];
    for (const [ref, vm] of Object.entries(vms)) {
      if (vm.is_control_domain === true) continue;
      const state = [vm.power_state, vm.domid, vm.resident_on, vm.current_operations];
      assert.deepEqual(state, ['Halted', -1, 'OpaqueRef:NULL', {}], ref);
    }
    for (const [ref, vbd] of Object.entries(vbds)) assert.equal(vbd.currently_attached, false, ref);
    for (const [ref, vdi] of Object.entries(vdis)) {
      const state = [vdi.storage_lock, vdi.missing, vdi.current_operations];
      assert.deepEqual(state, [false, false, {}], `${ref} ${JSON.stringify(vdi)}`);
    }
    for (const client of this.#clients) await client.compare(session, vdis, vms);
    const sum = (of: (client: Client) => number): number =>
      this.#clients.reduce((total, client) => total + of(client), 0);
    const refs = (of: (client: Client) => { ref: string }[]) =>
      new Set(this.#clients.flatMap(of).map(({ ref }) => ref));
    const machines = Object.fromEntries(Object.entries(vms).filter(([, vm]) => vm.name_label === 'durable'));
    await this.#unknown(session, 'VM', machines, refs((client) => client.machines), sum((client) => client.machinesAsked)); // prettier-ignore
    await this.#unknown(
      session,
      'VDI',
      vdis,
      refs((client) => client.disks),
      sum((client) => client.disksAsked),
    );
    for (const client of this.#clients) client.disksAsked = client.machinesAsked = 0;
    // Machines stay for their disks' sake no longer.
    for (const client of this.#clients) for (const { ref } of client.machines.splice(0)) await call('VM.destroy', ref);
    await this.#settled(session, await this.#sr(session));
  }

  /** Files and records are the same, and every hidden disk is needed by another, when the background has done its work. */
  async #settled(session: string, sr: string): Promise<void> {
    const uuid: string = await rpc(this.#host.plain, 'SR.get_uuid', session, sr);
    const folder = join(xenapiPaths(this.#host.state).storage, uuid);
    const differences = async (): Promise<string[]> => {
      const records: Records = await rpc(this.#host.plain, 'VDI.get_all_records', session);
      const mine = Object.values(records).filter(({ SR }) => SR === sr);
      const locations = new Set(mine.map(({ location }) => location as string));
      const files = readdirSync(folder);
      const parents = new Set(mine.map(({ sm_config }) => (sm_config as Record<string, string>)['vhd-parent']));
      return [
        ...files.filter((name) => !locations.has(name)).map((name) => `the file ${name} is no disk`),
        ...[...locations].filter((name) => !files.includes(name)).map((name) => `the disk ${name} has no file`),
        ...mine.filter((vdi) => vdi.managed === false && !parents.has(vdi.uuid as string)).map((vdi) => `nobody needs the hidden disk ${vdi.location as string}`),
      ]; // prettier-ignore
    };
    const late = Date.now() + SETTLED_MS;
    for (let found = await differences(); found.length > 0; found = await differences()) {
      assert.ok(Date.now() < late, found.join('; '));
      await sleep(50);
    }
    for (const name of readdirSync(folder)) if (name.endsWith('.qcow2')) await this.#sound(join(folder, name), late);
  }

  /** The background may be writing it, or take it away, meanwhile: then it is looked at again. */
  async #sound(path: string, late: number): Promise<void> {
    for (;;) {
      try {
        const { errors, error_count } = await check_image(path, { format: 'qcow2', lock: false });
        if (error_count === 0) return;
        assert.ok(Date.now() < late, `${path}: ${errors.join('; ')}`);
      } catch (error) {
        if (!existsSync(path)) return;
        throw error;
      }
      await sleep(100);
    }
  }

  /** At the end: all disks go, and nothing is left of them. */
  async clear(session: string): Promise<void> {
    for (const client of this.#clients)
      for (const { ref } of client.disks.splice(0)) await rpc(this.#host.plain, 'VDI.destroy', session, ref);
    const sr = await this.#sr(session);
    await this.#settled(session, sr);
    assert.deepEqual(await rpc(this.#host.plain, 'SR.get_VDIs', session, sr), []);
  }
}
