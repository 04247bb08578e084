// The keyboard's and pointer's events (public/io/kbdif.h). Pure.
import { EVENT_SIZE, type EventRingLayout } from './events.ts';

export const IN_EVENTS: EventRingLayout = { events: 1024, count: 51, cons: 0, prod: 4 };

const TYPE = { MOTION: 1, KEY: 3, POSITION: 4 } as const;
/** Positions are from 0 to this, on both axes, whatever the screen's size is. */
export const ABSOLUTE_MAX = 32767;

/** Linux' codes of buttons. */
export const BUTTON = { LEFT: 0x110, RIGHT: 0x111, MIDDLE: 0x112 } as const;

function event(type: number, words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(EVENT_SIZE);
  const view = new DataView(bytes.buffer);
  bytes[0] = type;
  words.forEach((word, i) => view.setInt32(4 + 4 * i, word, true));
  return bytes;
}

export function keyEvent(code: number, pressed: boolean): Uint8Array {
  const bytes = event(TYPE.KEY, [code]);
  bytes[1] = Number(pressed);
  return bytes;
}

/** `wheel`: steps towards the person. */
export const motionEvent = (x: number, y: number, wheel: number): Uint8Array => event(TYPE.MOTION, [x, y, wheel]);
export const positionEvent = (x: number, y: number, wheel: number): Uint8Array => event(TYPE.POSITION, [x, y, wheel]);
