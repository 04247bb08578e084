// Any requests on qcow2 images, kills and power cuts at any moment, and what QEMU's tool says of the results.
import { before, test } from 'node:test';
import { need } from '../../tools/apt.ts';
import { KINDS, play } from './qcow2.ts';

before(() => need('qemu-utils'));

for (const [name, kind] of Object.entries(KINDS)) {
  test(`random requests, kills and power cuts: ${name}`, async () => {
    for (let seed = 1; seed <= 2; seed++) await play({ kind, seed, steps: 40, kills: 8, cuts: 8, look: 8 });
  });
}
