import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BRAND, CPUID, cpuid, VENDOR, type Dynamic } from './cpuid.ts';
import { ARCH_CAPABILITIES, MSRS } from './msr.ts';

const values =
  (over: Partial<Record<Dynamic, number>> = {}) =>
  (name: Dynamic) =>
    over[name] ?? 0;
const has = (leaf: number, reg: 'abcd', bit: number) =>
  ((cpuid(leaf, 0, values())['abcd'.indexOf(reg)] >>> bit) & 1) === 1;
const yes = (leaf: number, reg: string, bits: number[]) =>
  bits.forEach((b) => assert.ok(has(leaf, reg as 'abcd', b), `${leaf.toString(16)}.${reg}[${b}]`));
const no = (leaf: number, reg: string, bits: number[]) =>
  bits.forEach((b) => assert.ok(!has(leaf, reg as 'abcd', b), `${leaf.toString(16)}.${reg}[${b}]`));
const ascii = (words: number[]) => new TextDecoder().decode(new Uint8Array(Uint32Array.from(words).buffer));

test('x86-64-v2 (psABI 3.1.1) and the extras are there', () => {
  yes(1, 'd', [0, 8, 15, 23, 24, 25, 26]);
  yes(1, 'c', [0, 9, 13, 19, 20, 23]);
  yes(0x80000001, 'd', [11, 20, 26, 27, 29]);
  yes(0x80000001, 'c', [0]);
  yes(1, 'c', [17, 21, 26, 31]);
  yes(7, 'b', [0, 7, 9, 10, 20]);
  yes(7, 'd', [4, 26, 29]);
  yes(6, 'a', [2]);
  yes(0x80000007, 'd', [8]);
});

test('BHI_CTRL is offered in a sub-leaf that leaf 7 names, and its bit of IA32_SPEC_CTRL can be set', () => {
  assert.ok((cpuid(7, 2, values())[3] >>> 4) & 1);
  assert.equal(cpuid(7, 0, values())[0], 2);
  assert.deepEqual(cpuid(7, 1, values()), [0, 0, 0, 0]);
  const { sink } = MSRS.find((m) => m.name === 'IA32_SPEC_CTRL')!;
  assert.ok((sink as { mask: bigint }).mask & (1n << 10n));
});

test('what the engine does not have is not offered', () => {
  // MONITOR, VMX, FMA, MOVBE, TSC deadline, AES, AVX, F16C, RDRAND; MCE, MCA; BMI1, AVX2, BMI2, RTM, AVX-512, RDSEED, ADX, SHA; LZCNT.
  no(1, 'c', [1, 3, 5, 12, 22, 24, 25, 28, 29, 30]);
  no(1, 'd', [1, 7, 14]);
  no(7, 'b', [3, 5, 8, 11, 16, 18, 19, 29]);
  no(0x80000001, 'c', [5, 6]);
  assert.equal(cpuid(0xd, 1, values())[0], 0, 'no XSAVEOPT, XSAVEC, XSAVES');
});

test('identity', () => {
  const [, b, c, d] = cpuid(0, 0, values());
  assert.equal(ascii([b, d, c]), VENDOR);
  assert.equal(ascii([2, 3, 4].flatMap((n) => cpuid(0x80000000 + n, 0, values()))).replaceAll('\0', ''), BRAND);
  assert.equal(ascii(cpuid(0x40000000, 0, values()).slice(1)), 'XenVMMXenVMM');
});

test('no value spills out of its place, and vCPUs differ', () => {
  const last = values({ apic_id: 254, nr_vcpus: 128, osxsave: 1, apic_enabled: 1 });
  const [, b, c, d] = cpuid(1, 0, last);
  assert.equal(b >>> 24, 254);
  assert.equal((b >>> 16) & 0xff, 255);
  assert.ok(c & (1 << 27) && d & (1 << 9));
  const ids = [0, 1, 127].map((v) => cpuid(0xb, 0, values({ apic_id: 2 * v }))[3]);
  const [threadShift] = cpuid(0xb, 0, last);
  const [packageShift] = cpuid(0xb, 1, last);
  assert.deepEqual(
    ids.map((id) => id >>> threadShift),
    [0, 1, 127],
  );
  assert.ok(ids.every((id) => id >>> packageShift === 0));
  assert.equal(cpuid(0xb, 0x105, last)[2], 5);
});

test('the last leaf of each range is the one its first leaf names', () => {
  for (const base of [0, 0x40000000, 0x80000000]) {
    const range = CPUID.map((r) => r.leaf).filter((l) => l >= base && l < base + 0x100);
    assert.ok(Math.max(...range) <= cpuid(base, 0, values())[0]);
  }
});

test('the capability word exists because CPUID says so, and stays true to its promise', () => {
  const word = MSRS.find((m) => m.name === 'IA32_ARCH_CAPABILITIES')!.source as { constant: bigint };
  for (const bit of Object.values(ARCH_CAPABILITIES)) assert.ok((word.constant >> BigInt(bit)) & 1n);
  // RSBA, TSX_CTRL, FB_CLEAR, RRSBA, XAPIC_DISABLE would ask for work or offer registers that do not exist.
  for (const bit of [2, 7, 17, 18, 19, 21]) assert.ok(!((word.constant >> BigInt(bit)) & 1n));
});
