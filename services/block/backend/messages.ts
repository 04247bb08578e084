/** What the control side and the service's worker say to each other. */
import type { DeviceOptions } from './device.ts';
import type { RingDescription } from './ring.ts';

export interface ImageOptions {
  path: string;
  format: 'raw' | 'qcow2' | 'vhd';
  readonly: boolean;
  /** What is behind it lies in this folder, or it is not opened. */
  within?: string | undefined;
}

export interface DeviceFacts {
  /** Bytes. */
  size: number;
}

/** Each is answered, in any order. */
export type Order =
  /** `held`: its image is somebody else's just now. */
  | { order: 'open'; device: number; image: ImageOptions; options: DeviceOptions; held: boolean }
  | { order: 'close'; device: number }
  /** Finishes what is under way and lets the image go; what comes waits. */
  | { order: 'hold'; device: number }
  /** Goes on with what is now under the image's name. */
  | { order: 'resume'; device: number; image: ImageOptions }
  | { order: 'resize'; device: number; size: number }
  | { order: 'attach'; ring: RingDescription }
  | { order: 'detach'; ring: number };

export type ToWorker = Order & { call: number };

export type FromWorker =
  | { call: number; result: DeviceFacts | null }
  | { call: number; error: { message: string; kind: string } }
  /** The front end of this ring broke the protocol. */
  | { broken: number; why: string }
  | { report: string };
