import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { Apt, ImageError } from './apt.ts';
import { characterDevice, directory, file, link, readCpio, writeCpio } from './cpio.ts';
import { guestImage } from './index.ts';
import { untar } from './tar.ts';

test('cpio: what is written is read back, at every alignment', () => {
  const entries = [
    directory('bin'),
    characterDevice('dev/console', 5, 1),
    link('bin/sh', 'busybox'),
    ...[0, 1, 2, 3, 4, 5].map((size) => file('f'.repeat(size + 1), Buffer.alloc(size, 7), 0o755)),
  ];
  const archive = writeCpio(entries);
  const plain = (list: typeof entries) => list.map((entry) => ({ ...entry, content: [...entry.content] }));
  assert.deepEqual(plain(readCpio(archive)), plain(entries));
  assert.equal(archive.length % 4, 0);
});

test('cpio: a damaged archive is refused', () => {
  const archive = writeCpio([file('a', Buffer.alloc(100))]);
  for (let length = 0; length < archive.length - 120; length += 7) {
    assert.throws(() => readCpio(archive.subarray(0, length)), /cut off/);
  }
  const bad = Buffer.from(archive);
  bad[0] = 0x31;
  assert.throws(() => readCpio(bad), /no cpio header at byte 0/);
  bad.set(archive);
  bad.write('zzzzzzzz', 6 + 6 * 8);
  assert.throws(() => readCpio(bad), /bad number/);
});

test('tar: files, links and long names come out as tar put them in, in chunks of any size', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-tar-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const long = `deep/${'d'.repeat(90)}/${'n'.repeat(90)}`;
  mkdirSync(join(folder, long, '..'), { recursive: true });
  const files: Record<string, Buffer> = { 'a.txt': Buffer.from('hello'), empty: Buffer.alloc(0) };
  files[long] = Buffer.alloc(1500, 3);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const archive = execFileSync('tar', ['--format=gnu', '-C', folder, '-c', '.']);
  for (const size of [archive.length, 1000, 7]) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < archive.length; at += size) chunks.push(archive.subarray(at, at + size));
    const found: Record<string, Buffer> = {};
    for await (const entry of untar(Readable.from(chunks), () => true)) {
      if (entry.type === '0') found[entry.path] = Buffer.from(entry.content);
    }
    assert.deepEqual(found, files);
  }
  const read = async (bytes: Buffer) => {
    for await (const _ of untar(Readable.from([bytes]), () => true));
  };
  await assert.rejects(read(archive.subarray(0, 700)), /cut off/);
  await assert.rejects(read(Buffer.alloc(512, 0x41)), /checksum|no tar header/);
});

test('without apt one sentence names the way out', (t) => {
  const path = process.env.PATH;
  process.env.PATH = '';
  t.after(() => (process.env.PATH = path));
  assert.throws(
    () => new Apt('unused'),
    (error) => error instanceof ImageError && /--kernel/.test(error.message),
  );
});

test('the image: an unmodified bzImage and an initramfs with what the guest needs', () => {
  const image = guestImage();
  const kernel = readFileSync(image.kernel);
  assert.equal(kernel.toString('latin1', 0x202, 0x206), 'HdrS'); // Linux boot protocol, "header"
  assert.ok(kernel.includes(image.release));
  const initrd = readFileSync(image.initrd);
  for (const [bytes, sum] of [
    [kernel, image.sha256.kernel],
    [initrd, image.sha256.initrd],
  ] as const) {
    assert.equal(createHash('sha256').update(bytes).digest('hex'), sum);
  }
  const entries = new Map(readCpio(initrd).map((entry) => [entry.path, entry]));
  assert.deepEqual(entries.get('dev/console')?.device, [5, 1]);
  assert.equal(entries.get('init')?.mode, 0o100755);
  assert.match(entries.get('bin/busybox')!.content.subarray(0, 4).toString(), /ELF/);
  for (const name of ['sbin/poweroff', 'sbin/reboot', 'sbin/init', 'bin/sh']) {
    assert.match(entries.get(name)!.content.toString(), /busybox$/, name);
  }
  for (const entry of entries.values()) assert.ok(!entry.path.startsWith('/') && !entry.path.includes('..'));
});
