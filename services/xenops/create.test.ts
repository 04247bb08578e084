// What createDomain does to a hypervisor, on a model of one: frames by number, a window of domain 0's space, and the order of calls.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XEN_ELFNOTE_ENTRY, XEN_ELFNOTE_HYPERCALL_PAGE, XEN_ELFNOTE_PAE_MODE } from '../../spec/abi/constants.ts';
import { view } from '../../spec/abi/layout.ts';
import { grantTable } from '../../spec/abi/structs/grant_table.ts';
import { xen } from '../../spec/abi/structs/xen.ts';
import { buildDomain, type GuestType, type PvPlan } from '../domain_builder/protocol/index.ts';
import { u32, u64 } from '../domain_builder/protocol/bytes.ts';
import { makeElf } from '../domain_builder/protocol/fixtures.ts';
import { makePvElf, notes, scrambled, str } from '../domain_builder/protocol/pv/fixtures.ts';
import type { Hypercalls } from '../lib/hypercalls.ts';
import { createDomain } from './create.ts';

const PAGE = 4096;
const MIB = 1 << 20;
const SHARED_INFO = 0x77777;
const GRANT_FRAME = 0x88888;
const DOMID = 5;

/** Where the model stands in for the real calls. */
class Model {
  readonly frames = new Map<number, Uint8Array>();
  readonly window = new Map<number, number>();
  readonly calls: string[] = [];
  readonly pinned: [level: number, frame: number][] = [];
  context: Uint8Array | undefined;
  bits = 64;
  failAt: string | undefined;
  readonly #pv: boolean;

  constructor(type: GuestType) {
    this.#pv = type === 'pv';
  }

  #note(call: string): void {
    this.calls.push(call);
    if (call === this.failAt) throw new Error(call);
  }
  #frame(mfn: number): Uint8Array {
    const page = this.frames.get(mfn);
    assert.ok(page, `frame ${mfn.toString(16)} is not the domain's`);
    return page;
  }
  createDomain = ({ pv = false }: { pv?: boolean }): number => {
    assert.equal(pv, this.#pv);
    this.#note('create');
    for (const mfn of [SHARED_INFO, GRANT_FRAME]) this.frames.set(mfn, new Uint8Array(PAGE));
    return DOMID;
  };
  destroy = (domid: number): void => this.#note(`destroy ${domid}`);
  maxMemory = (): void => this.#note('max_mem');
  maxVcpus = (): void => this.#note('max_vcpus');
  #ports = 0;
  allocUnbound = (_domid: number, remote: number): number => remote * 10 + ++this.#ports;
  setAddressSize = (_domid: number, bits: number): void => void (this.bits = bits);
  populate = (_domid: number, first: number, count: number): void => {
    assert.ok(!this.#pv);
    this.#note('populate');
    for (let i = 0; i < count; i++) this.frames.set(first + i, new Uint8Array(PAGE));
  };
  /** How machine frames follow pages. */
  order: (pfn: number) => number = scrambled;
  populateRows = (_domid: number, count: number): Uint32Array => {
    assert.ok(this.#pv);
    this.#note('populate');
    const frames = Uint32Array.from({ length: count }, (_, pfn) => this.order(pfn));
    for (const mfn of frames) this.frames.set(mfn, new Uint8Array(PAGE));
    return frames;
  };
  capabilities = (): string => 'xen-3.0-x86_64 xen-3.0-x86_32p hvm-3.0-x86_64 ';
  domainInfo = () => ({ sharedInfoFrame: SHARED_INFO });
  mapForeign = (domid: number, first: number, count: number, at: number): void =>
    this.mapForeignFrames(domid, (i) => first + i, count, at);
  mapForeignFrames = (domid: number, frame: (i: number) => number, count: number, at: number): void => {
    assert.equal(domid, DOMID);
    assert.deepEqual(this.pinned, [], 'nothing is written once the tables are pinned');
    for (let i = 0; i < count; i++) this.window.set(at + i, frame(i));
  };
  mapGrantTable = (_domid: number, at: number): void => {
    this.#note('grants');
    this.window.set(at, GRANT_FRAME);
  };
  unmap = (first: number, count: number): void => {
    for (let i = 0; i < count; i++) assert.ok(this.window.delete(first + i), 'unmapped twice');
  };
  initHypercallPage = (_domid: number, mfn: number): void => void this.#frame(mfn).fill(0xcc);
  pinTable = (_domid: number, level: number, mfn: number): void => {
    this.#note('pin');
    assert.equal(this.window.size, 0, 'nobody can write to the tables any more');
    this.pinned.push([level, mfn]);
  };
  setVcpuContext = (_domid: number, _vcpu: number, context: Uint8Array): void => {
    this.#note('context');
    this.context = context;
  };
  setMemoryMap = (): void => this.#note('memory map');
  setHvmParam = (): void => {};
  setHvmContext = (): void => this.#note('hvm context');
  readonly mailbox = {
    write: (gpa: number, bytes: Uint8Array): void => {
      for (let done = 0; done < bytes.length; ) {
        const at = gpa + done;
        const n = Math.min(bytes.length - done, PAGE - (at % PAGE));
        const mfn = this.window.get(Math.floor(at / PAGE));
        assert.ok(mfn !== undefined, 'written outside of the window');
        this.#frame(mfn).set(bytes.subarray(done, done + n), at % PAGE);
        done += n;
      }
    },
  };
}

const OWNERS = { xenstore: 0x7f01, console: 0x7f02 };
const OPTIONS = { uuid: new Uint8Array(16), vcpus: 1, ssidref: 0 };
const run = (model: Model, plan: ReturnType<typeof buildDomain>, rows = 1) =>
  createDomain(model as unknown as Hypercalls, plan, { ...OPTIONS, rows }, OWNERS);

function grants(model: Model): [flags: number, domid: number, frame: number][] {
  const bytes = model.frames.get(GRANT_FRAME)!;
  return [0, 1].map((i) => {
    const { flags, domid, frame } = view(grantTable.grant_entry_v1, new DataView(bytes.buffer), 8 * i);
    return [flags, domid, frame];
  });
}

for (const bits of [64, 32] as const)
  test(`a ${bits}-bit PV domain: contents by machine frames, tables pinned when nobody writes any more, then the vCPU`, () => {
    const number = bits === 64 ? u64 : u32;
    const kernel = makePvElf({
      bits,
      notes: notes(
        [XEN_ELFNOTE_ENTRY, number(0x100000)],
        [XEN_ELFNOTE_HYPERCALL_PAGE, number(0x102000)],
        [XEN_ELFNOTE_PAE_MODE, str('yes')],
      ),
    });
    const initrd = Uint8Array.from({ length: 3 * PAGE }, (_, i) => i * 7);
    const plan = buildDomain({ type: 'pv', kernel, initrd, cmdline: 'a b', memory: 8 * MIB }) as PvPlan;
    const model = new Model('pv');
    const made = run(model, plan);
    assert.deepEqual(model.calls, ['create', 'max_mem', 'max_vcpus', 'populate', 'pin', 'context', 'grants']);
    assert.deepEqual(model.pinned, [[bits === 64 ? 4 : 3, scrambled(plan.rootPfn)]]);
    assert.equal(model.bits, bits);
    assert.deepEqual([made.storeFrame, made.consoleFrame], [scrambled(plan.xenstorePfn), scrambled(plan.consolePfn)]);
    const page = (pfn: number): Uint8Array => model.frames.get(scrambled(pfn))!;
    assert.equal(page(0x100)[0], 0xf4);
    assert.equal(page(0x102)[99], 0xcc, 'the hypercall page');
    const { initrd: where } = plan.domain.layout;
    for (let i = 0; i < 3; i++) assert.deepEqual(page(where!.pfn + i), initrd.subarray(i * PAGE, (i + 1) * PAGE));
    if (bits === 64) {
      const info = view(xen.start_info, new DataView(page(plan.startInfoPfn).buffer));
      assert.deepEqual(
        [info.shared_info, info.store_evtchn, info.console.domU.evtchn],
        [BigInt(SHARED_INFO) << 12n, made.storePort, made.consolePort],
      );
    }
    const masks = [0, 1, 31].map((vcpu) => model.frames.get(SHARED_INFO)![64 * vcpu + 1]);
    assert.deepEqual(masks, [1, 1, 1]);
    assert.deepEqual(grants(model), [
      [1, OWNERS.console, made.consoleFrame],
      [1, OWNERS.xenstore, made.storeFrame],
    ]);
    assert.equal(model.window.size, 0);
  });

test('a PVH domain has the same grants, of its own frames', () => {
  const model = new Model('pvh');
  const made = run(model, buildDomain({ kernel: makeElf(), cmdline: '', memory: 8 * MIB }));
  assert.deepEqual([made.storeFrame, made.consoleFrame], [0xfeffc, 0xfefff]);
  assert.deepEqual(grants(model), [
    [1, OWNERS.console, 0xfefff],
    [1, OWNERS.xenstore, 0xfeffc],
  ]);
  assert.equal(model.pinned.length, 0);
});

test('a kind of guest that the hypervisor does not run is told before anything is made', () => {
  const kernel = makePvElf({
    bits: 32,
    notes: notes([XEN_ELFNOTE_ENTRY, u32(0x100000)], [XEN_ELFNOTE_PAE_MODE, str('yes')]),
  });
  const plan = buildDomain({ type: 'pv', kernel, cmdline: '', memory: 8 * MIB });
  const model = new Model('pv');
  model.capabilities = () => 'xen-3.0-x86_64 hvm-3.0-x86_64 ';
  assert.throws(
    () => run(model, plan),
    /a 32-bit PV one \(xen-3.0-x86_32p\), and the hypervisor runs xen-3.0-x86_64 only/,
  );
  assert.deepEqual(model.calls, []);
});

test('a domain that fails on its way is taken back', () => {
  const kernel = makePvElf({ notes: notes([XEN_ELFNOTE_ENTRY, u64(0x100000)]) });
  const plan = buildDomain({ type: 'pv', kernel, cmdline: '', memory: 8 * MIB });
  for (const failAt of ['populate', 'pin', 'context', 'grants']) {
    const model = new Model('pv');
    model.failAt = failAt;
    assert.throws(() => run(model, plan), new RegExp(failAt));
    assert.equal(model.calls.at(-1), `destroy ${DOMID}`);
    assert.equal(model.window.size, 0);
  }
});

test('a PV domain whose buffers must be machine frames in a row is made of such memory or not at all', () => {
  const kernel = makePvElf({ notes: notes([XEN_ELFNOTE_ENTRY, u64(0x100000)]) });
  const plan = buildDomain({ type: 'pv', kernel, cmdline: '', memory: 8 * MIB }) as PvPlan;
  const made = (rows: number, order: (pfn: number) => number): void => {
    const model = new Model('pv');
    model.order = order;
    run(model, plan, rows);
  };
  // Runs of 128, the last run first.
  const runs = (pfn: number): number => 0x9000 - (pfn - (pfn % 128)) + (pfn % 128);
  made(128, runs);
  assert.throws(() => made(256, runs), { name: 'NoRows' });
  assert.throws(() => made(128, scrambled), { name: 'NoRows' });
  // One page elsewhere.
  assert.throws(() => made(128, (pfn) => 0x100 + (pfn === 300 ? 0x9000 : pfn)), { name: 'NoRows' });
  // A last run that is not whole is nobody's buffer.
  made(128, (pfn) => 0x100 + (pfn === plan.pages - 1 && plan.pages % 128 !== 0 ? 0x9000 : pfn));
});
