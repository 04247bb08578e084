// Long runs of random requests on qcow2 images, with kills and power cuts.
import { before, test } from 'node:test';
import { need } from '../../tools/apt.ts';
import { KINDS, play } from './qcow2.ts';

before(() => need('qemu-utils'));

for (const [name, kind] of Object.entries(KINDS)) {
  test(`random requests, kills and power cuts: ${name}`, async () => {
    for (let seed = 100; seed < 120; seed++) await play({ kind, seed, steps: 150, kills: 40, cuts: 40, look: 10 });
  });
}
