// What takes a minute and more: `npm run test:long`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { guestImage } from '../../guests/image/index.ts';
import { extractElf } from '../../services/domain_builder/protocol/index.ts';
import { assertLevel, boots } from './boots.ts';

const image = guestImage();
const kernel = extractElf(readFileSync(image.kernel));
const initrd = readFileSync(image.initrd);
const cmdline = 'console=hvc0 xenolith.tour';

for (const type of ['pvh', 'pv'] as const)
  test(`ten boots of Debian as ${type} in one process: no frame and no memory is lost`, async (t) => {
    const list = await boots({ type, kernel, initrd, cmdline, memory: 256 }, 10);
    t.diagnostic(`resident MiB: ${list.map(({ resident }) => Math.round(resident / 2 ** 20)).join(' ')}`);
    for (const { output } of list) assert.match(output, /tour: done/);
    // each boot finds some other code hot: until the fifth, the cache of translated modules fills up to its bound
    assertLevel(list, 5, 16 << 20);
  });

for (const [type, memory] of [
  ...[128, 512, 1024, 3072].map((mib) => ['pvh', mib] as const),
  ...[128, 512, 1024, 2048].map((mib) => ['pv', mib] as const),
])
  test(`Debian boots as ${type} with ${memory} MiB and sees them`, async () => {
    const [{ output }] = await boots({ type, kernel, initrd, cmdline, memory }, 1);
    const total = Number(/# free -m\s+.*\s+Mem: +(\d+)/.exec(output)?.[1]);
    assert.ok(total > memory * 0.9 - 50 && total <= memory, `${total} of ${memory} MiB`);
  });
