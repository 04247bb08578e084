import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { test } from 'node:test';
import { random } from '../../../test/random.ts';
import { Channel, Gone } from './channel.ts';
import { decode, encode, frameLength, greeting, ProtocolError, readGreeting, type Message } from './protocol.ts';

const EXAMPLES: Message[] = [
  ...(['Print', 'Debug', 'Load', 'PrintStderr', 'HttpConnect'] as const).map((kind) => ({
    command: { kind, text: 'grün' },
  })),
  { command: { kind: 'HttpGet', file: 'foo.export', url: '/export?x=y' } },
  { command: { kind: 'HttpPut', file: '', url: '/import' } },
  { command: { kind: 'Prompt' } },
  { command: { kind: 'Exit', code: -5 } },
  { command: { kind: 'Error', code: 'CODE', params: ['a', '', 'c'] } },
  { command: { kind: 'Error', code: 'CODE', params: [] } },
  ...(['OK', 'Wait', 'Failed'] as const).map((response) => ({ response })),
  { blob: 10_240_000 },
  { blob: 'End' },
];

test('a message is the same after its journey', () => {
  for (const message of EXAMPLES) {
    const bytes = encode(message);
    assert.equal(frameLength(bytes), bytes.length - 4);
    assert.deepEqual(decode(bytes.subarray(4)), message);
  }
});

test("bytes as XAPI's xe writes and reads them", () => {
  const hex = (message: Message): string => encode(message).toString('hex');
  assert.equal(hex({ command: { kind: 'Print', text: 'Hi' } }), '0e00000009000000' + '00000000' + '02000000' + '4869');
  assert.equal(hex({ command: { kind: 'Exit', code: 1 } }), '0c000000' + '09000000' + '04000000' + '01000000');
  assert.equal(hex({ command: { kind: 'Prompt' } }), '08000000' + '09000000' + '03000000');
  assert.equal(hex({ response: 'OK' }), '08000000' + '0a000000' + '05000000');
  assert.equal(hex({ response: 'Wait' }), '08000000' + '0a000000' + '12000000');
  assert.equal(hex({ blob: 1024 }), '0c000000' + '0b000000' + '07000000' + '00040000');
  assert.equal(hex({ blob: 'End' }), '08000000' + '0b000000' + '08000000');
  const error: Message = { command: { kind: 'Error', code: 'X', params: ['ab'] } };
  assert.equal(hex(error), '17000000' + '09000000' + '0e000000' + '01000000' + '58' + '01000000' + '02000000' + '6162'); // prettier-ignore
  assert.equal(greeting().toString('latin1'), 'XenSource thin CLI protocol\0\0\0\0\x02\0\0\0');
  assert.deepEqual(readGreeting(greeting()), { major: 0, minor: 2 });
  assert.throws(() => readGreeting(Buffer.alloc(35, 'HTTP/1.1 400')), ProtocolError);
});

test('whatever comes is a message or is refused', () => {
  const number = random(7);
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(encode(EXAMPLES[number(EXAMPLES.length)]).subarray(4));
    for (let j = number(4); j >= 0; j--) bytes[number(bytes.length)] = number(256);
    const cut = bytes.subarray(0, number(3) === 0 ? number(bytes.length + 1) : bytes.length);
    try {
      decode(cut);
    } catch (error) {
      assert.ok(error instanceof ProtocolError, `${cut.toString('hex')}: ${(error as Error).stack}`);
    }
  }
  for (const length of [-1, 0, 7, 2 ** 31 - 1]) {
    const head = Buffer.alloc(4);
    head.writeInt32LE(length);
    assert.throws(() => frameLength(head), ProtocolError);
  }
});

test('a channel reads frames however they come, and tells when nobody is there any more', async () => {
  const [left, right] = duplexPair();
  const channel = new Channel(left, 1000, Buffer.from('first'));
  assert.equal((await channel.read(5)).toString(), 'first');
  const bytes = Buffer.concat(EXAMPLES.map(encode));
  for (let i = 0; i < bytes.length; i += 3) right.write(bytes.subarray(i, i + 3));
  for (const message of EXAMPLES) assert.deepEqual(await channel.next(), message);
  right.write(encode({ command: { kind: 'Print', text: 'x'.repeat(2000) } }));
  await assert.rejects(channel.next(), ProtocolError);
  await assert.rejects(new Channel(duplexPair()[0]).read(1, 5), /too long/);
  const [near, far] = duplexPair();
  const other = new Channel(near);
  far.end('abc');
  await assert.rejects(other.read(10), (error: Gone) => error instanceof Gone && error.rest.toString() === 'abc');
});
