import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { gzipSync } from 'node:zlib';
import { makeBzImage, makeElf } from '../services/domain_builder/protocol/fixtures.ts';
import { compactElf } from '../services/domain_builder/protocol/index.ts';
import { elfImage, prepareKernel } from './kernel.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'xenolith-kernels-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

/** A bzImage whose code is `byte`, and what is to come of it. */
function kernel(byte: number): { file: Uint8Array; elf: Buffer } {
  const elf = makeElf({ code: Uint8Array.of(byte) });
  return { file: makeBzImage(gzipSync(elf)), elf: Buffer.from(compactElf(elf)) };
}

test('an ELF file is taken as it is; nothing is kept of it, nor of a file that cannot be unpacked', (t) => {
  const path = folder(t);
  const elf = makeElf();
  assert.equal(elfImage(elf, path), elf);
  assert.throws(() => elfImage(makeBzImage(Uint8Array.of(1, 2, 3, 4, 5, 6)), path), /unknown compression/);
  assert.deepEqual(readdirSync(path), []);
});

test('a bzImage is unpacked once; a damaged or lost copy is made anew', (t) => {
  const path = folder(t);
  const { file, elf } = kernel(1);
  assert.deepEqual(Buffer.from(elfImage(file, path)), elf);
  const [name] = readdirSync(path);
  const copy = join(path, name);
  assert.deepEqual(readFileSync(copy), elf);
  const { ino } = statSync(copy);
  assert.deepEqual(Buffer.from(elfImage(file, path)), elf);
  assert.equal(statSync(copy).ino, ino, 'the copy was used');
  truncateSync(copy, elf.length - 1);
  assert.deepEqual(Buffer.from(elfImage(file, path)), elf);
  assert.deepEqual(readFileSync(copy), elf);
  writeFileSync(`${copy}.new`, 'left by one who was killed');
  rmSync(copy);
  assert.deepEqual(Buffer.from(elfImage(file, path)), elf);
  assert.deepEqual(readdirSync(path), [name]);
});

test('a kernel is unpacked in another thread, for whoever asks next', async (t) => {
  const path = folder(t);
  await prepareKernel(makeElf(), path);
  await prepareKernel(makeBzImage(Uint8Array.of(1, 2, 3, 4, 5, 6)), path);
  assert.deepEqual(readdirSync(path), [], 'nothing of what is no bzImage, or a damaged one');
  const { file, elf } = kernel(3);
  await prepareKernel(file, path);
  const [name] = readdirSync(path);
  const { ino } = statSync(join(path, name));
  await prepareKernel(file, path);
  assert.deepEqual(Buffer.from(elfImage(file, path)), elf);
  assert.equal(statSync(join(path, name)).ino, ino, 'once');
});

test('a few are kept, and without a place to keep them everything works', (t) => {
  const path = folder(t);
  for (let byte = 0; byte < 8; byte++) elfImage(kernel(byte).file, path);
  assert.equal(readdirSync(path).length, 4);
  const { file, elf } = kernel(9);
  const blocked = join(path, 'file');
  writeFileSync(blocked, '');
  assert.deepEqual(Buffer.from(elfImage(file, join(blocked, 'folder'))), elf);
});
