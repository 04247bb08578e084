// Volumes that others read: genisoimage's isoinfo (Rock Ridge and Joliet), blkid, and the boot loader's own reader.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { need } from '../../../tools/apt.ts';
import { MemoryDisk } from '../../bootloader/protocol/disk.ts';
import { IsoFileSystem } from '../../bootloader/protocol/iso9660.ts';
import { Tree } from '../../bootloader/protocol/tree.ts';
import { IsoError, makeIso } from './iso9660.ts';
import { makeSeed, metaData } from './seed.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-iso-'));
after(() => rmSync(folder, { recursive: true }));
before(() => need('genisoimage'));

const path = join(folder, 'x.iso');
const date = new Date('2026-02-03T04:05:06Z');
const isoinfo = (...args: string[]): string => execFileSync('isoinfo', ['-i', path, ...args], { encoding: 'utf8' });

test('names and contents by Rock Ridge, Joliet and plain ISO 9660', () => {
  const files = [
    { name: 'user-data', contents: Buffer.from('#cloud-config\n') },
    { name: 'meta-data', contents: Buffer.alloc(5000, 'm') },
    { name: 'empty', contents: Buffer.alloc(0) },
    { name: 'Grüße.with.dots', contents: Buffer.from('1') },
    { name: 'user-data-too', contents: Buffer.from('2') },
    ...Array.from({ length: 60 }, (_, i) => ({ name: `file-${i}`, contents: Buffer.from(String(i)) })),
  ];
  const image = makeIso('cidata', files, date);
  assert.ok(image.equals(makeIso('cidata', files, date)));
  assert.equal(image.length % 2048, 0);
  writeFileSync(path, image);
  assert.match(isoinfo('-d'), /Volume id: cidata\n[^]*Joliet with UCS level 3[^]*Rock Ridge/);
  const rock = isoinfo('-R', '-f').trim().split('\n').map((line) => line.slice(1)); // prettier-ignore
  assert.deepEqual(rock.sort(), files.map(({ name }) => name).sort());
  assert.equal(isoinfo('-J', '-f').trim().split('\n').length, files.length);
  for (const { name, contents } of files.slice(0, 3).concat(files.slice(-2))) {
    assert.equal(isoinfo('-R', '-x', `/${name}`), contents.toString());
    assert.equal(isoinfo('-J', '-x', `/${name}`), contents.toString());
  }
  assert.match(isoinfo('-l'), /USER_DAT\.;1 /);
  assert.match(isoinfo('-R', '-l'), /-r--r--r-- .* Feb +3 2026 .* user-data /);
  assert.match(execFileSync('/sbin/blkid', ['-p', path], { encoding: 'utf8' }), /LABEL="cidata".*TYPE="iso9660"/);
  const tree = new Tree(new IsoFileSystem(new MemoryDisk(image)));
  for (const { name, contents } of files) assert.deepEqual(Buffer.from(tree.read(`/${name}`, 1e6)!), contents);
});

test('a seed has what cloud-init asks for', () => {
  const image = makeSeed({ user_data: Buffer.from('#cloud-config\n'), meta_data: metaData('i-1', 'a "b"') }, date);
  const tree = new Tree(new IsoFileSystem(new MemoryDisk(image)));
  assert.equal(
    Buffer.from(tree.read('/meta-data', 1e4)!).toString(),
    'instance-id: "i-1"\nlocal-hostname: "a \\"b\\""\n',
  );
  assert.deepEqual([tree.has('/user-data'), tree.has('/network-config')], [true, false]);
});

test('what cannot be a name is refused', () => {
  const file = (name: string) => ({ name, contents: Buffer.alloc(1) });
  for (const name of ['', '.', '..', 'a/b', 'a\\b', 'a\nb', 'x'.repeat(65)])
    assert.throws(() => makeIso('cidata', [file(name)], date), IsoError);
  assert.throws(() => makeIso('cidata', [file('a'), file('a')], date), /two files a/);
  assert.throws(() => makeIso('two words', [], date), /no name for a volume/);
});
