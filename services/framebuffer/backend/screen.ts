// A guest's screen, keyboard and pointer as viewers have them: there whether the guest's drivers are connected or not.
import { Watchers, type Screen, type Watcher } from '../../rfb/backend/screen.ts';
import { codeOfScancode, keyOf, SHIFT } from '../../rfb/protocol/keysyms.ts';
import type { Rect } from '../../rfb/protocol/messages.ts';
import { BUTTON } from '../protocol/kbdif.ts';

/** The memory behind it, once the guest's driver is connected. */
export interface Surface {
  readonly width: number;
  readonly height: number;
  read(rect: Rect): Uint8Array;
}

/** The guest's keyboard and pointer, once connected. */
export interface Input {
  key(code: number, pressed: boolean): void;
  /** Each a part of the screen's width and height, below 1, and steps of the wheel. */
  pointer(x: number, y: number, pixels: { x: number; y: number }, wheel: number): void;
}

const EMPTY: Surface = {
  width: 640,
  height: 480,
  read: ({ width, height }) => new Uint8Array(4 * width * height),
};
const CAPS_LOCK = 58;
const BUTTONS: readonly [bit: number, code: number][] = [
  [1, BUTTON.LEFT],
  [2, BUTTON.MIDDLE],
  [4, BUTTON.RIGHT],
];
const WHEEL = { UP: 8, DOWN: 16 };

export class GuestScreen implements Screen {
  readonly name: string;
  readonly #watchers = new Watchers();
  #surface: Surface = EMPTY;
  #input: Input | undefined;

  constructor(name: string) {
    this.name = name;
  }

  get width(): number {
    return this.#surface.width;
  }

  get height(): number {
    return this.#surface.height;
  }

  read(rect: Rect): Uint8Array {
    return this.#surface.read(rect);
  }

  watch(watcher: Watcher): () => void {
    return this.#watchers.add(watcher);
  }

  // ---- from the guest

  /** Undefined: it shows nothing any more. */
  show(surface: Surface | undefined): void {
    this.#surface = surface ?? EMPTY;
    this.#watchers.resized();
  }

  damaged(rect: Rect): void {
    this.#watchers.damaged(rect);
  }

  connectInput(input: Input | undefined): void {
    this.#input = input;
    this.#held.clear();
    this.#capsLock = false;
    this.#buttons = 0;
  }

  // ---- from viewers

  readonly #held = new Set<number>();
  #capsLock = false;
  #buttons = 0;

  key(down: boolean, keysym: number, scancode: number | undefined): void {
    const byScancode = scancode === undefined ? undefined : codeOfScancode(scancode);
    const key = byScancode === undefined ? keyOf(keysym) : { code: byScancode, shift: undefined };
    if (!key) return;
    const { code } = key;
    if (!down) return this.#press(code, false);
    if (code === CAPS_LOCK && !this.#held.has(code)) this.#capsLock = !this.#capsLock;
    // A viewer names characters; whether its Shift is down need not agree with the guest's keyboard.
    const held = [SHIFT.left, SHIFT.right].filter((each) => this.#held.has(each));
    const letter = keysym < 0x80 && /[a-z]/i.test(String.fromCharCode(keysym));
    const shift = key.shift === undefined ? undefined : key.shift !== (letter && this.#capsLock);
    if (shift === undefined || shift === held.length > 0) return this.#press(code, true);
    const meanwhile = shift ? [SHIFT.left] : held;
    for (const each of meanwhile) this.#input?.key(each, shift);
    this.#press(code, true);
    for (const each of meanwhile) this.#input?.key(each, !shift);
  }

  #press(code: number, down: boolean): void {
    if (down) this.#held.add(code);
    else if (!this.#held.delete(code)) return;
    this.#input?.key(code, down);
  }

  pointer(buttons: number, x: number, y: number): void {
    const pressed = buttons & ~this.#buttons;
    const wheel = Number((pressed & WHEEL.DOWN) !== 0) - Number((pressed & WHEEL.UP) !== 0);
    const part = (at: number, size: number): number => Math.max(0, Math.min(at, size - 1)) / Math.max(1, size - 1);
    this.#input?.pointer(part(x, this.width), part(y, this.height), { x, y }, wheel);
    for (const [bit, code] of BUTTONS)
      if ((buttons ^ this.#buttons) & bit) this.#input?.key(code, (buttons & bit) !== 0);
    this.#buttons = buttons;
  }
}
