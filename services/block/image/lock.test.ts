// Several readers or one writer, among ourselves, among processes, and with QEMU's programs.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { need } from '../../../tools/apt.ts';
import type { ImageError } from './image.ts';
import { create_image, open_image } from './open.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-lock-'));
after(() => rmSync(folder, { recursive: true }));
before(() => need('qemu-utils'));

const raw = (name: string): string => {
  const path = join(folder, name);
  writeFileSync(path, Buffer.alloc(1 << 20));
  return path;
};
const locked = (error: ImageError): boolean => error.kind === 'locked' && /has it open/.test(error.message);

test('one writer or several readers', async () => {
  const path = raw('a');
  const writer = await open_image(path);
  await assert.rejects(open_image(path), locked);
  await assert.rejects(open_image(path, { readonly: true }), locked);
  const peeking = await open_image(path, { readonly: true, lock: false });
  await peeking.close();
  await assert.rejects(open_image(path), locked); // closing another one has given up nothing
  await writer.close();
  const readers = await Promise.all(Array.from({ length: 8 }, () => open_image(path, { readonly: true })));
  await assert.rejects(open_image(path), locked);
  for (const each of readers) await each.close();
  await (await open_image(path)).close();
});

test('by another name it is the same image', async () => {
  const path = raw('b');
  const writer = await open_image(path);
  renameSync(path, join(folder, 'c'));
  await assert.rejects(open_image(join(folder, 'c')), locked);
  await writer.close();
});

test('what is behind an image is shared for reading', async () => {
  const base = raw('base');
  const options = { format: 'qcow2', backing: { path: 'base', format: 'raw' } } as const;
  await create_image(join(folder, 'x.qcow2'), options);
  await create_image(join(folder, 'y.qcow2'), options);
  const x = await open_image(join(folder, 'x.qcow2'), { format: 'qcow2' });
  const y = await open_image(join(folder, 'y.qcow2'), { format: 'qcow2' });
  await assert.rejects(open_image(base), locked);
  await x.close();
  await y.close();
  const writer = await open_image(base);
  await assert.rejects(open_image(join(folder, 'x.qcow2'), { format: 'qcow2' }), locked);
  await writer.close();
});

test("QEMU's programs and ours keep off each other's images", async () => {
  const path = raw('q');
  const qemuIo = (...args: string[]) => spawnSync('qemu-io', ['-f', 'raw', ...args, path], { encoding: 'utf8' });
  const writer = await open_image(path);
  assert.match(qemuIo('-c', 'write 0 512').stderr, /lock/);
  await writer.close();
  const reader = await open_image(path, { readonly: true });
  assert.match(qemuIo('-c', 'write 0 512').stderr, /lock/);
  await reader.close();

  const disk = join(folder, 'q.qcow2');
  const info = () => spawnSync('qemu-img', ['info', '-f', 'qcow2', disk], { encoding: 'utf8' });
  await create_image(disk, { format: 'qcow2', size: 1 << 20 });
  const image = await open_image(disk, { format: 'qcow2' });
  assert.match(info().stderr, /lock/);
  await image.close();
  const look = await open_image(disk, { format: 'qcow2', readonly: true });
  assert.equal(info().status, 0);
  await look.close();

  const qemu = spawn('qemu-io', ['-f', 'raw', path], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(qemu.stdout, 'data'); // its prompt
  await assert.rejects(open_image(path), locked);
  await assert.rejects(open_image(path, { readonly: true }), locked);
  qemu.stdin.end('quit\n');
  await once(qemu, 'exit');
  await (await open_image(path)).close();
});

test('a lock goes with its process, however that ends', async () => {
  const path = raw('k');
  const program = `import { open_image } from ${JSON.stringify(join(import.meta.dirname, 'open.ts'))};
    await open_image(${JSON.stringify(path)}); console.log('open'); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  await assert.rejects(open_image(path), locked);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  await (await open_image(path)).close();
});
