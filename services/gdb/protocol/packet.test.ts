import assert from 'node:assert/strict';
import { test } from 'node:test';
import { packet, PACKET_SIZE, PacketReader, type Received } from './packet.ts';

const read = (...parts: (string | Uint8Array)[]): Received[] => {
  const reader = new PacketReader();
  return parts.flatMap((part) => reader.read(typeof part === 'string' ? Buffer.from(part, 'latin1') : part));
};
const texts = (list: Received[]): string[] =>
  list.map((r) => (r.kind === 'packet' ? r.data.toString('latin1') : `<${r.kind}>`));

test('packets are cut out of the stream wherever it is split', () => {
  const stream = '+$qC#b4\x03-$m10,4#2e+$#00';
  const whole = texts(read(stream));
  assert.deepEqual(whole, ['<ack>', 'qC', '<interrupt>', '<nack>', 'm10,4', '<ack>', '']);
  for (let at = 0; at <= stream.length; at++)
    assert.deepEqual(texts(read(stream.slice(0, at), stream.slice(at))), whole);
});

test('wrong checksums and packets that are too long are refused, and the next one is read', () => {
  assert.deepEqual(texts(read('$qC#b5$qC#b4')), ['<bad>', 'qC']);
  assert.deepEqual(texts(read('$qC#zz$qC#b4')), ['<bad>', 'qC']);
  assert.deepEqual(texts(read('$qC#+4$qC#b4')), ['<bad>', 'qC']);
  const long = Buffer.alloc(2 * PACKET_SIZE + 1, 0x61);
  const sum = ((0x61 * long.length) & 0xff).toString(16).padStart(2, '0');
  assert.deepEqual(texts(read('$', long, `#${sum}$qC#b4`)), ['<bad>', 'qC']);
});

test('a packet that is broken off by another one is forgotten', () => {
  assert.deepEqual(texts(read('$qSuppo$qC#b4')), ['qC']);
});

test('every byte survives being escaped', () => {
  const all = Uint8Array.from({ length: 256 }, (_, i) => i);
  const [back] = read(packet(all));
  assert.ok(back?.kind === 'packet');
  assert.deepEqual([...back.data], [...all]);
});

test('rubbish gives nothing but what it holds, and no error', () => {
  let x = 12345;
  const next = (): number => (x = (Math.imul(x, 1103515245) + 12345) >>> 0) >>> 16;
  const reader = new PacketReader();
  let got = 0;
  for (let round = 0; round < 2000; round++) {
    const bytes = Uint8Array.from({ length: next() % 200 }, () => {
      const kind = next() % 8;
      return kind === 0 ? 0x24 : kind === 1 ? 0x23 : kind === 2 ? 0x7d : next() & 0xff;
    });
    for (const r of reader.read(bytes)) if (r.kind === 'packet') got += r.data.length;
  }
  assert.ok(got < 400_000);
  assert.equal(texts(reader.read(Buffer.from('$qC#b4'))).at(-1), 'qC');
});
