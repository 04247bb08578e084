// A 9p front end of ours: in the protocol, and breaking it: it is told why and is served no more, until it begins anew.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Folder } from '../../services/p9/backend/folder.ts';
import { NO_FID, P9, Writer } from '../../services/p9/protocol/codec.ts';
import { random } from '../../services/xenstore/testing.ts';
import { P9_DOMID } from '../../services/xenops/shares.ts';
import { PAGE } from '../block/front.ts';
import { DeviceBed, Front } from './bed.ts';

const bed = new DeviceBed();
const path = mkdtempSync(join(tmpdir(), 'xenolith-share-'));
writeFileSync(join(path, 'file'), 'contents');
after(async () => {
  await bed.close();
  rmSync(path, { recursive: true });
});
const [CONNECTED, CLOSING] = [4, 5];
let domid = 10;

/** A front end with one ring of 2^order pages. */
async function share(order = 3) {
  const front = new Front(bed, ++domid, P9_DOMID, '9pfs', 0);
  const { domain } = front;
  bed.host.shares.attach(domain.domid, { devid: 0, tag: 't', path, readonly: false, folder: await Folder.open(path) });
  const index = domain.pages(1);
  const data = domain.pages(1 << order);
  const refs = Array.from({ length: 1 << order }, (_, i) => domain.grant(data + i));
  const gref = domain.grant(index);
  const size = (PAGE << order) / 2;
  const word = (offset: number, value?: number): number => {
    if (value !== undefined) domain.setU32(index * PAGE + offset, value);
    return domain.u32(index * PAGE + offset);
  };
  const reset = (): void => {
    domain.port.write(index * PAGE, new Uint8Array(PAGE));
    word(128, order);
    refs.forEach((ref, i) => word(132 + 4 * i, ref));
  };
  reset();
  let port = 0;
  const connect = async (): Promise<void> => {
    port = front.port();
    await front.write({ version: 1, 'num-rings': 1, 'ring-ref0': gref, 'event-channel-0': port });
  };
  const around = (half: number, at: number, bytes: Uint8Array | number, put: boolean): Uint8Array => {
    const length = typeof bytes === 'number' ? bytes : bytes.length;
    const out = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const from = (at + done) % size;
      const n = Math.min(length - done, size - from);
      if (put) domain.port.write(data * PAGE + half * size + from, (bytes as Uint8Array).subarray(done, done + n));
      else out.set(domain.port.read(data * PAGE + half * size + from, n), done);
      done += n;
    }
    return out;
  };
  const send = (bytes: Uint8Array): void => {
    const prod = word(68);
    around(1, prod, bytes, true);
    word(68, prod + bytes.length);
    front.notify(port);
  };
  const answers = (): Buffer[] => {
    const out: Buffer[] = [];
    for (let cons = word(0); cons !== word(4); ) {
      const length = Buffer.from(around(0, cons, 4, false)).readUInt32LE();
      out.push(Buffer.from(around(0, cons, length, false)));
      word(0, (cons = (cons + length) >>> 0));
    }
    front.notify(port);
    return out;
  };
  const ask = async (bytes: Uint8Array): Promise<Buffer> => {
    send(bytes);
    for (let i = 0; i < 100; i++) {
      await bed.turn();
      const [answer] = answers();
      if (answer) return answer;
    }
    return assert.fail('there is no answer');
  };
  return { front, domain, word, reset, connect, send, answers, ask, gref, refs, size };
}

const text = (s: string): Buffer => Buffer.from(s);
const VERSION = new Writer().u32(1 << 20).text(text('9P2000.L')).message(P9.VERSION, 0xffff); // prettier-ignore
const ATTACH = new Writer().u32(0).u32(NO_FID).text(text('')).text(text('')).u32(0).message(P9.ATTACH, 1);

test('messages across the edges of both rings, more than there is room for answers, a file read', async () => {
  const { front, word, connect, send, answers, ask, size } = await share(1);
  word(0, 0xfffffff0);
  word(4, 0xfffffff0);
  word(64, 0xfffffff8);
  word(68, 0xfffffff8);
  await connect();
  assert.deepEqual([front.state, front.error], [CONNECTED, '']);
  assert.equal((await ask(VERSION)).readUInt32LE(7), size);
  assert.equal((await ask(ATTACH))[4], P9.ATTACH + 1);
  await ask(new Writer().u32(0).u32(1).u16(1).text(text('file')).message(P9.WALK, 2));
  await ask(new Writer().u32(1).u32(0).message(P9.LOPEN, 3));
  const read = await ask(new Writer().u32(1).u64(0n).u32(9999).message(P9.READ, 4));
  assert.equal(read.subarray(11).toString(), 'contents');
  // Answers of 160 bytes each, and nobody takes them: what is under way is bounded, and goes on when there is room.
  const got = new Set<number>();
  const getattr = (tag: number): Buffer => new Writer().u32(1).u64(0x7ffn).message(P9.GETATTR, tag);
  for (let tag = 100; tag < 180; tag++) send(getattr(tag));
  for (let i = 0; i < 200 && got.size < 80; i++) {
    await bed.turn();
    assert.ok(word(4) - word(0) <= size);
    for (const answer of answers()) got.add(answer.readUInt16LE(5));
  }
  assert.equal(got.size, 80);
});

test('front ends that break the protocol are served no more, and may begin anew', async () => {
  const { front, domain, word, reset, connect, send, ask, gref, refs } = await share();
  const message = (size: number, type: number): Buffer => {
    const out = Buffer.alloc(Math.max(11, Math.min(size, 64)));
    out.writeUInt32LE(size);
    out[4] = type;
    return out;
  };
  const bad: [RegExp, () => unknown][] = [
    [/a message cannot have 6 bytes/, () => send(message(6, 100))],
    [/a message cannot have 4294967295 bytes/, () => send(message(0xffffffff, 100))],
    [/a message is shorter than what is in it/, () => send(message(11, P9.WALK))],
    [/a message is longer than what is in it/, () => send(Buffer.concat([new Writer().u32(0).u8(0).message(P9.CLUNK, 1)]))], // prettier-ignore
    [/its indexes are impossible/, () => (word(68, 0x7fffffff), send(Buffer.alloc(0)))],
    [/its indexes are impossible/, () => (word(0, 5), send(VERSION))],
    [/two requests have the tag 1/, () => send(Buffer.concat([ATTACH, ATTACH]))],
  ];
  for (const [why, act] of bad) {
    reset();
    await connect();
    assert.equal(front.state, CONNECTED, String(why));
    act();
    for (let i = 0; i < 20 && front.state === CONNECTED; i++) await bed.turn();
    assert.match(front.error, why);
    assert.equal(front.state, CLOSING);
    await front.again();
  }
  for (const [why, nodes] of [
    [/version is not 1/, { version: 2 }],
    [/num-rings cannot be '5'/, { 'num-rings': 5 }],
    [/num-rings is 0/, { 'num-rings': 0 }],
    [/ring-ref1 is missing/, { 'num-rings': 2 }],
    [/the ring: grant 3999/, { 'ring-ref0': 3999 }],
    [/event channel/, { 'event-channel-0': 901 }],
  ] as const) {
    const good = { version: 1, 'num-rings': 1, 'ring-ref0': gref, 'event-channel-0': front.port() };
    await front.write({ ...good, ...(nodes as Partial<typeof good>) });
    assert.match(front.error, why);
    await front.again();
  }
  for (const [why, act] of [
    [/order is not 1 to 7/, () => word(128, 8)],
    [/order is not 1 to 7/, () => word(128, 0)],
    [/the ring: grant 3998/, () => word(132 + 8, 3998)],
  ] as const) {
    reset();
    act();
    await connect();
    assert.match(front.error, why);
    await front.again();
  }
  reset();
  await connect();
  assert.equal((await ask(VERSION))[4], P9.VERSION + 1);
  // Its pages go while it is served: they are mapped, so nothing happens.
  for (const ref of refs) domain.revoke(ref);
  assert.equal((await ask(ATTACH))[4], P9.ATTACH + 1);
});

test('fuzz: random indexes, sizes and bytes end it or are answered; descriptors come back', async () => {
  const next = random(77);
  const open = (): number => readdirSync('/proc/self/fd').length;
  const { front, domain, word, reset, connect, send } = await share();
  await bed.turn();
  const atFirst = open();
  for (let round = 0; round < 60; round++) {
    reset();
    await connect();
    assert.equal(front.state, CONNECTED);
    if (next(4)) send(VERSION);
    if (next(4)) send(ATTACH);
    for (let i = next(12); i > 0; i--) {
      const kind = next(6);
      if (kind === 0) word([0, 4, 64, 68][next(4)]!, next(2) ? next(0xffffffff) : next(20_000));
      else {
        const bytes = Buffer.from(Array.from({ length: 7 + next(60) }, () => next(256)));
        if (kind > 1) bytes.writeUInt32LE(bytes.length);
        if (kind > 2) bytes[4] = Object.values(P9)[next(28)]!;
        if (kind > 3) bytes.fill(0, 7, Math.min(bytes.length, 7 + next(20)));
        send(bytes);
      }
      if (next(3) === 0) await bed.turn();
    }
    await bed.turn();
    await front.again();
  }
  await bed.turn();
  assert.ok(open() <= atFirst, `${open()} descriptors, ${atFirst} at first`);
  bed.host.shares.forget(domain.domid);
  await bed.turn();
  assert.equal(open(), atFirst - 1, "the folder's own");
  assert.deepEqual(readdirSync(path), ['file']);
});
