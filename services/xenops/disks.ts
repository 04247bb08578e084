// The guests' disks: images opened by the block service, devices laid out in the store, and their end.
import type { Machine } from '../../platform/machine.ts';
import { BLOCK_DOMID, BlockService, type BlockDevice } from '../block/backend/service.ts';
import { ABI_32, ABI_64 } from '../block/protocol/blkif.ts';
import type { DomainDescription } from '../xenstore/domain_tree.ts';
import type { ImageOptions } from '../block/backend/messages.ts';
import { Vbd } from '../block/backend/vbd.ts';
import type { Limits } from '../block/backend/limiter.ts';
import type { Hypercalls } from '../lib/hypercalls.ts';
import { backPath, frontPath, XenbusBackend, type Address } from '../xenbus/backend.ts';
import { writeDevice } from '../xenbus/devices.ts';
import type { Store } from '../xenstore/protocol/store.ts';
import { Devices, type Attached } from './devices.ts';

export interface DiskOptions {
  /** `xvda`. */
  vdev: string;
  /** Its number (xen-vbd-interface(7)), which is the device's in the store. */
  number: number;
  image: ImageOptions;
  cdrom: boolean;
  discard: boolean;
  sectorSize: number;
  limits?: Limits;
  /** What becomes of the guest's writes when the disk below is full; an error unless said. */
  whenFull?: 'error' | 'wait';
}

/** An image that is open, for a device to come. */
export interface OpenDisk {
  readonly options: DiskOptions;
  readonly device: BlockDevice;
}

export interface Attachment {
  bootable: boolean;
  guest: Pick<DomainDescription, 'type' | 'bits'>;
}

interface Disk extends OpenDisk, Attached {
  readonly vbd: Vbd;
}

/** What `xl block-list` shows. */
export interface DiskFacts {
  number: number;
  vdev: string;
  backend: number;
  state: number;
  evtchn: string;
  ringRef: string;
  path: string;
  target: string;
}

export class Disks extends Devices<Disk, BlockService> {
  constructor(machine: Machine, dom0: Hypercalls, store: Store) {
    super(machine, dom0, store, { domid: BLOCK_DOMID, name: 'block' });
  }

  protected override make(): BlockService {
    return new BlockService(this.machine, this.dom0, (text) => this.log(text));
  }

  protected override letGo({ device }: Disk): Promise<void> {
    return this.#close(device);
  }

  /** Opens images, all or none. Throws OrderError: its message is a sentence. */
  async open(list: readonly DiskOptions[]): Promise<OpenDisk[]> {
    if (list.length === 0) return [];
    // Whoever opens an image that is on its way out waits for it.
    await this.settled();
    const { service } = this.start();
    const opened: OpenDisk[] = [];
    try {
      for (const options of list) {
        const { image, discard, sectorSize, limits, whenFull } = options;
        const how = { discard, sectorSize, ...(limits && { limits }), ...(whenFull && { whenFull }) };
        opened.push({ options, device: await service.open(image, how) });
      }
      return opened;
    } catch (error) {
      await this.release(opened);
      throw error;
    }
  }

  /** Closes images that no device was made of. */
  async release(list: readonly OpenDisk[]): Promise<void> {
    for (const { device } of list) await this.#close(device);
  }

  #close(device: BlockDevice): Promise<void> {
    const { service } = this;
    return service ? this.ending(service.close(device), `${device.image.path}: closing it failed`) : Promise.resolve();
  }

  /** Gives a guest the disk. Its driver finds it at its next look. */
  attach(domid: number, { options, device }: OpenDisk, { bootable, guest }: Attachment): void {
    const { service, client } = this.start();
    const address: Address = { backend: BLOCK_DOMID, frontend: domid, kind: 'vbd', device: options.number };
    const { image, cdrom, discard } = options;
    const type = image.format === 'raw' ? 'phy' : 'qdisk';
    const writable = image.readonly ? 'r' : 'w';
    writeDevice(this.client, {
      address,
      back: {
        params: type === 'phy' ? image.path : `${image.format}:${image.path}`,
        removable: cdrom ? 1 : 0,
        bootable: bootable ? 1 : 0,
        dev: options.vdev,
        ...{ type, mode: writable, 'device-type': cdrom ? 'cdrom' : 'disk' },
        'discard-enable': discard ? 1 : 0,
        specification: 'xen',
      },
      backOnly: { 'hotplug-status': 'connected' },
      front: {
        'virtual-device': options.number,
        // Linux takes a PVH guest for an HVM one here, and leaves its CD drives to an IDE driver; what is behind `info` says that it is one.
        'device-type': cdrom && guest.type !== 'pvh' ? 'cdrom' : 'disk',
        trusted: 1,
        protocol: (guest.bits === 32 ? ABI_32 : ABI_64).name,
      },
    });
    const vbd = new Vbd(service, device, { frontend: domid, cdrom });
    const backend = new XenbusBackend(client, address, vbd);
    const gone = new Promise<void>((resolve) => (backend.onGone = resolve));
    device.onBroken = (why) => {
      this.log(`domain ${domid} ${options.vdev}: its front end is served no more: ${why}`);
      backend.fail(why);
    };
    this.keep(domid, options.number, { options, device, address, backend, vbd, gone });
  }

  find(domid: number, number: number): DiskOptions | undefined {
    return this.get(domid, number)?.options;
  }

  /** Its size in bytes; undefined: there is no such disk. */
  size(domid: number, number: number): number | undefined {
    return this.get(domid, number)?.device.size;
  }

  /**
   * Does something with the images of disks that guests use while nobody has them open; the guests wait. Whatever happens they go on,
   * with what is then under the images' names.
   */
  async whileHeld<T>(disks: readonly { domid: number; number: number }[], act: () => Promise<T>): Promise<T> {
    const { service } = this;
    const devices = disks.flatMap(({ domid, number }) => this.get(domid, number)?.device ?? []);
    const resume = async (device: BlockDevice): Promise<void> => {
      try {
        await service!.resume(device);
      } catch (error) {
        this.log(`${device.image.path} cannot be opened again: ${(error as Error).message}`);
        device.onBroken((error as Error).message);
      }
    };
    const held: BlockDevice[] = [];
    try {
      for (const device of devices) {
        held.push(device);
        await service!.hold(device);
      }
      return await act();
    } finally {
      await Promise.all(held.map(resume));
    }
  }

  /** A new size, which the guest hears of. Throws OrderError, whose message is a sentence. */
  async resize(domid: number, number: number, size: number): Promise<void> {
    const disk = this.get(domid, number);
    if (!disk) throw new Error(`domain ${domid} has no disk ${number}`);
    await this.service!.resize(disk.device, size);
    if (!disk.backend.connected) return;
    disk.backend.publish(disk.vbd.facts());
    disk.backend.announce();
  }

  list(domid: number): DiskFacts[] {
    return this.of(domid).map(([, { address, options }]) => {
      const front = (name: string): string => this.client.find(`${frontPath(address)}/${name}`) ?? '';
      return {
        number: options.number,
        vdev: options.vdev,
        backend: address.backend,
        state: Number(front('state') || 0),
        evtchn: front('event-channel'),
        ringRef: front('ring-ref'),
        path: backPath(address),
        target: options.image.path,
      };
    });
  }
}
