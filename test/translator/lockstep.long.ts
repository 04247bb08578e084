import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { lockstep, regionByRegion } from './lockstep.ts';

test('a whole boot of Debian is alike in both tiers, slice by slice', async (t) => {
  const { kernel, initrd } = guestImage();
  const boot = { kernel, initrd, cmdline: 'console=hvc0 xenolith.tour', memory: 128 };
  const { instructions, outcome, output, counts } = await lockstep(boot);
  t.diagnostic(
    `${((100 * counts.retired) / instructions).toFixed(0)} % of ${instructions} in ${counts.installed} regions`,
  );
  assert.equal(outcome, 'poweroff');
  assert.match(output, /tour: done/);
});

test('a whole boot of Debian is alike behind every region', async (t) => {
  const { kernel, initrd } = guestImage();
  const boot = { kernel, initrd, cmdline: 'console=hvc0 xenolith.tour', memory: 128 };
  const { slices, outcome, output, counts } = await regionByRegion(boot);
  t.diagnostic(`${slices} steps, ${counts.entries} regions run`);
  assert.equal(outcome, 'poweroff');
  assert.match(output, /tour: done/);
  assert.ok(counts.entries > 3_000_000, `${counts.entries}`);
});
