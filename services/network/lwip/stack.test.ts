import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { transfer } from './link.ts';
import { CONNECTIONS, Stack } from './stack.ts';

test('lwip.wasm was built from the sources beside it', () => {
  const lines = readFileSync(join(import.meta.dirname, 'SHA256SUMS'), 'utf8')
    .trim()
    .split('\n');
  assert(lines.length > 5);
  for (const line of lines) {
    const [sum, name] = line.split(/ +/);
    const bytes = readFileSync(join(import.meta.dirname, name!));
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sum, `${name}: run build.sh`);
  }
});

/** Repeatable: the same packets are lost each time, as far as the clock lets the same ones be sent. */
function random(): () => number {
  let state = 123456789;
  return () => (state = (state * 48271) % 0x7fffffff) / 0x7fffffff;
}

for (const large of [true, false]) {
  const kind = large ? 'large packets' : 'packets of the wire';
  test(`bytes arrive as they were sent, in ${kind}`, async () => {
    const { equal, errors, packets } = await transfer({ bytes: 16e6, connections: 1, large });
    assert(equal && errors === 0);
    assert(large ? packets < 2000 : packets > 11000, `${packets} packets`);
  });

  test(`a hundred connections at once, in ${kind}`, async () => {
    const { equal, errors, memory } = await transfer({ bytes: 20e6, connections: 100, large });
    assert(equal && errors === 0);
    assert(memory <= 64 << 20);
  });

  test(`lost packets are sent again, in ${kind}`, async () => {
    const bytes = large ? 10e6 : 3e5;
    assert((await transfer({ bytes, connections: 2, large, loss: 0.01, random: random() })).equal);
  });
}

test('nobody there: the attempt ends', async () => {
  const { promise, resolve } = Promise.withResolvers<number>();
  const none = () => {};
  const stack: Stack = new Stack({
    // A reset for the SYN: source and destination exchanged, its sequence number acknowledged.
    output(packet) {
      const answer = packet.slice(0, 40);
      answer[3] = 40; // length
      answer.set(packet.subarray(16, 20), 12);
      answer.set(packet.subarray(12, 16), 16);
      answer.set(packet.subarray(22, 24), 20);
      answer.set(packet.subarray(20, 22), 22);
      const view = new DataView(answer.buffer);
      view.setUint32(28, (view.getUint32(24) + 1) >>> 0);
      view.setUint32(24, 0);
      answer[32] = 0x50;
      answer[33] = 0x14; // RST, ACK
      setImmediate(() => stack.input(answer, 20));
    },
    opened: none,
    received: none,
    sent: none,
    gone: (id, error) => resolve(id === 7 ? error : 0),
  });
  assert.equal(stack.connect(7, Uint8Array.of(10, 0, 0, 1), 5000, Uint8Array.of(10, 0, 0, 2), 80), 0);
  assert(stack.connect(7, Uint8Array.of(10, 0, 0, 1), 5000, Uint8Array.of(10, 0, 0, 2), 80) < 0, 'the number is taken');
  assert((await promise) < 0);
  stack.close();
});

test('any packet at all does no harm', () => {
  const none = () => {};
  let gone = 0;
  const stack = new Stack({ output: none, opened: none, received: none, sent: none, gone: () => void gone++ });
  const next = random();
  for (let i = 0; i < 20_000; i++) {
    const v6 = next() < 0.5;
    const header = v6 ? 40 : 20;
    const packet = Uint8Array.from({ length: header + 20 + Math.floor(next() * 60) }, () => next() * 256);
    packet[0] = v6 ? 0x60 : 0x45;
    new DataView(packet.buffer).setUint16(v6 ? 4 : 2, packet.length - (v6 ? 40 : 0));
    if (v6) packet[6] = 6;
    else packet.set([0, 0, 64, 6], 6);
    if (v6) packet[24]! &= 0x0f;
    packet[header + 3] = 80;
    packet[header + 13] = next() * 64;
    stack.input(packet, header, next() < 0.5 ? Math.floor(next() * 64) : CONNECTIONS);
    if (next() < 0.1) stack.flush();
    if (next() < 0.1) stack.write(Math.floor(next() * 64), packet);
    if (next() < 0.05) stack.finish(Math.floor(next() * 64));
    if (next() < 0.05) stack.abort(Math.floor(next() * 64));
  }
  assert(gone > 0);
  stack.close();
});
