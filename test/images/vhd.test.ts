// Any requests on VHD images, kills and power cuts at any moment, and what QEMU's tool reads of the results.
import { before, test } from 'node:test';
import { need } from '../../tools/apt.ts';
import { playVhd, VHD_KINDS } from './vhd.ts';

before(() => need('qemu-utils'));

for (const [name, kind] of Object.entries(VHD_KINDS)) {
  test(`random requests, kills and power cuts: ${name}`, async () => {
    for (let seed = 1; seed <= 2; seed++) await playVhd(kind, seed, 40, 16);
  });
}
