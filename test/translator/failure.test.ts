// A mistake of the translator's, or a module that V8 does not take, costs that code its translation and nobody anything else.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCore } from '../../platform/core.ts';
import { Random } from '../cpu/random.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

const ROUNDS = 2000;

/** Count EAX up as ECX goes down. */
function program(): Uint8Array {
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, bed.CODE);
  a.emit(0xff, 0xc0, 0xff, 0xc9, 0x75, 0xfa, 0xf4);
  return a.finish();
}

function load(machine: bed.Bed): void {
  const gpr = new BigUint64Array(16);
  gpr[1] = BigInt(ROUNDS);
  const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  machine.load({ mode: 64, cpl: 0, rip: bed.CODE, gpr, ...rest, memory: [{ at: bed.CODE, bytes: program() }] });
  machine.run(6);
}

/** What makes a translation fail once it is written: bytes that are no module any more. */
const spoil = (module: Uint8Array): void => void module.fill(0xff);

test('a failed translation is told, frees its request, and the code is interpreted; the next one goes through', () => {
  const told: string[] = [];
  const machine = new bed.Bed(true, loadCore(), (error) => void told.push(error.name));
  load(machine);
  assert.equal(machine.translate(spoil), false);
  assert.deepEqual(told, ['CompileError']);
  assert.deepEqual(machine.busySlots, [], 'the request holds its slot');
  assert.equal(machine.run(100), bed.EXIT.budget);
  assert.equal(machine.counts.entries, 0);

  assert.ok(machine.translate(), 'nothing is translated after a failure');
  assert.equal(machine.run(100_000), bed.EXIT.halt);
  assert.equal(machine.get(machine.cpu), BigInt(ROUNDS));
  assert.ok(machine.counts.entries > 0);
  assert.equal(told.length, 1);
});

test('who does not ask to be told gets it thrown', () => {
  const machine = new bed.Bed(true);
  load(machine);
  assert.throws(() => machine.translate(spoil), WebAssembly.CompileError);
});
