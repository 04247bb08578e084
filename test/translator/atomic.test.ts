// LOCK in a region against another thread at the same word.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Random } from '../cpu/random.ts';
import { Assembler } from './assembler.ts';
import * as bed from './bed.ts';

/** Adds 1 to a word again and again, until the word behind it is set; sends how often. */
const ADDER = `
const { parentPort, workerData } = require('node:worker_threads');
const words = new Int32Array(workerData.memory.buffer);
let n = 0;
parentPort.postMessage('here');
while (!Atomics.load(words, workerData.at + 1)) {
  Atomics.add(words, workerData.at, 1);
  n++;
}
parentPort.postMessage(n);
`;

test('no addition is lost that another thread makes meanwhile', async () => {
  const machine = new bed.Bed(true);
  const a = new Assembler(64, new Random(1), { sse: 0, wild: 0 }, bed.CODE);
  a.label(0);
  a.emit(0xf0, 0xff, 0x03, 0xff, 0xc9, 0x0f, 0x85); // lock inc dword [rbx]; dec ecx; jnz
  a.reference(0);
  a.emit(0xf4);
  const rounds = 500_000;
  const gpr = new BigUint64Array(16);
  gpr[1] = BigInt(rounds);
  gpr[3] = BigInt(bed.DATA);
  const rest = { rflags: 2, mxcsr: 0x1f80, xmm: new Uint8Array(256), fsBase: 0, gsBase: 0 };
  machine.load({ mode: 64, cpl: 0, rip: bed.CODE, gpr, ...rest, memory: [{ at: bed.CODE, bytes: a.finish() }] });
  machine.run(20);
  assert.ok(machine.translate());
  const at = machine.host(bed.DATA) >>> 2;
  const words = new Int32Array(machine.memory.buffer);
  const worker = new Worker(ADDER, { eval: true, workerData: { memory: machine.memory, at } });
  await once(worker, 'message');
  while (machine.run(100_000) === bed.EXIT.budget);
  Atomics.store(words, at + 1, 1);
  const [others] = (await once(worker, 'message')) as [number];
  await worker.terminate();
  assert.equal(words[at], (rounds + others) | 0);
  assert.ok(machine.counts.retired > rounds, 'the loop was not translated');
  assert.ok(others > 1000, `the other thread made ${others} additions only`);
});
