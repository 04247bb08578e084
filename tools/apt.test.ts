import assert from 'node:assert/strict';
import { test } from 'node:test';
import { need } from './apt.ts';

test('what is there is not fetched; what cannot be is named', async (t) => {
  const path = process.env.PATH;
  t.after(() => (process.env.PATH = path));
  await need('gcc');
  process.env.PATH = '/nowhere';
  await assert.rejects(need('gcc', 'xz-utils'), /needs gcc, xz-utils/);
});
