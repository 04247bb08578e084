// A virtual block device on xenbus: what is offered, what a front end may choose, and how its rings are connected (public/io/blkif.h).
import { ANY_NUMBER, asFrontends, FrontendError, frontNumber, type Driver, type Read } from '../../xenbus/backend.ts';
import { abiOf, INFO, MAX_INDIRECT_SEGMENTS, MAX_QUEUES, MAX_RING_ORDER, SECTOR, type Abi } from '../protocol/blkif.ts';
import type { BlockDevice, BlockService } from './service.ts';

interface Queue {
  grefs: number[];
  port: number;
}

export interface VbdSettings {
  abi: Abi;
  queues: Queue[];
}

export interface VbdOptions {
  frontend: number;
  cdrom: boolean;
}

export class Vbd implements Driver<VbdSettings> {
  readonly #service: BlockService;
  readonly #device: BlockDevice;
  readonly #options: VbdOptions;

  constructor(service: BlockService, device: BlockDevice, options: VbdOptions) {
    this.#service = service;
    this.#device = device;
    this.#options = options;
  }

  features(): Record<string, string | number> {
    const { options, image } = this.#device;
    return {
      'max-ring-page-order': MAX_RING_ORDER,
      'multi-queue-max-queues': MAX_QUEUES,
      'feature-max-indirect-segments': MAX_INDIRECT_SEGMENTS,
      // Whoever has persistent grants copies all bytes himself, and here they are copied anyway (docs/design/services.md).
      'feature-persistent': 0,
      'feature-flush-cache': 1,
      'feature-barrier': 1,
      'feature-discard': options.discard && !image.readonly ? 1 : 0,
      'discard-granularity': 4096,
      'discard-alignment': 0,
      'discard-secure': 0,
    };
  }

  settings(read: Read): VbdSettings {
    const protocol = read('protocol');
    const abi = abiOf(protocol);
    if (!abi) throw new FrontendError(`protocol '${protocol}' is not known`);
    const order = frontNumber(read, 'ring-page-order', MAX_RING_ORDER, 0);
    const queues = frontNumber(read, 'multi-queue-num-queues', MAX_QUEUES, 1);
    if (queues === 0) throw new FrontendError('multi-queue-num-queues is 0');
    const many = read('multi-queue-num-queues') !== undefined && queues > 1;
    const pages = read('ring-page-order') === undefined ? undefined : 1 << order;
    return {
      abi,
      queues: Array.from({ length: queues }, (_, i) => {
        const name = (key: string): string => (many ? `queue-${i}/${key}` : key);
        const value = (key: string): number => frontNumber(read, name(key), ANY_NUMBER);
        const refs =
          pages === undefined || (pages === 1 && read(name('ring-ref')) !== undefined)
            ? [value('ring-ref')]
            : Array.from({ length: pages }, (_, page) => value(`ring-ref${page}`));
        return { grefs: refs, port: value('event-channel') };
      }),
    };
  }

  async connect({ abi, queues }: VbdSettings): Promise<Record<string, string | number>> {
    for (const { grefs, port } of queues)
      await asFrontends(() => this.#service.attach(this.#device, this.#options.frontend, grefs, port, abi));
    return this.facts();
  }

  /** What a front end reads once it is connected, and when a disk has grown. */
  facts(): Record<string, string | number> {
    const { size, options, image } = this.#device;
    const { cdrom } = this.#options;
    return {
      sectors: size / SECTOR,
      info: (cdrom ? INFO.CDROM | INFO.REMOVABLE : 0) | (image.readonly ? INFO.READONLY : 0),
      'sector-size': options.sectorSize,
      'physical-sector-size': options.sectorSize,
    };
  }

  async disconnect(): Promise<void> {
    for (const ring of [...this.#device.rings.keys()]) await this.#service.detach(this.#device, ring);
  }
}
