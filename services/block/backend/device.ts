// A block device in the service's worker: its image, and in which order requests of all its rings are carried out.
import { setTimeout as sleep } from 'node:timers/promises';
import { ImageError, type DiskImage } from '../image/image.ts';
import { Limiter, type Limits } from './limiter.ts';
import { SECTOR } from '../protocol/blkif.ts';
import { EOPNOTSUPP, ERROR, OKAY, type Pending, type Ring } from './ring.ts';

export interface DeviceOptions {
  discard: boolean;
  /** Of the sectors that the guest is told of. */
  sectorSize: number;
  limits?: Limits;
  /** What becomes of a write when the disk below is full: the guest gets an error, or waits until there is room. */
  whenFull?: 'error' | 'wait';
}

/** A full disk is tried again so often. */
const RETRY_MS = 250;

/** Requests done as one are no longer, so that what they are made of is shared among the system's threads. */
const MOST_MERGED = 512 << 10;

/** What the worker does for a device. */
export interface Carrier {
  /** The bytes of a request's place in the heap. */
  bytes(pending: Pending): Uint8Array;
  /** It is over: its bytes go to the guest, if it read, and its answer into the ring. */
  done(pending: Pending, status: number): void;
  report(text: string): void;
}

export class Device {
  /** Of its image. */
  readonly #path: string;
  readonly options: DeviceOptions;
  readonly #carrier: Carrier;
  /** Undefined: it is somebody else's for a while, or could not be had again. */
  #image: DiskImage | undefined;
  #away = true;
  /** Called when nothing is under way any more. */
  #idle: (() => void) | undefined;
  /** Requests that the image is at work on. */
  #running = 0;
  /** A barrier waits for all before it, and all behind it wait for the barrier. */
  #queue: Pending[] = [];
  #barrier = false;
  readonly limiter: Limiter | undefined;
  /** Taken, and not begun yet. */
  readonly waiting: Pending[] = [];
  /** When something waited last, and what it may begin still: the engine's. */
  turn = 0;
  credit = 0;
  /** Bytes of the heap that its requests have. */
  held = 0;
  /** Those for which there was no room. */
  #kept: Pending[] = [];
  #full = false;

  /** Its image comes with `resume`. */
  constructor(path: string, options: DeviceOptions, carrier: Carrier) {
    if (options.limits) this.limiter = new Limiter(options.limits);
    this.#path = path;
    this.options = options;
    this.#carrier = carrier;
  }

  /** Its image comes, or comes back, later: what is asked of it waits. */
  get away(): boolean {
    return this.#away;
  }

  /** Bytes. */
  get size(): number {
    return this.#image?.size ?? 0;
  }

  /** Lets the image go when all that is under way is done; what comes waits, and so does what waits for room. */
  async hold(): Promise<void> {
    if (this.#away) return;
    this.#away = true;
    if (this.#running > this.#kept.length) await new Promise<void>((resolve) => (this.#idle = resolve));
    const image = this.#image;
    this.#image = undefined;
    await image?.close();
  }

  /** Goes on with this image. */
  resume(image: DiskImage): void {
    const { sectorSize } = this.options;
    if (image.size % sectorSize !== 0)
      throw new ImageError('range', `its size of ${image.size} bytes is no multiple of its sectors of ${sectorSize}.`); // prettier-ignore
    this.#image = image;
    this.#away = false;
    this.#next();
  }

  /** There is no image to go on with: all that waits gets an error. */
  lose(): void {
    this.#away = false;
    this.#next();
  }

  async resize(size: number): Promise<void> {
    if (!this.#image) throw new ImageError('closed', 'it is not open just now: try again in a moment.');
    await this.#image.resize(size);
  }

  async close(): Promise<void> {
    await this.#image?.close();
  }

  /** May such a request be made at all? The answer's status, or undefined. Before any of its bytes are fetched. */
  refusal(sector: number, length: number, writes: boolean): number | undefined {
    const [at, { sectorSize }] = [sector * SECTOR, this.options];
    if (at % sectorSize !== 0 || length % sectorSize !== 0) return ERROR;
    // Of one that waits for its image the image says it.
    if (!this.#image) return this.#away ? undefined : ERROR;
    if (writes && this.#image.readonly) return ERROR;
    return at + length > this.#image.size ? ERROR : undefined;
  }

  /** Requests in the order in which they were taken; their bytes, if they write any, are in the heap. Those that lie one behind the other are done as one. */
  submit(list: readonly Pending[]): void {
    let run: Pending[] = [];
    let bytes = 0;
    for (const pending of list) {
      const last = run.at(-1);
      if (last && (bytes + pending.length > MOST_MERGED || !follows(last, pending))) {
        this.#submit(run);
        [run, bytes] = [[], 0];
      }
      run.push(pending);
      bytes += pending.length;
    }
    if (run.length > 0) this.#submit(run);
  }

  #submit(run: readonly Pending[]): void {
    if (this.#away || this.#barrier || this.#queue.length > 0) this.#queue.push(...run);
    else if (run.length > 1 && this.#image) this.#startMany(this.#image, run);
    else for (const pending of run) this.#start(pending);
  }

  #startMany(image: DiskImage, run: readonly Pending[]): void {
    this.#running += run.length;
    const buffers = run.map((pending) => this.#carrier.bytes(pending));
    const [first] = run as [Pending];
    const at = 'sector' in first.request ? first.request.sector * SECTOR : 0;
    const work = writes(first) ? image.write(at, buffers) : image.read(at, buffers);
    work.then(
      () => run.forEach((pending) => this.#end(pending, OKAY)),
      // Which of them it was is found out one by one.
      () => {
        this.#running -= run.length;
        for (const pending of run) this.#start(pending);
      },
    );
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
    void this.#attempt(pending);
  }

  #attempt(pending: Pending): Promise<void> {
    return this.#carryOut(pending).then(
      () => this.#end(pending, OKAY),
      (error: Error & { kind?: string }) => {
        if (error.kind === 'no_space' && this.#keep(pending)) return;
        if (error.kind !== 'range' && this.#image) this.#carrier.report(`${this.#path}: ${error.message}`);
        this.#end(pending, pending.request.op === 'discard' && error.kind === 'unsupported' ? EOPNOTSUPP : ERROR);
      },
    );
  }

  /** Keeps it until there is room, if that is what is wanted and its front end is still there. */
  #keep(pending: Pending): boolean {
    if (this.options.whenFull !== 'wait' || pending.ring.stopped) return false;
    this.#kept.push(pending);
    this.#lookIdle();
    if (this.#full) return true;
    this.#full = true;
    this.#carrier.report(`${this.#path}: the disk is full; the guest's writes wait until there is room.`);
    void this.#untilRoom();
    return true;
  }

  async #untilRoom(): Promise<void> {
    while (this.#kept.length > 0) {
      await sleep(RETRY_MS);
      if (!this.#away) await Promise.all(this.#kept.splice(0).map((pending) => this.#attempt(pending)));
    }
    this.#full = false;
    this.#carrier.report(`${this.#path}: no write waits for room any more.`);
  }

  /** The ring goes: what is kept for it gets an error. */
  giveUp(ring: Ring): void {
    const kept = this.#kept.filter((pending) => pending.ring === ring);
    this.#kept = this.#kept.filter((pending) => pending.ring !== ring);
    for (const pending of kept) this.#end(pending, ERROR);
  }

  #end(pending: Pending, status: number): void {
    this.#running--;
    if (pending.request.op === 'barrier') this.#barrier = false;
    this.#carrier.done(pending, status);
    this.#lookIdle();
    this.#next();
  }

  /** Those that wait for room are not under way. */
  #lookIdle(): void {
    if (this.#running === this.#kept.length) this.#idle?.();
  }

  #next(): void {
    const queue = this.#queue;
    while (queue.length > 0 && !this.#barrier && !this.#away) {
      if (queue[0]!.request.op === 'barrier' && this.#running > 0) return;
      this.#start(queue.shift()!);
    }
  }

  async #carryOut(pending: Pending): Promise<void> {
    const image = this.#image;
    if (!image) throw new ImageError('closed', 'it is not open.');
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

/** Does the second one go on where the first one ends, in the same direction? */
function follows(first: Pending, second: Pending): boolean {
  const [a, b] = [first.request, second.request];
  if (!('sector' in a && 'sector' in b) || a.op === 'discard' || b.op === 'discard') return false;
  if (a.op === 'barrier' || b.op === 'barrier') return false;
  return writes(first) === writes(second) && a.sector * SECTOR + first.length === b.sector * SECTOR;
}
