// The remote framebuffer protocol (RFC 6143) from the server's side: what clients send, read from any pieces, and what they are sent. Pure.

/** What a client may say that is not the protocol: it is cut off. */
export class RfbError extends Error {}

export const ENCODING = {
  RAW: 0,
  ZRLE: 16,
  /** Pseudo-encodings: what a client understands beside pixels. */
  DESKTOP_SIZE: -223,
  QEMU_EXTENDED_KEY: -258,
} as const;

export const SECURITY = { NONE: 1, VNC: 2 } as const;

export interface PixelFormat {
  bitsPerPixel: 8 | 16 | 32;
  depth: number;
  bigEndian: boolean;
  /** False: values are numbers of colours, which the server lays out. */
  trueColour: boolean;
  max: readonly [red: number, green: number, blue: number];
  shift: readonly [red: number, green: number, blue: number];
}

/** As screens have it: 32 bits, blue in the lowest byte. */
export const NATIVE: PixelFormat = {
  bitsPerPixel: 32,
  depth: 24,
  bigEndian: false,
  trueColour: true,
  max: [255, 255, 255],
  shift: [16, 8, 0],
};

export interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

export type ClientMessage =
  | { type: 'format'; format: PixelFormat }
  | { type: 'encodings'; encodings: readonly number[] }
  | { type: 'request'; incremental: boolean; rect: Rect }
  /** `scancode`: a PC's, set 1, of the extended message; 0x80 marks those behind 0xe0. */
  | { type: 'key'; down: boolean; keysym: number; scancode: number | undefined }
  | { type: 'pointer'; buttons: number; x: number; y: number }
  | { type: 'cut' };

const TYPE = { FORMAT: 0, ENCODINGS: 2, REQUEST: 3, KEY: 4, POINTER: 5, CUT: 6, QEMU: 255 } as const;
const MAX_ENCODINGS = 1024;
const FORMAT_SIZE = 16;

/** Bytes of a stream that have come and were not read yet. */
export class Incoming {
  #bytes: Buffer = Buffer.alloc(0);
  /** Bytes to come that nobody wants. */
  #skip = 0;

  push(bytes: Uint8Array): void {
    const skipped = Math.min(this.#skip, bytes.length);
    this.#skip -= skipped;
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(skipped)]);
  }

  get length(): number {
    return this.#bytes.length;
  }

  /** Undefined: not all of them are there yet. */
  take(length: number): Buffer | undefined {
    if (this.#bytes.length < length) return undefined;
    const out = this.#bytes.subarray(0, length);
    this.#bytes = this.#bytes.subarray(length);
    return out;
  }

  peek(): Buffer {
    return this.#bytes;
  }

  /** They are kept nowhere, however many. */
  drop(length: number): void {
    const here = Math.min(length, this.#bytes.length);
    this.#bytes = this.#bytes.subarray(here);
    this.#skip = length - here;
  }
}

/** The next message of a client that has been let in; undefined: it is not whole yet. Throws RfbError. */
export function readMessage(incoming: Incoming): ClientMessage | undefined {
  const b = incoming.peek();
  if (b.length === 0) return undefined;
  switch (b[0]) {
    case TYPE.FORMAT:
      return whole(incoming, 4 + FORMAT_SIZE, (m) => ({ type: 'format', format: readFormat(m.subarray(4)) }));
    case TYPE.ENCODINGS: {
      if (b.length < 4) return undefined;
      const count = b.readUInt16BE(2);
      if (count > MAX_ENCODINGS) throw new RfbError(`${count} encodings are too many`);
      return whole(incoming, 4 + 4 * count, (m) => ({
        type: 'encodings',
        encodings: Array.from({ length: count }, (_, i) => m.readInt32BE(4 + 4 * i)),
      }));
    }
    case TYPE.REQUEST:
      return whole(incoming, 10, (m) => ({ type: 'request', incremental: m[1] !== 0, rect: readRect(m, 2) }));
    case TYPE.KEY:
      return whole(incoming, 8, (m) => ({
        type: 'key',
        down: m[1] !== 0,
        keysym: m.readUInt32BE(4),
        scancode: undefined,
      }));
    case TYPE.POINTER:
      return whole(incoming, 6, (m) => ({
        type: 'pointer',
        buttons: m[1]!,
        x: m.readUInt16BE(2),
        y: m.readUInt16BE(4),
      }));
    case TYPE.CUT: {
      const message = whole(incoming, 8, (m) => ({ type: 'cut' as const, length: m.readUInt32BE(4) }));
      if (message) incoming.drop(message.length);
      return message && { type: 'cut' };
    }
    case TYPE.QEMU:
      if (b.length >= 2 && b[1] !== 0) throw new RfbError(`there is no message 255/${b[1]}`);
      return whole(incoming, 12, (m) => ({
        type: 'key',
        down: m.readUInt16BE(2) !== 0,
        keysym: m.readUInt32BE(4),
        scancode: m.readUInt32BE(8),
      }));
    default:
      throw new RfbError(`there is no message ${b[0]}`);
  }
}

function whole<T>(incoming: Incoming, length: number, read: (message: Buffer) => T): T | undefined {
  const message = incoming.take(length);
  return message && read(message);
}

const readRect = (m: Buffer, at: number): Rect => ({
  x: m.readUInt16BE(at),
  y: m.readUInt16BE(at + 2),
  width: m.readUInt16BE(at + 4),
  height: m.readUInt16BE(at + 6),
});

function readFormat(m: Buffer): PixelFormat {
  const bits = m[0];
  if (bits !== 8 && bits !== 16 && bits !== 32) throw new RfbError(`pixels of ${bits} bits are not supported`);
  const format: PixelFormat = {
    bitsPerPixel: bits,
    depth: m[1]!,
    bigEndian: m[2] !== 0,
    trueColour: m[3] !== 0,
    max: [m.readUInt16BE(4), m.readUInt16BE(6), m.readUInt16BE(8)],
    shift: [m[10]!, m[11]!, m[12]!],
  };
  if (!format.trueColour) {
    if (bits !== 8) throw new RfbError(`a colour map of ${bits} bits is not supported`);
    return format;
  }
  format.max.forEach((max, i) => {
    if (format.shift[i]! >= bits || max * 2 ** format.shift[i]! >= 2 ** bits)
      throw new RfbError('colours that are outside of their pixel');
  });
  return format;
}

// ---- what is sent

export function serverInit(width: number, height: number, name: string): Buffer {
  const text = Buffer.from(name, 'utf8');
  const out = Buffer.alloc(4 + FORMAT_SIZE + 4 + text.length);
  out.writeUInt16BE(width, 0);
  out.writeUInt16BE(height, 2);
  writeFormat(out, 4, NATIVE);
  out.writeUInt32BE(text.length, 20);
  text.copy(out, 24);
  return out;
}

export function writeFormat(out: Buffer, at: number, format: PixelFormat): void {
  out[at] = format.bitsPerPixel;
  out[at + 1] = format.depth;
  out[at + 2] = Number(format.bigEndian);
  out[at + 3] = Number(format.trueColour);
  format.max.forEach((max, i) => out.writeUInt16BE(max, at + 4 + 2 * i));
  format.shift.forEach((shift, i) => (out[at + 10 + i] = shift));
}

/** Begins an update of so many rectangles. */
export function updateHead(count: number): Buffer {
  const out = Buffer.alloc(4);
  out.writeUInt16BE(count, 2);
  return out;
}

export function rectHead({ x, y, width, height }: Rect, encoding: number): Buffer {
  const out = Buffer.alloc(12);
  [x, y, width, height].forEach((value, i) => out.writeUInt16BE(value, 2 * i));
  out.writeInt32BE(encoding, 8);
  return out;
}

/** For clients whose pixels are numbers of colours: three bits of red and green, two of blue. */
export function colourMap(): Buffer {
  const out = Buffer.alloc(6 + 256 * 6);
  out[0] = 1;
  out.writeUInt16BE(256, 4);
  for (let i = 0; i < 256; i++)
    [(i >> 5) / 7, ((i >> 2) & 7) / 7, (i & 3) / 3].forEach((part, c) =>
      out.writeUInt16BE(Math.round(part * 65535), 6 + 6 * i + 2 * c),
    );
  return out;
}
export const MAPPED: PixelFormat = {
  ...{ bitsPerPixel: 8, depth: 8, bigEndian: false, trueColour: true },
  ...{ max: [7, 7, 3], shift: [5, 2, 0] },
};

export const BELL = Buffer.of(2);

/** A security result or handshake that fails, with why. */
export function reason(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  const out = Buffer.alloc(4 + bytes.length);
  out.writeUInt32BE(bytes.length, 0);
  bytes.copy(out, 4);
  return out;
}
