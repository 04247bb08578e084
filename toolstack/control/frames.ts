// The control socket's frames: {u32 length of what follows, u8 kind, 3 zero bytes, u32 call} and a body, little endian. Pure.

export const FRAME = {
  /** JSON {method, params}: begins a call. */
  request: 1,
  /** JSON: the call's result; it is over. */
  response: 2,
  /** JSON {code, message}: the call has failed; it is over. */
  error: 3,
  /** JSON: something that a call tells while it runs. */
  event: 4,
  /** Bytes of a call's stream, in either direction. */
  data: 5,
  /** No more data from the caller; whoever answers may end the call. */
  end: 6,
} as const;
export type FrameKind = (typeof FRAME)[keyof typeof FRAME];

export interface Frame {
  kind: FrameKind;
  call: number;
  body: Uint8Array;
}

export const HEADER = 12;
/** No body is longer (a list of thousands of domains is shorter); a longer one is a mistake or an attack. */
export const MAX_BODY = 1 << 24;
/** Data goes in parts of this size, so that others get their turn. */
export const DATA_PART = 1 << 16;

export class BadFrame extends Error {}

export function encodeFrame(kind: FrameKind, call: number, body: Uint8Array): Uint8Array {
  if (body.length > MAX_BODY) throw new BadFrame(`a body of ${body.length} bytes`);
  const out = new Uint8Array(HEADER + body.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, HEADER - 4 + body.length, true);
  view.setUint8(4, kind);
  view.setUint32(8, call, true);
  out.set(body, HEADER);
  return out;
}

export const encodeJson = (kind: FrameKind, call: number, value: unknown): Uint8Array =>
  encodeFrame(kind, call, Buffer.from(JSON.stringify(value ?? null)));

export function decodeJson(frame: Frame): unknown {
  try {
    return JSON.parse(Buffer.from(frame.body).toString('utf8'));
  } catch {
    throw new BadFrame('a body that is no JSON');
  }
}

/** Cuts a stream of bytes into frames, whatever the parts it comes in. */
export class FrameReader {
  #parts: Uint8Array[] = [];
  #length = 0;

  /** The frames that are whole now. */
  push(bytes: Uint8Array): Frame[] {
    this.#parts.push(bytes);
    this.#length += bytes.length;
    const frames: Frame[] = [];
    for (let size = this.#frameSize(); size !== undefined && this.#length >= size; size = this.#frameSize()) {
      frames.push(parse(this.#take(size)));
    }
    return frames;
  }

  /** Bytes of the next frame, once its header is there. */
  #frameSize(): number | undefined {
    if (this.#length < HEADER) return undefined;
    if (this.#parts[0]!.length < HEADER) this.#parts = [joined(this.#parts)];
    const first = this.#parts[0]!;
    const length = new DataView(first.buffer, first.byteOffset).getUint32(0, true);
    if (length < HEADER - 4 || length > HEADER - 4 + MAX_BODY) throw new BadFrame(`a frame of ${length} bytes`);
    return 4 + length;
  }

  #take(size: number): Uint8Array {
    const all = joined(this.#parts);
    this.#length -= size;
    this.#parts = this.#length === 0 ? [] : [all.subarray(size)];
    return all.subarray(0, size);
  }
}

const joined = (parts: Uint8Array[]): Uint8Array => (parts.length === 1 ? parts[0]! : Buffer.concat(parts));

function parse(bytes: Uint8Array): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const kind = view.getUint8(4);
  if (!Object.values<number>(FRAME).includes(kind)) throw new BadFrame(`a frame of kind ${kind}`);
  return { kind: kind as FrameKind, call: view.getUint32(8, true), body: bytes.subarray(HEADER) };
}
