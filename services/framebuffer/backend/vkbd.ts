// A keyboard and pointer on xenbus (public/io/kbdif.h).
import type { GuestPage, PageService, Pumped, Served } from '../../lib/page_service.ts';
import type { RingPage } from '../../lib/ring_page.ts';
import { ANY_NUMBER, asFrontends, frontNumber, type Driver, type Read } from '../../xenbus/backend.ts';
import { EventRing } from '../protocol/events.ts';
import { ABSOLUTE_MAX, IN_EVENTS, keyEvent, motionEvent, positionEvent } from '../protocol/kbdif.ts';
import type { GuestScreen, Input } from './screen.ts';

const MAX_FRAME = 2 ** 40;
/** Events that wait for a guest that does not take them; further ones are lost. */
const MAX_WAITING = 1024;

/** The page of a connected front end. */
class Keyboard implements Pumped, Input {
  readonly again = false;
  readonly #ring: EventRing;
  readonly #absolute: boolean;
  readonly #schedule: () => void;
  readonly #broken: (why: string) => void;
  #waiting: Uint8Array[] = [];
  #last = { x: 0, y: 0 };

  constructor(page: RingPage, absolute: boolean, schedule: () => void, broken: (why: string) => void) {
    this.#ring = new EventRing(page, IN_EVENTS);
    this.#absolute = absolute;
    this.#schedule = schedule;
    this.#broken = broken;
  }

  key(code: number, pressed: boolean): void {
    this.#send(keyEvent(code, pressed));
  }

  pointer(x: number, y: number, pixels: { x: number; y: number }, wheel: number): void {
    const { x: lastX, y: lastY } = this.#last;
    this.#last = pixels;
    this.#send(
      this.#absolute
        ? positionEvent(Math.round(x * ABSOLUTE_MAX), Math.round(y * ABSOLUTE_MAX), wheel)
        : motionEvent(pixels.x - lastX, pixels.y - lastY, wheel),
    );
  }

  #send(event: Uint8Array): void {
    if (this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push(event);
    this.#schedule();
  }

  pump(): boolean {
    if (this.#waiting.length === 0) return false;
    const put = this.#ring.put(this.#waiting);
    if (put === undefined) this.#broken('its indexes are impossible');
    if (!put) return false;
    this.#waiting = this.#waiting.slice(put);
    return true;
  }
}

export interface KeyboardSettings {
  page: GuestPage;
  port: number;
  absolute: boolean;
}

export class KeyboardDriver implements Driver<KeyboardSettings> {
  readonly twice = true;
  readonly #service: PageService;
  readonly #frontend: number;
  readonly #screen: GuestScreen;
  #served: Served | undefined;
  onBroken: (why: string) => void = () => {};

  constructor(service: PageService, frontend: number, screen: GuestScreen) {
    this.#service = service;
    this.#frontend = frontend;
    this.#screen = screen;
  }

  features(): Record<string, string | number> {
    return { 'feature-abs-pointer': 1, width: ABSOLUTE_MAX, height: ABSOLUTE_MAX };
  }

  settings(read: Read): KeyboardSettings {
    const granted = read('page-gref') !== undefined;
    return {
      page: granted
        ? { gref: frontNumber(read, 'page-gref', ANY_NUMBER) }
        : { frame: frontNumber(read, 'page-ref', MAX_FRAME) },
      port: frontNumber(read, 'event-channel', ANY_NUMBER),
      absolute: frontNumber(read, 'request-abs-pointer', 1, 0) === 1,
    };
  }

  async connect({ page: shared, port, absolute }: KeyboardSettings): Promise<Record<string, string | number>> {
    this.#served = await asFrontends(() =>
      this.#service.attach(this.#frontend, shared, port, (page, schedule) => {
        const keyboard = new Keyboard(page, absolute, schedule, (why) => this.onBroken(why));
        this.#screen.connectInput(keyboard);
        return keyboard;
      }),
    );
    return {};
  }

  async disconnect(): Promise<void> {
    if (!this.#served) return;
    this.#screen.connectInput(undefined);
    this.#service.detach(this.#served);
    this.#served = undefined;
  }
}
