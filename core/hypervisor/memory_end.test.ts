// A host whose memory has all been in use once: what is freed serves again, singly and in pairs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createDomain, destroyDomain, Machine, random } from '../../test/hypervisor.ts';
import { invariants } from '../../test/invariants.ts';

const sound = (m: Machine): void => assert.equal(invariants(m.x as never), null);

test('small domains come after a large one that had all memory, and a large one after them', () => {
  const m = new Machine(1536);
  const dom0 = m.service(0, 1);
  const free = m.x.frames_free();
  const large = Math.floor(free * 0.95);
  for (let round = 0; round < 2; round++) {
    const one = createDomain(dom0, large);
    destroyDomain(dom0, one);
    sound(m);
    const small = Array.from({ length: 60 }, () => createDomain(dom0, 16));
    sound(m);
    for (const d of small) destroyDomain(dom0, d);
    sound(m);
    assert.ok(m.x.frames_free() >= free - 1, 'all but a page of the directory is free again');
  }
});

test('domains of all sizes come and go in memory that is nearly full', () => {
  const m = new Machine(1536);
  const dom0 = m.service(0, 1);
  const pick = random(11);
  const free = m.x.frames_free();
  const alive: number[] = [];
  for (let i = 0; i < 300; i++) {
    const pages = 16 + pick(2) * pick(2000);
    if (m.x.frames_free() > pages + 100 && pick(5) < 3) alive.push(createDomain(dom0, pages));
    else if (alive.length > 0) destroyDomain(dom0, alive.splice(pick(alive.length), 1)[0]!);
    if (i % 20 === 0) sound(m);
  }
  for (const d of alive) destroyDomain(dom0, d);
  sound(m);
  assert.ok(m.x.frames_free() >= free - 1);
});

test('memory that a pCPU may still know is waited for', async () => {
  const m = new Machine(1536);
  const dom0 = m.service(0, 1);
  const large = Math.floor(m.x.frames_free() * 0.95);
  const one = createDomain(dom0, large);
  const at = m.x.test_in_guest(0) >>> 2;
  Atomics.store(new Int32Array(m.memory.buffer), at, 1);
  destroyDomain(dom0, one);
  const leave = `const { workerData: w } = require('node:worker_threads');
    const words = new Int32Array(w.memory);
    Atomics.wait(words, w.at, 1, 50);
    Atomics.store(words, w.at, 0);`;
  const pcpu = new Worker(leave, { eval: true, workerData: { memory: m.memory.buffer, at } });
  await new Promise((resolve) => pcpu.once('online', resolve));
  destroyDomain(dom0, createDomain(dom0, large));
  sound(m);
  await pcpu.terminate();
});
