import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Pause } from './pause.ts';

test('a sleep that takes too long is left out, the longer the more often it did, and comes back', () => {
  let slept = 0;
  let takes = 10;
  const pause = new Pause(1, 5, () => {
    slept++;
    return takes;
  });
  const sleeps = (n: number): number => {
    const before = slept;
    for (let i = 0; i < n; i++) pause.take();
    return slept - before;
  };
  assert.equal(sleeps(1 + 64), 1);
  assert.equal(sleeps(1 + 128), 1);
  assert.equal(sleeps(1 + 256), 1);
  for (let i = 0; i < 12; i++) sleeps(5000);
  assert.ok(sleeps(4097) <= 2, 'bounded');
  takes = 1;
  sleeps(4097);
  assert.equal(sleeps(10_000), 10_000);
  takes = 10;
  assert.equal(sleeps(1 + 64), 1, 'forgiven');
});

test('it sleeps', () => {
  const begun = performance.now();
  new Pause(20, 1000).take();
  assert.ok(performance.now() - begun >= 15);
});
