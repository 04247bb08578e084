import assert from 'node:assert/strict';
import { test } from 'node:test';
import { udpFrame } from '../protocol/build.ts';
import { Switch } from '../switch/switch.ts';
import { ends, largeFrame, MAC } from '../testing.ts';
import { Capture } from './capture.ts';

/** The blocks of a pcapng file: type and body; every length is checked. */
function* blocks(file: Buffer): Generator<[type: number, body: Buffer]> {
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32LE(at + 4);
    assert(length % 4 === 0 && length >= 12 && at + length <= file.length);
    assert.equal(file.readUInt32LE(at + length - 4), length);
    yield [file.readUInt32LE(at), file.subarray(at + 8, at + length - 4)];
    at += length;
  }
}

test('a capture has each frame with the port it came in by', () => {
  const net = new Switch();
  const [a, b] = ['vif1.0', 'vif2.0'].map((name) => net.attach({ name, deliver: () => {} }));
  const chunks: Uint8Array[] = [];
  let ended = false;
  const write = (bytes: Uint8Array) => (bytes.length > 0 && chunks.push(bytes), 0);
  const capture = new Capture(net, { snapLength: 100, count: 3 }, write, () => (ended = true));
  a!.send([udpFrame(ends(MAC.a, MAC.b), 1, 2, Buffer.from('hello'))]);
  b!.send([udpFrame(ends(MAC.b, MAC.a), 2, 1, Buffer.from('world'))]);
  assert(!ended);
  a!.send([
    largeFrame(ends(MAC.a, MAC.b), new Uint8Array(5000), 1000),
    udpFrame(ends(MAC.a, MAC.b), 1, 2, new Uint8Array(1)),
  ]);
  assert(ended);
  const found = [...blocks(Buffer.concat(chunks))];
  assert.deepEqual(
    found.map(([type]) => type),
    [0x0a0d0d0a, 1, 6, 1, 6, 6],
  );
  assert(found[1]![1].includes('vif1.0') && found[3]![1].includes('vif2.0'));
  assert.deepEqual(
    [2, 4, 5].map((i) => found[i]![1].readUInt32LE(0)),
    [0, 1, 0],
  );
  assert(found[4]![1].includes('world'));
  assert.deepEqual([found[5]![1].readUInt32LE(12), found[5]![1].readUInt32LE(16)], [100, 5054]);
  const time = (BigInt(found[2]![1].readUInt32LE(4)) << 32n) | BigInt(found[2]![1].readUInt32LE(8));
  assert(Math.abs(Number(time / 1_000_000n) - Date.now()) < 60_000);
  assert.equal(capture.frames, 3);
});

test('a reader that does not keep up loses frames, and holds nobody up', () => {
  const net = new Switch();
  const [a, b] = ['a', 'b'].map((name) => net.attach({ name, deliver: () => {} }));
  let waiting = 0;
  const capture = new Capture(net, { port: b! }, (bytes) => (waiting += bytes.length));
  for (let i = 0; i < 6000; i++) a!.send([udpFrame(ends(MAC.a, MAC.b), 1, 2, new Uint8Array(1400))]);
  assert.equal(capture.frames, 0, 'nothing to or from the port that is known to be there');
  b!.send([udpFrame(ends(MAC.b, MAC.a), 1, 2, new Uint8Array(1400))]);
  for (let i = 0; i < 6000; i++) a!.send([udpFrame(ends(MAC.a, MAC.b), 1, 2, new Uint8Array(1400))]);
  assert(waiting < 5 << 20 && capture.lost > 1000 && capture.frames + capture.lost === 6001);
  capture.end();
  a!.send([udpFrame(ends(MAC.a, MAC.b), 1, 2, new Uint8Array(1400))]);
  assert.equal(capture.frames + capture.lost, 6001);
});
