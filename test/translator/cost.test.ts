// What a guest can make the translator do is in proportion to its code.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operandSizes, rows } from '../../spec/x86/rows.ts';
import { Random } from '../cpu/random.ts';
import { Assembler, usable } from './assembler.ts';
import * as bed from './bed.ts';

const rest = { rflags: 2, mxcsr: 0x1fa0, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };

/** mov r8, [rbx], and everything anew: before it values and flags are what an exit needs, and nobody else. */
const TAIL = [0x4c, 0x8b, 0x03, 0x31, 0xc0, 0x31, 0xc9, 0x31, 0xd2, 0x31, 0xf6, 0x31, 0xff];

/** Length of the module of a loop of so many copies of what `body` makes; 0 if there is none. */
function moduleLength(machine: bed.Bed, seed: number, copies: number, body: (a: Assembler) => void): number {
  // a jump into the loop, whose first instructions need not run
  const a = new Assembler(64, new Random(seed), { sse: 0, wild: 0 }, bed.CODE);
  a.emit(0xe9);
  a.reference(0);
  a.label(0);
  const from = a.bytes.length;
  body(a);
  const one = a.bytes.slice(from);
  for (let i = 1; i < copies; i++) a.emit(...one);
  if (seed % 2) a.emit(...TAIL);
  a.emit(0xe9);
  a.reference(0);
  const gpr = new BigUint64Array(16);
  machine.load({ mode: 64, cpl: 0, rip: bed.CODE, gpr, ...rest, memory: [{ at: bed.CODE, bytes: a.finish() }] });
  machine.run(1);
  let length = 0;
  machine.translate((module) => (length = module.length));
  return length;
}

test('twice the code makes no module of more than four times the length', () => {
  const machine = new bed.Bed(true);
  const moves: ((a: Assembler) => void)[] = [
    () => {},
    (a) => a.emit(0x48, 0x89, 0xd0), // mov rax, rdx
    (a) => a.emit(0x48, 0x89, 0xc2), // mov rdx, rax
  ];
  let seen = 0;
  for (const row of rows.filter((row) => usable(row) && !row.attrs.has('i64') && !row.attrs.has('interp'))) {
    const size = operandSizes(row, true).at(-1) ?? 32;
    for (const move of moves) {
      for (const seed of [1, 2, 5]) {
        const body = (a: Assembler): void => {
          a.instruction(row, size, seed > 4);
          move(a);
        };
        const [once, twice] = [moduleLength(machine, seed, 6, body), moduleLength(machine, seed, 12, body)];
        if (once === 0) continue;
        seen++;
        assert.ok(twice > 0 && twice < once * 4, `${row.source}: ${once} and ${twice} bytes`);
      }
    }
  }
  assert.ok(seen > 3000, `${seen} modules`);
});

test('an answer wakes its pCPU: until that has looked the answer holds a slot', () => {
  const machine = new bed.Bed(true);
  const before = machine.rung;
  assert.ok(moduleLength(machine, 1, 2, (a) => a.emit(0x01, 0xc0)) > 0);
  assert.equal(machine.rung, before + 1);
});
