// The network service is ended a hundred times while two guests talk: their stream is whole, and their kernels log no error.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Bed } from '../host/bed.ts';
import { NetGuest } from './guest.ts';

const [ROUNDS, KILLS] = [10, 10];
const BYTES = 300_000_000;
const LONG_MS = 900_000;
const b = new Bed();
const [one, two] = [new NetGuest(b, 'one'), new NetGuest(b, 'two')];

before(async () => {
  await b.up('--memory', '400');
  await b.run('xenolith', ['net', 'create', 'lab', '--subnet', '10.7.0.0/24']);
  await Promise.all([one.start(['bridge=lab']), two.start(['bridge=lab'])]);
  await one.up();
});
after(() => b.close());

test(`${ROUNDS * KILLS} kills in the middle of streams`, async (t) => {
  const address = await two.up();
  for (const guest of [one, two]) await guest.run('dmesg -c >/dev/null'); // of the boot
  const gaps: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await two.background('traffic listen 5000');
    await one.background(`sleep 0.2; traffic send ${address} 5000 ${BYTES}`);
    for (let i = 0; i < KILLS; i++) {
      const { code, err } = await b.run('xenolith', ['service', 'restart', 'network']);
      assert.deepEqual([code, err], [0, '']);
      gaps.push(Number(/\nnetwork .* (\d+) ms$/m.exec((await b.run('xenolith', ['service', 'list'])).out)![1]));
    }
    const sent = await one.finished(LONG_MS);
    assert.equal(await two.finished(LONG_MS), sent.replace('sent', 'received'));
    for (const guest of [one, two]) assert.equal(await guest.run("dmesg -r | grep '^<[0-3]>'"), '');
  }
  gaps.sort((a, c) => a - c);
  t.diagnostic(`nobody served for ${gaps[gaps.length >> 1]} ms in the median, ${gaps.at(-1)} ms at most`);
});
