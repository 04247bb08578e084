// `npm run bench image`: throughput of disk images, each beside the plain file through Node's own calls, in turn. Everything is in the page
// cache: what is compared is the work of the formats. Ratios to the plain file, by processor time,
// are what counts; over another image there are flushes too, which take time alone.
import '../bin/parent.cjs';
import { closeSync, fdatasync, ftruncateSync, mkdtempSync, openSync, read, readdirSync, rmSync, write } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { random } from '../test/random.ts';
import { create_image, open_image } from '../services/block/image/open.ts';
import { median } from './lib/host.ts';

const SIZE = 256 << 20;
const ROUNDS = 3;
const RANDOM = 20_000;

interface Disk {
  read(offset: number, buffer: Buffer): Promise<unknown>;
  write(offset: number, buffer: Buffer): Promise<unknown>;
  flush(): Promise<unknown>;
  close(): Promise<unknown>;
}

const folder = mkdtempSync(join(process.env.XENOLITH_BENCH_DIR ?? tmpdir(), 'xenolith-bench-'));
const [readAt, writeAt, syncFd] = [promisify(read), promisify(write), promisify(fdatasync)];

const plain = async (): Promise<Disk> => {
  const fd = openSync(join(folder, 'plain'), 'w+');
  ftruncateSync(fd, SIZE);
  return {
    read: (offset, buffer) => readAt(fd, buffer, 0, buffer.length, offset),
    write: (offset, buffer) => writeAt(fd, buffer, 0, buffer.length, offset),
    flush: () => syncFd(fd),
    close: async () => closeSync(fd),
  };
};

let made = 0;
const image =
  (format: 'raw' | 'qcow2' | 'vhd', over = false) =>
  async (): Promise<Disk> => {
    const path = join(folder, `image${made++}`);
    if (over) {
      const base = join(folder, `base${made}`);
      await create_image(base, { format: 'qcow2', size: SIZE });
      const disk = await open_image(base, { format: 'qcow2' });
      for (let at = 0; at < SIZE; at += 1 << 20) await disk.write(at, [Buffer.alloc(1 << 20, 1)]);
      await disk.close();
      await create_image(path, { format: 'qcow2', backing: { path: base, format: 'qcow2' } });
    } else await create_image(path, { format, size: SIZE });
    const disk = await open_image(path, { format: over ? 'qcow2' : format });
    return {
      read: (offset, buffer) => disk.read(offset, [buffer]),
      write: (offset, buffer) => disk.write(offset, [buffer]),
      flush: () => disk.flush(),
      close: () => disk.close(),
    };
  };

interface Rate {
  /** megabytes a second */
  wall: number;
  /** megabytes a second of processor time, the kernel's and the I/O threads' included: what a busy host does not change */
  cpu: number;
}

/** `count` requests, `depth` at a time. */
async function rate(
  request: (i: number, buffer: Buffer) => Promise<unknown>,
  count: number,
  length: number,
  depth: number,
): Promise<Rate> {
  let next = 0;
  const start = performance.now();
  const before = process.cpuUsage();
  const worker = async (): Promise<void> => {
    const buffer = Buffer.alloc(length, 7);
    while (next < count) await request(next++, buffer);
  };
  await Promise.all(Array.from({ length: depth }, worker));
  const { user, system } = process.cpuUsage(before);
  const bytes = count * length;
  return { wall: bytes / 1e3 / (performance.now() - start), cpu: bytes / (user + system) };
}

/** What is measured, in this order: the first ones meet a new image, the later ones one that has all its places. */
const KINDS = [
  'random write 4K new',
  'sequential write new',
  'sequential write',
  'sequential read',
  'random read 4K',
  'random write 4K',
];

async function measure(disk: Disk, seed: number): Promise<Rate[]> {
  const dice = random(seed);
  const places = Array.from({ length: RANDOM }, () => dice(SIZE / 4096) * 4096);
  const blocks = SIZE >> 20;
  const results: Rate[] = [];
  const run = async (
    kind: 'read' | 'write',
    at: (i: number) => number,
    count: number,
    length: number,
    depth: number,
  ) => {
    results.push(await rate((i, buffer) => disk[kind](at(i), buffer), count, length, depth));
    await disk.flush();
  };
  const sequential = (i: number): number => i << 20;
  const anywhere = (i: number): number => places[i % RANDOM]!;
  await run('write', anywhere, RANDOM / 20, 4096, 16);
  await run('write', sequential, blocks, 1 << 20, 4);
  await run('write', sequential, blocks, 1 << 20, 4);
  await run('read', sequential, blocks, 1 << 20, 4);
  await run('read', anywhere, RANDOM, 4096, 16);
  await run('write', anywhere, RANDOM, 4096, 16);
  await disk.close();
  return results;
}

const DISKS = {
  plain,
  raw: image('raw'),
  qcow2: image('qcow2'),
  'qcow2 over qcow2': image('qcow2', true),
  vhd: image('vhd'),
};

try {
  const figures = new Map<string, Rate[][]>(Object.keys(DISKS).map((name) => [name, []]));
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [name, open] of Object.entries(DISKS)) {
      const result = await measure(await open(), round + 1);
      for (const file of readdirSync(folder)) rmSync(join(folder, file));
      if (round > 0) figures.get(name)!.push(result); // the first one compiles
    }
  }
  const of = (name: string, kind: number, by: keyof Rate): number =>
    median(figures.get(name)!.map((result) => result[kind]![by]));
  console.log(`| ${'MB/s (ratio by processor time)'.padEnd(32)} | ${Object.keys(DISKS).map((name) => name.padStart(16)).join(' | ')} |`); // prettier-ignore
  console.log(`|${'-'.repeat(34)}|${Object.keys(DISKS).map(() => `${'-'.repeat(17)}:`).join('|')}|`); // prettier-ignore
  KINDS.forEach((kind, i) => {
    const cells = Object.keys(DISKS).map((name) =>
      `${of(name, i, 'wall').toFixed(0)} (${(of(name, i, 'cpu') / of('plain', i, 'cpu')).toFixed(2)})`.padStart(16),
    );
    console.log(`| ${kind.padEnd(32)} | ${cells.join(' | ')} |`);
  });
} finally {
  rmSync(folder, { recursive: true });
}
