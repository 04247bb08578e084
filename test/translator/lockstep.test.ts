import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildGuest, guestNames } from '../../guests/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { lockstep, regionByRegion } from './lockstep.ts';

test('the unikernel runs alike in both tiers', async () => {
  const { outcome, output, counts } = await lockstep({
    kernel: buildGuest('unikernel'),
    cmdline: 'test=all',
    memory: 32,
  });
  assert.equal(outcome, 'poweroff');
  assert.match(output, /done 2\d\d passed/);
  assert.ok(counts.entries > 1000);
});

for (const name of guestNames().filter((n) => n.startsWith('asm/')))
  test(`${name} runs alike in both tiers`, async () => {
    const { outcome } = await lockstep({ kernel: buildGuest(name), cmdline: '', memory: 64 });
    assert.equal(outcome, 'poweroff');
  });

test('the first 500 million instructions of Debian are alike in both tiers', async (t) => {
  const { kernel, initrd } = guestImage();
  const boot = { kernel, initrd, cmdline: 'console=hvc0 xenolith.tour', memory: 128 };
  const { instructions, counts } = await lockstep(boot, 500_000_000);
  t.diagnostic(
    `${((100 * counts.retired) / instructions).toFixed(0)} % of ${instructions} in ${counts.installed} regions`,
  );
  assert.ok(instructions >= 500_000_000 && counts.retired > instructions / 2);
});

test('the unikernel runs alike behind every region', async (t) => {
  const { slices, outcome, counts } = await regionByRegion({
    kernel: buildGuest('unikernel'),
    cmdline: 'test=all',
    memory: 32,
  });
  t.diagnostic(`${slices} steps, ${counts.entries} regions run`);
  assert.equal(outcome, 'poweroff');
  assert.ok(counts.entries > 1000);
});
