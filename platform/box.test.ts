// A service worker's way to the hypervisor: batches through the gate, and what is left when a worker is ended in the middle of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OP, WINDOW } from './box.ts';
import { Machine } from './machine.ts';
import type { ServiceDomain } from './service_domain.ts';

const XEN_VERSION = 17;
const DOMID = 0x7f03;
const AT = 0x3000;

let machine: Machine;
let service: ServiceDomain;
before(() => {
  machine = new Machine({ memory: 32 << 20 });
  machine.onFailure((error) => assert.fail(error));
  machine.service(0, { privileged: true });
  service = machine.workerService(DOMID);
});
after(() => machine.stop());

test('single calls: as any mailbox', () => {
  const { mailbox } = service;
  const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i);
  mailbox.write(AT - 100, bytes);
  assert.deepEqual(mailbox.read(AT - 100, 5000), bytes);
  assert.equal(mailbox.hypercall(XEN_VERSION, 99), -38n);
  assert.throws(() => mailbox.read(0x10000000, 1), RangeError);
  assert.deepEqual(mailbox.takeEvents(), []);
});

test('a batch: calls that use what the ones before them have left, in the window', () => {
  const { mailbox: box } = service;
  box.heap.set([1, 2, 3, 4], 1000);
  box.copy(1000, 0x2000, 4, false);
  box.add(OP.write, 4, 0x2000, AT);
  box.add(OP.read, 2, 0x3000, AT + 1);
  const version = box.add(OP.hypercall, 0, XEN_VERSION, 0);
  const extra = box.add(OP.hypercall, 0, XEN_VERSION, 1, WINDOW + 0x4000);
  box.copy(2000, 0x3000, 2, true);
  box.copy(3000, 0x4000, 16, true);
  box.go();
  assert.deepEqual([...box.heap.subarray(2000, 2002)], [2, 3]);
  assert.ok(box.result(version) >= 0x40000 && box.result(extra) === 0);
  assert.match(Buffer.from(box.heap.subarray(3000, 3016)).toString('latin1'), /^[.\w-]+\0/);
});

test('ranges and numbers that cannot be do nothing', () => {
  const { mailbox: box } = service;
  box.copy(0xfffffff0, 0, 64, true);
  box.copy(0, 0x3ffff, 2, false);
  const wrong = box.add(77, 0, 0);
  const long = box.add(OP.read, 0x40001, 0, AT);
  const behind = box.add(OP.read, 8, 0x3fffc, AT);
  box.go();
  assert.deepEqual([box.result(wrong), box.result(long), box.result(behind)], [-22, -22, -22]);
});

test('a worker ended in the middle of its calls leaves a gate that serves the next one', async () => {
  const source = `
    import { parentPort } from 'node:worker_threads';
    import { Box, OP } from ${JSON.stringify(new URL('./box.ts', import.meta.url).href)};
    parentPort.once('message', ({ begin }) => { const box = new Box(begin);
    for (let n = 0; ; n++) {
      box.heapView.setUint32(0, n, true);
      box.copy(0, 0, 4, false);
      for (let i = 0; i < 20; i++) box.add(OP.write, 4, 0, ${AT} + 4 * i);
      box.go();
      if (n === 100) parentPort.postMessage('busy');
    } });`;
  const file = new URL(`data:text/javascript,${encodeURIComponent(source)}`);
  for (let round = 0; round < 10; round++) {
    const ended = Promise.withResolvers<Error | undefined>();
    const worker = service.prepare(file);
    service.start(worker, 0x10000, (error, gone) => void gone.then(() => ended.resolve(error)));
    await new Promise((resolve) => worker.once('message', resolve));
    await sleep(round);
    void worker.terminate();
    assert.equal(await ended.promise, undefined);
    // Nothing is written any more, and every batch was carried out as a whole.
    const left = service.mailbox.read(AT, 80);
    const words = new Uint32Array(left.buffer);
    assert.ok(words[0]! >= 99 && words.every((w) => w === words[0]), String(words));
    await sleep(2);
    assert.deepEqual(service.mailbox.read(AT, 80), left);
  }
});
