// The server against libnbd's programs and QEMU's, and against clients that do not keep to the protocol.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { random } from '../../../test/random.ts';
import { need } from '../../../tools/apt.ts';
import type { DiskImage } from '../../block/image/image.ts';
import { create_image, open_image } from '../../block/image/open.ts';
import { NbdServer } from './server.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-nbd-'));
const at = (name: string): string => join(folder, name);
const path = at('socket');
const uri = (name: string): string => `nbd+unix:///${name}?socket=${path}`;
const SIZE = 4 << 20;
const images: DiskImage[] = [];
let server: NbdServer;
const run = promisify(execFile);
const program = async (command: string, ...args: string[]): Promise<string> =>
  (await run(command, args, { timeout: 20_000 })).stdout;

const source = Buffer.alloc(SIZE);
for (let i = 1 << 20; i < 3 << 20; i += 4) source.writeUInt32LE(i, i);
source.fill(0, 1.5 * 2 ** 20, 2 << 20);

before(async () => {
  await need('libnbd-bin', 'qemu-utils');
  writeFileSync(at('source'), source);
  await create_image(at('base.qcow2'), { format: 'qcow2', size: SIZE / 2 });
  await create_image(at('disk.qcow2'), {
    format: 'qcow2',
    size: SIZE,
    backing: { path: 'base.qcow2', format: 'qcow2' },
  });
  await create_image(at('disk.vhd'), { format: 'vhd', size: SIZE });
  const open = async (name: string, options: Parameters<typeof open_image>[1]): Promise<DiskImage> => {
    const image = await open_image(at(name), options);
    images.push(image);
    return image;
  };
  server = await NbdServer.listen({
    exports: new Map([
      ['', await open('disk.qcow2', { format: 'qcow2' })],
      ['vhd', await open('disk.vhd', { format: 'vhd' })],
      ['source', await open('source', { readonly: true })],
    ]),
    listen: { path },
  });
});
after(async () => {
  await server.close();
  for (const image of images) await image.close();
  rmSync(folder, { recursive: true });
});

test('nbdinfo finds the exports and what they can do', async () => {
  const { exports } = JSON.parse(await program('nbdinfo', '--json', '--list', uri(''))) as {
    exports: Record<string, unknown>[];
  };
  assert.deepEqual(exports.map((each) => each['export-name']).sort(), ['', 'source', 'vhd']);
  const one = exports.find((each) => each['export-name'] === '')!;
  assert.deepEqual(
    ['export-size', 'is_read_only', 'can_trim', 'can_zero', 'can_fua', 'can_multi_conn', 'block_size_minimum'].map(
      (key) => one[key],
    ),
    [SIZE, false, true, true, true, true, 512],
  );
  assert.deepEqual(one.contexts, ['base:allocation']);
  await assert.rejects(program('nbdinfo', uri('nothing')), /unknown|No such/i);
});

test('nbdcopy there and back, by several connections, and QEMU reads the same', async () => {
  for (const name of ['', 'vhd']) {
    await program('nbdcopy', '--connections=4', at('source'), uri(name));
    await program('nbdcopy', uri(name), at('back'));
    assert.ok(readFileSync(at('back')).equals(source));
    await program('qemu-img', 'compare', '-f', 'raw', '-F', 'raw', at('source'), uri(name));
  }
  const map = JSON.parse(await program('nbdinfo', '--map', '--json', uri(''))) as {
    offset: number;
    length: number;
    type: number;
  }[];
  assert.deepEqual(
    map.map(({ offset, length, type }) => [offset, length, type]),
    [[0, 1 << 20, 3], [1 << 20, 1 << 19, 0], [1.5 * 2 ** 20, 1 << 19, 3], [2 << 20, 1 << 20, 0], [3 << 20, 1 << 20, 3]], // prettier-ignore
  );
});

test('writes, zeros, discards and flushes of qemu-io', async () => {
  const io = (...commands: string[]): Promise<string> =>
    program('qemu-io', '-f', 'raw', ...commands.flatMap((each) => ['-c', each]), uri(''));
  await io('write -P 5 1M 64k', 'write -f -P 6 1088k 4k', 'write -z 2M 128k', 'discard 2560k 128k', 'flush');
  await io('read -P 5 1M 64k', 'read -P 6 1088k 4k', 'read -P 0 2M 128k', 'read -P 0 2560k 128k');
  await assert.rejects(
    program('qemu-io', '-f', 'raw', '-c', 'write 0 512', uri('source')),
    /Permission denied|read-only/i,
  );
});

/** What comes back until the server ends, or nothing more comes. */
async function say(bytes: Buffer): Promise<Buffer> {
  const socket: Socket = connect(path);
  const parts: Buffer[] = [];
  await new Promise<void>((resolve) => {
    const idle = setTimeout(resolve, 60);
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      idle.refresh();
    });
    socket.on('error', () => resolve()).on('close', () => resolve());
    socket.write(bytes);
  });
  socket.destroy();
  return Buffer.concat(parts);
}

const u32 = (value: number): Buffer => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value]);
const option = (number: number, data: Buffer): Buffer =>
  Buffer.concat([Buffer.from('IHAVEOPT', 'latin1'), u32(number), u32(data.length), data]);
const greeting = u32(3);
const request = (command: number, offset: bigint, length: number, flags = 0): Buffer => {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt32BE(0x25609513);
  bytes.writeUInt16BE(flags, 4);
  bytes.writeUInt16BE(command, 6);
  bytes.writeBigUInt64BE(77n, 8);
  bytes.writeBigUInt64BE(offset, 16);
  bytes.writeUInt32BE(length, 24);
  return bytes;
};

test('an export by the oldest option, and the errors of simple replies', async () => {
  const answer = await say(
    Buffer.concat([
      ...[greeting, option(1, Buffer.alloc(0))],
      ...[request(0, 0n, 512), request(0, BigInt(SIZE), 512), request(0, 1n, 512), request(0, 2n ** 63n, 512)],
      ...[
        request(9, 0n, 0),
        request(7, 0n, 512),
        request(6, 0n, 512, 0x40),
        request(1, BigInt(SIZE), 512),
        Buffer.alloc(512),
      ],
      request(2, 0n, 0),
    ]),
  );
  assert.equal(answer.toString('latin1', 0, 16), 'NBDMAGICIHAVEOPT');
  assert.equal(Number(answer.readBigUInt64BE(18)), SIZE);
  const errors: number[] = [];
  for (let i = 28; i < answer.length; i += 16) {
    assert.equal(answer.readUInt32BE(i), 0x67446698);
    errors.push(answer.readUInt32BE(i + 4));
    if (errors.at(-1) === 0) i += 512;
  }
  assert.deepEqual(
    errors.sort((a, b) => a - b),
    [0, 22, 22, 22, 22, 22, 22, 28],
  );
});

test('clients that do not keep to the protocol are cut off, and others are served', async () => {
  const go = option(7, Buffer.concat([u32(0), Buffer.alloc(2)]));
  for (const bad of [
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.concat([greeting, Buffer.alloc(64)]),
    Buffer.concat([greeting, Buffer.from('IHAVEOPT', 'latin1'), u32(7), u32(0xffffffff)]),
    Buffer.concat([greeting, go, Buffer.alloc(28)]),
    Buffer.concat([greeting, go, request(1, 0n, 0xffffffff)]),
  ])
    await say(bad);
  const dice = random(3);
  for (let i = 0; i < 60; i++) {
    const parts = [greeting];
    for (let n = dice(4); n > 0; n--)
      parts.push(option(dice(12), Buffer.from(Array.from({ length: dice(40) }, () => dice(256)))));
    parts.push(go);
    for (let n = dice(6); n > 0; n--)
      parts.push(request(dice(10), BigInt(dice(2 * SIZE)), dice(3) === 0 ? dice(2 ** 31) : dice(65536), dice(32)));
    const bytes = Buffer.concat(parts);
    if (dice(2) === 0) bytes[dice(bytes.length)]! ^= 1 << dice(8);
    await say(bytes);
  }
  assert.match(await program('nbdinfo', '--size', uri('vhd')), /^4194304/);
});
