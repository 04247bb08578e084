// A host with disks and front ends of ours (front.ts), for the block service's tests.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { Host } from '../../services/xenops/host.ts';
import type { DiskOptions } from '../../services/xenops/disks.ts';
import { FrontDisk, FrontDomain, type FrontOptions } from './front.ts';

export class BlockBed {
  readonly folder = mkdtempSync(join(tmpdir(), 'xenolith-block-'));
  readonly machine = new Machine({ memory: 64 << 20, translate: false }, loadCore());
  readonly host = new Host(this.machine);
  readonly log: string[] = [];

  constructor() {
    this.machine.onFailure((error) => {
      throw error;
    });
    this.host.disks.log = (text) => void this.log.push(text);
  }

  /** An image of `size` bytes, each sector with its number at its beginning. */
  image(name: string, size: number): string {
    const path = join(this.folder, name);
    const bytes = new Uint8Array(size);
    const v = new DataView(bytes.buffer);
    for (let at = 0; at < size; at += 512) v.setUint32(at, at / 512, true);
    writeFileSync(path, bytes);
    return path;
  }

  contents(name: string): Uint8Array {
    return readFileSync(join(this.folder, name));
  }

  domain(domid: number): FrontDomain {
    return new FrontDomain(this.host, domid);
  }

  /** Gives the domain a disk. */
  async attach(domain: FrontDomain, path: string, more: Partial<DiskOptions> & FrontOptions): Promise<FrontDisk> {
    const { number, abi, order, queues, nodes, ...options } = more;
    const [open] = await this.host.disks.open([
      {
        ...{ vdev: `d${number}`, number, cdrom: false, discard: true, sectorSize: 512 },
        image: { path, format: 'raw', readonly: false },
        ...options,
      },
    ]);
    this.host.disks.attach(domain.domid, open!, { bootable: false, guest: { type: 'pv' } });
    const front = { number, ...(abi && { abi }), ...(order !== undefined && { order }), ...(queues && { queues }) };
    return new FrontDisk(domain, { ...front, ...(nodes && { nodes }) });
  }

  async close(): Promise<void> {
    await this.host.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
