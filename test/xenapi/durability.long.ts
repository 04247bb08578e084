import { test } from 'node:test';
import { killRounds } from './durability.ts';

test('what was acknowledged outlives SIGKILL, a hundred times', async () => {
  await killRounds(100);
});
