// Debian's network driver in a PV guest: its rings and buffers are machine frames that it has granted by its own page tables.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Bed } from '../host/bed.ts';
import { NetGuest } from './guest.ts';
import { Servers } from './traffic.ts';

const b = new Bed();
const servers = new Servers();
const guest = new NetGuest(b, 'pv');

before(async () => {
  await b.up('--memory', '256');
  await b.run('xenolith', ['net', 'create', 'lab', '--subnet', '10.7.0.0/24', '--host-loopback']);
  await guest.start(['bridge=lab'], { type: 'pv' });
});
after(async () => {
  servers.close();
  await b.close();
});

test('a PV guest has an address by DHCP, and TCP both ways with equal sums', async () => {
  assert.equal(await guest.up(), '10.7.0.15');
  assert.match(await guest.run('ping -c 1 -W 5 10.7.0.2'), / 0% packet loss/);
  const bytes = 8_000_001;
  const [sink, source] = [await servers.sink(), await servers.source(bytes)];
  const sent = guest.run(`traffic send 10.7.0.2 ${sink.port} ${bytes}`);
  assert.equal(await sent, `sent ${(await sink.next()).text}`);
  const got = guest.run(`traffic receive 10.7.0.2 ${source.port}`);
  assert.equal(await got, `received ${(await source.next()).text}`);
});
