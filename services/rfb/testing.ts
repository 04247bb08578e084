// A viewer for tests: it speaks the protocol from the other side, and keeps what it is shown.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { constants, createInflate, type Inflate } from 'node:zlib';
import { vncResponse } from './protocol/auth.ts';
import { ENCODING, NATIVE, writeFormat, type PixelFormat } from './protocol/messages.ts';
import { Font, GLYPH_WIDTH } from './text/font.ts';

export interface ViewerOptions {
  version?: string;
  password?: string;
  shared?: boolean;
  encodings?: number[];
  format?: PixelFormat;
}

/** Decodes ZRLE tiles as RFC 6143 describes them, all subencodings but those for palettes with runs. */
function unzrle(
  bytes: Buffer,
  width: number,
  height: number,
  compact: number,
  put: (x: number, y: number, value: number) => void,
): void {
  // prettier-ignore
  let at = 0;
  const pixel = (): number => bytes.readUIntLE((at += compact) - compact, compact);
  for (let y = 0; y < height; y += 64)
    for (let x = 0; x < width; x += 64) {
      const [w, h] = [Math.min(64, width - x), Math.min(64, height - y)];
      const set = (i: number, value: number) => put(x + (i % w), y + Math.floor(i / w), value);
      const kind = bytes[at++]!;
      if (kind === 0) for (let i = 0; i < w * h; i++) set(i, pixel());
      else if (kind === 1) {
        const value = pixel();
        for (let i = 0; i < w * h; i++) set(i, value);
      } else if (kind <= 16) {
        const palette = Array.from({ length: kind }, pixel);
        const bits = kind <= 2 ? 1 : kind <= 4 ? 2 : 4;
        for (let row = 0; row < h; row++) {
          for (let i = 0; i < w; i++) {
            const byte = bytes[at + Math.floor((i * bits) / 8)]!;
            set(row * w + i, palette[(byte >> (8 - bits - ((i * bits) % 8))) & ((1 << bits) - 1)]!);
          }
          at += Math.ceil((w * bits) / 8);
        }
      } else if (kind === 128) {
        for (let i = 0; i < w * h; ) {
          const value = pixel();
          let [length, byte] = [1, 255];
          while (byte === 255) length += byte = bytes[at++]!;
          while (length-- > 0) set(i++, value);
        }
      } else assert.fail(`subencoding ${kind}`);
    }
  assert.equal(at, bytes.length, 'a rectangle ends where it should');
}

export class Viewer {
  readonly stream: Duplex;
  width = 0;
  height = 0;
  name = '';
  /** Pixels' values, as they came. */
  pixels = new Uint32Array(0);
  updates = 0;
  rects = 0;
  bytes = 0;
  closed = false;
  scancodes = false;
  map: Buffer | undefined;
  readonly #options: ViewerOptions;
  readonly #inflate: Inflate = createInflate();
  #buffer: Buffer = Buffer.alloc(0);
  #wake: () => void = () => {};

  constructor(stream: Duplex, options: ViewerOptions = {}) {
    this.stream = stream;
    this.#options = options;
    stream.on('data', (bytes: Buffer) => {
      this.bytes += bytes.length;
      this.#buffer = Buffer.concat([this.#buffer, bytes]);
      this.#wake();
    });
    stream.on('error', () => {});
    for (const event of ['end', 'close']) stream.on(event, () => ((this.closed = true), this.#wake()));
  }

  async take(length: number): Promise<Buffer> {
    while (this.#buffer.length < length) {
      if (this.closed) throw new Error('the server has closed the connection');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    const out = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    return out;
  }

  /** Through the handshake; rejects with the server's reason. */
  async connect(): Promise<this> {
    const { version = 'RFB 003.008\n', password, shared = true, encodings, format } = this.#options;
    assert.equal((await this.take(12)).toString(), 'RFB 003.008\n');
    this.stream.write(version);
    const old = version === 'RFB 003.003\n';
    const type = old ? (await this.take(4)).readUInt32BE() : (await this.take((await this.take(1))[0]!))[0]!;
    if (!old) this.stream.write(Buffer.of(type));
    if (type === 2) this.stream.write(vncResponse(password ?? '', await this.take(16)));
    if (type === 2 || version === 'RFB 003.008\n') {
      if ((await this.take(4)).readUInt32BE() !== 0) {
        if (version !== 'RFB 003.008\n') throw new Error('refused');
        throw new Error((await this.take((await this.take(4)).readUInt32BE())).toString());
      }
    }
    this.stream.write(Buffer.of(Number(shared)));
    const head = await this.take(24);
    this.#resize(head.readUInt16BE(0), head.readUInt16BE(2));
    this.name = (await this.take(head.readUInt32BE(20))).toString();
    if (format) {
      const message = Buffer.alloc(20);
      writeFormat(message, 4, format);
      this.stream.write(message);
    }
    if (encodings) {
      const message = Buffer.alloc(4 + 4 * encodings.length);
      message[0] = 2;
      message.writeUInt16BE(encodings.length, 2);
      encodings.forEach((each, i) => message.writeInt32BE(each, 4 + 4 * i));
      this.stream.write(message);
    }
    return this;
  }

  #resize(width: number, height: number): void {
    [this.width, this.height] = [width, height];
    this.pixels = new Uint32Array(width * height);
  }

  request(incremental: boolean): void {
    const message = Buffer.alloc(10);
    message[0] = 3;
    message[1] = Number(incremental);
    message.writeUInt16BE(this.width, 6);
    message.writeUInt16BE(this.height, 8);
    this.stream.write(message);
  }

  /** Asks for an update and takes it in. */
  async update(incremental = true): Promise<void> {
    this.request(incremental);
    for (let type = 1; type !== 0; ) {
      type = (await this.take(1))[0]!;
      if (type === 1) {
        const head = await this.take(5);
        this.map = Buffer.from(await this.take(6 * head.readUInt16BE(3)));
      } else assert.equal(type, 0);
    }
    const count = (await this.take(3)).readUInt16BE(1);
    for (let i = 0; i < count; i++) await this.#rect();
    this.updates++;
  }

  async #rect(): Promise<void> {
    const head = await this.take(12);
    const [x, y, w, h] = [0, 2, 4, 6].map((at) => head.readUInt16BE(at)) as [number, number, number, number];
    const encoding = head.readInt32BE(8);
    this.rects++;
    const { bitsPerPixel, depth } = this.#options.format ?? NATIVE;
    const size = bitsPerPixel / 8;
    const put = (dx: number, dy: number, value: number) => (this.pixels[(y + dy) * this.width + x + dx] = value);
    if (encoding === ENCODING.DESKTOP_SIZE) this.#resize(w, h);
    else if (encoding === ENCODING.QEMU_EXTENDED_KEY) this.scancodes = true;
    else if (encoding === ENCODING.RAW) {
      const bytes = await this.take(w * h * size);
      for (let i = 0; i < w * h; i++) put(i % w, Math.floor(i / w), bytes.readUIntLE(i * size, size));
    } else if (encoding === ENCODING.ZRLE) {
      const packed = await this.take((await this.take(4)).readUInt32BE());
      unzrle(await this.#unpack(packed), w, h, size === 4 && depth <= 24 ? 3 : size, put);
    } else assert.fail(`encoding ${encoding}`);
  }

  #unpack(bytes: Buffer): Promise<Buffer> {
    const parts: Buffer[] = [];
    const collect = (part: Buffer) => parts.push(part);
    this.#inflate.on('data', collect);
    return new Promise((resolve) => {
      this.#inflate.write(bytes);
      this.#inflate.flush(constants.Z_SYNC_FLUSH, () => {
        this.#inflate.off('data', collect);
        resolve(Buffer.concat(parts));
      });
    });
  }

  key(down: boolean, keysym: number): void {
    const message = Buffer.alloc(8);
    [message[0], message[1]] = [4, Number(down)];
    message.writeUInt32BE(keysym, 4);
    this.stream.write(message);
  }

  type(text: string): void {
    for (const character of text) {
      const keysym = character === '\n' ? 0xff0d : character.charCodeAt(0);
      this.key(true, keysym);
      this.key(false, keysym);
    }
  }

  pointer(buttons: number, x: number, y: number): void {
    const message = Buffer.alloc(6);
    [message[0], message[1]] = [5, buttons];
    message.writeUInt16BE(x, 2);
    message.writeUInt16BE(y, 4);
    this.stream.write(message);
  }

  close(): void {
    this.stream.destroy();
  }
}

/** Reads letters off a picture of a drawn terminal. `light`: how bright a pixel is, 0 to 255. */
export class Reader {
  readonly #letters = new Map<string, string>();
  readonly #height: number;

  constructor() {
    const font = new Font(readFileSync(new URL('./text/font/spleen-8x16.psfu', import.meta.url)));
    this.#height = font.height;
    for (let code = 0x7e; code >= 0x20; code--)
      this.#letters.set([...font.glyph(code)].join(), String.fromCharCode(code));
  }

  /** The lines, without blanks at their ends. */
  lines(width: number, height: number, light: (x: number, y: number) => number): string[] {
    return Array.from({ length: Math.floor(height / this.#height) }, (_, row) =>
      Array.from({ length: Math.floor(width / GLYPH_WIDTH) }, (_, column) => this.#letter(column, row, light))
        .join('')
        .trimEnd(),
    );
  }

  #letter(column: number, row: number, light: (x: number, y: number) => number): string {
    const rows = Array.from({ length: this.#height }, (_, y) => {
      let bits = 0;
      for (let x = 0; x < GLYPH_WIDTH; x++)
        bits = (bits << 1) | Number(light(column * GLYPH_WIDTH + x, row * this.#height + y) > 0x50);
      return bits;
    });
    // Below the cursor colours are exchanged.
    return this.#letters.get(rows.join()) ?? this.#letters.get(rows.map((bits) => bits ^ 0xff).join()) ?? '\ufffd';
  }

  /** What a viewer of 32-bit pixels has been shown. */
  ofViewer({ width, height, pixels }: Viewer): string[] {
    return this.lines(width, height, (x, y) => (pixels[y * width + x]! >> 8) & 0xff);
  }
}

/** Takes in updates until a line has what is looked for; returns all lines. */
export async function seen(viewer: Viewer, what: RegExp, reader = new Reader()): Promise<string[]> {
  for (;;) {
    const lines = reader.ofViewer(viewer);
    if (lines.some((line) => what.test(line))) return lines;
    await viewer.update();
  }
}
