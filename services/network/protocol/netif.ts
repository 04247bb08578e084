// netif (public/io/netif.h) from the back end's side: what a front end's requests are, and what is answered. What is read here is a copy
// that the front end cannot change any more; everything in it is its word only.
import * as abi from '../../../spec/abi/constants.ts';
import { netif } from '../../../spec/abi/structs/netif.ts';
import { CHECKSUM, ETHER, GSO, macAt, type Checksum, type Frame, type Gso } from './frame.ts';
import type { Hash } from './hash.ts';

const tx = netif.netif_tx_request;
const txAnswer = netif.netif_tx_response;
const rx = netif.netif_rx_request;
const rxAnswer = netif.netif_rx_response;
const extra = netif.netif_extra_info;

export const TX = { entries: 256, entry: tx.size, answer: txAnswer.size } as const;
export const RX = { entries: 256, entry: rx.size, answer: rxAnswer.size } as const;

export const STATUS = { dropped: abi.NETIF_RSP_DROPPED, error: abi.NETIF_RSP_ERROR, okay: abi.NETIF_RSP_OKAY, nothing: abi.NETIF_RSP_NULL } as const; // prettier-ignore
const PAGE = 4096;
/** Slots that a front end may use for one frame: what Linux's back end lets pass. More than FATAL_SLOTS is no accident. */
export const MOST_SLOTS = abi.XEN_NETIF_NR_SLOTS_MIN;
export const FATAL_SLOTS = 20;
const MOST_EXTRAS = 4;

/** A part of a page that the front end has granted. */
export interface Part {
  gref: number;
  offset: number;
  length: number;
}

/** A slot of the ring that is to be answered: `id` of a request, or nothing for what took a request's place. */
export interface Slot {
  slot: number;
  id: number | undefined;
}

export interface TxPacket {
  slots: Slot[];
  parts: Part[];
  size: number;
  checksum: Checksum;
  gso: Gso;
  segment: number;
  /** Multicast addresses that the front end wants to hear, or no more. */
  groups: { add: boolean; mac: number }[];
  /** Cannot be sent: answered as an error. A packet that only says something about groups is none. */
  bad: boolean;
}

/** What breaks the protocol: the front end is given up. */
export class BrokenRing extends Error {}

/** Puts packets together from the slots of a transmit ring, in the order in which they come. */
export class TxAssembler {
  #packet: TxPacket | undefined;
  /** Bytes of the first slot's size that later slots have taken their part of. */
  #first = 0;
  #extras = 0;
  #expects: 'request' | 'extra' | 'more' = 'request';
  #more = false;

  /** Takes the slot whose entry begins at `at`; gives the packet that it completes. */
  add(v: DataView, at: number, slot: number): TxPacket | undefined {
    if (this.#expects === 'extra') this.#extra(v, at, slot);
    else this.#request(v, at, slot);
    const packet = this.#packet!;
    if (packet.slots.length - this.#extras >= FATAL_SLOTS) throw new BrokenRing(`a frame of ${FATAL_SLOTS} slots`);
    if (this.#expects !== 'request') return undefined;
    this.#packet = undefined;
    return this.#whole(packet);
  }

  #request(v: DataView, at: number, slot: number): void {
    const flags = v.getUint16(at + tx.offsets.flags, true);
    const length = v.getUint16(at + tx.offsets.size, true);
    const part = { gref: v.getUint32(at + tx.offsets.gref, true), offset: v.getUint16(at + tx.offsets.offset, true), length }; // prettier-ignore
    const entry = { slot, id: v.getUint16(at + tx.offsets.id, true) };
    const more = (flags & abi.NETTXF_more_data) !== 0;
    if (this.#expects === 'more') {
      const packet = this.#packet!;
      packet.slots.push(entry);
      packet.parts.push(part);
      this.#first -= length;
      if (this.#first < 0 || part.offset + length > PAGE || length === 0) packet.bad = true;
      this.#expects = more ? 'more' : 'request';
      return;
    }
    const checksum = flags & abi.NETTXF_csum_blank ? CHECKSUM.blank : flags & abi.NETTXF_data_validated ? CHECKSUM.validated : CHECKSUM.unchecked; // prettier-ignore
    this.#packet = { slots: [entry], parts: [part], size: length, checksum, gso: GSO.none, segment: 0, groups: [], bad: false }; // prettier-ignore
    this.#first = length;
    this.#extras = 0;
    this.#more = more;
    this.#expects = flags & abi.NETTXF_extra_info ? 'extra' : more ? 'more' : 'request';
  }

  #extra(v: DataView, at: number, slot: number): void {
    const packet = this.#packet!;
    packet.slots.push({ slot, id: undefined });
    if (++this.#extras > MOST_EXTRAS) throw new BrokenRing('too much extra information for a frame');
    const { offsets } = extra;
    const u = at + offsets.u;
    switch (v.getUint8(at + offsets.type)) {
      case abi.XEN_NETIF_EXTRA_TYPE_GSO: {
        const type = v.getUint8(u + 2);
        packet.segment = v.getUint16(u, true);
        if (type !== abi.XEN_NETIF_GSO_TYPE_TCPV4 && type !== abi.XEN_NETIF_GSO_TYPE_TCPV6) packet.bad = true;
        else packet.gso = type === abi.XEN_NETIF_GSO_TYPE_TCPV4 ? GSO.tcpv4 : GSO.tcpv6;
        if (packet.segment === 0) packet.bad = true;
        break;
      }
      case abi.XEN_NETIF_EXTRA_TYPE_MCAST_ADD:
      case abi.XEN_NETIF_EXTRA_TYPE_MCAST_DEL: {
        const add = v.getUint8(at + offsets.type) === abi.XEN_NETIF_EXTRA_TYPE_MCAST_ADD;
        packet.groups.push({ add, mac: macAt(new Uint8Array(v.buffer, v.byteOffset + u, 6), 0) });
        break;
      }
      case abi.XEN_NETIF_EXTRA_TYPE_HASH:
        break; // the guest's own hash of the packet: of no use here
      default:
        throw new BrokenRing('extra information of no known kind');
    }
    if (v.getUint8(at + offsets.flags) & abi.XEN_NETIF_EXTRA_FLAG_MORE) return;
    this.#expects = this.#more ? 'more' : 'request';
  }

  /** The first slot's size is the whole frame's: its own bytes are what the others leave of it. */
  #whole(packet: TxPacket): TxPacket {
    const first = packet.parts[0]!;
    first.length = Math.max(0, this.#first);
    const told = packet.groups.length > 0;
    if (told || first.offset + first.length > PAGE || packet.size < ETHER.size || first.length === 0) packet.bad = true;
    if (packet.slots.length - this.#extras > MOST_SLOTS) packet.bad = true;
    return packet;
  }
}

/** What is answered for a slot of a packet. */
export interface TxAnswer extends Slot {
  packet: Pick<TxPacket, 'bad' | 'groups'>;
}

/** An error for a packet that was not sent on, unless it only said something. */
export const answerStatus = ({ bad, groups }: TxAnswer['packet']): number =>
  bad && groups.length === 0 ? STATUS.error : STATUS.okay;

export function writeTxAnswer(v: DataView, at: number, { id, packet }: TxAnswer): void {
  v.setUint16(at + txAnswer.offsets.id, id ?? 0, true);
  v.setInt16(at + txAnswer.offsets.status, id === undefined ? STATUS.nothing : answerStatus(packet), true);
}

// ---- to the guest

/** A page that a front end has set aside for what comes. */
export interface Buffer {
  slot: number;
  id: number;
  gref: number;
}

export const readBuffer = (v: DataView, at: number, slot: number): Buffer => ({
  slot,
  id: v.getUint16(at + rx.offsets.id, true),
  gref: v.getUint32(at + rx.offsets.gref, true),
});

/** A frame for a front end, with its hash if that was asked for. */
export interface Outgoing extends Frame {
  hash?: Hash;
}

/** Buffers that a frame takes: a page each, and one for each piece of extra information. */
export const buffersFor = (frame: Outgoing): number =>
  Math.ceil(frame.bytes.length / PAGE) + (frame.gso === GSO.none ? 0 : 1) + (frame.hash ? 1 : 0);

/** A piece of extra information, and whether another one follows. */
export type Extra = { more: boolean } & ({ gso: Gso; segment: number } | { hash: Hash });

function extrasOf({ gso, segment, hash }: Outgoing): Extra[] {
  const extras: Extra[] = gso === GSO.none ? [] : [{ more: hash !== undefined, gso, segment }];
  if (hash) extras.push({ more: false, hash });
  return extras;
}

/** What is answered for one buffer. */
export interface RxAnswer {
  slot: number;
  id: number;
  flags: number;
  /** Bytes, or an error. */
  status: number;
  /** Extra information in the answer's place. */
  extra?: Extra;
}

export interface Placed {
  answers: RxAnswer[];
  /** Where the frame's bytes go, one part behind the other. */
  parts: Part[];
}

/** Lays a frame into its buffers: buffersFor(frame) of them, in the order in which they were taken. */
export function place(frame: Outgoing, buffers: readonly Buffer[]): Placed {
  const answers: RxAnswer[] = [];
  const parts: Placed['parts'] = [];
  const { length } = frame.bytes;
  const extras = extrasOf(frame);
  let next = 0;
  for (let from = 0; from < length; from += PAGE) {
    const { slot, id, gref } = buffers[next++]!;
    const part = Math.min(PAGE, length - from);
    let flags = from + part < length ? abi.NETRXF_more_data : 0;
    if (from === 0 && frame.checksum === CHECKSUM.blank) flags |= abi.NETRXF_csum_blank | abi.NETRXF_data_validated;
    if (from === 0 && frame.checksum === CHECKSUM.validated) flags |= abi.NETRXF_data_validated;
    parts.push({ gref, offset: 0, length: part });
    answers.push({ slot, id, flags, status: part });
    for (const extra of extras.splice(0)) {
      answers[0]!.flags |= abi.NETRXF_extra_info;
      const { slot: taken, id: unused } = buffers[next++]!;
      answers.push({ slot: taken, id: unused, flags: 0, status: 0, extra });
    }
  }
  return { answers, parts };
}

function writeExtra(v: DataView, at: number, piece: Extra): void {
  const { offsets } = extra;
  const hashed = 'hash' in piece;
  v.setUint8(at + offsets.type, hashed ? abi.XEN_NETIF_EXTRA_TYPE_HASH : abi.XEN_NETIF_EXTRA_TYPE_GSO);
  v.setUint8(at + offsets.flags, piece.more ? abi.XEN_NETIF_EXTRA_FLAG_MORE : 0);
  const u = at + offsets.u;
  if (hashed) {
    v.setUint8(u, piece.hash.type);
    v.setUint8(u + 1, abi.XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ);
    v.setUint32(u + 2, piece.hash.value, true);
    return;
  }
  v.setUint16(u, piece.segment, true);
  v.setUint8(u + 2, piece.gso);
  v.setUint8(u + 3, 0);
  v.setUint16(u + 4, 0, true);
}

export function writeRxAnswer(v: DataView, at: number, { id, flags, status, extra }: RxAnswer): void {
  if (extra) return writeExtra(v, at, extra);
  v.setUint16(at + rxAnswer.offsets.id, id, true);
  v.setUint16(at + rxAnswer.offsets.offset, 0, true);
  v.setUint16(at + rxAnswer.offsets.flags, flags, true);
  v.setInt16(at + rxAnswer.offsets.status, status, true);
}
