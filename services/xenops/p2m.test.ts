// A PV domain's own list of frames, in either form, from pages by machine frame number; and what a hostile domain says of it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { COMPAT_STRUCTS } from '../../spec/abi/compat.ts';
import { view } from '../../spec/abi/layout.ts';
import { STRUCTS } from '../../spec/abi/structs/index.ts';
import { random } from '../domain_builder/protocol/fixtures.ts';
import { scrambled } from '../domain_builder/protocol/pv/fixtures.ts';
import type { ControlCalls } from './control_calls.ts';
import { ownFrames, type OwnFrame } from './p2m.ts';

const SHARED = 7;
const PFNS = 1500;
const calls = { domain: () => ({ sharedInfoFrame: SHARED }) } as unknown as ControlCalls;

class Memory {
  readonly pages = new Map<number, BigUint64Array>();
  read = (mfn: number): Uint8Array | undefined => {
    const page = this.pages.get(mfn);
    return page && new Uint8Array(page.buffer);
  };
  page(mfn: number): BigUint64Array {
    if (!this.pages.has(mfn)) this.pages.set(mfn, new BigUint64Array(512));
    return this.pages.get(mfn)!;
  }
  get arch() {
    return view(STRUCTS.shared_info, new DataView(this.page(SHARED).buffer)).arch;
  }
  frames = (): OwnFrame[] | undefined => ownFrames(calls, 1, this.read);
}

/** The list's pages at frames 100, 101, …; every tenth frame is missing or none of the domain's own. */
function list(memory: Memory): OwnFrame[] {
  const wanted: OwnFrame[] = [];
  const odd = [~0n & 0xffffffffffffffffn, 0n, 1n << 63n, (1n << 62n) | 5n];
  for (let pfn = 0; pfn < PFNS; pfn++) {
    const page = memory.page(100 + Math.floor(pfn / 512));
    if (pfn % 10 === 9) page[pfn % 512] = odd[pfn % 4]!;
    else {
      page[pfn % 512] = BigInt(scrambled(pfn));
      wanted.push({ pfn, mfn: scrambled(pfn) });
    }
  }
  memory.arch.max_pfn = BigInt(PFNS);
  return wanted;
}

test('one list at a virtual address', () => {
  const memory = new Memory();
  const wanted = list(memory);
  const address = 0xffffc90000200000n;
  const index = (level: number): number => Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
  for (let level = 4; level > 1; level--) memory.page(10 + level)[index(level)] = (BigInt(9 + level) << 12n) | 0x67n;
  for (let i = 0; i < 3; i++) memory.page(11)[index(1) + i] = (BigInt(100 + i) << 12n) | 0x8000000000000061n;
  memory.arch.p2m_cr3 = 14n << 12n;
  memory.arch.p2m_vaddr = address;
  assert.deepEqual(memory.frames(), wanted);
});

test('pages of pages of pages', () => {
  const memory = new Memory();
  const wanted = list(memory);
  memory.page(20)[0] = 21n;
  for (let i = 0; i < 3; i++) memory.page(21)[i] = BigInt(100 + i);
  memory.arch.pfn_to_mfn_frame_list_list = 20n;
  assert.deepEqual(memory.frames(), wanted);
});

test('a 32-bit domain: lists of half the width, a root turned round', () => {
  const memory = new Memory();
  const word = (mfn: number, i: number, value: number): void =>
    void (new Uint32Array(memory.page(mfn).buffer)[i] = value);
  const { shared_info: shared, arch_shared_info: arch } = COMPAT_STRUCTS;
  const say = (name: string, value: number): void =>
    word(SHARED, (shared!.offsets.arch! + arch!.offsets[name]!) / 4, value);
  const wanted: OwnFrame[] = [];
  for (let pfn = 0; pfn < PFNS; pfn++) {
    const foreign = pfn % 10 === 9;
    word(100 + (pfn >> 10), pfn & 1023, foreign ? [0xffffffff, 0, 1 << 31, 5 | (1 << 30)][pfn % 4]! : scrambled(pfn));
    if (!foreign) wanted.push({ pfn, mfn: scrambled(pfn) });
  }
  say('max_pfn', PFNS);
  word(20, 0, 21);
  word(21, 0, 100);
  word(21, 1, 101);
  say('pfn_to_mfn_frame_list_list', 20);
  assert.deepEqual(ownFrames(calls, 1, memory.read, 32), wanted);
  say('pfn_to_mfn_frame_list_list', 0);
  const address = 0xc1234000;
  say('p2m_vaddr', address);
  say('p2m_cr3', 13 << 12);
  memory.page(13)[address >>> 30] = (12n << 12n) | 1n;
  memory.page(12)[(address >>> 21) & 511] = (11n << 12n) | 0x67n;
  for (let i = 0; i < 2; i++) memory.page(11)[((address >>> 12) & 511) + i] = (BigInt(100 + i) << 12n) | 0x61n;
  assert.deepEqual(ownFrames(calls, 1, memory.read, 32), wanted);
});

test('nothing said, or nonsense: no frames, in bounded time', () => {
  assert.equal(new Memory().frames(), undefined);
  const next = random(3);
  for (let i = 0; i < 300; i++) {
    const memory = new Memory();
    for (let mfn = 0; mfn < 30; mfn++)
      memory.page(mfn).forEach((_, k, page) => (page[k] = BigInt(next(64) << 12) | BigInt(next(4))));
    const { arch } = memory;
    arch.max_pfn = [1n, BigInt(next(1 << 20)), 1n << 40n][i % 3]!;
    arch.p2m_cr3 = i % 2 ? BigInt(next(40) << 12) : 0n;
    arch.p2m_vaddr = BigInt(next(1 << 30)) << 12n;
    arch.pfn_to_mfn_frame_list_list = [0n, ~0n & 0xffffffffffffffffn, BigInt(next(40))][next(3)]!;
    const frames = i % 5 ? memory.frames() : ownFrames(calls, 1, memory.read, 32);
    assert.ok(frames === undefined || frames.every(({ pfn, mfn }) => pfn < 1 << 20 && Number.isSafeInteger(mfn)));
  }
});
