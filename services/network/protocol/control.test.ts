import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '../../../spec/abi/constants.ts';
import { ends, ip, random } from '../testing.ts';
import { ipFrame, tcpFrame, udpFrame } from './build.ts';
import { CONTROL, Hashing, readControl, writeControl, type ControlRequest } from './control.ts';
import { put16 } from './frame.ts';
import { ALL_TYPES, hashOf, KEY_SIZE, toeplitz } from './hash.ts';

const { XEN_NETIF_CTRL_STATUS_SUCCESS: SUCCESS, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED: NOT_SUPPORTED } = abi;
const { XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER: INVALID, XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW: OVERFLOW } = abi;

/** Microsoft's "Verifying the RSS hash calculation": its key, and addresses and ports with their hashes without and with ports. */
const KEY = Uint8Array.from(
  Buffer.from('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa', 'hex'),
);
type Vector = [to: string, toPort: number, from: string, fromPort: number, addresses: number, ports: number];
const VECTORS: Vector[] = [
  ['161.142.100.80', 1766, '66.9.149.187', 2794, 0x323e8fc2, 0x51ccc178],
  ['65.69.140.83', 4739, '199.92.111.2', 14230, 0xd718262a, 0xc626b0ea],
  ['12.22.207.184', 38024, '24.19.198.95', 12898, 0xd2d0a5de, 0x5c2b394a],
  ['209.142.163.6', 2217, '38.27.205.30', 48228, 0x82989176, 0xafc7327f],
  ['202.188.127.2', 1303, '153.39.163.191', 44251, 0x5d1809c5, 0x10e828a2],
  ['3ffe:2501:200:3::1', 1766, '3ffe:2501:200:1fff::7', 2794, 0x2cc18cd5, 0x40207d3d],
  ['ff02::1', 4739, '3ffe:501:8::260:97ff:fe40:efab', 14230, 0x0f0c461c, 0xdde51bbf],
  ['fe80::200:f8ff:fe21:67cf', 38024, '3ffe:1900:4545:3:200:f8ff:fe21:67cf', 44251, 0x4b61e985, 0x02d1feef],
];

/** An address that is written out is no business of `ip`. */
const address = (text: string): Uint8Array =>
  text.includes('.') || text.includes('::')
    ? ip(text)
    : Uint8Array.from(text.split(':').flatMap((word) => [parseInt(word, 16) >> 8, parseInt(word, 16) & 255]));

test('hashes are those that Microsoft gives', () => {
  for (const [to, toPort, from, fromPort, addresses, ports] of VECTORS) {
    const e = { fromMac: 1, toMac: 2, from: address(from), to: address(to) };
    const tcp = { fromPort, toPort, sequence: 1, acknowledgement: 2, flags: 16, window: 3 };
    const { bytes } = tcpFrame(e, tcp, new Uint8Array(5));
    const six = e.to.length === 16;
    assert.deepEqual(hashOf(bytes, ALL_TYPES, KEY), { type: six ? 3 : 1, value: ports }, from);
    assert.deepEqual(hashOf(bytes, six ? 4 : 1, KEY), { type: six ? 2 : 0, value: addresses }, from);
    assert.deepEqual(hashOf(udpFrame(e, fromPort, toPort, new Uint8Array(9)).bytes, ALL_TYPES, KEY), { type: six ? 2 : 0, value: addresses }); // prettier-ignore
    assert.equal(hashOf(bytes, six ? 3 : 12, KEY), undefined, 'the other version’s');
  }
});

test('parts of a packet go by their addresses, what is no whole packet has no hash', () => {
  const tcp = { fromPort: 1, toPort: 2, sequence: 1, acknowledgement: 2, flags: 16, window: 3 };
  const { bytes } = tcpFrame(ends(1, 2), tcp, new Uint8Array(5));
  const part = bytes.slice();
  put16(part, 20, 0x2000); // more fragments
  assert.deepEqual(hashOf(part, ALL_TYPES, KEY), hashOf(bytes, 1, KEY));
  assert.equal(hashOf(part, 2, KEY), undefined);
  assert.equal(hashOf(ipFrame(ends(1, 2), 6, new Uint8Array(3)).bytes, 2, KEY), undefined, 'without ports');
  for (let length = 0; length < 34; length++) assert.equal(hashOf(bytes.subarray(0, length).slice(), ALL_TYPES, KEY), undefined); // prettier-ignore
});

test('a short key is filled up with zeros, an empty one makes zeros', () => {
  const input = Uint8Array.from({ length: 36 }, (_, i) => i * 37);
  assert.equal(toeplitz(KEY.subarray(0, 16), input), toeplitz(Uint8Array.from({ length: KEY_SIZE }, (_, i) => (i < 16 ? KEY[i]! : 0)), input)); // prettier-ignore
  assert.equal(toeplitz(new Uint8Array(KEY_SIZE), input), 0);
});

const asked = (type: number, ...data: number[]): ControlRequest => {
  return { slot: 3, id: 77, type, data: [data[0] ?? 0, data[1] ?? 0, data[2] ?? 0] };
};
const words = (...list: number[]): Uint8Array => new Uint8Array(Uint32Array.from(list).buffer);
const { XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS: GET_FLAGS, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS: SET_FLAGS } = abi;
const { XEN_NETIF_CTRL_TYPE_SET_HASH_KEY: SET_KEY, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM: SET_ALGORITHM } = abi;
const { XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE: GET_SIZE, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE: SET_SIZE } = abi; // prettier-ignore
const { XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING: SET_MAPPING } = abi;

/** Status and data of what is answered to a front end with four queues. */
const tell = (h: Hashing, request: ControlRequest, content?: Uint8Array): [number, number] => {
  const { slot, id, type, status, data } = h.carryOut(request, content, 4);
  assert.deepEqual([slot, id, type], [3, 77, request.type]);
  return [status, data];
};

test('requests and answers, byte by byte', () => {
  const view = new DataView(Uint8Array.from(Buffer.from('0201060003000000040000000500000a', 'hex')).buffer);
  assert.deepEqual(readControl(view, 0, 9), { slot: 9, id: 0x0102, type: 6, data: [3, 4, 0x0a000005] });
  const out = new DataView(new ArrayBuffer(CONTROL.answer));
  writeControl(out, 0, { slot: 9, id: 0x0102, type: 6, status: 2, data: 0x01020304 });
  assert.equal(Buffer.from(out.buffer).toString('hex'), '02010600' + '02000000' + '04030201');
});

test('each request', () => {
  const h = new Hashing();
  assert.deepEqual(tell(h, asked(GET_FLAGS)), [NOT_SUPPORTED, 0], 'no algorithm yet');
  assert.deepEqual(tell(h, asked(SET_FLAGS, 1)), [INVALID, 0], 'no algorithm yet');
  assert.deepEqual(tell(h, asked(SET_ALGORITHM, 2)), [INVALID, 0]);
  assert.deepEqual(tell(h, asked(SET_ALGORITHM, 1)), [SUCCESS, 0]);
  assert.deepEqual(tell(h, asked(GET_FLAGS)), [SUCCESS, 15]);
  for (const flags of [16, 0x80000000, 0xffffffff]) assert.deepEqual(tell(h, asked(SET_FLAGS, flags)), [INVALID, 0]);
  assert.equal(h.active, false);
  assert.deepEqual(tell(h, asked(SET_FLAGS, 15)), [SUCCESS, 0]);
  assert.equal(h.active, true);

  assert.deepEqual(h.wants(asked(SET_KEY, 5, 40)), { gref: 5, offset: 0, length: 40 });
  assert.deepEqual(tell(h, asked(SET_KEY, 5, 40)), [INVALID, 0], 'it is not there');
  assert.deepEqual(tell(h, asked(SET_KEY, 5, 40), KEY), [SUCCESS, 0]);
  const [, , , , , hash] = VECTORS[0]!;
  const tcp = { fromPort: 2794, toPort: 1766, sequence: 1, acknowledgement: 2, flags: 16, window: 3 };
  const { bytes } = tcpFrame({ fromMac: 1, toMac: 2, from: ip('66.9.149.187'), to: ip('161.142.100.80') }, tcp, new Uint8Array(1)); // prettier-ignore
  assert.equal(h.hashOf(bytes)!.value, hash);
  for (const size of [41, 4097, 0xffffffff]) {
    assert.equal(h.wants(asked(SET_KEY, 5, size)), undefined);
    assert.deepEqual(tell(h, asked(SET_KEY, 5, size)), [OVERFLOW, 0]);
  }
  assert.equal(h.hashOf(bytes)!.value, hash, 'the key is as it was');

  assert.deepEqual(tell(h, asked(GET_SIZE)), [SUCCESS, 128]);
  assert.equal(h.queueOf({ type: 1, value: 7 }, 4), 3, 'without a table by division');
  assert.deepEqual(tell(h, asked(SET_MAPPING, 5, 1, 0), words(1)), [INVALID, 0], 'there is no table');
  for (const size of [129, 0xffffffff]) assert.deepEqual(tell(h, asked(SET_SIZE, size)), [INVALID, 0]);
  assert.deepEqual(tell(h, asked(SET_SIZE, 5)), [SUCCESS, 0]);
  assert.equal(h.queueOf({ type: 1, value: 7 }, 4), 0, 'a new table is zeros');
  assert.deepEqual(h.wants(asked(SET_MAPPING, 6, 3, 2)), { gref: 6, offset: 0, length: 12 });
  assert.deepEqual(tell(h, asked(SET_MAPPING, 6, 3, 2), words(1, 2, 3)), [SUCCESS, 0]);
  const queues = () => [0, 1, 2, 3, 4, 7].map((value) => h.queueOf({ type: 1, value }, 4));
  assert.deepEqual(queues(), [0, 0, 1, 2, 3, 1]);
  assert.deepEqual(tell(h, asked(SET_MAPPING, 6, 2, 0), words(3, 4)), [INVALID, 0], 'a queue that there is not');
  for (const [size, offset] of [[3, 3], [1, 5], [1, 0xffffffff], [5, 1]] as const) // prettier-ignore
    assert.deepEqual(tell(h, asked(SET_MAPPING, 6, size, offset), words(...Array<number>(size).fill(0))), [INVALID, 0]);
  for (const size of [129, 0xffffffff]) assert.deepEqual(tell(h, asked(SET_MAPPING, 6, size, 0)), [OVERFLOW, 0]);
  assert.deepEqual(tell(h, asked(SET_MAPPING, 6, 3, 2)), [INVALID, 0], 'it is not there');
  assert.deepEqual(queues(), [0, 0, 1, 2, 3, 1], 'the table is as it was');

  assert.deepEqual(tell(h, asked(SET_KEY, 0, 0)), [SUCCESS, 0]);
  assert.equal(h.hashOf(bytes)!.value, 0);
  assert.deepEqual(tell(h, asked(SET_ALGORITHM, 0)), [SUCCESS, 0]);
  assert.equal(h.active, false);
  for (const type of [0, 8, 9, 10, 0xffff]) assert.deepEqual(tell(h, asked(type, 1, 1)), [NOT_SUPPORTED, 0]);
});

test('any requests: what is set up can be, and carrying one out twice is as once', () => {
  const next = random(5);
  const some = (): number => [0, 1, 2, 3, 4, 15, 40, 41, 127, 128, 129, 2 ** 31, 2 ** 32 - 1][Math.floor(next() * 13)]!;
  const h = new Hashing();
  for (let i = 0; i < 20_000; i++) {
    const request = asked(Math.floor(next() * 12), some(), some(), some());
    const wanted = h.wants(request);
    assert(!wanted || (wanted.length > 0 && wanted.length <= 4096));
    const content = wanted && next() < 0.9 ? Uint8Array.from({ length: wanted.length }, (_, n) => (n % 4 ? 0 : next() * 5)) : undefined; // prettier-ignore
    const first = h.carryOut(request, content, 4);
    const bytes = h.bytes.slice();
    assert.deepEqual(h.carryOut(request, content, 4), first);
    assert.deepEqual(h.bytes, bytes);
    assert(h.queueOf({ type: 0, value: Math.floor(next() * 2 ** 32) }, 4) < 4);
  }
});
