import assert from 'node:assert/strict';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { test } from 'node:test';
import { admission, turn } from './turns.ts';

function busy(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end; );
}

test('many with long work keep nobody waiting longer than one does', async () => {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const finished: number[] = [];
  const work = async (number: number): Promise<void> => {
    for (let i = 0; i < 30; i++) {
      busy(0.5);
      await turn();
    }
    finished.push(number);
  };
  delay.enable();
  await Promise.all(Array.from({ length: 40 }, (_, number) => work(number)));
  delay.disable();
  // Each of them alone has a turn of 8 ms; all at once would be 300.
  assert.ok(delay.percentile(50) / 1e6 < 60, `${delay.percentile(50) / 1e6} ms`);
  assert.equal(finished.length, 40);
});

test('calls begin in their order, and go on beside long work', async () => {
  const order: number[] = [];
  let over = false;
  const long = async (): Promise<void> => {
    while (!over) {
      busy(1);
      await turn();
    }
  };
  const going = long();
  busy(10);
  const call = async (number: number): Promise<void> => {
    await admission();
    order.push(number);
  };
  await Promise.all(Array.from({ length: 100 }, (_, number) => call(number)));
  over = true;
  await going;
  assert.deepEqual(
    order,
    Array.from({ length: 100 }, (_, number) => number),
  );
});
