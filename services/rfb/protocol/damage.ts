// Which parts of a screen a viewer has not been shown as they are now: a map of tiles. Pure.
import type { Rect } from './messages.ts';
import { TILE } from './zrle.ts';

export class Damage {
  #columns = 0;
  #rows = 0;
  #width = 0;
  #height = 0;
  #tiles = new Uint8Array(0);
  #count = 0;

  /** Another screen: all of it is new. */
  resize(width: number, height: number): void {
    [this.#width, this.#height] = [width, height];
    this.#columns = Math.ceil(width / TILE);
    this.#rows = Math.ceil(height / TILE);
    this.#tiles = new Uint8Array(this.#columns * this.#rows).fill(1);
    this.#count = this.#tiles.length;
  }

  get any(): boolean {
    return this.#count > 0;
  }

  /** Whatever is outside of the screen does not count. */
  add({ x, y, width, height }: Rect): void {
    const clip = (value: number, most: number) => Math.max(0, Math.min(value, most));
    const [left, right] = [clip(x, this.#width), clip(x + width, this.#width)];
    const [top, bottom] = [clip(y, this.#height), clip(y + height, this.#height)];
    if (left >= right || top >= bottom) return;
    for (let row = Math.floor(top / TILE); row * TILE < bottom; row++)
      for (let column = Math.floor(left / TILE); column * TILE < right; column++) {
        const i = row * this.#columns + column;
        if (this.#tiles[i] === 0) this.#count++;
        this.#tiles[i] = 1;
      }
  }

  /** Takes it all: as runs of tiles, of which equal ones below each other are one rectangle of at most `rows` tiles' height. */
  take(rows: number): Rect[] {
    const out: Rect[] = [];
    let open = new Map<string, Rect>();
    for (let row = 0; row < this.#rows; row++) {
      const next = new Map<string, Rect>();
      for (const [from, to] of this.#runs(row)) {
        const key = `${from} ${to}`;
        const above = open.get(key);
        const height = Math.min(TILE, this.#height - row * TILE);
        if (above && above.height < rows * TILE) {
          above.height += height;
          next.set(key, above);
          continue;
        }
        const x = from * TILE;
        const rect = { x, y: row * TILE, width: Math.min(to * TILE, this.#width) - x, height };
        out.push(rect);
        next.set(key, rect);
      }
      open = next;
    }
    this.#tiles.fill(0);
    this.#count = 0;
    return out;
  }

  *#runs(row: number): Generator<[from: number, to: number]> {
    const line = this.#tiles.subarray(row * this.#columns, (row + 1) * this.#columns);
    for (let from = line.indexOf(1); from >= 0; ) {
      let to = from;
      while (line[to] === 1) to++;
      yield [from, to];
      from = line.indexOf(1, to);
    }
  }
}
