// `xenolith image` as a person uses it: what it makes QEMU's tool reads, complaints are one sentence, and Ctrl-C leaves nothing half.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { need } from '../../tools/apt.ts';
import { UsageError } from '../options.ts';
import { imageCommand } from './main.ts';
import { formatOfName, parseImage, parseSettings, parseSize } from './options.ts';
import { bytes, snapshotTable } from './text.ts';

const MAIN = join(import.meta.dirname, '..', 'main.ts');
const folder = mkdtempSync(join(tmpdir(), 'xenolith-image-'));
after(() => rmSync(folder, { recursive: true }));
before(() => need('qemu-utils'));

process.chdir(folder);

async function image(line: string): Promise<{ status: number; stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const say = { out: (text: string) => void (stdout += text), complain: (text: string) => void (stderr += text) };
  try {
    const status = await imageCommand(line.split(' '), say);
    return { status, stdout, stderr };
  } catch (error) {
    if (!(error instanceof UsageError)) throw error; // the program says it so
    return { status: 64, stdout, stderr: `xenolith: ${error.message}\n` };
  }
}

async function good(line: string): Promise<string> {
  const { status, stdout, stderr } = await image(line);
  assert.equal(status, 0, `${line}: ${stdout}${stderr}`);
  return stdout;
}

const same = (...files: string[]): void =>
  void execFileSync('qemu-img', ['compare', ...files], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] });

test('a disk through all formats, with snapshots and resizes', async () => {
  const data = Buffer.alloc(3 << 20);
  for (let i = 0; i < data.length; i += 5000) data.writeUInt32LE(i, i & ~3);
  data.fill(0, 1 << 20, 2 << 20);
  writeFileSync(join(folder, 'source'), data);
  await good('convert source a.qcow2');
  same('-f', 'raw', '-F', 'qcow2', 'source', 'a.qcow2');
  await good('create -b a.qcow2 -F qcow2 over.qcow2');
  await good('resize over.qcow2 +1M');
  await good('snapshot -c one over.qcow2');
  assert.match(await good('snapshot over.qcow2'), /^1 +one +4 MiB/m);
  await good('convert over.qcow2 b.vhd');
  same('-f', 'qcow2', '-F', 'vpc', 'over.qcow2', 'b.vhd');
  await good('convert -l one over.qcow2 c.raw');
  assert.ok(readFileSync(join(folder, 'c.raw')).subarray(0, data.length).equals(data));
  await good('convert -O qcow2 -o cluster_size=4K,compat=0.10 b.vhd d');
  same('-f', 'vpc', '-F', 'qcow2', 'b.vhd', 'd');
  await good('snapshot -d one over.qcow2');
  const found = JSON.parse(await good('info --json over.qcow2')) as Record<string, unknown>;
  assert.deepEqual([found.format, found.size, found.backing, found.snapshots], ['qcow2', 4 << 20, 'a.qcow2', []]);
  assert.match(await good('check over.qcow2'), /^0 errors, 0 clusters/);
});

/** Command line, exit code, what the sentence holds. */
const CASES: [string, number, RegExp][] = [
  ['walk', 64, /no command 'image walk'.*--help/],
  ['build debian', 64, /takes SYSTEM OUT/],
  ['build plan9 x', 64, /makes debian, not 'plan9'/],
  ['build debian x -s 1M', 64, /takes at least 768M/],
  ['build debian x --hostname a_b', 64, /--hostname takes small letters/],
  ['build debian x -i /etc', 64, /names of packages, not '\/etc'/],
  ['build debian x --password-file none', 65, /none/],
  ['create', 64, /takes FILE \[SIZE\]/],
  ['create x', 64, /SIZE is missing/],
  ['create x 1Z', 64, /'1Z' is no size/],
  ['create -f vmdk x 1M', 64, /--format takes raw, qcow2, vhd, not 'vmdk'/],
  ['create -b source x.qcow2', 64, /-b needs the format/],
  ['create -b source -F raw x', 64, /raw image has nothing behind it/],
  ['create -o colour=red x.qcow2 1M', 64, /colour=red means nothing to qcow2/],
  ['create -b nothing -F raw x.qcow2', 65, /nothing: there is no such file/],
  ['create source 1M', 1, /source: the file exists already/],
  ['convert source a.qcow2', 1, /a\.qcow2: the file exists already/],
  ['convert nothing x', 65, /nothing: there is no such file/],
  ['info nothing', 65, /nothing: there is no such file/],
  ['info -f qcow2 source', 65, /source: it is no qcow2 image/],
  ['check -f vhd source', 65, /source: it is no VHD image/],
  ['check source', 65, /source: a raw image has nothing to be checked/],
  ['convert d x', 64, /d looks like qcow2.*say -f qcow2 or -f raw/],
  ['resize a.qcow2 1M', 64, /--shrink gives up/],
  ['resize a.qcow2 -1T', 64, /has only 3 MiB/],
  ['resize b.vhd --shrink 1M', 65, /cannot become smaller/],
  ['snapshot -c s source', 65, /raw images have no snapshots/],
  ['snapshot -a none a.qcow2', 1, /no snapshot none/],
  ['snapshot -c s -d s a.qcow2', 64, /at a time/],
  ['serve source', 64, /--socket or --port is needed/],
  ['serve -p 70000 source', 64, /--port takes a whole number/],
  ['serve -k nowhere/socket source', 1, /nowhere\/socket cannot be served/],
  ['seed s.iso', 64, /--user-data is missing/],
  ['seed -u nothing s.iso', 65, /the user-data nothing: there is no such file/],
  ['seed -u source --hostname a_b s.iso', 64, /--hostname takes letters/],
  ['seed -u source source', 1, /source: the file exists already/],
];

test('what is wrong is said in one sentence, and nothing is left', async () => {
  const before = readdirSync(folder);
  for (const [line, code, sentence] of CASES) {
    const { status, stderr } = await image(line);
    assert.equal(status, code, `${line}: ${stderr}`);
    assert.match(stderr, sentence, line);
    assert.match(stderr, /^xenolith: [^\n]+\n$/);
  }
  assert.deepEqual(readdirSync(folder), before);
});

test('a damaged image: 2; lost space: 3; repaired: 0', async () => {
  await good('create e.qcow2 1M');
  const path = join(folder, 'e.qcow2');
  const damaged = readFileSync(path);
  damaged.writeUInt16BE(7, 131072 + 8); // the refcount of a cluster that nobody uses
  writeFileSync(path, damaged);
  assert.equal((await image('check e.qcow2')).status, 3);
  damaged.writeUInt16BE(0, 131072);
  writeFileSync(path, damaged);
  assert.equal((await image('check e.qcow2')).status, 2);
  assert.match(await good('check -r e.qcow2'), /0 errors, 0 clusters of lost space after the repair/);
});

test('a seed for cloud-init', async () => {
  writeFileSync(join(folder, 'user-data'), '#cloud-config\n');
  await good('seed -u user-data --hostname web-1 seed.iso');
  const seed = readFileSync(join(folder, 'seed.iso'));
  assert.equal(seed.toString('latin1', 32768 + 40, 32768 + 46), 'cidata');
  assert.match(seed.toString('latin1'), /instance-id: "[0-9a-f-]{36}"\nlocal-hostname: "web-1"\n/);
});

test('Ctrl-C leaves nothing of a new image', async () => {
  writeFileSync(join(folder, 'large'), '');
  truncateSync(join(folder, 'large'), 2 ** 40); // sparse: an hour of reading
  const before = readdirSync(folder);
  const child = spawn(process.execPath, [MAIN, 'image', 'convert', 'large', 'x.qcow2'], {
    cwd: folder,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  for (const late = Date.now() + 20_000; readdirSync(folder).length === before.length && Date.now() < late; )
    await sleep(20);
  assert.equal(readdirSync(folder).length, before.length + 1);
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number];
  assert.equal(code, 1);
  assert.match(said, /stopped; nothing is left/);
  assert.deepEqual(readdirSync(folder), before);
});

test('a disk is served until Ctrl-C, and is whole then', async () => {
  await good('create n.qcow2 1M');
  const child = spawn(process.execPath, [MAIN, 'image', 'serve', '-k', 'socket', 'n.qcow2'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [uri] = (await once(child.stdout, 'data')) as [Buffer];
  assert.equal(statSync(join(folder, 'socket')).mode & 0o777, 0o600);
  execFileSync('qemu-io', ['-f', 'raw', '-c', 'write -P 9 0 64k', uri.toString().trim()], {
    cwd: folder,
    stdio: 'ignore',
  });
  child.kill('SIGINT');
  assert.deepEqual(await once(child, 'close'), [0, null]);
  assert.match(await good('check n.qcow2'), /^0 errors, 0 clusters of lost space; 1 of 16/);
});

test('sizes, formats and settings as they are written', () => {
  assert.deepEqual(['0', '1', '1K', '1.5k', '2M', '3G', '1T'].map(parseSize), [
    0,
    512,
    1024,
    1536,
    2 ** 21,
    3 * 2 ** 30,
    2 ** 40,
  ]);
  for (const bad of ['', '-1', 'K', '1KB', '1e3', '9999999T']) assert.throws(() => parseSize(bad), UsageError);
  assert.deepEqual(['a.qcow2', 'b.VHD', 'c.img', 'd'].map(formatOfName), ['qcow2', 'vhd', undefined, undefined]);
  assert.deepEqual(parseSettings('qcow2', ['cluster_size=1M,compat=1.1', 'lazy_refcounts=on']), {
    ...{ cluster_size: 1 << 20, version: 3, lazy_refcounts: true },
  });
  assert.deepEqual(parseSettings('vhd', ['subformat=fixed']), { fixed: true });
  assert.throws(() => parseSettings('raw', ['subformat=fixed']), UsageError);
  assert.deepEqual(parseImage([]), { help: undefined });
  assert.deepEqual(parseImage(['convert', '-h']), { help: 'convert' });
  assert.deepEqual([1, 1024, 1536, 5 * 2 ** 40].map(bytes), ['1 bytes', '1 KiB', '1.50 KiB', '5 TiB']);
  assert.match(snapshotTable([{ id: '1', name: 'a\x1b[2Jb', size: 0, date: 0, state_size: 0 }]), /a\?\[2Jb/);
});
