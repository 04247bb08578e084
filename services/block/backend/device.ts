// A block device in the service's worker: its image, and in which order requests of all its rings are carried out.
import type { DiskImage } from '../image/image.ts';
import { SECTOR } from '../protocol/blkif.ts';
import { EOPNOTSUPP, ERROR, OKAY, type Pending } from './ring.ts';

export interface DeviceOptions {
  discard: boolean;
  /** Of the sectors that the guest is told of. */
  sectorSize: number;
}

/** What the worker does for a device. */
export interface Carrier {
  /** The bytes of a request's place in the heap. */
  bytes(pending: Pending): Uint8Array;
  /** It is over: its bytes go to the guest, if it read, and its answer into the ring. */
  done(pending: Pending, status: number): void;
  report(text: string): void;
}

export class Device {
  readonly image: DiskImage;
  readonly options: DeviceOptions;
  readonly #carrier: Carrier;
  /** Requests that the image is at work on. */
  #running = 0;
  /** A barrier waits for all before it, and all behind it wait for the barrier. */
  #queue: Pending[] = [];
  #barrier = false;

  constructor(image: DiskImage, options: DeviceOptions, carrier: Carrier) {
    this.image = image;
    this.options = options;
    this.#carrier = carrier;
  }

  /** May such a request be made at all? The answer's status, or undefined. Before any of its bytes are fetched. */
  refusal(sector: number, length: number, writes: boolean): number | undefined {
    const [at, { sectorSize }] = [sector * SECTOR, this.options];
    if (writes && this.image.readonly) return ERROR;
    if (at % sectorSize !== 0 || length % sectorSize !== 0) return ERROR;
    return at + length > this.image.size ? ERROR : undefined;
  }

  /** Its bytes, if it writes any, are in the heap. */
  submit(pending: Pending): void {
    if (this.#barrier || this.#queue.length > 0) {
      this.#queue.push(pending);
      return;
    }
    this.#start(pending);
  }

  #start(pending: Pending): void {
    if (pending.request.op === 'barrier') {
      if (this.#running > 0) {
        this.#queue.unshift(pending);
        return;
      }
      this.#barrier = true;
    }
    this.#running++;
    this.#carryOut(pending).then(
      () => this.#end(pending, OKAY),
      (error: Error & { kind?: string }) => {
        if (error.kind !== 'range') this.#carrier.report(error.message);
        this.#end(pending, pending.request.op === 'discard' && error.kind === 'unsupported' ? EOPNOTSUPP : ERROR);
      },
    );
  }

  #end(pending: Pending, status: number): void {
    this.#running--;
    if (pending.request.op === 'barrier') this.#barrier = false;
    this.#carrier.done(pending, status);
    const queue = this.#queue;
    while (queue.length > 0 && !this.#barrier) {
      if (queue[0]!.request.op === 'barrier' && this.#running > 0) return;
      this.#start(queue.shift()!);
    }
  }

  async #carryOut(pending: Pending): Promise<void> {
    const { image } = this;
    const { request } = pending;
    switch (request.op) {
      case 'read':
        return image.read(request.sector * SECTOR, [this.#carrier.bytes(pending)]);
      case 'write':
        return image.write(request.sector * SECTOR, [this.#carrier.bytes(pending)]);
      case 'indirect': {
        const bytes = [this.#carrier.bytes(pending)];
        return request.write ? image.write(request.sector * SECTOR, bytes) : image.read(request.sector * SECTOR, bytes);
      }
      case 'barrier':
        if (pending.length > 0) await image.write(request.sector * SECTOR, [this.#carrier.bytes(pending)]);
        return image.flush();
      case 'flush':
        return image.flush();
      case 'discard':
        return image.discard(request.sector * SECTOR, request.sectors * SECTOR);
      default:
        throw new Error(`request ${request.code} is none that can be carried out`);
    }
  }
}

/** Does the request bring bytes of the guest's? */
export const writes = ({ request }: Pending): boolean =>
  request.op === 'write' || request.op === 'barrier' || (request.op === 'indirect' && request.write);
export const reads = ({ request }: Pending): boolean =>
  request.op === 'read' || (request.op === 'indirect' && !request.write);
