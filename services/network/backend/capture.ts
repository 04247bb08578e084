// What passes a switch, as a capture for whoever asked for it. It holds nothing up: a reader that does not keep up loses
// frames, which are counted.
import { enhancedPacket, interfaceDescription, sectionHeader } from '../protocol/pcap.ts';
import { filled } from '../protocol/segment.ts';
import { GSO } from '../protocol/frame.ts';
import type { Port, Switch, Tap } from '../switch/switch.ts';

export interface CaptureOptions {
  /** Of each frame, so many bytes are kept. */
  snapLength?: number;
  /** Only frames to or from this port. */
  port?: Port;
  /** Ends by itself after so many frames. */
  count?: number;
}

/** Bytes that may wait for the reader. */
const MOST_WAITING = 4 << 20;
const SNAP_LENGTH = 262_144;

export class Capture {
  readonly #switch: Switch;
  readonly #tap: Tap;
  readonly #write: (bytes: Uint8Array) => number;
  readonly #snap: number;
  readonly #numbers = new Map<number, number>();
  readonly #onEnd: () => void;
  #left: number;
  frames = 0;
  lost = 0;

  /** `write` takes bytes and gives how many wait there now. */
  constructor(
    net: Switch,
    options: CaptureOptions,
    write: (bytes: Uint8Array) => number,
    onEnd: () => void = () => {},
  ) {
    this.#switch = net;
    this.#write = write;
    this.#onEnd = onEnd;
    this.#snap = options.snapLength ?? SNAP_LENGTH;
    this.#left = options.count ?? Infinity;
    this.#tap = (frame, _vlan, from, to) => {
      if (options.port && from !== options.port && to !== options.port) return;
      // A large frame is shown as it passes; its checksum is nobody's yet.
      this.#packet(frame.gso === GSO.none ? filled(frame).bytes : frame.bytes, from);
    };
    write(sectionHeader());
    net.taps.add(this.#tap);
  }

  #packet(bytes: Uint8Array, from: Port): void {
    if (this.#left <= 0) return;
    let number = this.#numbers.get(from.id);
    if (number === undefined) {
      this.#numbers.set(from.id, (number = this.#numbers.size));
      this.#write(interfaceDescription(from.options.name, this.#snap));
    }
    if (this.#write(new Uint8Array(0)) > MOST_WAITING) {
      this.lost++;
      return;
    }
    this.frames++;
    this.#left--;
    const time = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;
    this.#write(enhancedPacket(number, time, bytes, this.#snap));
    if (this.#left <= 0) this.end();
  }

  end(): void {
    if (this.#switch.taps.delete(this.#tap)) this.#onEnd();
  }
}
