// The archive of a system's files: what dpkg would have unpacked, read back as tar and as dpkg's database.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createReadStream, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { untar, type TarEntry } from '../tar.ts';
import { excluder, FILTERS } from './packages.ts';
import { entry, writeRoot } from './root.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-root-'));
after(() => rmSync(folder, { recursive: true }));

/** A package with these files; `-> x` is a link. */
function pack(name: string, control: string, files: Record<string, string>): string {
  const place = join(folder, name);
  const all = {
    'DEBIAN/control': `Package: ${name}\nVersion: 1\nMaintainer: A <a@b>\nDescription: d\n${control}`,
    ...files,
  };
  for (const [path, content] of Object.entries(all)) {
    mkdirSync(join(place, dirname(path)), { recursive: true });
    if (content.startsWith('-> ')) symlinkSync(content.slice(3), join(place, path));
    else writeFileSync(join(place, path), content, { mode: /inst$/.test(path) ? 0o755 : 0o644 });
  }
  const deb = `${place}.deb`;
  execFileSync('dpkg-deb', ['--root-owner-group', '-b', place, deb], { stdio: 'ignore' });
  return deb;
}

async function read(path: string): Promise<Map<string, TarEntry>> {
  const found = new Map<string, TarEntry>();
  for await (const one of untar(createReadStream(path), () => true)) {
    assert.ok(!found.has(one.path), `${one.path} is there twice`);
    found.set(one.path.replace(/\/$/, ''), one);
  }
  return found;
}

test('files on a merged system, and the database of unpacked packages', async () => {
  const long = `usr/share/${'l'.repeat(90)}/${'n'.repeat(120)}`;
  const debs = [
    pack('one', 'Architecture: amd64\nMulti-Arch: same\n', {
      'DEBIAN/conffiles': '/etc/one.conf\n',
      'DEBIAN/triggers': 'interest /usr/lib/plugins\ninterest-noawait other\nactivate-noawait ldconfig\n',
      'DEBIAN/preinst': '#!/bin/sh\n',
      'etc/one.conf': 'hello\n',
      'lib/x/lib.so.1': 'elf',
      'lib/x/lib.so': '-> lib.so.1',
      [long]: 'deep',
    }),
    pack('two', 'Architecture: all\n', {
      'bin/two': 'program',
      'usr/share/doc/two/changelog': 'long',
      'usr/share/doc/two/copyright': 'licence',
      'etc/two': 'plain',
    }),
  ];
  const path = join(folder, 'root.tar');
  const seen: string[] = [];
  await writeRoot(path, debs, {
    ...{ filters: FILTERS, wanted: ['two'], files: [entry('etc/own', 'ours')] },
    onPackage: (_done, name) => void seen.push(name),
  });
  assert.deepEqual(seen, ['one', 'two']);
  const files = await read(path);
  const text = (name: string): string => Buffer.from(files.get(name)?.content ?? []).toString();
  assert.deepEqual([files.get('bin')!.type, files.get('bin')!.target], ['2', 'usr/bin']);
  assert.equal(text('usr/bin/two'), 'program');
  assert.equal(files.get('usr/lib/x/lib.so')!.target, 'lib.so.1');
  assert.equal(text(long), 'deep');
  assert.equal(text('etc/own'), 'ours');
  assert.equal(files.has('usr/share/doc/two/changelog'), false);
  assert.equal(text('usr/share/doc/two/copyright'), 'licence');

  const info = 'var/lib/dpkg/info';
  assert.match(text(`${info}/one:amd64.list`), /^\/\.\n[^]*\/lib\/x\/lib\.so\n/);
  assert.match(text(`${info}/two.list`), /\/usr\/share\/doc\/two\/changelog\n/, 'dpkg lists what a filter leaves out');
  assert.equal(files.get(`${info}/one:amd64.preinst`)!.mode & 0o777, 0o755);
  assert.equal(text('install/preinst'), 'one:amd64\n');
  assert.equal(text('var/lib/dpkg/triggers/File'), '/usr/lib/plugins one:amd64\n');
  assert.equal(text('var/lib/dpkg/triggers/other'), 'one:amd64/noawait\n');
  assert.match(text('var/lib/apt/extended_states'), /^Package: one\nArchitecture: amd64\nAuto-Installed: 1\n\n$/);
  const status = text('var/lib/dpkg/status');
  assert.match(
    status,
    /Package: one\nStatus: install ok unpacked\n[^]*Conffiles:\n \/etc\/one\.conf b1946ac92492d2347c6235b4d2611184\n\n/,
  );
  // dpkg itself reads it.
  const admin = join(folder, 'admin');
  for (const [name, one] of files) {
    if (!name.startsWith('var/lib/dpkg/')) continue;
    const at = join(admin, name.slice('var/lib/dpkg/'.length));
    if (one.type === '5') mkdirSync(at, { recursive: true });
    else writeFileSync(at, one.content);
  }
  const query = ['--admindir', admin, '-W', '-f', '${db:Status-Abbrev}${Package} ${Conffiles};'];
  assert.equal(
    execFileSync('dpkg-query', query, { encoding: 'utf8' }),
    'iU one  /etc/one.conf b1946ac92492d2347c6235b4d2611184;iU two ;',
  );
});

test('filters are dpkg’s: the last that fits decides', () => {
  const excluded = excluder(FILTERS);
  for (const path of [
    '/usr/share/doc/a/b/c',
    '/usr/share/man/man1/ls.1.gz',
    '/lib/modules/6.1/kernel/drivers/gpu/drm/drm.ko',
  ])
    assert.ok(excluded(path), path);
  for (const path of [
    ...['/usr/share/doc/a/copyright', '/usr/bin/doc', '/lib/modules/6.1/kernel/drivers/scsi/virtio_scsi.ko'],
    ...['/lib/modules/6.1/kernel/drivers/net/xen-netfront.ko', '/lib/modules/6.1/kernel/fs/ext4/ext4.ko'],
  ])
    assert.ok(!excluded(path), path);
});
