// The frame buffer's page (public/io/fbif.h): what a front end says of its memory, and its events. All of it is checked. Pure.
import type { RingPage } from '../../lib/ring_page.ts';
import type { EventRingLayout } from './events.ts';

const PAGE = 4096;
export const OUT_EVENTS: EventRingLayout = { events: 2048, count: 51, cons: 8, prod: 12 };
const WIDTH = 16;
const HEIGHT = 20;
const LINE_LENGTH = 24;
const MEMORY = 28;
const DEPTH = 32;
const DIRECTORY = 40;
const DIRECTORY_ENTRIES = 256;

const TYPE = { UPDATE: 2, RESIZE: 3 } as const;

/** A frame buffer is so large at most, and its sides so long. */
export const MAX_MEMORY = 32 << 20;
const MAX_SIDE = 8192;
/** Bits of a pixel that we know the colours of. */
const DEPTHS = [16, 32];

/** What of the memory is seen. */
export interface Mode {
  width: number;
  height: number;
  /** Bytes from a line to the next one. */
  stride: number;
  depth: number;
  /** Of the first line. */
  offset: number;
}

/** A sentence about what a front end says that cannot be; undefined: it can. */
export function wrongMode({ width, height, stride, depth, offset }: Mode, memory: number): string | undefined {
  if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE)
    return `a screen cannot be ${width} by ${height}`;
  if (!DEPTHS.includes(depth)) return `pixels of ${depth} bits are not supported: ${DEPTHS.join(' or ')}`;
  if (offset < 0 || stride < (width * depth) / 8 || offset + height * stride > memory)
    return `${height} lines of ${stride} bytes from ${offset} on are not inside of ${memory} bytes, or too short`;
  return undefined;
}

export interface Header {
  mode: Mode;
  memory: number;
}

export function readHeader(page: RingPage): Header {
  const i32 = (at: number): number => page.loadU32(at) | 0;
  const [depth] = page.readBytes(DEPTH, 1);
  return {
    mode: { width: i32(WIDTH), height: i32(HEIGHT), stride: page.loadU32(LINE_LENGTH), depth: depth!, offset: 0 },
    memory: page.loadU32(MEMORY),
  };
}

/** Frames of the pages that hold the list of the memory's frames; `size`: bytes of the guest's `unsigned long`. */
export function readDirectory(page: RingPage, memory: number, size: 4 | 8): number[] {
  const count = Math.ceil(Math.ceil(memory / PAGE) / (PAGE / size));
  return count > DIRECTORY_ENTRIES ? [] : frames(page.readBytes(DIRECTORY, size * count), size);
}

/** Of a list as it is in the guest's memory. */
export function frames(bytes: Uint8Array, size: 4 | 8): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: bytes.length / size }, (_, i) =>
    size === 4 ? view.getUint32(4 * i, true) : Number(view.getBigUint64(8 * i, true)),
  );
}

export type FramebufferEvent =
  | { type: 'update'; x: number; y: number; width: number; height: number }
  | { type: 'resize'; mode: Mode };

/** Undefined: of a type that there is not; such are to be ignored. */
export function readEvent(bytes: Uint8Array): FramebufferEvent | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const i32 = (index: number): number => view.getInt32(4 + 4 * index, true);
  if (bytes[0] === TYPE.UPDATE) return { type: 'update', x: i32(0), y: i32(1), width: i32(2), height: i32(3) };
  if (bytes[0] !== TYPE.RESIZE) return undefined;
  return { type: 'resize', mode: { width: i32(0), height: i32(1), stride: i32(2), depth: i32(3), offset: i32(4) } };
}
