// What is prompt stays where it is; what was slow goes to the threads, longer each time, and comes back.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { open_image } from './open.ts';
import { Promptness } from './prompt.ts';

/** Calls until one is made here. */
function threads(prompt: Promptness): number {
  let n = 0;
  while (!prompt.here) n++;
  return n;
}

test('a slow call sends those behind it to the threads, twice as many each time', () => {
  const prompt = new Promptness();
  for (let i = 0; i < 100; i++) {
    assert.ok(prompt.here);
    prompt.took(0.01, 4096);
  }
  // Copying takes its time.
  prompt.took(0.5, 1 << 20);
  assert.ok(prompt.here);
  const waits: number[] = [];
  for (let i = 0; i < 10; i++) {
    prompt.took(5, 4096);
    waits.push(threads(prompt));
  }
  assert.deepEqual(waits, [32, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096]);
});

test('once it is prompt for long enough, a slow call costs little again', () => {
  const prompt = new Promptness();
  for (let i = 0; i < 4; i++) {
    prompt.took(5, 4096);
    threads(prompt);
  }
  for (let i = 0; i < 512 + 256 + 128 + 64; i++) prompt.took(0.01, 4096);
  prompt.took(5, 4096);
  assert.equal(threads(prompt), 32);
});

test('an image that is read and written here has the same bytes, ends and errors', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-here-'));
  try {
    const path = join(folder, 'disk.img');
    writeFileSync(path, Buffer.alloc(8192, 7));
    const image = await open_image(path, { here: true });
    const [a, b] = [Buffer.alloc(1024, 1), Buffer.alloc(512, 2)];
    await image.write(512, [a, b]);
    await image.flush();
    const read = Buffer.alloc(3072);
    await image.read(0, [read.subarray(0, 1000), read.subarray(1000)]);
    const expected = Buffer.concat([Buffer.alloc(512, 7), a, b, Buffer.alloc(1024, 7)]);
    assert.ok(read.equals(expected));
    await assert.rejects(image.read(8192, [Buffer.alloc(512)]), { kind: 'range' });
    await image.close();
    const readonly = await open_image(path, { here: true, readonly: true });
    await assert.rejects(readonly.write(0, [a]), { kind: 'range' });
    await readonly.close();
  } finally {
    rmSync(folder, { recursive: true });
  }
});
