// A learning switch: one network. Ports give batches of frames and are given such; a frame that both ends can take as it
// is passes as it is.
import {
  ETHER,
  isGroup,
  macAt,
  MAC_BROADCAST,
  u16,
  FULL_OFFLOAD,
  type Frame,
  type Offload,
} from '../protocol/frame.ts';
import { groupsIn } from '../protocol/multicast.ts';
import { adapt, sound } from '../protocol/segment.ts';
import { Groups } from './groups.ts';
import { permitted, type Lock } from './lock.ts';
import { MacTable } from './macs.ts';

/** Untagged frames of one VLAN, or tagged ones of several (and untagged ones of the native one). 0 is no VLAN. */
export type Vlan = { access: number } | { trunk: ReadonlySet<number> | 'all'; native?: number };

export interface PortOptions {
  name: string;
  /** Takes frames. They are others' too: not to be changed. `from` is the port they came in by. */
  deliver(frames: Frame[], from: Port): void;
  /** More waits there than it takes soon: who can should send later, and hears by `onDrain` when. Nobody is kept from sending. */
  full?(): boolean;
  offload?: Offload;
  vlan?: Vlan;
  /** `undefined` is unlocked; `disabled` neither sends nor receives. */
  lock?: Lock | 'disabled';
}

export interface PortStatistics {
  /** As the port's owner sees it: sent is what came into the switch. */
  sentFrames: number;
  sentBytes: number;
  sentRefused: number;
  receivedFrames: number;
  receivedBytes: number;
}

/** Groups that a port may ask for by multicast control (XEN_NETBK_MCAST_MAX). */
export const MOST_GROUPS = 64;

const VLAN_ID = 0x0fff;
const TAG = 4;
const SMALLEST = ETHER.size;
/** Of a frame that stands for itself alone: the largest that an IP packet with a tag may need. */
const LARGEST = 65535 + ETHER.size + TAG;

/** Who sees what passes: before it is cut or filled in for a port. `to` is the port it goes to, unless that is all. */
export type Tap = (frame: Frame, vlan: number, from: Port, to: Port | undefined) => void;

export class Port {
  readonly options: PortOptions;
  readonly id: number;
  readonly statistics: PortStatistics = { sentFrames: 0, sentBytes: 0, sentRefused: 0, receivedFrames: 0, receivedBytes: 0 }; // prettier-ignore
  vlan: Vlan;
  lock: Lock | 'disabled' | undefined;
  offload: Offload;
  /** Multicast addresses wanted; `undefined` is all. Broadcasts are everybody's. */
  groups: Set<number> | undefined;
  /** Called when the port is full no more. */
  readonly onDrain = new Set<() => void>();
  /** Frames on their way to the port, until the batch they came with is through. */
  readonly pending: Frame[] = [];
  readonly #switch: Switch;

  constructor(owner: Switch, id: number, options: PortOptions) {
    this.#switch = owner;
    this.id = id;
    this.options = options;
    this.vlan = options.vlan ?? { access: 0 };
    this.lock = options.lock;
    this.offload = options.offload ?? FULL_OFFLOAD;
  }

  send(frames: readonly Frame[]): void {
    this.#switch.forward(this, frames);
  }

  detach(): void {
    this.#switch.detach(this);
  }
}

/** Whether a port carries a VLAN, and with a tag. */
function carries({ vlan }: Port, id: number): 'no' | 'plain' | 'tagged' {
  if ('access' in vlan) return vlan.access === id ? 'plain' : 'no';
  if ((vlan.native ?? 0) === id) return 'plain';
  return vlan.trunk === 'all' || vlan.trunk.has(id) ? 'tagged' : 'no';
}

function untagged(frame: Frame): Frame {
  const bytes = new Uint8Array(frame.bytes.length - TAG);
  bytes.set(frame.bytes.subarray(0, 12));
  bytes.set(frame.bytes.subarray(12 + TAG), 12);
  return { ...frame, bytes, kept: undefined };
}

function tagged(frame: Frame, vlan: number): Frame {
  const bytes = new Uint8Array(frame.bytes.length + TAG);
  bytes.set(frame.bytes.subarray(0, 12));
  bytes.set([ETHER.vlan >> 8, ETHER.vlan & 255, vlan >> 8, vlan & 255], 12);
  bytes.set(frame.bytes.subarray(12), 12 + TAG);
  return { ...frame, bytes, kept: undefined };
}

export class Switch {
  readonly macs = new MacTable();
  readonly #groups = new Groups();
  readonly ports = new Map<number, Port>();
  readonly taps = new Set<Tap>();
  readonly #now: () => number;
  #next = 1;
  readonly #touched = new Set<Port>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  attach(options: PortOptions): Port {
    const port = new Port(this, this.#next++, options);
    this.ports.set(port.id, port);
    return port;
  }

  detach(port: Port): void {
    this.ports.delete(port.id);
    this.#touched.delete(port);
    this.macs.forget(port.id);
    this.#groups.forget(port.id);
  }

  /** A batch comes in by a port; each other port is given its share at once, in order. */
  forward(from: Port, frames: readonly Frame[]): void {
    if (this.ports.get(from.id) !== from) return;
    const now = this.#now();
    for (const frame of frames) this.#forward(from, frame, now);
    const touched = [...this.#touched];
    this.#touched.clear();
    for (const port of touched) {
      const batch = port.pending.splice(0);
      if (this.ports.get(port.id) === port) port.options.deliver(batch, from);
    }
  }

  #forward(from: Port, sent: Frame, now: number): void {
    const entered = this.#enter(from, sent);
    if (!entered) {
      from.statistics.sentRefused++;
      return;
    }
    const { frame, vlan } = entered;
    from.statistics.sentFrames++;
    from.statistics.sentBytes += frame.bytes.length;
    this.macs.learn(vlan, macAt(frame.bytes, 6), from.id, now);
    const to = macAt(frame.bytes, 0);
    const known = isGroup(to) ? undefined : this.macs.find(vlan, to, now);
    const port = known === undefined ? undefined : this.ports.get(known);
    for (const tap of this.taps) tap(frame, vlan, from, port);
    if (known !== undefined) {
      if (port && port !== from) this.#leave(port, frame, vlan);
      return;
    }
    const wants = this.#listeners(from, frame, to, vlan, now);
    for (const port of this.ports.values()) if (port !== from && wants(port)) this.#leave(port, frame, vlan);
  }

  /** Which ports are given a frame that is for more than one. */
  #listeners(from: Port, { bytes }: Frame, to: number, vlan: number, now: number): (port: Port) => boolean {
    if (!isGroup(to) || to === MAC_BROADCAST) return () => true;
    const said = groupsIn(bytes);
    if (said) this.#groups.heard(said, vlan, from.id, now);
    if (said?.kind === 'report') return ({ id }) => this.#groups.asks(vlan, id, now);
    return ({ id, groups }) => (!groups || groups.has(to)) && this.#groups.wants(to, vlan, id, now);
  }

  /** The frame without a tag and its VLAN; undefined if the port may not send it. */
  #enter(from: Port, sent: Frame): { frame: Frame; vlan: number } | undefined {
    const { length } = sent.bytes;
    if (from.lock === 'disabled' || length < SMALLEST || length > LARGEST) return undefined;
    if (isGroup(macAt(sent.bytes, 6))) return undefined; // no station is a group
    let frame = sent;
    let vlan = 'access' in from.vlan ? from.vlan.access : (from.vlan.native ?? 0);
    if (u16(sent.bytes, ETHER.type) === ETHER.vlan && !('access' in from.vlan && from.vlan.access === 0)) {
      // An access port's frames have no tag; one without a VLAN passes them on as they are.
      if ('access' in from.vlan || length < SMALLEST + TAG) return undefined;
      vlan = u16(sent.bytes, ETHER.size) & VLAN_ID;
      if (carries(from, vlan) !== 'tagged') return undefined;
      frame = untagged(sent);
    }
    if (!sound(frame) || (from.lock && !permitted(frame.bytes, from.lock))) return undefined;
    return { frame, vlan };
  }

  #leave(port: Port, frame: Frame, vlan: number): void {
    const how = carries(port, vlan);
    if (how === 'no' || port.lock === 'disabled') return;
    for (const part of adapt(frame, port.offload)) {
      port.pending.push(how === 'tagged' ? tagged(part, vlan) : part);
      port.statistics.receivedFrames++;
      port.statistics.receivedBytes += part.bytes.length;
    }
    this.#touched.add(port);
  }
}
