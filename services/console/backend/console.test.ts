import { test } from 'node:test';
import assert from 'node:assert/strict';
import { ByteRing, MemoryRingPage, PAGE_SIZE } from '../../lib/ring_page.ts';
import { random } from '../../xenstore/testing.ts';
import { CONSOLE_RING as R } from '../protocol/ring.ts';
import { ConsoleBackend, Scrollback } from './console.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const bytes = (string: string): Uint8Array => Buffer.from(string, 'latin1');

function world(options: Partial<ConstructorParameters<typeof ConsoleBackend>[0]> = {}) {
  const page = new MemoryRingPage(new Uint8Array(new SharedArrayBuffer(PAGE_SIZE)));
  const shown: string[] = [];
  const state = { wants: true, scheduled: 0 };
  const sink = {
    write(part: Uint8Array) {
      shown.push(text(part));
      return state.wants;
    },
  };
  const console = new ConsoleBackend({ page, sink, schedule: () => state.scheduled++, ...options });
  const input = new ByteRing(page, { data: R.IN, size: R.IN_SIZE, cons: R.IN_CONS, prod: R.IN_PROD });
  const output = new ByteRing(page, { data: R.OUT, size: R.OUT_SIZE, cons: R.OUT_CONS, prod: R.OUT_PROD });
  return { page, console, input, output, shown, state };
}

test('output goes to the sink and the scrollback, and the guest is told of the room', () => {
  const { console, output, shown } = world();
  output.put(bytes('hello\r\n'));
  assert.equal(console.pump(), true);
  assert.equal(console.pump(), false);
  assert.deepEqual(shown, ['hello\r\n']);
  assert.equal(text(console.scrollback()), 'hello\r\n');
});

test('a stream longer than the ring arrives whole, from any start of the indexes', () => {
  for (const start of [0, 2047, 0xfffffc01]) {
    const { console, output, input, shown, page } = world();
    for (const word of [R.OUT_CONS, R.OUT_PROD, R.IN_CONS, R.IN_PROD]) page.storeU32(word, start);
    const stream = bytes(Array.from({ length: 20_000 }, (_, i) => String.fromCharCode(32 + (i % 90))).join(''));
    for (let at = 0; at < stream.length; console.pump()) at += output.put(stream.subarray(at, at + 1500))!;
    assert.equal(shown.join(''), text(stream));
    assert.equal(console.onInput(stream), stream.length);
    let typed = '';
    for (let part = ''; console.pump() || part; typed += part) part = text(input.take(700)!);
    typed += text(input.take(1024)!);
    assert.equal(typed, text(stream));
  }
});

test('a sink that wants no more stops the guest; resume goes on', () => {
  const { console, output, shown, state } = world();
  state.wants = false;
  output.put(bytes('one'));
  console.pump();
  output.put(bytes('two'));
  assert.equal(console.pump(), false);
  assert.equal(output.put(new Uint8Array(4096)), 2045, 'the ring fills up');
  state.wants = true;
  console.resume();
  console.resume();
  assert.equal(state.scheduled, 1);
  assert.equal(console.pump(), true);
  assert.equal(shown.join('').length, 3 + 2048);
});

test('typed input is bounded, and what does not fit is refused', () => {
  const { console, input, state } = world({ inputLimit: 2000 });
  assert.equal(console.onInput(new Uint8Array(1500)), 1500);
  assert.equal(console.onInput(new Uint8Array(1500)), 500);
  assert.equal(console.onInput(new Uint8Array(1)), 0);
  assert.equal(state.scheduled, 2);
  assert.equal(console.pump(), true);
  assert.equal(console.inputSpace, 1024);
  assert.equal(console.pump(), false, 'the guest does not read');
  assert.equal(input.take(1024)!.length, 1024);
  console.pump();
  assert.equal(input.take(1024)!.length, 976);
});

test('impossible indexes stop that direction only, until they make sense again', () => {
  const { console, page, output, input, shown } = world();
  page.storeU32(R.OUT_PROD, 2049);
  console.onInput(bytes('in'));
  assert.equal(console.pump(), true);
  assert.equal(text(input.take(10)!), 'in');
  assert.equal(console.badIndexes, 1);
  assert.deepEqual(shown, []);
  page.storeU32(R.OUT_PROD, 0);
  page.storeU32(R.IN_CONS, 100);
  console.onInput(bytes('x'));
  output.put(bytes('out'));
  assert.equal(console.pump(), true);
  assert.equal(console.badIndexes, 2);
  assert.deepEqual(shown, ['out']);
});

test('scrollback keeps exactly the last bytes, against a naive one', () => {
  const next = random(7);
  for (const limit of [0, 1, 100, 5000]) {
    const scrollback = new Scrollback(limit);
    let all = '';
    for (let i = 0; i < 300; i++) {
      const part = String.fromCharCode(65 + (i % 26)).repeat(next(next(8) === 0 ? 2 * limit + 2 : 60));
      scrollback.push(bytes(part));
      all = limit === 0 ? '' : (all + part).slice(-limit);
      if (next(5) === 0) assert.equal(text(scrollback.bytes()), all);
    }
    assert.equal(text(scrollback.bytes()), all);
  }
});

test('fuzz: random indexes never escape, and memory stays bounded', () => {
  const next = random(99);
  const { console, page, state } = world({ scrollback: 10_000, sink: { write: () => next(3) > 0 } });
  for (let i = 0; i < 20_000; i++) {
    page.storeU32(R.IN_CONS + 4 * next(5), next(3) === 0 ? next(0xffffffff) : next(2048));
    if (next(4) === 0) console.onInput(new Uint8Array(next(3000)));
    if (next(3) === 0) console.resume();
    console.pump();
    assert.ok(console.inputSpace >= 0);
  }
  assert.ok(console.badIndexes > 1000 && console.written > 0 && state.scheduled > 0);
  assert.ok(console.scrollback().length <= 10_000);
});
