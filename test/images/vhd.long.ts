// Long runs of random requests on VHD images, with kills and power cuts.
import { before, test } from 'node:test';
import { need } from '../../tools/apt.ts';
import { playVhd, VHD_KINDS } from './vhd.ts';

before(() => need('qemu-utils'));

for (const [name, kind] of Object.entries(VHD_KINDS)) {
  test(`random requests, kills and power cuts: ${name}`, async () => {
    for (let seed = 100; seed < 120; seed++) await playVhd(kind, seed, 150, 80);
  });
}
