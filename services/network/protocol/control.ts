// netif's control ring (public/io/netif.h): its requests, and the hashing that a front end sets up by them. Everything in a request is the front
// end's word only.
import * as abi from '../../../spec/abi/constants.ts';
import { netif } from '../../../spec/abi/structs/netif.ts';
import type { GrantedPart } from '../../lib/ring_calls.ts';
import { ALL_TYPES, hashOf, KEY_SIZE, type Hash } from './hash.ts';

const request = netif.xen_netif_ctrl_request;
const answer = netif.xen_netif_ctrl_response;

export const CONTROL = { entries: 128, entry: request.size, answer: answer.size } as const;

/** Entries of the table from hashes to queues: as many as Linux's back end has. */
export const MOST_MAPPED = 128;
const MAPPED_SIZE = 4;

export interface ControlRequest {
  slot: number;
  id: number;
  type: number;
  data: [number, number, number];
}

export interface ControlAnswer {
  slot: number;
  id: number;
  type: number;
  status: number;
  data: number;
}

export function readControl(v: DataView, at: number, slot: number): ControlRequest {
  const { id, type, data } = request.offsets;
  const word = (i: number): number => v.getUint32(at + data + 4 * i, true);
  return {
    slot,
    id: v.getUint16(at + id, true),
    type: v.getUint16(at + type, true),
    data: [word(0), word(1), word(2)],
  };
}

export function writeControl(v: DataView, at: number, { id, type, status, data }: ControlAnswer): void {
  const { offsets } = answer;
  v.setUint16(at + offsets.id, id, true);
  v.setUint16(at + offsets.type, type, true);
  v.setUint32(at + offsets.status, status, true);
  v.setUint32(at + offsets.data, data, true);
}

const { XEN_NETIF_CTRL_STATUS_SUCCESS: SUCCESS, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED: NOT_SUPPORTED } = abi;
const { XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER: INVALID, XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW: OVERFLOW } = abi;

/** Where the set-up's parts are in its bytes: all of them zero is how it begins, no algorithm, an empty key, no table. */
const AT = { algorithm: 0, flags: 4, mapped: 8, key: 12, mapping: 12 + KEY_SIZE } as const;

/** How a front end has its packets hashed. It is its own bytes, so that they can be kept where they outlive a worker. */
export class Hashing {
  static readonly SIZE = AT.mapping + MOST_MAPPED;
  readonly bytes = new Uint8Array(Hashing.SIZE);
  readonly #view = new DataView(this.bytes.buffer);
  readonly #key = this.bytes.subarray(AT.key, AT.key + KEY_SIZE);
  readonly #mapping = this.bytes.subarray(AT.mapping);

  #get(at: number): number {
    return this.#view.getUint32(at, true);
  }
  #set(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  get #chosen(): boolean {
    return this.#get(AT.algorithm) !== abi.XEN_NETIF_CTRL_HASH_ALGORITHM_NONE;
  }

  /** If not, the back end is free to choose queues. */
  get active(): boolean {
    return this.#chosen && this.#get(AT.flags) !== 0;
  }

  hashOf(frame: Uint8Array): Hash | undefined {
    return hashOf(frame, this.#get(AT.flags), this.#key);
  }

  /** Which of so many queues a hash leads to; what has none goes where 0 does. */
  queueOf(hash: Hash | undefined, queues: number): number {
    const mapped = this.#get(AT.mapped);
    const value = hash?.value ?? 0;
    return mapped > 0 ? this.#mapping[value % mapped]! : value % queues;
  }

  /** What a request needs of the front end's memory. */
  wants({ type, data }: ControlRequest): GrantedPart | undefined {
    const size = type === abi.XEN_NETIF_CTRL_TYPE_SET_HASH_KEY ? 1 : MAPPED_SIZE;
    if (size !== 1 && type !== abi.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING) return undefined;
    if (data[1] === 0 || this.#check(type, data) !== SUCCESS) return undefined;
    return { gref: data[0], offset: 0, length: data[1] * size };
  }

  /** Carries a request out, with what it wanted, if that could be had. Twice in a row is the same as once. */
  carryOut({ slot, id, type, data }: ControlRequest, content: Uint8Array | undefined, queues: number): ControlAnswer {
    const wanted = this.wants({ slot, id, type, data }) !== undefined;
    const status = wanted && !content ? INVALID : this.#check(type, data);
    const said = { slot, id, type, status, data: 0 };
    if (status !== SUCCESS) return said;
    switch (type) {
      case abi.XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS:
        return { ...said, data: ALL_TYPES };
      case abi.XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE:
        return { ...said, data: MOST_MAPPED };
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM:
        this.#set(AT.algorithm, data[0]);
        break;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS:
        this.#set(AT.flags, data[0]);
        break;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
        this.#key.fill(0);
        if (content) this.#key.set(content);
        break;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE:
        this.#set(AT.mapped, data[0]);
        this.#mapping.fill(0);
        break;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
        if (content && !this.#map(content, data[2], queues)) return { ...said, status: INVALID };
    }
    return said;
  }

  /** Whether a request's numbers can be. */
  #check(type: number, [first, size, offset]: ControlRequest['data']): number {
    switch (type) {
      case abi.XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS:
        return this.#chosen ? SUCCESS : NOT_SUPPORTED;
      case abi.XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE:
        return SUCCESS;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM:
        return first === abi.XEN_NETIF_CTRL_HASH_ALGORITHM_NONE || first === abi.XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ ? SUCCESS : INVALID; // prettier-ignore
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS:
        // Without an algorithm no type is supported.
        return this.#chosen && (first & ~ALL_TYPES) === 0 ? SUCCESS : INVALID;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_KEY:
        return size <= KEY_SIZE ? SUCCESS : OVERFLOW;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE:
        return first <= MOST_MAPPED ? SUCCESS : INVALID;
      case abi.XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING:
        if (size > MOST_MAPPED) return OVERFLOW;
        return offset + size <= this.#get(AT.mapped) ? SUCCESS : INVALID;
      default:
        return NOT_SUPPORTED; // pages mapped ahead (ADD_GREF_MAPPING and its like), and what there is not
    }
  }

  /** All of a part of the table, or nothing if it names a queue that there is not. */
  #map(content: Uint8Array, offset: number, queues: number): boolean {
    const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
    const list = Array.from({ length: content.length / MAPPED_SIZE }, (_, i) => view.getUint32(MAPPED_SIZE * i, true));
    if (list.some((queue) => queue >= queues)) return false;
    this.#mapping.set(list, offset);
    return true;
  }
}
