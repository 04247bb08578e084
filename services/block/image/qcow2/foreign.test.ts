// Images that QEMU's tool has made: read, written to, and checked by it again.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { random } from '../../../../test/random.ts';
import { need } from '../../../../tools/apt.ts';
import { has_snapshots, type DiskImage } from '../image.ts';
import { open_image } from '../open.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-foreign-'));
after(() => rmSync(folder, { recursive: true }));
before(() => need('qemu-utils'));

const SIZE = 1 << 20;
const dice = random(7);
/** Text, noise and holes. */
const source = Buffer.alloc(SIZE);
for (let at = 0; at < SIZE; at += 16384) {
  const kind = dice(3);
  for (let i = 0; kind > 0 && i < 16384; i++) source[at + i] = kind === 1 ? 65 + (i % 26) : dice(256);
}
writeFileSync(join(folder, 'source'), source);

const qemuImg = (...args: string[]): string =>
  execFileSync('qemu-img', args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

async function read(image: DiskImage): Promise<Buffer> {
  const bytes = Buffer.alloc(image.size, 0xee);
  for (let at = 0; at < image.size; at += 100 * 512) {
    const part = bytes.subarray(at, at + 100 * 512);
    await image.read(at, [part.subarray(0, 100), part.subarray(100)]);
  }
  return bytes;
}

/** Writes, snapshots and resizes it; the tool must read the same and find nothing to complain of. */
async function use(name: string, expected: Buffer, snapshots: boolean): Promise<void> {
  const image = await open_image(join(folder, name), { format: 'qcow2' });
  assert.ok((await read(image)).equals(expected), 'as it was');
  const bytes = Buffer.from(expected);
  const change = async (): Promise<void> => {
    for (let i = 0; i < 12; i++) {
      const offset = dice(SIZE / 512 - 100) * 512;
      const data = Buffer.alloc((1 + dice(100)) * 512, 1 + dice(255));
      const zero = dice(5) === 0;
      if (zero) await image.write_zeroes(offset, data.length);
      else await image.write(offset, [data]);
      bytes.set(zero ? Buffer.alloc(data.length) : data, offset);
    }
  };
  await change();
  const before = Buffer.from(bytes);
  if (snapshots && has_snapshots(image)) {
    await image.create_snapshot('ours');
    await change();
  }
  assert.ok((await read(image)).equals(bytes), 'with changes');
  await image.close();
  qemuImg('check', '-f', 'qcow2', name);
  if (!snapshots) {
    qemuImg('convert', '-f', 'qcow2', '-O', 'raw', name, 'out');
    assert.ok(readFileSync(join(folder, 'out')).equals(bytes), 'as the tool reads it');
    return;
  }
  qemuImg('snapshot', '-a', 'ours', name); // the tool reverts to it
  qemuImg('check', '-f', 'qcow2', name);
  const again = await open_image(join(folder, name), { format: 'qcow2' });
  assert.ok((await read(again)).equals(before), 'reverted by the tool');
  await again.close();
}

const convert = (options: string, ...more: string[]): void =>
  void qemuImg('convert', '-f', 'raw', '-O', 'qcow2', ...more, '-o', options, 'source', 'image.qcow2');

test('compressed clusters of zlib and zstd, of every size', async () => {
  for (const [cluster, type] of [
    ['4k', 'zlib'],
    ['64k', 'zlib'],
    ['2M', 'zlib'],
    ['4k', 'zstd'],
    ['64k', 'zstd'],
  ]) {
    convert(`compression_type=${type},cluster_size=${cluster}`, '-c');
    await use('image.qcow2', source, cluster !== '512');
  }
});

test('each width of refcounts, versions, lazy refcounts, preallocation', async () => {
  for (const bits of [1, 2, 4, 8, 32, 64]) {
    convert(`refcount_bits=${bits},cluster_size=4k`);
    await use('image.qcow2', source, bits > 1);
  }
  for (const options of ['compat=0.10', 'lazy_refcounts=on', 'preallocation=metadata', 'preallocation=full']) {
    convert(options);
    await use('image.qcow2', source, true);
  }
});

test("QEMU's snapshots and what is behind", async () => {
  qemuImg('create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', 'source', 'over.qcow2');
  await use('over.qcow2', source, true);
  convert('cluster_size=4k');
  qemuImg('snapshot', '-c', 'theirs', 'image.qcow2');
  await use('image.qcow2', source, true);
  const image = await open_image(join(folder, 'image.qcow2'), { format: 'qcow2' });
  assert.ok(has_snapshots(image));
  assert.deepEqual(
    image.snapshots.map(({ name, size }) => [name, size]),
    [['theirs', SIZE], ['ours', SIZE]], // prettier-ignore
  );
  await image.revert_snapshot('theirs');
  assert.ok((await read(image)).equals(source));
  for (const name of ['theirs', 'ours']) await image.delete_snapshot(name);
  await image.close();
  qemuImg('check', '-f', 'qcow2', 'image.qcow2');
});

test('an image that QEMU left dirty is put in order', async () => {
  convert('lazy_refcounts=on,cluster_size=4k');
  const io = ['qemu-io', '-f', 'qcow2', '-c', 'write -P 9 0 256k', '-c', 'sigraise 9', 'image.qcow2'];
  assert.throws(() => execFileSync(io[0]!, io.slice(1), { cwd: folder, stdio: 'ignore' }));
  const bytes = Buffer.from(source).fill(9, 0, 1 << 18);
  const image = await open_image(join(folder, 'image.qcow2'), { format: 'qcow2' });
  const found = await read(image);
  assert.ok(found.equals(bytes) || found.equals(source));
  await image.close();
  qemuImg('check', '-f', 'qcow2', 'image.qcow2');
});
