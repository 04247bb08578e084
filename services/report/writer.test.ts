import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const MODULE = JSON.stringify(new URL('./writer.ts', import.meta.url).href);
/** Writes a million numbered lines to its standard error, says how much memory that took, and exits at once. */
const PROGRAM = `const { Writer } = await import(${MODULE});
process.stderr; // Node makes it non-blocking
const out = new Writer(2);
for (let i = 0; i < 1e6; i++) out.write(i + ' line\\n');
out.flush();
console.log(process.memoryUsage().rss >> 20);
process.exit();`;
const ARGS = ['--input-type=module', '-e', PROGRAM];

test('a slow reader gets every line in order, and nothing piles up meanwhile', async () => {
  const child = spawn(process.execPath, ARGS, { stdio: ['ignore', 'pipe', 'pipe'] });
  let all = '';
  let memory = '';
  child.stdout.on('data', (chunk: Buffer) => (memory += chunk));
  await sleep(300);
  for await (const chunk of child.stderr) all += chunk;
  const lines = all.split('\n');
  assert.equal(lines.length, 1e6 + 1);
  assert.ok(lines.every((line, i) => line === (i < 1e6 ? `${i} line` : '')));
  assert.ok(Number(memory) > 0 && Number(memory) < 200, memory);
});

test('a reader that goes ends nothing', async () => {
  const child = spawn(process.execPath, ARGS, { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.once('data', () => child.stderr.destroy());
  assert.match(await text(child.stdout), /^\d+\n$/);
  assert.equal(child.exitCode ?? (await once(child, 'exit'))[0], 0);
});
