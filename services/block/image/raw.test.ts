// Raw images on real files, and who waits for whom.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { ImageError } from './image.ts';
import { open_image } from './open.ts';
import { Cache, Gate, Syncer } from './sync.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-raw-'));
after(() => rmSync(folder, { recursive: true }));

test('lists of buffers, holes, sizes, ends of files', async () => {
  const path = join(folder, 'a');
  writeFileSync(path, Buffer.alloc((1 << 20) + 100, 1));
  const image = await open_image(path);
  assert.equal(image.size, (1 << 20) + 512);
  const tail = [Buffer.alloc(100), Buffer.alloc(412, 9)];
  await image.read(1 << 20, tail);
  assert.deepEqual([tail[0]![99], tail[1]!.every((byte) => byte === 0)], [1, true]);
  const many = Array.from({ length: 3000 }, (_, i) => Buffer.alloc(512, i)); // more than one call takes
  await image.resize(2 << 20);
  await image.write(0, many, { fua: true });
  assert.ok(
    readFileSync(path)
      .subarray(0, 3000 * 512)
      .equals(Buffer.concat(many)),
  );
  const before = statSync(path).blocks;
  await image.discard(0, 1 << 20);
  assert.ok(statSync(path).blocks <= before - 1024, 'the space is given back');
  await image.write_zeroes(1 << 20, 4096, { unmap: false });
  assert.ok(readFileSync(path).subarray(0, (1 << 20) + 4096).every((byte) => byte === 0)); // prettier-ignore
  await image.flush();
  await image.close();
  await image.close();
  await assert.rejects(image.read(0, [Buffer.alloc(512)]), (error: ImageError) => error.kind === 'closed');
});

test('requests that are none', async () => {
  const path = join(folder, 'b');
  writeFileSync(path, Buffer.alloc(4096));
  const image = await open_image(path, { readonly: true });
  const range = (error: ImageError): boolean => error.kind === 'range';
  for (const [offset, length] of [[-512, 512], [1, 512], [0, 511], [4096, 512], [2 ** 60, 512], [NaN, 512]] as const) // prettier-ignore
    await assert.rejects(image.read(offset, [Buffer.alloc(length)]), range);
  await assert.rejects(image.write(0, [Buffer.alloc(512)]), range);
  await assert.rejects(image.discard(0, 512), range);
  await assert.rejects(image.resize(8192), range);
  await image.close();
});

test('a flush that is asked for while one is under way is not that one', async () => {
  let begun = 0;
  const ends: (() => void)[] = [];
  const syncer = new Syncer(() => {
    begun++;
    return new Promise((resolve) => ends.push(resolve));
  });
  const first = syncer.sync();
  const later = [syncer.sync(), syncer.sync()];
  assert.equal(begun, 1);
  ends[0]!();
  await first;
  await turn();
  assert.equal(begun, 2);
  ends[1]!();
  await Promise.all(later);
  assert.equal(begun, 2);
});

test('one alone, many at once, nobody is passed by', async () => {
  const gate = new Gate();
  const said: string[] = [];
  const opens: (() => void)[] = [];
  const work = (name: string) => async () => {
    said.push(name);
    await new Promise<void>((resolve) => opens.push(resolve));
    said.push(`-${name}`);
  };
  const all = [gate.shared(work('a')), gate.shared(work('b')), gate.exclusive(work('X')), gate.shared(work('c'))];
  await turn();
  assert.deepEqual(said, ['a', 'b']);
  while (opens.length > 0) {
    opens.shift()!();
    await turn();
  }
  await Promise.all(all);
  assert.deepEqual(said, ['a', 'b', '-a', '-b', 'X', '-X', 'c', '-c']);
});

test('a cache reads once, drops the oldest, and keeps what is held', async () => {
  const loads: number[] = [];
  const cache = new Cache(2, async (key) => {
    loads.push(key);
    return key * 10;
  });
  const [held] = await Promise.all([cache.pin(1), cache.get(1)]);
  await cache.get(2);
  await cache.get(3);
  assert.equal(cache.peek(1), held);
  assert.equal(cache.peek(2), undefined);
  assert.deepEqual(loads, [1, 2, 3]);
});
