// What an RFB server shows: a guest's frame buffer, or a terminal that is drawn.
import type { Rect } from '../protocol/messages.ts';

export interface Watcher {
  damaged(rect: Rect): void;
  resized(): void;
}

export interface Screen {
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** A rectangle inside the screen, row by row: blue, green, red and an unused byte for each pixel. */
  read(rect: Rect): Uint8Array;
  /** Gives what ends it. */
  watch(watcher: Watcher): () => void;
  /** `scancode`: a PC's (set 1), if the viewer knows it. */
  key(down: boolean, keysym: number, scancode: number | undefined): void;
  /** Buttons are bits, from the left one on: left, middle, right, wheel up, wheel down. */
  pointer(buttons: number, x: number, y: number): void;
}

/** Those who watch a screen. */
export class Watchers {
  readonly #all = new Set<Watcher>();

  add(watcher: Watcher): () => void {
    this.#all.add(watcher);
    return () => this.#all.delete(watcher);
  }

  damaged(rect: Rect): void {
    for (const watcher of this.#all) watcher.damaged(rect);
  }

  resized(): void {
    for (const watcher of [...this.#all]) watcher.resized();
  }
}

/** Pixels of a rectangle of which a part may be outside of the screen: that part is black. */
export function readClipped(screen: Screen, rect: Rect): Uint8Array {
  const width = Math.max(0, Math.min(rect.width, screen.width - rect.x));
  const height = Math.max(0, Math.min(rect.height, screen.height - rect.y));
  const inside = width > 0 && height > 0 ? screen.read({ ...rect, width, height }) : new Uint8Array(0);
  if (width === rect.width && height === rect.height) return inside;
  const out = new Uint8Array(4 * rect.width * rect.height);
  for (let row = 0; row < height && width > 0; row++)
    out.set(inside.subarray(4 * width * row, 4 * width * (row + 1)), 4 * rect.width * row);
  return out;
}
