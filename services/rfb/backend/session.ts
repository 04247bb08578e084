// One viewer of a screen: the protocol's handshake, then updates as it asks for them, over any stream of bytes.
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { constants, createDeflate, type Deflate } from 'node:zlib';
import { CHALLENGE, vncMatches } from '../protocol/auth.ts';
import { Damage } from '../protocol/damage.ts';
import { colourMap, ENCODING, Incoming, NATIVE, readMessage, reason, rectHead, RfbError, SECURITY, serverInit, updateHead, type ClientMessage, type Rect } from '../protocol/messages.ts'; // prettier-ignore
import { PixelWriter } from '../protocol/pixels.ts';
import { zrle } from '../protocol/zrle.ts';
import type { Pacer } from './pacer.ts';
import { readClipped, type Screen } from './screen.ts';

export interface SessionOptions {
  /** '': none is asked for. */
  password: string;
  pacer: Pacer;
  /** It wants to be the only viewer. */
  onExclusive?: () => void;
  onClosed?: () => void;
}

const VERSION = 'RFB 003.008\n';
/** Who has not been let in by then is cut off. */
const HANDSHAKE_MS = 30_000;
/** A wrong password is answered so late. */
const WRONG_MS = 1000;
/** Updates are so far apart at least. */
const FRAME_MS = 33;
/** Rectangles are so many tiles high at most: that much is encoded at a time. */
const TILE_ROWS = 2;
/** A viewer may press so many keys at once. */
const MAX_KEYS = 64;

type Phase = 'version' | 'security' | 'auth' | 'waiting' | 'init' | 'serving' | 'closed';

export class RfbSession {
  readonly #stream: Duplex;
  readonly #screen: Screen;
  readonly #options: SessionOptions;
  readonly #incoming = new Incoming();
  readonly #timer: NodeJS.Timeout;
  #phase: Phase = 'version';
  /** 3, 7 or 8. */
  #minor = 8;
  #challenge: Buffer = Buffer.alloc(0);

  constructor(stream: Duplex, screen: Screen, options: SessionOptions) {
    this.#stream = stream;
    this.#screen = screen;
    this.#options = options;
    this.#timer = setTimeout(() => this.close(), HANDSHAKE_MS);
    stream.on('error', () => {}); // followed by close
    stream.on('close', () => this.close());
    stream.on('end', () => this.close());
    stream.on('data', (bytes: Uint8Array) => this.#receive(bytes));
    stream.write(VERSION);
  }

  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    clearTimeout(this.#timer);
    this.#unwatch();
    for (const [keysym, scancode] of this.#pressed) this.#screen.key(false, keysym, scancode);
    if (this.#buttons !== 0) this.#screen.pointer(0, ...this.#position);
    this.#deflate?.close();
    this.#stream.end();
    this.#stream.destroy();
    this.#drained();
    this.#options.onClosed?.();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#phase === 'closed') return;
    this.#incoming.push(bytes);
    try {
      while (this.#step());
    } catch (error) {
      if (!(error instanceof RfbError)) throw error;
      this.close();
    }
  }

  // ---- letting in

  /** False: more has to come. */
  #step(): boolean {
    switch (this.#phase) {
      case 'version':
        return this.#with(VERSION.length, (bytes) => this.#version(bytes.toString('latin1')));
      case 'security':
        return this.#with(1, ([type]) => this.#security(type!));
      case 'auth':
        return this.#with(CHALLENGE, (response) => this.#authenticate(response));
      case 'init':
        return this.#with(1, ([shared]) => this.#initialise(shared !== 0));
      case 'serving': {
        const message = readMessage(this.#incoming);
        if (message) this.#handle(message);
        return message !== undefined;
      }
      default:
        // Nothing is to be said now: what comes waits, within a bound.
        if (this.#incoming.length > 1024) throw new RfbError('it does not wait');
        return false;
    }
  }

  #with(length: number, then: (bytes: Buffer) => void): boolean {
    const bytes = this.#incoming.take(length);
    if (bytes) then(bytes);
    return bytes !== undefined;
  }

  #version(text: string): void {
    const [, minor] = /^RFB 003\.(\d{3})\n$/.exec(text) ?? [];
    if (minor === undefined) throw new RfbError('it speaks no RFB of version 3');
    // Others than 3.7 and 3.8 are to be taken for 3.3.
    this.#minor = minor === '008' || minor === '007' ? Number(minor) : 3;
    const type = this.#options.password === '' ? SECURITY.NONE : SECURITY.VNC;
    if (this.#minor > 3) {
      this.#stream.write(Buffer.of(1, type));
      this.#phase = 'security';
      return;
    }
    this.#stream.write(Buffer.of(0, 0, 0, type));
    this.#security(type);
  }

  #security(type: number): void {
    const { password } = this.#options;
    if (type !== (password === '' ? SECURITY.NONE : SECURITY.VNC))
      throw new RfbError(`security ${type} was not offered`);
    if (type === SECURITY.NONE) {
      if (this.#minor >= 8) this.#stream.write(Buffer.alloc(4));
      this.#phase = 'init';
      return;
    }
    this.#challenge = randomBytes(CHALLENGE);
    this.#stream.write(this.#challenge);
    this.#phase = 'auth';
  }

  #authenticate(response: Buffer): void {
    if (vncMatches(this.#options.password, this.#challenge, response)) {
      this.#stream.write(Buffer.alloc(4));
      this.#phase = 'init';
      return;
    }
    this.#phase = 'waiting';
    setTimeout(() => {
      if (this.#phase === 'closed') return;
      const why = this.#minor >= 8 ? reason('the password is wrong') : Buffer.alloc(0);
      this.#stream.end(Buffer.concat([Buffer.of(0, 0, 0, 1), why]), () => this.close());
    }, WRONG_MS);
  }

  #initialise(shared: boolean): void {
    clearTimeout(this.#timer);
    if (!shared) this.#options.onExclusive?.();
    const { width, height, name } = this.#screen;
    this.#stream.write(serverInit(width, height, name));
    this.#size(width, height);
    this.#phase = 'serving';
    this.#unwatch = this.#screen.watch({
      damaged: (rect) => {
        this.#damage.add(rect);
        this.#update();
      },
      resized: () => {
        this.#resized = true;
        this.#update();
      },
    });
  }
  #unwatch: () => void = () => {};

  // ---- what a viewer says

  #writer = new PixelWriter(NATIVE);
  #encodings: readonly number[] = [];
  #mapDue = false;
  #keysDue = false;
  readonly #pressed = new Map<number, number | undefined>();
  #buttons = 0;
  #position: [x: number, y: number] = [0, 0];

  #handle(message: ClientMessage): void {
    switch (message.type) {
      case 'format':
        this.#writer = new PixelWriter(message.format);
        this.#mapDue = !message.format.trueColour;
        return;
      case 'encodings':
        this.#encodings = message.encodings;
        this.#keysDue = message.encodings.includes(ENCODING.QEMU_EXTENDED_KEY);
        return this.#update();
      case 'request':
        this.#wanted = true;
        if (!message.incremental) this.#damage.add(message.rect);
        return this.#update();
      case 'key': {
        const { down, keysym, scancode } = message;
        if (down) this.#press(keysym, scancode);
        else this.#pressed.delete(keysym);
        return this.#screen.key(down, keysym, scancode);
      }
      case 'pointer': {
        const { buttons, x, y } = message;
        this.#buttons = buttons;
        this.#position = [Math.min(x, this.#screen.width - 1), Math.min(y, this.#screen.height - 1)];
        return this.#screen.pointer(buttons, ...this.#position);
      }
      case 'cut':
        return; // A guest has no clipboard that we know of.
    }
  }

  /** What is held is let go when it leaves. A key may come up under another name than it went down by (`a` and `A`). */
  #press(keysym: number, scancode: number | undefined): void {
    this.#pressed.set(keysym, scancode);
    if (this.#pressed.size <= MAX_KEYS) return;
    const [oldest] = this.#pressed;
    this.#pressed.delete(oldest![0]);
    this.#screen.key(false, ...oldest!);
  }

  // ---- what it is shown

  readonly #damage = new Damage();
  #width = 0;
  #height = 0;
  #resized = false;
  #wanted = false;
  #busy = false;
  #deflate: Deflate | undefined;

  #size(width: number, height: number): void {
    [this.#width, this.#height] = [width, height];
    this.#damage.resize(width, height);
  }

  #update(): void {
    if (this.#busy || !this.#wanted || this.#phase !== 'serving') return;
    if (!this.#damage.any && !this.#resized && !this.#keysDue) return;
    this.#busy = true;
    void this.#show().finally(() => {
      this.#busy = false;
      this.#update();
    });
  }

  async #show(): Promise<void> {
    await sleep(FRAME_MS);
    if (this.#phase !== 'serving') return;
    this.#wanted = false;
    const pseudo = this.#pseudo();
    if (this.#mapDue) await this.#send(colourMap());
    this.#mapDue = false;
    const rects = pseudo.length > 0 ? [] : this.#damage.take(TILE_ROWS);
    await this.#send(Buffer.concat([updateHead(pseudo.length + rects.length), ...pseudo]));
    const encoding = this.#encodings.find((each) => each === ENCODING.ZRLE || each === ENCODING.RAW) ?? ENCODING.RAW;
    for (const rect of rects) {
      if (this.#phase !== 'serving') return;
      await this.#send(rectHead(rect, encoding));
      await this.#send(await this.#encode(rect, encoding, this.#writer));
    }
  }

  /** Rectangles that are none: another size, and that scan codes are understood. */
  #pseudo(): Buffer[] {
    const out: Buffer[] = [];
    if (this.#keysDue) out.push(rectHead({ x: 0, y: 0, width: 0, height: 0 }, ENCODING.QEMU_EXTENDED_KEY));
    this.#keysDue = false;
    if (!this.#resized) return out;
    this.#resized = false;
    const { width, height } = this.#screen;
    if (width === this.#width && height === this.#height) return out;
    // Who cannot have another size is shown what of the screen there is room for.
    if (this.#encodings.includes(ENCODING.DESKTOP_SIZE)) {
      this.#size(width, height);
      out.push(rectHead({ x: 0, y: 0, width, height }, ENCODING.DESKTOP_SIZE));
    } else this.#size(this.#width, this.#height);
    return out;
  }

  async #encode(rect: Rect, encoding: number, writer: PixelWriter): Promise<Buffer> {
    const { pacer } = this.#options;
    const pixels = (): Uint8Array => readClipped(this.#screen, rect);
    if (encoding === ENCODING.RAW) return pacer.run(() => writer.raw(pixels()));
    const plain = await pacer.run(() => zrle(pixels(), rect, writer));
    const packed = await this.#compress(plain);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(packed.length);
    return Buffer.concat([length, packed]);
  }

  /** One stream of zlib for all of a viewer's rectangles; it works in the background. */
  #compress(bytes: Uint8Array): Promise<Buffer> {
    if (this.#phase === 'closed') return Promise.resolve(Buffer.alloc(0));
    const deflate = (this.#deflate ??= createDeflate({ level: 3 }));
    const parts: Buffer[] = [];
    const collect = (part: Buffer): void => void parts.push(part);
    deflate.on('data', collect);
    return new Promise((resolve) => {
      const done = (): void => {
        deflate.off('data', collect);
        deflate.off('close', done);
        resolve(Buffer.concat(parts));
      };
      deflate.once('close', done);
      deflate.write(bytes);
      deflate.flush(constants.Z_SYNC_FLUSH, done);
    });
  }

  #drained: () => void = () => {};

  /** Waits for a viewer that is slow: it misses what is in between. */
  async #send(bytes: Uint8Array): Promise<void> {
    if (this.#phase === 'closed' || this.#stream.write(bytes)) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
      this.#stream.once('drain', resolve);
    });
  }
}
