// The PV builder: places and contents against real Xen's, initial page tables against a walker, and mistakes in kernels.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import * as abi from '../../../../spec/abi/constants.ts';
import { pv32 } from '../../../../spec/abi/compat_pv.ts';
import { view, type Struct } from '../../../../spec/abi/layout.ts';
import { xen } from '../../../../spec/abi/structs/xen.ts';
import { BadImage, PAGE, concat, u32, u64, zeros } from '../bytes.ts';
import { buildPvh, type DomainConfig } from '../build.ts';
import { makeBzImage, makeElf, random } from '../fixtures.ts';
import { guestType } from '../index.ts';
import { buildPv, type PvFinish, type PvPlan } from './build.ts';
import { makePvElf, notes, scrambled, str, type PvElf, type TestNote } from './fixtures.ts';

const MIB = 1 << 20;
const FACTS = { sharedInfo: 0x54321, storePort: 1, consolePort: 2 };
const BASE = 0xffffffff80000000n;
/** Linux's notes, by real Xen's own list of them. */
const LINUX: TestNote[] = notes(
  [abi.XEN_ELFNOTE_VIRT_BASE, u64(BASE)],
  [abi.XEN_ELFNOTE_INIT_P2M, u64(0x8000000000)],
  [abi.XEN_ELFNOTE_ENTRY, u64(0xffffffff8304e1c0n)],
  [abi.XEN_ELFNOTE_FEATURES, str('!writable_page_tables|pae_pgdir_above_4gb')],
  [abi.XEN_ELFNOTE_SUPPORTED_FEATURES, u32(0x8801)],
  [abi.XEN_ELFNOTE_PAE_MODE, str('yes')],
  [abi.XEN_ELFNOTE_L1_MFN_VALID, u64(1, 1)],
  [abi.XEN_ELFNOTE_SUSPEND_CANCEL, u32(1)],
  [abi.XEN_ELFNOTE_MOD_START_PFN, u32(1)],
  [abi.XEN_ELFNOTE_HV_START_LOW, u64(0xffff800000000000n)],
  [abi.XEN_ELFNOTE_PADDR_OFFSET, u64(0)],
  [abi.XEN_ELFNOTE_PHYS32_ENTRY, u64(0x1000850)],
);
const LINUX_SEGMENTS = [
  { paddr: 0x1000000n, bytes: zeros(64), memSize: 0x1826634 },
  { paddr: 0x2a00000n, bytes: zeros(64), memSize: 0x61a000 },
  { paddr: 0x301a000n, bytes: zeros(64), memSize: 0x34000 },
  { paddr: 0x304e000n, bytes: zeros(64), memSize: 0xdb2000 },
];

const build = (elf: PvElf, change: Partial<DomainConfig> = {}): PvPlan =>
  buildPv({ kernel: makePvElf({ notes: notes(), ...elf }), cmdline: '', memory: 16 * MIB, ...change });

/** Pseudo-physical memory as both steps leave it. */
function memoryOf(plan: PvPlan, finish: PvFinish): Uint8Array {
  const out = new Uint8Array(plan.pages * PAGE);
  for (const { gpa, bytes } of [...plan.writes, ...finish.writes]) out.set(bytes, gpa);
  return out;
}

function fields<T>(s: Struct, bytes: Uint8Array, at = 0): T {
  return view(s, new DataView(bytes.buffer, bytes.byteOffset), at) as T;
}

// ---- the walker: a processor's way through the tables, by machine frames

interface Walked {
  mfn: number;
  writable: boolean;
  user: boolean;
}

class Walker {
  readonly #memory: Uint8Array;
  readonly #pfns: ReadonlyMap<number, number>;
  readonly #levels: number;
  readonly root: number;

  constructor(plan: PvPlan, memory: Uint8Array, root: number) {
    this.#memory = memory;
    this.#pfns = new Map(Array.from({ length: plan.pages }, (_, pfn) => [scrambled(pfn), pfn]));
    this.#levels = plan.bits === 64 ? 4 : 3;
    this.root = root;
  }

  #table(mfn: number): DataView {
    const pfn = this.#pfns.get(mfn);
    assert.ok(pfn !== undefined, `frame ${mfn} is not the domain's`);
    return new DataView(this.#memory.buffer, pfn * PAGE, PAGE);
  }

  /** Every page that is mapped, by its address without sign extension. */
  *pages(level = this.#levels, mfn = this.root, from = 0): Generator<[page: number, Walked]> {
    const table = this.#table(mfn);
    for (let i = 0; i < 512; i++) {
      const entry = table.getBigUint64(8 * i, true);
      if ((entry & 1n) === 0n) {
        assert.equal(entry, 0n, 'nothing in an entry that is not present');
        continue;
      }
      assert.equal(entry & 0x80n, 0n, 'no large page');
      assert.equal(entry & 0x100n, 0n, 'not global');
      const next = Number((entry & 0x000f_ffff_ffff_f000n) >> 12n);
      const at = (from + i) * (level === 1 ? 1 : 512);
      if (level === 1) yield [from + i, { mfn: next, writable: (entry & 2n) !== 0n, user: (entry & 4n) !== 0n }];
      else if (level === 3 && this.#levels === 3) {
        assert.ok(i < 4);
        assert.equal(entry & 0xfffn, 1n, 'a PAE root has the present bit alone');
        yield* this.pages(level - 1, next, at);
      } else {
        assert.equal(entry & 0x67n, 0x67n);
        yield* this.pages(level - 1, next, at);
      }
    }
  }

  /** Every table, the root too. */
  *tables(level = this.#levels, mfn = this.root): Generator<number> {
    yield this.#pfns.get(mfn)!;
    if (level === 1) return;
    const table = this.#table(mfn);
    for (let i = 0; i < 512; i++) {
      const entry = table.getBigUint64(8 * i, true);
      if (entry & 1n) yield* this.tables(level - 1, Number((entry & 0x000f_ffff_ffff_f000n) >> 12n));
    }
  }
}

const pageOf = (plan: PvPlan, address: bigint): number =>
  Number(BigInt.asUintN(plan.bits === 64 ? 48 : 32, address) >> 12n);

/** Everything that must hold of any plan. */
function check(plan: PvPlan): { memory: Uint8Array; finish: PvFinish } {
  const finish = plan.finish(scrambled, FACTS);
  const memory = memoryOf(plan, finish);
  const { image, layout } = plan.domain;
  const walker = new Walker(plan, memory, scrambled(plan.rootPfn));
  const tables = new Set(walker.tables());
  assert.deepEqual(
    [...tables].sort((a, b) => a - b),
    layout.tables.all.map(({ pfn }) => pfn).sort((a, b) => a - b),
  );

  const wanted = new Map<number, number>();
  for (let i = 0; i < layout.windowEnd; i++) wanted.set(pageOf(plan, image.virtBase) + i, i);
  const listPages = Math.ceil((plan.pages * plan.bits) / 8 / PAGE);
  if (image.p2mBase !== undefined)
    for (let i = 0; i < listPages; i++) wanted.set(pageOf(plan, image.p2mBase) + i, layout.p2m.pfn + i);
  let mapped = 0;
  for (const [page, { mfn, writable }] of walker.pages()) {
    const pfn = wanted.get(page);
    assert.equal(mfn, pfn === undefined ? -1 : scrambled(pfn), `page ${page.toString(16)}`);
    assert.equal(writable, !tables.has(pfn!), `page ${page.toString(16)}`);
    mapped++;
  }
  assert.equal(mapped, wanted.size, 'nothing is missing');

  // No two of what the domain holds share a frame, and all of it is the domain's.
  const parts: [string, number, number][] = [
    ['kernel', layout.kernel.pfn, layout.kernel.pages],
    ...(layout.initrd ? ([['initrd', layout.initrd.pfn, layout.initrd.pages]] as [string, number, number][]) : []),
    ['p2m', layout.p2m.pfn, layout.p2m.pages],
    ['start_info', layout.startInfo, 1],
    ['xenstore', layout.xenstore, 1],
    ['console', layout.console, 1],
    ['tables', layout.pageTables.pfn, layout.pageTables.pages],
    ['stack', layout.bootStack, 1],
  ];
  parts.sort((a, b) => a[1] - b[1]);
  parts.forEach(([name, pfn, pages], i) => {
    assert.ok(i === 0 || parts[i - 1]![1] + parts[i - 1]![2] <= pfn, `${name} begins in ${parts[i - 1]?.[0]}`);
    assert.ok(pfn + pages <= plan.pages, name);
  });
  const inWindow = parts.filter(([, pfn]) => pfn < layout.windowEnd);
  const last = inWindow.at(-1)!;
  assert.ok((layout.windowEnd - last[1] - last[2]) * PAGE >= 512 << 10, 'slack behind the last');
  assert.equal((image.virtBase + BigInt(layout.windowEnd * PAGE)) % BigInt(4 * MIB), 0n);

  const list = layout.p2m.pfn * PAGE;
  const data = new DataView(memory.buffer);
  for (let pfn = 0; pfn < plan.pages; pfn += pfn < 64 ? 1 : 97)
    assert.equal(
      plan.bits === 64 ? Number(data.getBigUint64(list + 8 * pfn, true)) : data.getUint32(list + 4 * pfn, true),
      scrambled(pfn),
    );
  return { memory, finish };
}

test("Linux's domain of 256 MiB lies as real Xen 4.17 laid it out", () => {
  const initrd = new Uint8Array(0x220a10).fill(7);
  const plan = build(
    { segments: LINUX_SEGMENTS, notes: LINUX },
    { memory: 256 * MIB, initrd: gzipSync(initrd), cmdline: 'console=hvc0' },
  );
  const { layout } = plan.domain;
  assert.deepEqual(layout.kernel, { pfn: 0x1000, pages: 0x2e00 });
  assert.deepEqual([layout.startInfo, layout.xenstore, layout.console], [0x3e00, 0x3e01, 0x3e02]);
  assert.deepEqual(layout.pageTables, { pfn: 0x3e03, pages: 0x23 });
  assert.deepEqual([layout.bootStack, layout.windowEnd], [0x3e26, 0x4000]);
  assert.deepEqual(layout.initrd, { pfn: 0x4000, pages: 0x221, mapped: false });
  assert.deepEqual(layout.p2m, { pfn: 0x4221, pages: 0x83 });
  assert.equal(plan.hypercallPfn, undefined);

  const { memory, finish } = check(plan);
  assert.deepEqual(memory.subarray(0x4000 * PAGE, 0x4000 * PAGE + initrd.length), initrd);
  const info = fields<any>(xen.start_info as Struct, memory, 0x3e00 * PAGE);
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString().replace(/\0.*$/s, '');
  assert.deepEqual(
    [text(info.magic.bytes()), text(info.cmd_line.bytes()), info.nr_pages, info.shared_info, info.flags],
    ['xen-3.0-x86_64', 'console=hvc0', 0x10000n, 0x54321000n, abi.SIF_VIRT_P2M_4TOOLS | abi.SIF_MOD_START_PFN],
  );
  assert.deepEqual(
    [info.store_mfn, info.store_evtchn, info.console.domU.mfn, info.console.domU.evtchn],
    [BigInt(scrambled(0x3e01)), 1, BigInt(scrambled(0x3e02)), 2],
  );
  assert.deepEqual(
    [
      info.pt_base,
      info.nr_pt_frames,
      info.mfn_list,
      info.mod_start,
      info.mod_len,
      info.first_p2m_pfn,
      info.nr_p2m_frames,
    ],
    [0xffffffff83e03000n, 0x23n, 0x8000000000n, 0x4000n, 0x220a10n, 0x4221n, 0x83n],
  );
  const vcpu = fields<any>(xen.vcpu_guest_context as Struct, finish.context);
  assert.equal(finish.context.length, 5168);
  assert.deepEqual(
    [vcpu.user_regs.rip, vcpu.user_regs.rsi, vcpu.user_regs.rsp, vcpu.user_regs.rflags],
    [0xffffffff8304e1c0n, 0xffffffff83e00000n, 0xffffffff83e27000n, 0x200n],
  );
  assert.deepEqual(
    [vcpu.user_regs.cs, vcpu.user_regs.ss, vcpu.user_regs.ds, vcpu.kernel_ss],
    [0xe033, 0xe02b, 0, 0xe02bn],
  );
  assert.deepEqual([vcpu.flags, vcpu.ctrlreg.get(3)], [0x24n, BigInt(scrambled(0x3e03)) << 12n]);
});

test('a 32-bit kernel: PAE tables with the fourth directory, a list of 32-bit frames, and its own start_info and registers', () => {
  const pae: TestNote = [abi.XEN_ELFNOTE_PAE_MODE, str('yes,bimodal')];
  const base: TestNote = [abi.XEN_ELFNOTE_VIRT_BASE, u32(0xc0000000)];
  const entry: TestNote = [abi.XEN_ELFNOTE_ENTRY, u32(0xc0100000)];
  for (const more of [[base, entry], [[abi.XEN_ELFNOTE_ENTRY, u32(0x100000)] as TestNote]]) {
    const plan = build({ bits: 32, notes: notes(pae, ...more) }, { initrd: new Uint8Array(5000), cmdline: 'x' });
    const { memory, finish } = check(plan);
    const { layout, image } = plan.domain;
    assert.equal(plan.guestType, 'xen-3.0-x86_32p');
    const root = new DataView(memory.buffer, plan.rootPfn * PAGE, 32);
    assert.equal(root.getUint32(24, true) & 1, 1, 'the part with the hypervisor has a directory');
    const info = fields<any>(pv32.start_info as Struct, memory, layout.startInfo * PAGE);
    const at = (pfn: number) => Number(image.virtBase) + pfn * PAGE;
    assert.deepEqual(
      [info.nr_pages, info.mod_start, info.mod_len, info.mfn_list, info.pt_base, info.flags],
      [4096, at(layout.initrd!.pfn), 5000, at(layout.p2m.pfn), at(layout.pageTables.pfn), abi.SIF_VIRT_P2M_4TOOLS],
    );
    const vcpu = fields<any>(pv32.vcpu_guest_context as Struct, finish.context);
    assert.deepEqual([vcpu.user_regs.cs, vcpu.user_regs.ss, vcpu.user_regs.es], [0xe019, 0xe021, 0xe021]);
    assert.deepEqual([vcpu.user_regs.esi, vcpu.user_regs.esp], [at(layout.startInfo), at(layout.bootStack + 1)]);
    assert.equal(vcpu.ctrlreg.get(3), scrambled(plan.rootPfn) * PAGE);
  }
});

test('any kernel: the window shows what it must, tables read-only, and nothing else is mapped', () => {
  const next = random(7);
  for (let i = 0; i < 60; i++) {
    const bits = i % 3 === 0 ? 32 : 64;
    const bases =
      bits === 32
        ? [0n, 0xc0000000n, 0x80400000n, 0xdff7f000n]
        : [0n, BASE, 0xffffffffc0000000n, 0x7fffff000n, 0x12345000n];
    const virtBase = bases[next(bases.length)]!;
    const offset = next(2) ? virtBase : 0n;
    const segments = Array.from({ length: 1 + next(3) }, (_, n) => ({
      paddr: offset + BigInt((n * 64 + next(8)) * PAGE),
      bytes: new Uint8Array(1 + next(3 * PAGE)).fill(n + 1),
      memSize: 4 * PAGE + next(32 * PAGE),
    }));
    const num = bits === 32 ? u32 : u64;
    const more: TestNote[] = [
      [abi.XEN_ELFNOTE_VIRT_BASE, num(virtBase)],
      [abi.XEN_ELFNOTE_PADDR_OFFSET, num(offset)],
      [abi.XEN_ELFNOTE_ENTRY, num(virtBase + (segments[0]!.paddr - offset) + BigInt(next(PAGE)))],
      [abi.XEN_ELFNOTE_PAE_MODE, str('yes')],
    ];
    if (next(2)) more.push([abi.XEN_ELFNOTE_MOD_START_PFN, u32(1)]);
    if (next(2) && virtBase > 1n << 40n)
      more.push([abi.XEN_ELFNOTE_INIT_P2M, u64([0x8000000000n, 0x1000n, 0xffffffff00000000n - 4096n][next(3)]!)]);
    const change = {
      memory: (8 + next(24)) * MIB + next(2) * PAGE,
      ...(next(2) && { initrd: new Uint8Array(1 + next(2 * MIB)) }),
    };
    const plan = build({ bits, segments, notes: notes(...more) }, change);
    const { memory } = check(plan);
    for (const { paddr, bytes } of segments)
      assert.deepEqual(memory.subarray(Number(paddr - offset), Number(paddr - offset) + bytes.length), bytes);
  }
});

test('the older text of __xen_guest: its numbers, and its default for the physical offset', () => {
  const guestInfo =
    'GUEST_OS=netbsd,GUEST_VER=4,XEN_VER=xen-3.0,VIRT_BASE=0xffffffff80000000,VIRT_ENTRY=0xffffffff80100010,HYPERCALL_PAGE=0x00000101,LOADER=generic,BSD_SYMTAB=yes';
  const table = Uint8Array.from({ length: 48 }, (_, i) => i);
  const strings = str('a name');
  const segments = [{ paddr: BASE + 0x100000n, bytes: Uint8Array.of(1, 2, 3), memSize: 0x2ff1 }];
  const plan = build({ segments, notes: [], guestInfo, symbols: { table, strings } });
  const { memory } = check(plan);
  const { image } = plan.domain;
  assert.deepEqual(
    [image.virtBase, image.paddrOffset, image.entry, plan.hypercallPfn],
    [BASE, BASE, 0xffffffff80100010n, 0x101],
  );
  assert.deepEqual([...memory.subarray(0x100000, 0x100004)], [1, 2, 3, 0]);
  // The symbols behind the kernel: a size, then an ELF file of three sections.
  const at = 0x102ff8;
  assert.equal(image.symbols!.start, at);
  const data = new DataView(memory.buffer, at);
  const elf = at + 4;
  assert.deepEqual([...memory.subarray(elf, elf + 4)], [0x7f, 0x45, 0x4c, 0x46]);
  const word = (offset: number) => Number(data.getBigUint64(4 + offset, true));
  assert.deepEqual([word(40), data.getUint16(4 + 60, true), data.getUint16(4 + 56, true)], [64, 3, 0]);
  const [symbolsAt, stringsAt] = [word(64 + 64 + 24), word(64 + 128 + 24)];
  assert.equal(data.getUint32(4 + 64 + 64 + 40, true), 2, 'the symbols name their strings');
  assert.deepEqual(memory.subarray(elf + symbolsAt, elf + symbolsAt + 48), table);
  assert.deepEqual(memory.subarray(elf + stringsAt, elf + stringsAt + strings.length), strings);
  assert.equal(data.getUint32(0, true), stringsAt + strings.length);
});

test('the hypercall page of a note is an address, and of kernels in bzImages and gzip files the same comes', () => {
  const kernel = makePvElf({
    notes: notes(
      [abi.XEN_ELFNOTE_VIRT_BASE, u64(BASE)],
      [abi.XEN_ELFNOTE_HYPERCALL_PAGE, u64(BASE + 0x102000n)],
      [abi.XEN_ELFNOTE_ENTRY, u64(BASE + 0x100000n)],
    ),
  });
  const plans = [kernel, makeBzImage(gzipSync(kernel)), gzipSync(kernel), gzipSync(makeBzImage(gzipSync(kernel)))].map(
    (file) => buildPv({ kernel: file, cmdline: '', memory: 16 * MIB }),
  );
  for (const plan of plans) {
    assert.equal(plan.hypercallPfn, 0x102);
    assert.deepEqual(
      memoryOf(plan, plan.finish(scrambled, FACTS)),
      memoryOf(plans[0]!, plans[0]!.finish(scrambled, FACTS)),
    );
  }
});

const entry = (value: bigint | number): TestNote => [abi.XEN_ELFNOTE_ENTRY, u64(value)];
const base = (value: bigint): TestNote => [abi.XEN_ELFNOTE_VIRT_BASE, u64(value)];
const MISTAKES: [string, PvElf, Partial<DomainConfig>, RegExp][] = [
  ['no notes', { notes: [] }, {}, /neither Xen's notes nor a __xen_guest section/],
  ["others' notes only", { notes: [[0x777, u32(0)]] }, {}, /neither Xen's notes/],
  [
    'a PVH kernel',
    { notes: notes([abi.XEN_ELFNOTE_PHYS32_ENTRY, u32(0x100000)]) },
    {},
    /for PVH domains only.*type="pvh"/,
  ],
  [
    'another loader',
    {
      notes: [
        [abi.XEN_ELFNOTE_LOADER, str('own')],
        [abi.XEN_ELFNOTE_XEN_VERSION, str('xen-3.0')],
      ],
    },
    {},
    /loader 'own'/,
  ],
  [
    'another Xen',
    {
      notes: [
        [abi.XEN_ELFNOTE_LOADER, str('generic')],
        [abi.XEN_ELFNOTE_XEN_VERSION, str('xen-2.0')],
      ],
    },
    {},
    /Xen 'xen-2.0'/,
  ],
  [
    'two entries',
    { notes: notes(entry(0x100000), entry(0x100001)) },
    {},
    /contradict.*XEN_ELFNOTE_ENTRY is 0x100000 and 0x100001/,
  ],
  [
    'an offset without a base',
    { notes: notes([abi.XEN_ELFNOTE_PADDR_OFFSET, u64(0)]) },
    {},
    /PADDR_OFFSET without a VIRT_BASE/,
  ],
  [
    'an offset above the segments',
    { notes: notes(base(0n), [abi.XEN_ELFNOTE_PADDR_OFFSET, u64(0x200000)]) },
    {},
    /below PADDR_OFFSET 0x200000/,
  ],
  ['a number of three bytes', { notes: notes([abi.XEN_ELFNOTE_ENTRY, zeros(3)]) }, {}, /3 bytes; it takes 4 or 8/],
  ['an entry below', { notes: notes(entry(0xfffff)) }, {}, /entry 0xfffff lies outside of its image/],
  ['an entry behind', { notes: notes(entry(0x103000)) }, {}, /entry 0x103000 lies outside/],
  ['no entry at all', {}, {}, /entry 0x0 lies outside/],
  ['an entry beside its base', { notes: notes(base(BASE), entry(0x100000)) }, {}, /outside/],
  [
    'a hypercall page outside',
    { notes: notes(entry(0x100000), [abi.XEN_ELFNOTE_HYPERCALL_PAGE, u64(0x200000)]) },
    {},
    /HYPERCALL_PAGE 0x200000 is no page/,
  ],
  [
    'a hypercall page within one',
    { notes: notes(entry(0x100000), [abi.XEN_ELFNOTE_HYPERCALL_PAGE, u64(0x100010)]) },
    {},
    /HYPERCALL_PAGE/,
  ],
  [
    'a feature that nobody knows',
    { notes: notes([abi.XEN_ELFNOTE_FEATURES, str('!warp_drive')]) },
    {},
    /requires the feature 'warp_drive'/,
  ],
  [
    "the hypervisor's addresses",
    { notes: notes(base(0xffff810000000000n), entry(0xffff810000100000n)) },
    {},
    /hypervisor's or do not exist/,
  ],
  ['no addresses', { notes: notes(base(0x800000000000n), entry(0x800000100000n)) }, {}, /hypervisor's or do not exist/],
  [
    'a window to the end of all',
    { notes: notes(base(0xffffffffffe80000n), entry(0xfffffffffff80000n)) },
    {},
    /hypervisor's or do not exist/,
  ],
  [
    'a hypervisor that begins higher',
    { notes: notes(entry(0x100000), [abi.XEN_ELFNOTE_HV_START_LOW, u64(0xffff900000000000n)]) },
    {},
    /HV_START_LOW/,
  ],
  [
    'a list that reaches into the window',
    {
      notes: notes(base(1n << 32n), entry((1n << 32n) + 0x100000n), [
        abi.XEN_ELFNOTE_INIT_P2M,
        u64((1n << 32n) - 4096n),
      ]),
    },
    {},
    /INIT_P2M/,
  ],
  [
    'a class that is not its machine',
    { bits: 32, machine: 62, notes: notes([abi.XEN_ELFNOTE_ENTRY, u32(0x100000)]) },
    {},
    /32-bit ELF file/,
  ],
  [
    'a 32-bit kernel without PAE',
    { bits: 32, notes: notes([abi.XEN_ELFNOTE_ENTRY, u32(0x100000)]) },
    {},
    /without PAE/,
  ],
  [
    'a 32-bit kernel that says no to PAE',
    { bits: 32, notes: notes([abi.XEN_ELFNOTE_PAE_MODE, str('no')]) },
    {},
    /without PAE/,
  ],
  ['another machine', { machine: 183 }, {}, /ELF machine 183/],
  [
    'a kernel within a page',
    { segments: [{ paddr: 0x100010n, bytes: zeros(8) }], notes: notes(entry(0x100010)) },
    {},
    /within a page/,
  ],
  [
    'overlapping segments',
    {
      segments: [
        { paddr: 0x1000n, bytes: zeros(8192) },
        { paddr: 0x2000n, bytes: zeros(8) },
      ],
    },
    {},
    /overlapping segments at 0x2000/,
  ],
  ['nothing to load', { segments: [] }, {}, /nothing to load/],
  [
    'too little memory for the kernel',
    { segments: [{ paddr: 0n, bytes: zeros(8), memSize: 64 * MIB }], notes: notes(entry(0)) },
    {},
    /the kernel .* does not fit into 16 MiB.* at least 64 MiB/,
  ],
  [
    'too little memory for the initrd',
    { notes: notes(entry(0x100000)) },
    { initrd: new Uint8Array(20 * MIB) },
    /the initrd .* does not fit/,
  ],
  [
    'too little memory for the window',
    { notes: notes(entry(0x100000)) },
    { memory: 2 * MIB },
    /does not fit into 2 MiB of memory; give at least 4 MiB/,
  ],
  ['memory of half a page', { notes: notes(entry(0x100000)) }, { memory: MIB + 1 }, /whole number of pages/],
  [
    'a long command line',
    { notes: notes(entry(0x100000)) },
    { cmdline: 'x'.repeat(1024) },
    /longer than the 1023 bytes/,
  ],
  ['an empty initrd', { notes: notes(entry(0x100000)) }, { initrd: new Uint8Array(0) }, /initrd is empty/],
  [
    'a text that is no number',
    { notes: [], guestInfo: 'LOADER=generic,XEN_VER=xen-3.0,VIRT_BASE=here' },
    {},
    /VIRT_BASE=here, which is no number/,
  ],
];
for (const [name, elf, change, message] of MISTAKES)
  test(`a mistake: ${name}`, () => {
    assert.throws(
      () => build(elf, change),
      (error: Error) => error instanceof BadImage && message.test(error.message) && !/\n/.test(error.message),
    );
  });

test('a PV kernel that is started as PVH is told so', () => {
  const kernel = makePvElf({ notes: notes(entry(0x100000)) });
  assert.throws(() => buildPvh({ kernel, cmdline: '', memory: 16 * MIB }), /PV domains only.*type="pv"/);
  const legacy = makePvElf({ notes: [], guestInfo: 'LOADER=generic,XEN_VER=xen-3.0' });
  assert.throws(() => buildPvh({ kernel: legacy, cmdline: '', memory: 16 * MIB }), /PV domains only/);
});

test('mutated kernels: a plan that holds, or one sentence', () => {
  const kernels = [
    makePvElf({ notes: notes(base(BASE), entry(BASE + 0x100000n), [abi.XEN_ELFNOTE_INIT_P2M, u64(0x8000000000)]) }),
    makePvElf({
      bits: 32,
      notes: notes([abi.XEN_ELFNOTE_PAE_MODE, str('yes')], [abi.XEN_ELFNOTE_ENTRY, u32(0x100000)]),
    }),
    makePvElf({
      notes: [],
      guestInfo: 'LOADER=generic,XEN_VER=xen-3.0,VIRT_BASE=0x0,VIRT_ENTRY=0x100000,BSD_SYMTAB',
      symbols: { table: zeros(24), strings: str('x') },
    }),
    makeElf(),
  ];
  const next = random(5);
  const odd = [0, 1, 0x7f, 0x80, 0xff];
  const outcomes = { plan: 0, bad: 0 };
  for (let i = 0; i < 4000; i++) {
    const kernel = Uint8Array.from(kernels[i % kernels.length]!);
    for (let n = next(4); n >= 0; n--) kernel[next(kernel.length)] = next(2) ? next(256) : odd[next(5)]!;
    try {
      const plan = buildPv({
        kernel: kernel.subarray(0, next(10) ? kernel.length : next(kernel.length)),
        cmdline: '',
        memory: 8 * MIB,
      });
      for (const { gpa, bytes } of plan.writes) assert.ok(gpa >= 0 && gpa + bytes.length <= plan.pages * PAGE);
      if (outcomes.plan % 50 === 0) check(plan);
      outcomes.plan++;
    } catch (error) {
      assert.ok(error instanceof BadImage, String((error as Error).stack));
      outcomes.bad++;
    }
  }
  assert.ok(outcomes.plan > 100 && outcomes.bad > 100, JSON.stringify(outcomes));
});

const vmlinuz = new URL('../../../../build/image/vmlinuz', import.meta.url);
test('the Debian kernel', { skip: existsSync(vmlinuz) ? false : 'the guest image is not built' }, () => {
  const plan = buildPv({
    kernel: readFileSync(vmlinuz),
    cmdline: 'console=hvc0',
    memory: 128 * MIB,
    initrd: new Uint8Array(MIB),
  });
  check(plan);
  assert.equal(plan.domain.image.virtBase, BASE);
  assert.equal(plan.domain.layout.initrd!.mapped, false);
});

for (const [name, bits] of [
  ['grub-x86_64-xen.bin', 64],
  ['grub-i386-xen.bin', 32],
] as const) {
  const path = `/usr/lib/grub-xen/${name}`;
  test(`GRUB's ${bits}-bit image`, { skip: existsSync(path) ? false : 'grub-xen-host is not installed' }, () => {
    const plan = buildPv({
      kernel: readFileSync(path),
      cmdline: '',
      memory: 32 * MIB,
      initrd: concat([new Uint8Array(9000)]),
    });
    check(plan);
    assert.deepEqual([plan.bits, plan.domain.layout.kernel.pfn, plan.domain.layout.initrd!.mapped], [bits, 0, true]);
  });
}

test('a kernel of which nobody says the type: PV, as Xen does, and PVH where it can be nothing else', () => {
  assert.equal(guestType(makePvElf({ notes: LINUX, segments: LINUX_SEGMENTS })), 'pv');
  // Mini-OS: no entry but that of the file.
  assert.equal(guestType(makePvElf({ notes: notes() })), 'pv');
  assert.equal(guestType(makeElf()), 'pvh');
  assert.equal(guestType(makeElf({ notes: [] })), 'pv');
});
