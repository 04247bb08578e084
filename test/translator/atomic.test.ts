// LOCK in a region against another thread at the same word.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Random } from '../cpu/random.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

const ADDITIONS = 300_000;
/** Adds 1 to a word so often, then sets the word behind it. */
const ADDER = `
const { parentPort, workerData } = require('node:worker_threads');
const words = new Int32Array(workerData.memory.buffer);
parentPort.postMessage('here');
for (let i = 0; i < ${ADDITIONS}; i++) Atomics.add(words, workerData.at, 1);
Atomics.store(words, workerData.at + 1, 1);
`;

test('no addition is lost that another thread makes meanwhile', async () => {
  const machine = new bed.Bed(true);
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, bed.CODE);
  a.label(0);
  a.emit(0xf0, 0xff, 0x03, 0x48, 0xff, 0xc9, 0x0f, 0x85); // lock inc dword [rbx]; dec rcx; jnz
  a.reference(0);
  const gpr = new BigUint64Array(16);
  gpr[3] = BigInt(bed.DATA);
  const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  machine.load({ mode: 64, cpl: 0, rip: bed.CODE, gpr, ...rest, memory: [{ at: bed.CODE, bytes: a.finish() }] });
  machine.run(20);
  assert.ok(machine.translate());
  const at = machine.host(bed.DATA) >>> 2;
  const words = new Int32Array(machine.memory.buffer);
  words[at] = words[at + 1] = 0;
  const rcx = machine.get(machine.cpu + 8);
  const worker = new Worker(ADDER, { eval: true, workerData: { memory: machine.memory, at } });
  await once(worker, 'message');
  while (!Atomics.load(words, at + 1)) assert.equal(machine.run(100_000), bed.EXIT.budget);
  await once(worker, 'exit');
  // slices end behind JNZ: each round has been counted
  const rounds = Number(BigInt.asUintN(64, rcx - machine.get(machine.cpu + 8)));
  assert.equal(words[at], (rounds + ADDITIONS) | 0);
  assert.ok(machine.counts.retired > rounds, 'the loop was not translated');
});
