import assert from 'node:assert/strict';
import { execFileSync, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { Apt, ImageError } from '../../services/image_builder/apt.ts';
import { characterDevice, directory, file, link, readCpio, writeCpio } from '../../services/image_builder/cpio.ts';
import { guestImage } from './index.ts';
import { untar } from '../../services/image_builder/tar.ts';

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

/** A folder with stand-ins for apt that know two small packages, and a run of the image's build with them. */
function fakeApt(t: TestContext): { folder: string; build(fault?: string): SpawnSyncReturns<string> } {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-apt-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const write = (name: string, content: string | Buffer, mode = 0o644) => {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), content, { mode });
  };
  const packages = { 'linux-image-1-amd64': 'boot/vmlinuz-1', 'busybox-static': 'bin/busybox' };
  for (const [name, path] of Object.entries(packages)) {
    write(`tree/${name}/${path}`, Buffer.alloc(300_000, name));
    const fields = { Package: name, Version: '1', Architecture: 'amd64', Maintainer: 'x', Description: 'x' };
    const control = Object.entries(fields).map(([key, value]) => `${key}: ${value}\n`);
    write(`tree/${name}/DEBIAN/control`, control.join(''));
    execFileSync('dpkg-deb', ['-Znone', '-b', join(folder, 'tree', name), join(folder, `${name}_1_amd64.deb`)]);
  }
  const shell = (...lines: string[]) => ['#!/bin/sh', ...lines, ''].join('\n');
  write('bin/apt-get', shell('[ -z "$FAULT" ] || { echo "E: $FAULT"; exit 100; }', `ln -f ${folder}/*.deb .`), 0o755);
  const show = 'echo "Package: $n\nVersion: 1\nArchitecture: amd64\nDepends: linux-image-1-amd64"';
  write('bin/apt-cache', shell('for n; do :; done', show), 0o755);
  return {
    folder,
    build: (fault = '') => {
      const env = { ...process.env, PATH: `${join(folder, 'bin')}:${process.env.PATH}`, FAULT: fault };
      const limit = fault === '' ? '' : "trap '' XFSZ; ulimit -f 200;"; // in units of 512 bytes
      const program = [process.execPath, join(import.meta.dirname, 'build.ts'), join(folder, 'out')];
      const sh = ['-c', `${fault === 'full' ? `${limit} unset FAULT;` : ''} exec "$@"`, 'sh', ...program];
      return spawnSync('/bin/sh', sh, { env, encoding: 'utf8' });
    },
  };
}

test('an image that cannot be made is one sentence, and leaves the old one or none', (t) => {
  const { folder, build } = fakeApt(t);
  const offline = build('Could not resolve the archive');
  assert.equal(offline.status, 1);
  assert.match(
    offline.stderr,
    /E: Could not resolve.*\nxenolith: apt-get update failed, see above: check network.*--kernel FILE.*\n$/,
  );
  const full = () => {
    const { status, stderr } = build('full');
    assert.equal(status, 1);
    assert.match(stderr, /^xenolith: the guest image cannot be written \(E[A-Z]+ at \S+\): make room .*\n$/);
  };
  full();
  assert.deepEqual(readdirSync(join(folder, 'out')).sort(), ['apt']);
  assert.equal(build().status, 0);
  const { sha256 } = guestImage(join(folder, 'out', 'image'));
  full();
  assert.deepEqual(readdirSync(join(folder, 'out')).sort(), ['apt', 'image']);
  assert.deepEqual(guestImage(join(folder, 'out', 'image')).sha256, sha256);
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
