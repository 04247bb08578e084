// Waiting: a host with nothing to do does nothing, and hears at once what there is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { Host } from './host.ts';

for (const deterministic of [false, true]) {
  test(`an idle host sleeps until somebody rings or aborts${deterministic ? ', a deterministic one too' : ''}`, async () => {
    const host = new Host(new Machine({ memory: 16 << 20, deterministic }, loadCore()));
    try {
      let turns = 0;
      let ended = false;
      host.onTurn = () => turns++;
      const stop = new AbortController();
      const running = host.run(() => ended, stop.signal);
      await sleep(300);
      assert.ok(turns <= 3, `${turns} turns of nothing`);

      const before = turns;
      host.machine.ring();
      await sleep(100);
      assert.ok(turns > before, 'the bell is not heard');

      stop.abort();
      await running;

      const again = host.run(() => ended);
      ended = true;
      host.machine.ring();
      await again;
    } finally {
      await host.stop();
    }
  });
}
