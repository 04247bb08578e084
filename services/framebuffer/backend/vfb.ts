// A frame buffer on xenbus (public/io/fbif.h). Its memory is the front end's, named by frame numbers: mapped here, and read when somebody looks.
import { XenError, type Hypercalls } from '../../lib/hypercalls.ts';
import type { PageService, Pumped, Served } from '../../lib/page_service.ts';
import type { RingPage } from '../../lib/ring_page.ts';
import type { Rect } from '../../rfb/protocol/messages.ts';
import { ANY_NUMBER, asFrontends, FrontendError, frontNumber, type Driver, type Read } from '../../xenbus/backend.ts';
import { EventRing } from '../protocol/events.ts';
import { frames, MAX_MEMORY, OUT_EVENTS, readDirectory, readEvent, readHeader, wrongMode, type Mode } from '../protocol/fbif.ts'; // prettier-ignore
import type { GuestScreen, Surface } from './screen.ts';

const PAGE = 4096;
/** Frames of the service's space, for each device so many. */
const MEMORY_AT = 0x100000;
const FRAMES = MAX_MEMORY / PAGE;
const MAX_FRAME = 2 ** 40;
const MIB = 1 << 20;

/** A frame buffer's memory, mapped. */
class Memory {
  readonly size: number;
  readonly #calls: Hypercalls;
  readonly #at: number;
  #mapped = 0;

  /** Throws XenError if the domain has no such frames; then none is mapped. */
  constructor(calls: Hypercalls, domid: number, list: readonly number[], size: number, at: number) {
    this.#calls = calls;
    this.#at = at;
    this.size = size;
    this.#mapped = list.length;
    try {
      calls.mapForeignFrames(domid, (i) => list[i]!, list.length, at);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  read(offset: number, length: number): Uint8Array {
    return this.#calls.mailbox.read(this.#at * PAGE + offset, length);
  }

  close(): void {
    for (let i = 0; i < this.#mapped; i++)
      try {
        this.#calls.unmap(this.#at + i, 1);
      } catch (error) {
        // Behind the first frame that could not be had there may be holes.
        if (!(error instanceof XenError)) throw error;
      }
    this.#mapped = 0;
  }
}

/** A mode of a frame buffer's memory. */
class View implements Surface {
  readonly #memory: Memory;
  readonly #mode: Mode;

  constructor(memory: Memory, mode: Mode) {
    this.#memory = memory;
    this.#mode = mode;
  }

  get width(): number {
    return this.#mode.width;
  }

  get height(): number {
    return this.#mode.height;
  }

  read({ x, y, width, height }: Rect): Uint8Array {
    const { stride, depth, offset } = this.#mode;
    const size = depth / 8;
    const out = new Uint8Array(4 * width * height);
    // All lines at once if most of them is wanted.
    const whole = width * size * 2 > stride;
    const start = offset + y * stride + x * size;
    const all = whole ? this.#memory.read(start, (height - 1) * stride + width * size) : undefined;
    for (let row = 0; row < height; row++) {
      const at = row * stride;
      const line = all?.subarray(at, at + width * size) ?? this.#memory.read(start + at, width * size);
      if (size === 4) out.set(line, 4 * width * row);
      else widen(line, out, 4 * width * row);
    }
    return out;
  }
}

/** Pixels of 5, 6 and 5 bits. */
function widen(line: Uint8Array, out: Uint8Array, to: number): void {
  for (let i = 0; i + 1 < line.length; i += 2, to += 4) {
    const pixel = line[i]! | (line[i + 1]! << 8);
    out[to] = Math.round(((pixel & 31) * 255) / 31);
    out[to + 1] = Math.round((((pixel >> 5) & 63) * 255) / 63);
    out[to + 2] = Math.round(((pixel >> 11) * 255) / 31);
  }
}

/** The page of a connected front end: its events become what viewers see. */
class Events implements Pumped {
  readonly again = false;
  readonly #ring: EventRing;
  readonly #screen: GuestScreen;
  readonly #memory: Memory;
  readonly #broken: (why: string) => void;
  #mode: Mode;

  constructor(page: RingPage, screen: GuestScreen, memory: Memory, mode: Mode, broken: (why: string) => void) {
    this.#ring = new EventRing(page, OUT_EVENTS);
    this.#screen = screen;
    this.#memory = memory;
    this.#mode = mode;
    this.#broken = broken;
  }

  pump(): boolean {
    const events = this.#ring.take();
    if (!events) {
      this.#broken('its indexes are impossible');
      return false;
    }
    for (const bytes of events) {
      const event = readEvent(bytes);
      if (event?.type === 'update') this.#screen.damaged(event);
      if (event?.type === 'resize' && !this.#resize(event.mode)) return false;
    }
    return events.length > 0;
  }

  #resize(mode: Mode): boolean {
    if (JSON.stringify(mode) === JSON.stringify(this.#mode)) return true;
    const wrong = wrongMode(mode, this.#memory.size);
    if (wrong) {
      this.#broken(wrong);
      return false;
    }
    this.#mode = mode;
    this.#screen.show(new View(this.#memory, mode));
    return true;
  }
}

export interface FramebufferSettings {
  frame: number;
  port: number;
  /** Of the front end's `unsigned long`. */
  long: 4 | 8;
}

export class FramebufferDriver implements Driver<FramebufferSettings> {
  /** xen-fbfront reads what is published once it is connected itself. */
  readonly twice = true;
  readonly #service: PageService;
  readonly #frontend: number;
  readonly #bits: 32 | 64;
  readonly #place: number;
  readonly #screen: GuestScreen;
  #served: Served | undefined;
  #memory: Memory | undefined;
  onBroken: (why: string) => void = () => {};

  /** `place`: which of the service's places for memory is this device's. */
  constructor(service: PageService, frontend: number, bits: 32 | 64, place: number, screen: GuestScreen) {
    this.#service = service;
    this.#frontend = frontend;
    this.#bits = bits;
    this.#place = place;
    this.#screen = screen;
  }

  features(): Record<string, string | number> {
    return { 'feature-resize': 1, 'request-update': 1, videoram: MAX_MEMORY / MIB };
  }

  settings(read: Read): FramebufferSettings {
    if (read('feature-update') !== '1') throw new FrontendError('feature-update is not set');
    const protocol = read('protocol') ?? `x86_${this.#bits}-abi`;
    if (protocol !== 'x86_64-abi' && protocol !== 'x86_32-abi')
      throw new FrontendError(`protocol '${protocol.slice(0, 20)}' is not known`);
    return {
      frame: frontNumber(read, 'page-ref', MAX_FRAME),
      port: frontNumber(read, 'event-channel', ANY_NUMBER),
      long: protocol === 'x86_64-abi' ? 8 : 4,
    };
  }

  async connect({ frame, port, long }: FramebufferSettings): Promise<Record<string, string | number>> {
    this.#served = await asFrontends(() =>
      this.#service.attach(this.#frontend, { frame }, port, (page) => this.#take(page, long)),
    );
    return {};
  }

  /** The page is read once: what is checked is what is used. */
  #take(page: RingPage, long: 4 | 8): Pumped {
    const { mode, memory: size } = readHeader(page);
    const wrong = size > MAX_MEMORY ? `a frame buffer of ${size} bytes is too large` : wrongMode(mode, size);
    if (wrong) throw new FrontendError(wrong);
    const { calls } = this.#service;
    const at = MEMORY_AT + this.#place * FRAMES;
    const count = Math.ceil(size / PAGE);
    const list: number[] = [];
    for (const frame of readDirectory(page, size, long)) {
      const part = new Memory(calls, this.#frontend, [checked(frame)], PAGE, at);
      list.push(...frames(part.read(0, PAGE), long));
      part.close();
    }
    if (list.length < count) throw new FrontendError('the list of its frames is too short');
    const memory = new Memory(calls, this.#frontend, list.slice(0, count).map(checked), size, at);
    this.#memory = memory;
    this.#screen.show(new View(memory, mode));
    return new Events(page, this.#screen, memory, mode, (why) => this.onBroken(why));
  }

  async disconnect(): Promise<void> {
    if (this.#served) this.#service.detach(this.#served);
    this.#served = undefined;
    if (this.#memory) this.#screen.show(undefined);
    this.#memory?.close();
    this.#memory = undefined;
  }
}

function checked(frame: number): number {
  if (frame < MAX_FRAME) return frame;
  throw new FrontendError('a frame number is too large');
}
