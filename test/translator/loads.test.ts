// What was loaded before a store to the same place stays what it was, wherever it goes: as the C library's malloc puts a chunk into a list of two pointers.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../cpu/random.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

const A = bed.CODE;
/** To an XMM register: all of it from RAX, or only its low half. */
const MOVES: Readonly<Record<string, number[]>> = {
  'movq xmm0, rax': [0x66, 0x48, 0x0f, 0x6e, 0xc0],
  'movd xmm0, eax': [0x66, 0x0f, 0x6e, 0xc0],
};

for (const [name, move] of Object.entries(MOVES))
  test(`a load, a store to its place, ${name}`, () => {
    const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, A);
    a.label(0);
    a.emit(0x49, 0x8b, 0x07, 0x49, 0x89, 0x1f); // mov rax, [r15]; mov [r15], rbx
    a.emit(...move);
    a.emit(0x0f, 0x11, 0x43, 0x10); // movups [rbx + 16], xmm0
    a.emit(0x48, 0x83, 0xf3, 0x40, 0xff, 0xc9, 0x0f, 0x85); // xor rbx, 0x40; dec ecx; jnz
    a.reference(0);
    a.emit(0xf4);
    const [plain, translated] = [new bed.Bed(false), new bed.Bed(true)];
    for (const machine of [plain, translated]) {
      const gpr = new BigUint64Array(16);
      [gpr[1], gpr[3], gpr[4], gpr[15]] = [
        1000n,
        BigInt(bed.DATA + 0x400),
        BigInt(bed.STACK_TOP - 64),
        BigInt(bed.DATA),
      ];
      const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
      machine.load({ mode: 64, cpl: 0, rip: A, gpr, ...rest, memory: [{ at: A, bytes: a.finish() }] });
      machine.run(70);
      while (machine.rip !== BigInt(A)) machine.run(1);
      if (machine === translated) assert.ok(machine.translate());
      machine.run(3000);
    }
    assert.equal(plain.difference(translated), '');
    assert.equal(plain.memoryDifference(translated), '');
    assert.ok(translated.counts.retired > 2000, 'the loop was not translated');
  });
