// A terminal as a screen: a console's bytes drawn for viewers, and their keys as bytes for the console. The terminal itself is xterm.js without its view.
import { readFileSync } from 'node:fs';
import headless from '@xterm/headless';
import type { IBufferCell, Terminal } from '@xterm/headless';
import { Watchers, type Screen, type Watcher } from '../backend/screen.ts';
import type { Rect } from '../protocol/messages.ts';
import { Font, GLYPH_WIDTH } from './font.ts';
import { keyBytes, Modifiers } from './keys.ts';
import { paletteColour } from './palette.ts';

const COLUMNS = 80;
const ROWS = 25;
/** Bytes that the terminal has not worked off, from where on no more are wanted. */
const MAX_WAITING = 1 << 16;
/** Bytes that the terminal gets at a time. */
const PIECE = 1 << 13;
/** What is drawn is looked at so often at most. */
const DRAW_MS = 30;
const FOREGROUND = 0xaaaaaa;
const BACKGROUND = 0x000000;

let font: Font | undefined;
const theFont = (): Font => (font ??= new Font(readFileSync(new URL('./font/spleen-8x16.psfu', import.meta.url))));

export class TextScreen implements Screen {
  readonly name: string;
  readonly width = COLUMNS * GLYPH_WIDTH;
  readonly height: number;
  readonly #terminal: Terminal;
  readonly #font = theFont();
  readonly #pixels: Uint8Array;
  readonly #words: Uint32Array;
  readonly #watchers = new Watchers();
  readonly #modifiers = new Modifiers();
  /** What each row looks like, to know which ones change. */
  readonly #drawn: string[] = [];
  readonly #input: (bytes: Uint8Array) => void;
  #waiting = 0;
  /** Output of the past that has not been worked off. */
  #past = 0;
  #timer: NodeJS.Timeout | undefined;
  /** There is room again after `feed` was false. */
  onRoom: () => void = () => {};

  /** `input` takes what is typed; `answer`, if that is another thing, what the terminal says when it is asked. */
  constructor(name: string, input: (bytes: Uint8Array) => void, answer = input) {
    this.name = name;
    this.#input = input;
    this.height = ROWS * this.#font.height;
    this.#words = new Uint32Array(this.width * this.height);
    this.#pixels = new Uint8Array(this.#words.buffer);
    this.#terminal = new headless.Terminal({
      cols: COLUMNS,
      rows: ROWS,
      scrollback: 0,
      logLevel: 'off',
      allowProposedApi: true,
    });
    const say = (bytes: Uint8Array): void => {
      if (this.#past === 0) answer(bytes);
    };
    this.#terminal.onData((text) => say(Buffer.from(text, 'utf8')));
    this.#terminal.onBinary((text) => say(Buffer.from(text, 'latin1')));
    this.#draw();
  }

  /** Output of the console; false: no more before `onRoom`. `past`: what was asked then is not answered now. */
  feed(bytes: Uint8Array, past = false): boolean {
    this.#waiting += bytes.length;
    // The terminal lets others have their turn between pieces, not within one.
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = bytes.slice(at, at + PIECE);
      if (past) this.#past++;
      this.#terminal.write(piece, () => {
        if (past) this.#past--;
        this.#worked(piece.length);
      });
    }
    return this.#waiting < MAX_WAITING;
  }

  #worked(length: number): void {
    const full = this.#waiting >= MAX_WAITING;
    this.#waiting -= length;
    this.#soon();
    if (full && this.#waiting < MAX_WAITING) this.onRoom();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#terminal.dispose();
  }

  // ---- as a screen

  read({ x, y, width, height }: Rect): Uint8Array {
    const out = new Uint8Array(4 * width * height);
    for (let row = 0; row < height; row++) {
      const at = 4 * ((y + row) * this.width + x);
      out.set(this.#pixels.subarray(at, at + 4 * width), 4 * width * row);
    }
    return out;
  }

  watch(watcher: Watcher): () => void {
    return this.#watchers.add(watcher);
  }

  key(down: boolean, keysym: number): void {
    if (this.#modifiers.key(down, keysym) || !down) return;
    const bytes = keyBytes(keysym, this.#modifiers, this.#terminal.modes.applicationCursorKeysMode);
    if (bytes) this.#input(bytes);
  }

  pointer(): void {}

  // ---- drawing

  #soon(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#draw();
    }, DRAW_MS);
  }

  #draw(): void {
    const buffer = this.#terminal.buffer.active;
    const cell = buffer.getNullCell();
    for (let row = 0; row < ROWS; row++) {
      const line = buffer.getLine(buffer.viewportY + row);
      const cursor = buffer.cursorY === row ? Math.min(buffer.cursorX, COLUMNS - 1) : -1;
      const cells: number[] = [];
      for (let column = 0; column < COLUMNS; column++) {
        const there = line?.getCell(column, cell);
        cells.push(...look(there, column === cursor));
      }
      const now = cells.join();
      if (this.#drawn[row] === now) continue;
      this.#drawn[row] = now;
      this.#drawRow(row, cells);
      this.#watchers.damaged({ x: 0, y: row * this.#font.height, width: this.width, height: this.#font.height });
    }
  }

  #drawRow(row: number, cells: readonly number[]): void {
    const { height } = this.#font;
    for (let column = 0; column < COLUMNS; column++) {
      const [character, foreground, background, underlined] = cells.slice(4 * column, 4 * column + 4) as [number, number, number, number]; // prettier-ignore
      const glyph = this.#font.glyph(character);
      for (let y = 0; y < height; y++) {
        const bits = underlined && y === height - 2 ? 0xff : glyph[y]!;
        const at = (row * height + y) * this.width + column * GLYPH_WIDTH;
        for (let x = 0; x < GLYPH_WIDTH; x++) this.#words[at + x] = bits & (0x80 >> x) ? foreground : background;
      }
    }
  }
}

/** A cell's character, colours and underline. */
function look(cell: IBufferCell | undefined, cursor: boolean): [number, number, number, number] {
  const character = cell?.getChars().codePointAt(0) ?? 0x20;
  let foreground = cell ? colour(cell, 'Fg') : FOREGROUND;
  let background = cell ? colour(cell, 'Bg') : BACKGROUND;
  if ((cell?.isInverse() === 1) !== cursor) [foreground, background] = [background, foreground];
  if (cell && cell.isInvisible() !== 0) foreground = background;
  return [character, foreground, background, Number(cell ? cell.isUnderline() !== 0 : 0)];
}

function colour(cell: IBufferCell, part: 'Fg' | 'Bg'): number {
  const value = part === 'Fg' ? cell.getFgColor() : cell.getBgColor();
  if (part === 'Fg' ? cell.isFgRGB() : cell.isBgRGB()) return value & 0xffffff;
  if (part === 'Fg' ? cell.isFgPalette() : cell.isBgPalette())
    return paletteColour(part === 'Fg' && cell.isBold() && value < 8 ? value + 8 : value);
  if (part === 'Bg') return BACKGROUND;
  return cell.isBold() ? paletteColour(15) : FOREGROUND;
}
