// A gigabyte each way between a Debian guest and the host's loopback, and between two guests: equal sums.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Bed } from '../host/bed.ts';
import { NetGuest } from './guest.ts';
import { Servers } from './traffic.ts';

const BYTES = 1_000_000_000;
const LONG_MS = 900_000;
const b = new Bed();
const servers = new Servers();
const [one, two] = [new NetGuest(b, 'one'), new NetGuest(b, 'two')];

before(async () => {
  await b.up('--memory', '600');
  await b.run('xenolith', ['net', 'create', 'lab', '--subnet', '10.7.0.0/24', '--host-loopback']);
  await one.start(['bridge=lab'], { memory: 256 });
  await one.up();
});
after(async () => {
  servers.close();
  await b.close();
});

const rate = (seconds: number): string => `${(BYTES / 1e6 / seconds).toFixed(1)} MB/s`;

test('1 GB out', async (t) => {
  const sink = await servers.sink();
  const sent = await one.run(`traffic send 10.7.0.2 ${sink.port} ${BYTES}`, LONG_MS);
  const { text, seconds } = await sink.next();
  assert.equal(sent, `sent ${text}`);
  t.diagnostic(rate(seconds));
});

test('1 GB in', async (t) => {
  const source = await servers.source(BYTES);
  const received = await one.run(`traffic receive 10.7.0.2 ${source.port}`, LONG_MS);
  const { text, seconds } = await source.next();
  assert.equal(received, `received ${text}`);
  t.diagnostic(rate(seconds));
});

test('1 GB over 100 connections, echoed', async () => {
  const each = BYTES / 100;
  const said = await one.run(`traffic many 10.7.0.2 ${await servers.echo()} 100 ${each}`, LONG_MS);
  assert.equal(said, 'many 100 of 100');
});

test('1 GB from guest to guest', async (t) => {
  await two.start(['bridge=lab'], { memory: 256 });
  const address = await two.up();
  await two.background('traffic listen 5000');
  const start = performance.now();
  const sent = await one.run(`sleep 0.2; traffic send ${address} 5000 ${BYTES}`, LONG_MS);
  assert.equal(await two.finished(), sent.replace('sent', 'received'));
  t.diagnostic(rate((performance.now() - start) / 1000));
});
