// The control socket: frames in any parts, calls with streams both ways, bad peers, ends.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { random } from '../../services/xenstore/testing.ts';
import { ControlClient, NoHost } from './client.ts';
import { BadFrame, encodeFrame, encodeJson, FRAME, FrameReader, MAX_BODY, type Frame } from './frames.ts';
import { Refused } from './refused.ts';
import { ControlServer, type Methods } from './server.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-control-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'socket');

test('frames come out as they went in, however the bytes are cut', () => {
  const next = random(5);
  const kinds = Object.values(FRAME);
  const sent: Frame[] = Array.from({ length: 300 }, (_, i) => ({
    kind: kinds[next(kinds.length)]!,
    call: i,
    body: Uint8Array.from({ length: next(4) ? next(40) : next(5000) }, () => next(256)),
  }));
  const bytes = Buffer.concat(sent.map(({ kind, call, body }) => encodeFrame(kind, call, body)));
  const reader = new FrameReader();
  const got: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const n = 1 + next(next(3) ? 20 : 4000);
    got.push(...reader.push(bytes.subarray(at, at + n)).map((f) => ({ ...f, body: f.body.slice() })));
    at += n;
  }
  assert.deepEqual(
    got.map(({ body, ...f }) => [f, [...body]]),
    sent.map(({ body, ...f }) => [f, [...body]]),
  );
});

test('a length or a kind that cannot be is refused at once', () => {
  const head = (length: number, kind: number) => {
    const bytes = new Uint8Array(12);
    new DataView(bytes.buffer).setUint32(0, length, true);
    bytes[4] = kind;
    return bytes;
  };
  for (const bytes of [head(7, 1), head(MAX_BODY + 9, 1), head(0xffffffff, 1), head(8, 0), head(8, 7)])
    assert.throws(() => new FrameReader().push(bytes), BadFrame);
});

async function served(methods: Methods, body: (faults: Error[]) => Promise<void>): Promise<void> {
  const faults: Error[] = [];
  const server = new ControlServer(path, methods, (error) => faults.push(error));
  await server.listen();
  try {
    await body(faults);
  } finally {
    await server.close();
  }
  assert.equal(existsSync(path), false);
}

test('calls: results, refusals with their code, faults that are told to the host', async () => {
  const methods: Methods = {
    twice: ({ n }) => (n as number) * 2,
    no: () => {
      throw new Refused('not today.', -21);
    },
    broken: () => {
      throw new TypeError('a mistake');
    },
    late: () => sleep(20).then(() => 'late'),
  };
  await served(methods, async (faults) => {
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const client = await ControlClient.connect(path);
    const [late, four] = await Promise.all([client.call('late'), client.call('twice', { n: 2 })]);
    assert.deepEqual([late, four], ['late', 4]);
    await assert.rejects(
      client.call('no'),
      (e) => e instanceof Refused && e.code === -21 && e.message === 'not today.',
    );
    assert.equal(faults.length, 0);
    await assert.rejects(client.call('broken'), /the host failed: TypeError: a mistake/);
    assert.equal(faults.length, 1);
    for (const name of ['nothing', 'constructor', '__proto__'])
      await assert.rejects(client.call(name), /another version/);
    client.close();
  });
});

test('streams go both ways, wait for a slow end, and end with their call', async () => {
  const SIZE = 3_000_000;
  let typed = 0;
  let gone = 0;
  const methods: Methods = {
    stream: (_params, call) =>
      new Promise((resolve) => {
        let sent = 0;
        const go = (): void => {
          while (sent < SIZE) {
            sent += 10_000;
            if (!call.data(new Uint8Array(10_000).fill(sent / 10_000))) return;
          }
        };
        call.onDrain(go);
        call.onData((bytes) => {
          typed += bytes.length;
          if (typed < 200_000) setTimeout(() => call.resume(), 1);
          return typed >= 200_000;
        });
        call.onEnd(() => {
          gone++;
          resolve(typed);
        });
        go();
      }),
  };
  await served(methods, async () => {
    const client = await ControlClient.connect(path);
    let got = 0;
    const all = Promise.withResolvers<void>();
    const call = client.start<number>(
      'stream',
      {},
      {
        data: (bytes) => {
          got += bytes.length;
          if (got === SIZE) all.resolve();
          setTimeout(() => call.resume(), 1);
          return false;
        },
      },
    );
    for (let i = 0; i < 300; i++) call.send(new Uint8Array(1000));
    await all.promise;
    while (typed < 300_000) await sleep(5);
    call.end();
    assert.equal(await call.result, 300_000);
    const other = client.start('stream');
    other.result.catch(() => {});
    await sleep(20);
    client.close();
    while (gone < 2) await sleep(5);
  });
});

test('nobody there, a peer that talks nonsense, a host that goes', async () => {
  await assert.rejects(ControlClient.connect(path), NoHost);
  await served({ wait: () => new Promise(() => {}) }, async (faults) => {
    const bad = connect(path);
    bad.on('error', () => {});
    const ended = new Promise((resolve) => bad.on('close', resolve));
    bad.resume();
    bad.write('GET / HTTP/1.1\r\n\r\n');
    await ended;
    const odd = connect(path);
    odd.resume();
    const oddEnded = new Promise((resolve) => odd.on('close', resolve));
    odd.write(encodeJson(FRAME.response, 5, {}));
    await oddEnded;
    assert.deepEqual(faults, []);
    const client = await ControlClient.connect(path);
    const waiting = client.call('wait');
    waiting.catch(() => {});
    setTimeout(() => client.close(), 10);
    await assert.rejects(waiting, /the host has gone/);
  });
});
