import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { lockstep } from './lockstep.ts';

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
