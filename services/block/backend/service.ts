// The block service from the control side: its domain, its worker under a supervisor, and the devices it serves.
import type { Machine } from '../../../platform/machine.ts';
import { FrontRings, type FrontRing } from '../../lib/front_rings.ts';
import { Hypercalls } from '../../lib/hypercalls.ts';
import { Supervisor } from '../../lib/supervisor.ts';
import type { DeviceOptions } from './device.ts';
import type { DeviceFacts, FromWorker, ImageOptions, Order } from './messages.ts';
import type { RingDescription } from './ring.ts';
import { ringEntries, type Abi } from '../protocol/blkif.ts';

export const BLOCK_DOMID = 0x7f03;
const OWN_PAGES = 64;
/** For requests' bytes; that much is under way at most. */
const HEAP = 16 << 20;

export interface BlockDevice {
  readonly id: number;
  readonly image: ImageOptions;
  readonly options: DeviceOptions;
  size: number;
  /** Its image is not open: somebody changes what is behind it. */
  held: boolean;
  readonly rings: Map<number, { ring: FrontRing; description: RingDescription }>;
  /** Called when its front end has broken the protocol. */
  onBroken: (why: string) => void;
}

export class BlockService {
  readonly supervisor: Supervisor<Order, DeviceFacts | null>;
  readonly #rings: FrontRings;
  readonly #devices = new Map<number, BlockDevice>();
  readonly #log: (text: string) => void;
  #next = 1;

  constructor(machine: Machine, dom0: Hypercalls, log: (text: string) => void) {
    const domain = machine.workerService(BLOCK_DOMID, {}, 0, OWN_PAGES);
    this.#log = log;
    this.#rings = new FrontRings(new Hypercalls(domain.mailbox), dom0, OWN_PAGES);
    const file = new URL('./worker.ts', import.meta.url);
    this.supervisor = new Supervisor('block', domain, file, HEAP, {
      restore: (call) => this.#restore(call),
      heard: (message) => this.#heard(message as FromWorker),
      log,
    });
  }

  async #restore(call: (order: Order) => Promise<DeviceFacts | null>): Promise<void> {
    const devices = [...this.#devices.values()];
    await Promise.all(
      devices.map(async (device) => {
        const { id, image, options, held } = device;
        try {
          // All at once: on a busy machine each answer that is waited for costs a turn of the processor.
          const rings = [...device.rings.values()].map(({ description }) => description);
          const due = [call({ order: 'open', device: id, image, options, held })];
          for (const ring of rings) due.push(call({ order: 'attach', ring }));
          await Promise.all(due);
        } catch (error) {
          const why = `its image cannot be opened again: ${(error as Error).message}`;
          this.#log(`block device ${image.path}: ${why}`);
          device.onBroken(why);
        }
      }),
    );
  }

  #heard(message: FromWorker): void {
    if ('broken' in message) {
      for (const device of this.#devices.values()) if (device.rings.has(message.broken)) device.onBroken(message.why);
    } else if ('report' in message) this.#log(`block service: ${message.report}`);
  }

  /** Opens an image; throws OrderError, whose message is a sentence. */
  async open(image: ImageOptions, options: DeviceOptions): Promise<BlockDevice> {
    const id = this.#next++;
    const facts = await this.supervisor.call({ order: 'open', device: id, image, options, held: false });
    const device = { id, image, options, size: facts!.size, held: false, rings: new Map(), onBroken: () => {} };
    this.#devices.set(id, device);
    return device;
  }

  async close(device: BlockDevice): Promise<void> {
    for (const ring of [...device.rings.keys()]) await this.detach(device, ring);
    if (!this.#devices.has(device.id)) return;
    await this.supervisor.call({ order: 'close', device: device.id }).finally(() => this.#devices.delete(device.id));
  }

  /** Finishes what is under way and closes the image; the guest's requests wait until it is resumed. */
  async hold(device: BlockDevice): Promise<void> {
    device.held = true;
    await this.supervisor.call({ order: 'hold', device: device.id });
  }

  /** Opens what now is under the image's name, and goes on. */
  async resume(device: BlockDevice): Promise<void> {
    const { id, image } = device;
    const call = this.supervisor.call({ order: 'resume', device: id, image });
    const facts = await call.finally(() => (device.held = false));
    if (facts) device.size = facts.size;
  }

  async resize(device: BlockDevice, size: number): Promise<void> {
    device.size = (await this.supervisor.call({ order: 'resize', device: device.id, size }))!.size;
  }

  /** Serves a ring of a front end's; throws GrantError or XenError if it cannot be had. */
  async attach(device: BlockDevice, domid: number, grefs: readonly number[], port: number, abi: Abi): Promise<void> {
    const entries = ringEntries(abi, grefs.length);
    const shape = { entries, entrySize: abi.entry, answerSize: abi.answer };
    const ring = this.#rings.open(domid, grefs, port, shape);
    const id = this.#next++;
    const description = { id, device: device.id, domid, port: ring.port, at: ring.at, abi };
    device.rings.set(id, { ring, description });
    await this.supervisor.call({ order: 'attach', ring: description });
  }

  /** What is under way is finished first. */
  async detach(device: BlockDevice, id: number): Promise<void> {
    const found = device.rings.get(id);
    if (!found) return;
    await this.supervisor.call({ order: 'detach', ring: id });
    device.rings.delete(id);
    this.#rings.close(found.ring);
  }

  /** How many devices it serves. */
  get devices(): number {
    return this.#devices.size;
  }

  stop(): Promise<void> {
    return this.supervisor.stop();
  }
}
