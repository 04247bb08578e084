// Which format an image is opened as, what is behind it, and the sentences for what cannot be opened.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { need } from '../../../tools/apt.ts';
import { has_snapshots, type DiskImage, type ImageError, type ImageErrorKind } from './image.ts';
import { check_image, image_info } from './info.ts';
import { create_image, open_image, probe_format, type OpenOptions } from './open.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-open-'));
after(() => rmSync(folder, { recursive: true }));
before(() => need('qemu-utils'));

const at = (name: string): string => join(folder, name);
const qemuImg = (...args: string[]): void =>
  void execFileSync('qemu-img', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });

async function refused(name: string, options: OpenOptions, kind: ImageErrorKind, sentence: RegExp): Promise<void> {
  await assert.rejects(open_image(at(name), options), (error: ImageError) => {
    assert.match(error.message, sentence);
    assert.equal(error.kind, kind, error.message);
    assert.doesNotMatch(error.message, /\n/);
    return true;
  });
}

async function sector(image: DiskImage, offset: number): Promise<number> {
  const bytes = Buffer.alloc(512);
  await image.read(offset, [bytes]);
  assert.ok(bytes.every((byte) => byte === bytes[0]));
  return bytes[0]!;
}

test('a raw image is raw, whatever a guest has written to it', async () => {
  writeFileSync(at('secret'), 'secret');
  await create_image(at('made.qcow2'), { format: 'qcow2', size: 1 << 20, backing: { path: 'secret', format: 'raw' } });
  const disk = await open_image(at('made.qcow2'));
  const first = Buffer.alloc(512);
  await disk.read(0, [first]);
  assert.equal(first.toString('latin1', 0, 3), 'QFI');
  await disk.close();
  assert.equal(await probe_format(at('made.qcow2')), 'qcow2');
  await refused('secret', { format: 'qcow2' }, 'unsupported', /no qcow2 image/);
  await refused('secret', { format: 'vhd' }, 'unsupported', /no VHD image/);
});

test('chains: relative names, each format, sizes that differ', async () => {
  mkdirSync(at('deep'));
  writeFileSync(at('deep/base'), Buffer.alloc(1536, 1));
  await create_image(at('deep/mid.qcow2'), {
    format: 'qcow2',
    size: 1 << 20,
    backing: { path: 'base', format: 'raw' },
  });
  await create_image(at('top.qcow2'), {
    format: 'qcow2',
    size: 4096,
    backing: { path: 'deep/mid.qcow2', format: 'qcow2' },
  });
  symlinkSync('top.qcow2', at('link.qcow2'));
  const top = await open_image(at('link.qcow2'), { format: 'qcow2' });
  assert.deepEqual([await sector(top, 0), await sector(top, 1024), await sector(top, 1536)], [1, 1, 0]);
  assert.equal(top.backing?.backing?.size, 1536);
  await top.write(512, [Buffer.alloc(512, 7)]);
  assert.deepEqual(await top.map(0, 4096), [{ offset: 0, length: 4096, kind: 'data' }]);
  await top.close();
  await create_image(at('parent.vhd'), { format: 'vhd', size: 8 << 20 });
  const parent = await open_image(at('parent.vhd'), { format: 'vhd' });
  await parent.write(4096, [Buffer.alloc(1024, 5)]);
  await parent.close();
  await create_image(at('deep/child.vhd'), { format: 'vhd', backing: { path: '../parent.vhd', format: 'vhd' } });
  const child = await open_image(at('deep/child.vhd'), { format: 'vhd' });
  await child.write(4096, [Buffer.alloc(512, 6)]);
  assert.deepEqual([await sector(child, 4096), await sector(child, 4608), await sector(child, 0)], [6, 5, 0]);
  assert.deepEqual(
    (await child.map(0, 8 << 20)).map(({ length, kind }) => [length, kind]),
    [[4096, 'backing'], [512, 'data'], [(8 << 20) - 4608, 'backing']], // prettier-ignore
  );
  await child.close();
  rmSync(at('parent.vhd'));
  await create_image(at('parent.vhd'), { format: 'vhd', size: 8 << 20 });
  await refused('deep/child.vhd', { format: 'vhd' }, 'corrupt', /not the image from which it differs/);
  rmSync(at('parent.vhd'));
  await refused('deep/child.vhd', { format: 'vhd' }, 'missing', /from which it differs is not there/);
});

test('what is behind an image may be forbidden, missing, a circle or no file', async () => {
  await refused(
    'top.qcow2',
    { format: 'qcow2', backing: 'none' },
    'unsupported',
    /needs another image, deep.mid.qcow2/,
  );
  await refused('deep/child.vhd', { format: 'vhd', backing: 'none' }, 'unsupported', /needs another image/);
  await create_image(at('a.qcow2'), { format: 'qcow2', size: 1 << 20 });
  qemuImg('rebase', '-u', '-f', 'qcow2', '-F', 'qcow2', '-b', 'a.qcow2', 'a.qcow2');
  await refused('a.qcow2', { format: 'qcow2' }, 'locked', /has it open/); // for writing it is in its own way
  await refused('a.qcow2', { format: 'qcow2', readonly: true }, 'corrupt', /circle/);
  qemuImg('rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', 'nothing', 'a.qcow2');
  await refused('a.qcow2', { format: 'qcow2' }, 'missing', /no such file/);
  qemuImg('rebase', '-u', '-f', 'qcow2', '-F', 'raw', '-b', 'nbd://localhost/x', 'a.qcow2');
  await refused('a.qcow2', { format: 'qcow2' }, 'unsupported', /is no file/);
  qemuImg('rebase', '-u', '-f', 'qcow2', '-F', 'vmdk', '-b', 'secret', 'a.qcow2');
  await refused('a.qcow2', { format: 'qcow2' }, 'unsupported', /format vmdk/);
});

test('a format that is not noted is raw only if it looks like nothing else', async () => {
  const bytes = (path: string, backing: string): void => {
    qemuImg('create', '-q', '-f', 'qcow2', '-o', 'compat=0.10', '-F', 'raw', '-b', backing, path);
    const image = readFileSync(at(path));
    image.fill(0, 72, 80); // the extension
    const name = image.readUInt32BE(12);
    image.copyWithin(72, name, name + 64);
    image.writeUInt32BE(0, 12);
    // The name moves to where it began; no extension is before it.
    image.writeUInt32BE(72, 12);
    writeFileSync(at(path), image);
  };
  bytes('plain.qcow2', 'deep/base');
  const plain = await open_image(at('plain.qcow2'), { format: 'qcow2' });
  assert.equal(await sector(plain, 0), 1);
  await plain.close();
  bytes('doubtful.qcow2', 'made.qcow2');
  await refused('doubtful.qcow2', { format: 'qcow2' }, 'unsupported', /is not noted and may be qcow2/);
});

test('a chain has an end', async () => {
  await create_image(at('n0.qcow2'), { format: 'qcow2', size: 512 });
  for (let i = 1; i <= 64; i++)
    await create_image(at(`n${i}.qcow2`), {
      ...{ format: 'qcow2', size: 512, cluster_size: 512, backing: { path: `n${i - 1}.qcow2`, format: 'qcow2' } },
    });
  await (await open_image(at('n63.qcow2'), { format: 'qcow2' })).close();
  await refused('n64.qcow2', { format: 'qcow2' }, 'unsupported', /more than 64 images/);
});

test('what is no image', async () => {
  await refused('nothing', {}, 'missing', /no such file/);
  await refused('secret/x', {}, 'missing', /no folder/);
  await refused('.', {}, 'unsupported', /folder/);
  execFileSync('mkfifo', [at('pipe')]);
  await refused('pipe', {}, 'unsupported', /neither a file nor a block device/);
  await refused('../../../../../../../dev/zero', { readonly: true }, 'unsupported', /neither a file nor/);
  for (const size of [0, 3, 71, 103]) {
    writeFileSync(at('cut.qcow2'), readFileSync(at('made.qcow2')).subarray(0, size));
    await assert.rejects(open_image(at('cut.qcow2'), { format: 'qcow2' }), /no qcow2 image|cut off/);
  }
  truncateSync(at('cut.qcow2'), 0);
  await refused('cut.qcow2', { format: 'vhd' }, 'unsupported', /no VHD image/);
});

test('what QEMU can make and this cannot read is refused by its name', async () => {
  const create = (...options: string[]): void =>
    qemuImg('create', '-q', '-f', 'qcow2', '-o', options.join(','), 'odd.qcow2', '1M');
  create('extended_l2=on');
  await refused('odd.qcow2', { format: 'qcow2' }, 'unsupported', /extended L2/);
  create('data_file=odd.data');
  await refused('odd.qcow2', { format: 'qcow2' }, 'unsupported', /external file/);
  create('compat=1.1');
  const bytes = readFileSync(at('odd.qcow2'));
  bytes.writeUInt32BE(2, 32);
  writeFileSync(at('odd.qcow2'), bytes);
  await refused('odd.qcow2', { format: 'qcow2' }, 'unsupported', /encrypted/);
});

test('images that cannot be created leave no file', async () => {
  const cases: [Parameters<typeof create_image>[1], RegExp][] = [
    [{ format: 'raw', size: 100 }, /multiple of 512/],
    [{ format: 'qcow2' }, /size is missing/],
    [{ format: 'qcow2', size: 512, cluster_size: 1000 }, /power of two/],
    [{ format: 'qcow2', size: 2 ** 50, cluster_size: 512 }, /too many/],
    [{ format: 'qcow2', size: 512, refcount_bits: 12 }, /refcounts have/],
    [{ format: 'qcow2', size: 512, backing: { path: 'nothing', format: 'raw' } }, /no such file/],
    [{ format: 'vhd', size: 2 ** 42 }, /at most/],
    [{ format: 'vhd', backing: { path: 'secret', format: 'raw' } }, /differs from another VHD/],
  ];
  for (const [options, sentence] of cases) {
    await assert.rejects(create_image(at('new'), options), sentence);
    assert.ok(!existsSync(at('new')));
  }
  await assert.rejects(create_image(at('secret'), { format: 'raw', size: 512 }), /exists already/);
  assert.equal(readFileSync(at('secret'), 'latin1'), 'secret');
});

test('info and check say what there is', async () => {
  await create_image(at('i.qcow2'), { format: 'qcow2', size: 1 << 20 });
  const image = await open_image(at('i.qcow2'), { format: 'qcow2' });
  assert.ok(has_snapshots(image));
  await image.write(0, [Buffer.alloc(65536, 1)]);
  await image.create_snapshot('one');
  await assert.rejects(image.create_snapshot('one'), /already/);
  await assert.rejects(image.resize(512), /snapshots/);
  const open = await image_info(at('i.qcow2'), { format: 'qcow2', lock: false });
  assert.equal(open.dirty, true);
  await image.close();
  const info = await image_info(at('i.qcow2'), { format: 'qcow2' });
  assert.deepEqual([info.dirty, info.size, info.snapshots?.map(({ name }) => name)], [false, 1 << 20, ['one']]);
  const { errors, leaks, allocated } = await check_image(at('i.qcow2'), { format: 'qcow2' });
  assert.deepEqual([errors, leaks, allocated], [[], 0, 1]);
  // A refcount too high, and one too low: found, and mended.
  const bytes = readFileSync(at('i.qcow2'));
  const table = bytes.readUInt32BE(52);
  const block = bytes.readUInt32BE(table + 4);
  bytes.writeUInt16BE(9, block);
  bytes.writeUInt16BE(0, block + 2 * (table / 65536));
  writeFileSync(at('i.qcow2'), bytes);
  const found = await check_image(at('i.qcow2'), { format: 'qcow2' });
  assert.deepEqual([found.error_count, found.leaks], [1, 1]);
  assert.match(found.errors[0]!, /has refcount 0 and 1 users/);
  const mended = await check_image(at('i.qcow2'), { format: 'qcow2', repair: true });
  assert.deepEqual([mended.error_count, mended.leaks, mended.repaired], [0, 0, true]);
  qemuImg('check', 'i.qcow2');
  await create_image(at('i.vhd'), { format: 'vhd', size: 9 << 20 });
  assert.deepEqual((await check_image(at('i.vhd'), { format: 'vhd' })).errors, []);
});
