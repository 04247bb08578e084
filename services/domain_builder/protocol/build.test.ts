import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { acpiTables } from './acpi.ts';
import * as aml from './aml.ts';
import { buildPvh } from './build.ts';
import type { DomainConfig, PvhPlan } from './build.ts';
import { BadImage, Window, u32, u64 } from './bytes.ts';
import { parseElf } from './elf.ts';
import { makeBzImage, makeElf, pvhNote, random } from './fixtures.ts';

const MIB = 1 << 20;
const build = (change: Partial<DomainConfig> = {}): PvhPlan =>
  buildPvh({ kernel: makeElf(), cmdline: 'console=hvc0', memory: 128 * MIB, ...change });

/** What the guest would read at an address, over all writes. */
function memory(plan: PvhPlan): (gpa: number, size: number) => Window {
  return (gpa, size) => {
    const out = new Uint8Array(size);
    for (const write of plan.writes) {
      const from = Math.max(gpa, write.gpa);
      const to = Math.min(gpa + size, write.gpa + write.bytes.length);
      if (from < to) out.set(write.bytes.subarray(from - write.gpa, to - write.gpa), from - gpa);
    }
    return new Window(out, 'guest memory');
  };
}

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);

const PLACES = [
  ['a segment', {}],
  ['a section', { noteSection: true }],
  ["a section beside a segment of others'", { noteSection: true, otherSegment: true }],
] as const;
for (const bits of [32, 64] as const) {
  for (const [place, options] of PLACES) {
    test(`ELF${bits} with its notes in ${place}`, () => {
      const kernel = makeElf({
        bits,
        machine: bits === 32 ? 3 : 62,
        code: Uint8Array.of(1, 2, 3, 4, 5),
        memSize: 9000,
        notes: [['Xen', 18, bits === 32 ? u32(0x100000) : u64(0x100000)]],
        ...options,
      });
      const plan = build({ kernel });
      assert.equal(plan.entry, 0x100000);
      assert.deepEqual([...memory(plan)(0x100000, 6).bytes], [1, 2, 3, 4, 5, 0]);
      assert.equal(plan.startInfo, 0x103000);
    });
  }
}

test('start info, module, command line and memory map are where the guest looks', () => {
  const initrd = Uint8Array.from({ length: 5000 }, (_, i) => i);
  const plan = build({ initrd, cmdline: 'root=ü' });
  const read = memory(plan);
  const info = read(plan.startInfo, 56);
  assert.deepEqual([info.u32(0), info.u32(4), info.u32(8), info.u32(12)], [0x336ec578, 1, 0, 1]);
  const module = read(info.u64(16), 32);
  assert.equal(module.u64(8), 5000);
  assert.equal(module.u64(0) % 4096, 0);
  assert.deepEqual(read(module.u64(0), 5000).bytes, initrd);
  assert.equal(Buffer.from(read(info.u64(24), 8).bytes).toString(), 'root=ü\0');
  const map = read(info.u64(40), 24 * info.u32(48));
  assert.equal(info.u32(48), plan.memmap.length);
  plan.memmap.forEach((entry, i) => {
    assert.deepEqual([map.u64(i * 24), map.u64(i * 24 + 8), map.u32(i * 24 + 16)], [entry.gpa, entry.size, entry.type]);
  });
  assert.equal(plan.vcpu.rbx, plan.startInfo);
  assert.deepEqual([plan.specialPages.xenstore, plan.specialPages.console], [0xfeffc, 0xfefff]);
  assert.deepEqual([plan.hvmParams.get(1), plan.hvmParams.get(17)], [0xfeffc, 0xfefff]);
});

test('without an initrd there is no module', () => {
  const plan = build();
  const info = memory(plan)(plan.startInfo, 56);
  assert.deepEqual([info.u32(12), info.u64(16)], [0, 0]);
});

test('memory from 16 MiB to 4 GiB: RAM adds up, nothing overlaps, every write hits a populated frame', () => {
  for (const mib of [16, 128, 3072, 3840, 3841, 4096]) {
    const plan = build({ memory: mib * MIB, initrd: new Uint8Array(100) });
    assert.equal(
      plan.ram.reduce((total, range) => total + range.size, 0),
      mib * MIB,
    );
    const all = [...plan.ram, ...plan.extra].sort((a, b) => a.gpa - b.gpa);
    all.slice(1).forEach((range, i) => assert.ok(all[i]!.gpa + all[i]!.size <= range.gpa));
    assert.ok(
      all.every(({ gpa, size }) => gpa + size <= 0xfee00000 || gpa >= 0xfee01000),
      'the local APIC page stays free',
    );
    for (const { gpa, bytes } of plan.writes) {
      assert.ok(all.some((range) => gpa >= range.gpa && gpa + bytes.length <= range.gpa + range.size));
    }
  }
});

test('ACPI: signatures, lengths and checksums from the RSDP down; one local APIC and one processor a vCPU', () => {
  for (const vcpus of [1, 3, 128]) {
    for (const anywhere of [true, false]) {
      const notes = [pvhNote(0x100000), ['Xen', 17, u32(anywhere ? 1 << 15 : 0)] as [string, number, Uint8Array]];
      const plan = build({ vcpus, kernel: makeElf({ notes }) });
      const read = memory(plan);
      const at = read(plan.startInfo, 56).u64(32);
      assert.equal(at === 0xfffc0, !anywhere);
      const rsdp = read(at, 36);
      assert.equal(Buffer.from(rsdp.bytes).toString('latin1', 0, 8), 'RSD PTR ');
      assert.deepEqual([sum(rsdp.slice(0, 20)), sum(rsdp.bytes), rsdp.u8(15)], [0, 0, 2]);
      const table = (gpa: number, signature: string): Window => {
        const bytes = read(gpa, read(gpa, 8).u32(4));
        assert.equal(Buffer.from(bytes.slice(0, 4)).toString(), signature);
        assert.equal(sum(bytes.bytes), 0, signature);
        return bytes;
      };
      const xsdt = table(rsdp.u64(24), 'XSDT');
      const rsdt = table(rsdp.u32(16), 'RSDT');
      assert.deepEqual([rsdt.u32(36), rsdt.u32(40)], [xsdt.u64(36), xsdt.u64(44)]);
      const fadt = table(xsdt.u64(36), 'FACP');
      assert.deepEqual([fadt.length, fadt.u8(8), fadt.u64(140)], [268, 5, fadt.u32(40)]);
      assert.equal(fadt.u16(109) & 0x24, 0x24);
      assert.equal(Buffer.from(read(fadt.u32(36), 4).bytes).toString(), 'FACS');
      assert.equal(fadt.u32(36) % 64, 0);
      const dsdt = table(fadt.u32(40), 'DSDT');
      assert.equal(Buffer.from(dsdt.bytes).toString('latin1').split('[\x83').length - 1, vcpus);
      const madt = table(xsdt.u64(44), 'APIC');
      assert.equal(madt.length, 44 + 8 * vcpus);
      for (let i = 0; i < vcpus; i++) assert.deepEqual([...madt.slice(44 + 8 * i, 8)], [0, 8, i, 2 * i, 1, 0, 0, 0]);
    }
  }
  assert.ok(acpiTables(128, 0xfc001000).tables.length < 0x10000);
});

test('a kernel may begin at 0, as Mini-OS does; the RSDP keeps out of its memory, its start info and its initrd', () => {
  const at = (memSize: number, initrd?: Uint8Array): number => {
    const plan = build({ kernel: makeElf({ gpa: 0, notes: [pvhNote(0)], memSize }), initrd });
    const read = memory(plan);
    const rsdp = read(plan.startInfo, 56).u64(32);
    assert.equal(plan.entry, 0);
    assert.equal(Buffer.from(read(rsdp, 8).bytes).toString('latin1'), 'RSD PTR ');
    return rsdp;
  };
  assert.equal(at(0x50000), 0xfffc0);
  for (const rsdp of [at(0xfffd0), at(0x50000, new Uint8Array(MIB))]) assert.ok(rsdp >= 0xfc000000);
});

test('AML package lengths at their boundaries (ACPI 6.4, 20.2.4)', () => {
  const lead = (body: number): number[] => [...aml.scope('A', new Uint8Array(body - 4)).subarray(1, 4)];
  assert.deepEqual(lead(62)[0], 63);
  assert.deepEqual(lead(63).slice(0, 2), [0x40 | (65 & 15), 65 >> 4]);
  assert.deepEqual(lead(4093).slice(0, 2), [0x4f, 0xff]);
  assert.deepEqual(lead(4094), [0x80 | (4097 & 15), (4097 >> 4) & 0xff, 4097 >> 12]);
});

const noPvh = makeElf({ notes: [['Xen', 6, Uint8Array.of(0)]] });
const errors: [string, Partial<DomainConfig>, RegExp][] = [
  ['empty', { kernel: new Uint8Array(0) }, /is empty/],
  ['not a kernel', { kernel: Buffer.from('#!/bin/sh\necho hello\n') }, /neither an ELF image nor a bzImage/],
  ['truncated ELF header', { kernel: makeElf().subarray(0, 40) }, /truncated/],
  ['truncated segment', { kernel: makeElf({ code: new Uint8Array(4000) }).subarray(0, 2000) }, /truncated/],
  ['truncated bzImage', { kernel: makeBzImage(gzipSync(makeElf())).subarray(0, 1100) }, /truncated/],
  ['no PVH note', { kernel: noPvh }, /no PVH entry note/],
  ['no PVH note in a bzImage', { kernel: makeBzImage(gzipSync(noPvh)) }, /no PVH entry note/],
  ['short PVH note', { kernel: makeElf({ notes: [['Xen', 18, Uint8Array.of(1)]] }) }, /truncated/],
  ['other machine', { kernel: makeElf({ machine: 183 }) }, /machine 183/],
  ['entry outside', { kernel: makeElf({ notes: [pvhNote(0x500000)] }) }, /outside/],
  ['kernel larger than memory', { kernel: makeElf({ memSize: 200 * MIB }) }, /needs memory up to/],
  [
    'kernel above 4 GiB',
    { kernel: makeElf({ gpa: 2 ** 33, notes: [['Xen', 18, u64(2 ** 33)]] }) },
    /needs memory up to/,
  ],
  ['initrd larger than memory', { initrd: new Uint8Array(127 * MIB + 1) }, /initrd .* do not fit/],
  ['empty initrd', { initrd: new Uint8Array(0) }, /initrd is empty/],
  ['memory too small', { memory: MIB / 2 }, /512 KiB of memory are too small.* at least 1 MiB/],
  ['memory too large', { memory: 2 ** 33 }, /more than a host has/],
  ['memory of half a page', { memory: 128 * MIB + 2048 }, /whole number of pages/],
  ['long command line', { cmdline: 'x'.repeat(5000) }, /command line is longer/],
  ['vCPUs', { vcpus: 129 }, /1 to 128/],
];
for (const [name, change, message] of errors) {
  test(`bad input: ${name}`, () => {
    assert.throws(
      () => build(change),
      (error: Error) => error instanceof BadImage && message.test(error.message) && !/\n/.test(error.message),
    );
  });
}

test('mutated ELF images and bzImages: a plan or BadImage, nothing else, in bounded time', () => {
  const kernels = [
    makeElf({ bits: 32, machine: 3 }),
    makeElf(),
    makeElf({ noteSection: true }),
    makeBzImage(gzipSync(makeElf())),
  ];
  const next = random(99);
  const interesting = [0, 1, 0x7f, 0x80, 0xff];
  const outcomes = { plan: 0, bad: 0 };
  for (let i = 0; i < 4000; i++) {
    const kernel = Uint8Array.from(kernels[i % kernels.length]!);
    for (let n = next(5); n >= 0; n--) kernel[next(kernel.length)] = next(2) ? next(256) : interesting[next(5)]!;
    try {
      const plan = build({ kernel: kernel.subarray(0, next(10) ? kernel.length : next(kernel.length)) });
      assert.ok(plan.writes.reduce((total, write) => total + write.bytes.length, 0) < MIB);
      outcomes.plan++;
    } catch (error) {
      assert.ok(error instanceof BadImage, String((error as Error).stack));
      outcomes.bad++;
    }
  }
  assert.ok(outcomes.plan > 100 && outcomes.bad > 100, JSON.stringify(outcomes));
});

test('many notes and overlapping segments are refused', () => {
  const one = makeElf();
  const ph = 64;
  const overlapping = Uint8Array.from(one);
  overlapping.set(one.subarray(ph, ph + 56), ph + 56);
  assert.throws(() => parseElf(overlapping), /overlapping/);
  const huge = makeElf({ notes: Array.from({ length: 70_000 }, () => pvhNote(0x100000)) });
  assert.throws(() => parseElf(huge), /bytes of notes/);
});

const vmlinuz = new URL('../../../build/image/vmlinuz', import.meta.url);
test('the Debian kernel', { skip: existsSync(vmlinuz) ? false : 'the guest image is not built' }, () => {
  const plan = build({ kernel: readFileSync(vmlinuz), memory: 256 * MIB, initrd: new Uint8Array(MIB) });
  const read = memory(plan);
  assert.equal(plan.entry >= 0x1000000 && plan.entry < plan.startInfo, true);
  assert.notEqual(read(plan.entry, 1).u8(0), 0);
  assert.notEqual(read(plan.startInfo, 56).u64(32), 0xfffc0);
});
