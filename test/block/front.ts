// A block front end of ours, on a real host: a domain without instructions whose memory, grants, ring and store nodes are written from here. It can
// keep to the protocol or break it as no driver would.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DOMID_SELF,
  GTF_permit_access,
  GTF_readonly,
  XENMAPSPACE_grant_table,
  XenbusStateClosed,
  XenbusStateConnected,
  XenbusStateInitialised,
  XenbusStateInitialising,
} from '../../spec/abi/constants.ts';
import { memory } from '../../spec/abi/structs/memory.ts';
import type { ServicePort } from '../../platform/service.ts';
import { BLOCK_DOMID } from '../../services/block/backend/service.ts';
import { ABI_64, OP, ringEntries, type Abi } from '../../services/block/protocol/blkif.ts';
import { Hypercalls } from '../../services/lib/hypercalls.ts';
import type { Host } from '../../services/xenops/host.ts';
import { domainPath } from '../../services/xenstore/protocol/path.ts';
import { LocalClient } from '../../services/xenstore/protocol/client.ts';

export const PAGE = 4096;
const TABLE_AT = 0x8000;
const PAGES = 1200;
const ENTRIES_A_FRAME = PAGE / 8;

class FrontCalls extends Hypercalls {
  mapTable(index: number, at: number): void {
    this.op('memory_op', 'XENMEM_add_to_physmap', memory.xen_add_to_physmap, (a) => {
      a.domid = DOMID_SELF;
      a.space = XENMAPSPACE_grant_table;
      a.idx = BigInt(index);
      a.gpfn = BigInt(at);
    });
  }
}

export interface Part {
  gref: number;
  first: number;
  last: number;
}

export interface Answer {
  id: number;
  op: number;
  status: number;
}

/** What a domain has, whatever its devices: pages that it grants. */
export class FrontDomain {
  readonly host: Host;
  readonly domid: number;
  readonly port: ServicePort;
  readonly calls: FrontCalls;
  readonly store: LocalClient;
  readonly control: LocalClient;
  readonly #backend: number;
  #page = 64;
  #ref = 8;

  /** `backend`: whom it grants its pages. */
  constructor(host: Host, domid: number, backend: number = BLOCK_DOMID) {
    this.host = host;
    this.#backend = backend;
    this.domid = domid;
    this.port = host.machine.service(domid, {}, 0, PAGES);
    this.calls = new FrontCalls(this.port);
    for (let i = 0; i < 4; i++) this.calls.mapTable(i, TABLE_AT + i);
    this.store = new LocalClient(host.store, domid);
    this.control = new LocalClient(host.store);
  }

  /** Fresh pages in a row; the first one's frame. */
  pages(count: number): number {
    const first = this.#page;
    this.#page += count;
    assert.ok(this.#page <= PAGES, 'the front end has no more pages');
    return first;
  }

  grant(frame: number, readonly = false, ref = this.#ref++): number {
    assert.ok(ref < 4 * ENTRIES_A_FRAME);
    const entry = new DataView(new ArrayBuffer(8));
    entry.setUint16(0, GTF_permit_access | (readonly ? GTF_readonly : 0), true);
    entry.setUint16(2, this.#backend, true);
    entry.setUint32(4, frame, true);
    this.port.write(TABLE_AT * PAGE + 8 * ref, new Uint8Array(entry.buffer));
    return ref;
  }

  revoke(ref: number): void {
    this.port.write(TABLE_AT * PAGE + 8 * ref, new Uint8Array(8));
  }

  u32(at: number): number {
    const b = this.port.read(at, 4);
    return new DataView(b.buffer, b.byteOffset).getUint32(0, true);
  }

  setU32(at: number, value: number): void {
    this.port.write(at, new Uint8Array(new Uint32Array([value]).buffer));
  }
}

/** One ring. */
export class FrontRing {
  readonly domain: FrontDomain;
  readonly abi: Abi;
  readonly entries: number;
  readonly at: number;
  readonly refs: number[];
  readonly eventPort: number;
  produced = 0;
  consumed = 0;

  constructor(domain: FrontDomain, abi: Abi, pages: number) {
    this.domain = domain;
    this.abi = abi;
    this.entries = ringEntries(abi, pages);
    const first = domain.pages(pages);
    this.at = first * PAGE;
    this.refs = Array.from({ length: pages }, (_, i) => domain.grant(first + i));
    this.eventPort = domain.calls.allocUnbound(DOMID_SELF, BLOCK_DOMID);
    this.reset();
  }

  reset(): void {
    this.domain.port.write(this.at, new Uint8Array(this.refs.length * PAGE));
    this.domain.setU32(this.at + 4, 1);
    this.domain.setU32(this.at + 12, 1);
    this.produced = this.consumed = 0;
  }

  get room(): number {
    return this.entries - (this.produced - this.consumed);
  }

  entryAt(index: number): number {
    return this.at + 64 + (index % this.entries) * this.abi.entry;
  }

  /** Writes an entry; `publish` makes it seen. */
  put(entry: Uint8Array): void {
    this.domain.port.write(this.entryAt(this.produced++), entry);
  }

  publish(): void {
    const old = this.domain.u32(this.at);
    this.domain.setU32(this.at, this.produced);
    const event = this.domain.u32(this.at + 4);
    if ((this.produced - event) >>> 0 < (this.produced - old) >>> 0) this.notify();
  }

  notify(): void {
    this.domain.calls.notify(this.eventPort);
  }

  /** Answers that are there; asks for an event with the next one. */
  take(): Answer[] {
    const answers: Answer[] = [];
    const produced = this.domain.u32(this.at + 8);
    for (; this.consumed !== produced; this.consumed++) {
      const b = this.domain.port.read(this.entryAt(this.consumed), this.abi.answer);
      const v = new DataView(b.buffer, b.byteOffset);
      answers.push({ id: Number(v.getBigUint64(0, true)), op: v.getUint8(8), status: v.getInt16(10, true) });
    }
    this.domain.setU32(this.at + 12, this.consumed + 1);
    return answers;
  }

  /** All answers that are due, in the order in which they came. */
  async drain(ms = 5000): Promise<Answer[]> {
    const answers: Answer[] = [];
    for (const end = Date.now() + ms; this.produced !== this.consumed; await sleep(1)) {
      answers.push(...this.take());
      assert.ok(Date.now() < end, `${this.produced - this.consumed} requests are not answered`);
    }
    return answers;
  }

  // ---- entries

  #entry(op: number, id: number, sector: number): DataView {
    const v = new DataView(new ArrayBuffer(this.abi.entry));
    v.setUint8(0, op);
    v.setBigUint64(this.abi.id, BigInt(id), true);
    v.setBigUint64(this.abi.sector, BigInt(sector), true);
    return v;
  }

  static segment(v: DataView, at: number, { gref, first, last }: Part): void {
    v.setUint32(at, gref, true);
    v.setUint8(at + 4, first);
    v.setUint8(at + 5, last);
  }

  request(op: number, id: number, sector: number, parts: readonly Part[] = []): Uint8Array {
    const v = this.#entry(op, id, sector);
    v.setUint8(1, parts.length);
    parts.slice(0, 11).forEach((part, i) => FrontRing.segment(v, this.abi.segments + 8 * i, part));
    return new Uint8Array(v.buffer);
  }

  discard(id: number, sector: number, sectors: number): Uint8Array {
    const v = this.#entry(OP.DISCARD, id, sector);
    v.setBigUint64(this.abi.discardSectors, BigInt(sectors), true);
    return new Uint8Array(v.buffer);
  }

  indirect(op: number, id: number, sector: number, count: number, grefs: readonly number[]): Uint8Array {
    const v = this.#entry(OP.INDIRECT, id, sector);
    v.setUint8(1, op);
    v.setUint16(2, count, true);
    grefs.forEach((gref, i) => v.setUint32(this.abi.indirectGrefs + 4 * i, gref, true));
    return new Uint8Array(v.buffer);
  }
}

export interface FrontOptions {
  number: number;
  abi?: Abi;
  order?: number;
  queues?: number;
  /** Nodes written beside, or instead of, what belongs there. */
  nodes?: Record<string, string>;
}

/** A device of the domain's, as its driver would have it. */
export class FrontDisk {
  readonly domain: FrontDomain;
  readonly path: string;
  readonly rings: FrontRing[];
  readonly #options: FrontOptions;

  constructor(domain: FrontDomain, options: FrontOptions) {
    this.domain = domain;
    this.path = `${domainPath(domain.domid)}/device/vbd/${options.number}`;
    this.#options = options;
    const { abi = ABI_64, order = 0, queues = 1 } = options;
    this.rings = Array.from({ length: queues }, () => new FrontRing(domain, abi, 1 << order));
  }

  get back(): string {
    return `${domainPath(BLOCK_DOMID)}/backend/vbd/${this.domain.domid}/${this.#options.number}`;
  }

  /** Of the back end's nodes, as the toolstack sees them. */
  read(name: string): string | undefined {
    return this.domain.control.find(`${this.back}/${name}`);
  }

  set state(state: number) {
    this.domain.store.write(`${this.path}/state`, String(state));
  }

  async backState(wanted: number): Promise<void> {
    for (const end = Date.now() + 5000; Number(this.read('state')) !== wanted; await sleep(1))
      assert.ok(Date.now() < end, `the back end is in state ${this.read('state')}, not ${wanted}: ${this.error}`);
  }

  /** What the back end has said that we did wrong. */
  get error(): string | undefined {
    const path = `${domainPath(BLOCK_DOMID)}/error/backend/vbd/${this.domain.domid}/${this.#options.number}/error`;
    return this.domain.control.find(path);
  }

  writeNodes(): void {
    const { order, abi = ABI_64, nodes = {} } = this.#options;
    const rows: Record<string, string> = { protocol: abi.name };
    if (order !== undefined) rows['ring-page-order'] = String(order);
    if (this.rings.length > 1) rows['multi-queue-num-queues'] = String(this.rings.length);
    this.rings.forEach((ring, i) => {
      const prefix = this.rings.length > 1 ? `queue-${i}/` : '';
      if (order === undefined || order === 0) rows[`${prefix}ring-ref`] = String(ring.refs[0]);
      else ring.refs.forEach((ref, page) => (rows[`${prefix}ring-ref${page}`] = String(ref)));
      rows[`${prefix}event-channel`] = String(ring.eventPort);
    });
    for (const [name, value] of Object.entries({ ...rows, ...nodes }))
      this.domain.store.write(`${this.path}/${name}`, value);
  }

  async connect(): Promise<void> {
    await this.backState(2);
    this.writeNodes();
    this.state = XenbusStateInitialised;
    await this.backState(4);
    this.state = XenbusStateConnected;
  }

  async close(): Promise<void> {
    this.state = XenbusStateClosed;
    await this.backState(6);
  }

  /** As after the driver has been loaded anew. */
  async reconnect(): Promise<void> {
    for (const ring of this.rings) ring.reset();
    this.state = XenbusStateInitialising;
    await this.connect();
  }
}
