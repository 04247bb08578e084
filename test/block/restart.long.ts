import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { killed } from './restart.ts';

/** Every processor has somebody else who wants all of it. */
const BUSY = availableParallelism();
/** Issue 6's floor, whatever else the machine does. */
const FLOOR_MS = 250;

/** Two ends one after the other come before another worker has been loaded; many such ends outrun every reserve, and are told only on a busy machine. */
const CASES = [
  { name: 'a pause between', seed: 1, pauses: [200], busy: 0, floor: FLOOR_MS },
  { name: 'one after the other', seed: 2, pauses: [0], busy: 0, floor: FLOOR_MS },
  { name: 'a pause between, on a busy machine', seed: 3, pauses: [200], busy: BUSY, floor: FLOOR_MS },
  { name: 'in pairs, on a busy machine', seed: 4, pauses: [0, 400], busy: BUSY, floor: FLOOR_MS },
  { name: 'one after the other, on a busy machine', seed: 5, pauses: [0], busy: BUSY, floor: Infinity },
];

for (const { name, floor, ...how } of CASES)
  test(`ended in the middle of its work, 100 times: ${name}`, async (t) => {
    const { gaps, longest, load } = await killed({ kills: 100, ...how });
    const ms = (value: number): string => `${value.toFixed(0)} ms`;
    t.diagnostic(
      `${load.requests} requests; gap: median ${ms(gaps[50]!)}, longest ${ms(gaps[99]!)}; longest without an answer ${ms(longest)}`,
    );
    assert.ok(load.requests > 1000);
    assert.ok(gaps[99]! < floor, `nobody served for ${ms(gaps[99]!)}`);
  });
