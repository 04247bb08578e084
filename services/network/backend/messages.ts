/** What the control side and the network service's worker say to each other. */
import type { Forward } from '../nat/forward.ts';
import type { NatOptions } from '../nat/plan.ts';
import type { Rate } from '../switch/rate.ts';
import type { Vlan } from '../switch/switch.ts';
import type { Connection } from './vif.ts';

export interface NetworkOptions {
  /** Undefined: a network without a gateway, guests alone. */
  nat: NatOptions | undefined;
}

export interface VifOptions {
  name: string;
  mac: number;
  vlan: Vlan;
  /** Its addresses, as text: it sends from no others, and DHCP gives the IPv4 one. */
  addresses: string[];
  rate: Rate | undefined;
}

/** A DHCP lease, so that the next worker knows what the last one gave. */
export interface KnownLease {
  version: 4 | 6;
  number: number;
  client: string;
}

export interface VifFacts {
  vif: number;
  name: string;
  addresses: string[];
  connections: number;
  sentBytes: number;
  sentFrames: number;
  receivedBytes: number;
  receivedFrames: number;
  dropped: number;
}

export interface NetworkFacts {
  forwards: Forward[];
  vifs: VifFacts[];
}

export interface CaptureOrder {
  capture: number;
  network: number;
  vif: number | undefined;
  snapLength: number | undefined;
  count: number | undefined;
}

/** Each is answered, in any order. */
export type Order =
  | { order: 'network'; network: number; options: NetworkOptions }
  | { order: 'drop'; network: number }
  | { order: 'vif'; vif: number; network: number; options: VifOptions; leases: KnownLease[] }
  | { order: 'unplug'; vif: number }
  | { order: 'attach'; vif: number; connection: Connection }
  | { order: 'multicast'; vif: number; multicast: boolean }
  | { order: 'detach'; vif: number }
  | { order: 'forward'; network: number; forward: Forward }
  | { order: 'unforward'; network: number; forward: Forward }
  | { order: 'facts'; network: number }
  | ({ order: 'capture' } & CaptureOrder)
  | { order: 'captured'; capture: number; bytes: number }
  | { order: 'uncapture'; capture: number };

export type Result = null | Forward | NetworkFacts | boolean;
export type ToWorker = Order & { call: number };

export type FromWorker =
  | { call: number; result: Result }
  | { call: number; error: { message: string; kind: string } }
  /** The front end of this interface broke the protocol. */
  | { broken: number; why: string }
  | { leases: KnownLease[]; vif: number }
  | { capture: number; bytes: Uint8Array; lost: number; ended: boolean };
