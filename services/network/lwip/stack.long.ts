// A gigabyte through two stacks back to back: the proof on which the choice of the stack rests.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { transfer } from './link.ts';

for (const [connections, large] of [[1, true], [1, false], [100, true]] as const) // prettier-ignore
  test(`1 GB over ${connections}, ${large ? 'large packets' : 'packets of the wire'}`, async (t) => {
    const { equal, errors, seconds, cpu, packets, memory } = await transfer({ bytes: 1e9, connections, large });
    t.diagnostic(
      `${(1000 / seconds).toFixed(0)} MB/s, ${cpu.toFixed(1)} s of CPU, ${packets} packets, ${memory >> 20} MiB`,
    );
    assert(equal && errors === 0);
  });
