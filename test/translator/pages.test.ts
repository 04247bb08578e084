// Regions span pages: who may execute them, and what becomes of the region when one of them changes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../cpu/random.ts';
import { AT } from '../cpu/engine.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

const [A, B] = [bed.CODE, bed.CODE + 0x1000];

/** On page A: count down through page B, in ring 0; then the same in ring 3. */
function program(): Uint8Array {
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, A);
  a.label(0);
  a.emit(0xe9);
  a.dword(B - a.here - 4);
  a.label(1);
  a.emit(0xff, 0xc9, 0x0f, 0x85); // dec ecx; jnz
  a.reference(0);
  a.emit(0xb9); // mov ecx, 5
  a.dword(5);
  for (const v of [bed.SELECTORS.userData, bed.STACK_TOP - 64, 0x2, bed.SELECTORS.userCode64, A]) {
    a.emit(0x68);
    a.dword(v);
  }
  a.emit(0x48, 0xcf); // iretq
  a.emit(...Array<number>(B - a.here).fill(0xcc), 0xe9);
  a.reference(1);
  return a.finish();
}

test('ring 3 does not execute the supervisor page that ring 0 has executed in the same region', () => {
  const [plain, translated] = [new bed.Bed(false), new bed.Bed(true)];
  for (const machine of [plain, translated]) {
    const gpr = new BigUint64Array(16);
    gpr[1] = 1000n;
    gpr[4] = BigInt(bed.STACK_TOP - 64);
    const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
    machine.load({ mode: 64, cpl: 0, rip: A, gpr, ...rest, memory: [{ at: A, bytes: program() }] });
    machine.setEntry(B, 3);
    machine.run(7);
    if (machine === translated) assert.ok(machine.translate());
    assert.equal(machine.run(100_000), bed.EXIT.halt);
    // from IRETQ on: where the page fault's frame lies
    assert.equal(machine.get(machine.cpu + AT.cr2), BigInt(B));
    assert.equal(machine.get(machine.cpu + 8), 5n, 'nothing was counted in ring 3');
  }
  assert.equal(plain.difference(translated), '');
  assert.ok(translated.counts.retired > 2_000, 'the loop was not translated');
});

test('a place whose region has died because a page of it changed can be translated again', () => {
  const machine = new bed.Bed(true);
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, A);
  a.label(0);
  a.emit(0xe8);
  a.dword(B - a.here - 4);
  a.emit(0xff, 0xc9, 0x0f, 0x85); // dec ecx; jnz
  a.reference(0);
  a.emit(0xff, 0x04, 0x25); // inc the constant on page B
  a.dword(B + 1);
  a.emit(0xb9); // mov ecx, 1000
  a.dword(1000);
  a.emit(0xe9);
  a.reference(0);
  a.emit(...Array<number>(B - a.here).fill(0xcc), 0xb8, 1, 0, 0, 0, 0x01, 0xc3, 0xc3); // mov eax, 1; add ebx, eax; ret
  const gpr = new BigUint64Array(16);
  gpr[1] = 1000n;
  gpr[4] = BigInt(bed.STACK_TOP - 64);
  const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  machine.load({ mode: 64, cpl: 0, rip: A, gpr, ...rest, memory: [{ at: A, bytes: a.finish() }] });
  const rounds = 4;
  for (let i = 1; i <= rounds; i++) {
    // to a jump back, which is found at A; then past the change
    while (machine.rip !== BigInt(A)) assert.equal(machine.run(1), bed.EXIT.budget);
    machine.run(20);
    while (machine.rip !== BigInt(A)) machine.run(1);
    assert.ok(machine.translate(), `round ${i}`);
    while (machine.get(machine.cpu + 24) < BigInt(1000 * ((i * (i + 1)) / 2) + i + 1)) machine.run(100);
  }
  assert.equal(machine.counts.installed, rounds);
  assert.ok(machine.counts.retired > rounds * 4000);
});

/** A loop of two pages: so many times call B; then INVLPG of B, and again. `adds`: code for B. */
function looping(rounds: number): {
  load: (machine: bed.Bed, more: bed.Start['memory']) => void;
  adds: (n: number) => Uint8Array;
} {
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, A);
  a.label(0);
  a.emit(0xe8);
  a.dword(B - a.here - 4);
  a.emit(0xff, 0xc9, 0x0f, 0x85); // dec ecx; jnz
  a.reference(0);
  a.emit(0x0f, 0x01, 0x3c, 0x25); // invlpg [B]
  a.dword(B);
  a.emit(0xb9); // mov ecx, rounds
  a.dword(rounds);
  a.emit(0xe9);
  a.reference(0);
  const adds = (n: number): Uint8Array => Uint8Array.of(0x81, 0xc3, n & 255, n >> 8, 0, 0, 0xc3); // add ebx, n; ret
  const load = (machine: bed.Bed, more: bed.Start['memory']): void => {
    const gpr = new BigUint64Array(16);
    gpr[1] = BigInt(rounds);
    gpr[4] = BigInt(bed.STACK_TOP - 64);
    const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
    machine.load({ mode: 64, cpl: 0, rip: A, gpr, ...rest, memory: [{ at: A, bytes: a.finish() }, ...more] });
  };
  return { load, adds };
}

test('a page that moves is seen when INVLPG says so, not before', () => {
  const { load, adds } = looping(1000);
  const machine = new bed.Bed(true);
  const C = B + 0x1000;
  const added = (): bigint => machine.get(machine.cpu + 24);
  load(machine, [
    { at: B, bytes: adds(1) },
    { at: C, bytes: adds(1000) },
  ]);
  machine.run(20);
  while (machine.rip !== BigInt(A)) machine.run(1);
  assert.ok(machine.translate());
  machine.run(1000);
  assert.ok(machine.counts.retired > 500);
  machine.moveEntry(B, C);
  // the rest of the first thousand rounds as before, and then by the other page
  while (added() < 1000n) machine.run(100);
  while (added() < 20_000n) machine.run(100);
  assert.equal((added() - 1000n) % 1000n, 0n);
});

test('a page at two places has the neighbours of where it is run', () => {
  const rounds = 1000;
  const THERE = A + 0x4000;
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, A);
  a.label(0);
  a.emit(0xe8); // call the next page
  a.dword(B - a.here - 4);
  a.emit(0xff, 0xc9, 0x0f, 0x85); // dec ecx; jnz
  a.reference(0);
  a.emit(0xb9); // mov ecx, rounds
  a.dword(rounds);
  a.emit(0x48, 0x31, 0xf2, 0xff, 0xe2); // xor rdx, rsi; jmp rdx: the other place
  const { adds } = looping(rounds);
  const gpr = new BigUint64Array(16);
  [gpr[1], gpr[2], gpr[4], gpr[6]] = [BigInt(rounds), BigInt(A), BigInt(bed.STACK_TOP - 64), BigInt(A ^ THERE)];
  const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  const memory = [
    { at: A, bytes: a.finish() },
    { at: B, bytes: adds(1) },
    { at: THERE + 0x1000, bytes: adds(1000) },
  ];
  const [plain, translated] = [new bed.Bed(false), new bed.Bed(true)];
  for (const machine of [plain, translated]) {
    machine.load({ mode: 64, cpl: 0, rip: A, gpr, ...rest, memory });
    machine.moveEntry(THERE, A);
    machine.run(20);
    while (machine.rip !== BigInt(A)) machine.run(1);
  }
  assert.ok(translated.translate());
  for (let slice = 0; slice < 60; slice++) {
    for (const machine of [plain, translated]) machine.run(999);
    assert.equal(plain.difference(translated), '', `slice ${slice}`);
  }
  assert.ok(plain.get(plain.cpu + 24) > 3_000_000n, 'it was not at both places');
  assert.ok(translated.counts.retired > rounds, 'nothing was translated');
});

test('an answer for bytes that have changed meanwhile is not used', () => {
  const { load, adds } = looping(1000);
  const machine = new bed.Bed(true);
  load(machine, [{ at: B, bytes: adds(1) }]);
  machine.run(20);
  while (machine.rip !== BigInt(A)) machine.run(1);
  assert.ok(machine.want());
  machine.written(B);
  machine.serve();
  assert.deepEqual([machine.counts.installed, machine.counts.rejected], [0, 1]);
});

for (const [far, what] of [
  [0, 'runs in a region'],
  [0x3000_0000, 'is left to the interpreter if a direct branch of it leads out of them'],
] as const)
  test(`a loop at the end of the canonical addresses ${what}`, () => {
    const [plain, translated] = [new bed.Bed(false), new bed.Bed(true)];
    const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, A);
    a.label(0);
    a.emit(0x83, 0xc3, 1, 0xff, 0xc9, 0x0f, 0x85); // add ebx, 1; dec ecx; jnz
    a.reference(0);
    a.emit(0xe9);
    a.dword(far);
    a.emit(0xf4);
    for (const machine of [plain, translated]) {
      const gpr = new BigUint64Array(16);
      gpr[1] = 3000n;
      gpr[4] = BigInt(bed.STACK_TOP - 64);
      const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
      machine.load({ mode: 64, cpl: 0, rip: bed.HIGH + A, gpr, ...rest, memory: [{ at: A, bytes: a.finish() }] });
      machine.mapHigh();
      machine.run(20);
      while (machine.rip !== BigInt(bed.HIGH + A)) machine.run(1);
      if (machine === translated) assert.ok(machine.translate());
      assert.equal(machine.run(100_000), bed.EXIT.halt);
    }
    assert.equal(plain.difference(translated), '');
    assert.equal(plain.get(plain.cpu + 24), 3000n);
    assert.equal(translated.counts.retired > 8000, far === 0);
  });

for (const main of [0xfffff000, 0])
  test(`32-bit code at both ends of the address space, from page ${main}: branches wrap`, () => {
    const other = main ? 0 : 0xfffff000;
    const [plain, translated] = [new bed.Bed(false), new bed.Bed(true)];
    // add eax, 1; call the other page; dec ecx; jnz. There: call this page's start; ret. Here: add ebx, eax; ret
    const a = new Assembler(32, new Random(1), { sse: 0, wild: 0 }, main + 0x800);
    a.label(0);
    a.emit(0x83, 0xc0, 1, 0xe8);
    a.dword((other + 0x40 - a.here - 4) | 0);
    a.emit(0xff, 0xc9, 0x0f, 0x85);
    a.reference(0);
    a.emit(0xcd, 0x20);
    const callee = Uint8Array.of(0xe8, 0, 0, 0, 0, 0xc3);
    new DataView(callee.buffer).setInt32(1, (main - (other + 0x40 + 5)) | 0, true);
    for (const machine of [plain, translated]) {
      const gpr = new BigUint64Array(16);
      gpr[1] = 3000n;
      gpr[4] = BigInt(bed.STACK_TOP - 64);
      const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
      const memory = [
        { at: A + 0x800, bytes: a.finish() },
        { at: A, bytes: Uint8Array.of(0x01, 0xc3, 0xc3) },
        { at: B + 0x40, bytes: callee },
      ];
      machine.load({ mode: 32, cpl: 3, rip: main + 0x800, gpr, ...rest, memory });
      machine.mapCodeAt(main, A);
      machine.mapCodeAt(other, B);
      machine.run(40);
      while (machine.rip !== BigInt(main + 0x800)) machine.run(1);
      if (machine === translated) assert.ok(machine.translate());
      assert.equal(machine.run(100_000), bed.EXIT.halt);
      assert.equal(machine.get(machine.cpu + 24), BigInt((3000 * 3001) / 2));
    }
    assert.equal(plain.difference(translated), '');
    assert.ok(translated.counts.retired > 20_000, 'the loop was not translated as a whole');
    assert.ok(translated.counts.entries < 50, 'the region left at each round');
  });
