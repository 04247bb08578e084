import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Limiter } from './limiter.ts';

/** Requests of `bytes`, as many as there may be, for `seconds`; gives how many. */
function used(limits: { iops: number; bps: number }, bytes: number, seconds: number): number {
  let [now, count] = [0, 0];
  const limiter = new Limiter(limits, () => now);
  for (; now < seconds; now += Math.max(1e-4, limiter.wait)) {
    limiter.begun(bytes);
    count++;
  }
  return count;
}

test('requests and bytes a second, whichever is used up first', () => {
  const near = (value: number, wanted: number): void => assert.ok(Math.abs(value / wanted - 1) < 0.03, `${value}, not ${wanted}`); // prettier-ignore
  near(used({ iops: 100, bps: 0 }, 1 << 20, 20), 2000 + 10);
  near(used({ iops: 0, bps: 1 << 20 }, 4096, 10), 2560 + 25);
  near(used({ iops: 100, bps: 1 << 20 }, 65536, 10), 160 + 1);
  near(used({ iops: 100, bps: 1 << 20 }, 512, 10), 1000 + 10);
  assert.equal(new Limiter({ iops: 0, bps: 0 }).wait, 0);
});

test('one request larger than what a second may have: the next one waits for it', () => {
  let now = 5;
  const limiter = new Limiter({ iops: 0, bps: 1000 }, () => now);
  limiter.begun(8000);
  assert.equal(limiter.wait, 7.9);
  now += 7.9;
  assert.ok(limiter.wait < 1e-9);
});
