// The whole host is killed while a guest writes: what fsync has answered for is there afterwards, and the file system is whole.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RECORDS_INIT, recordsInitrd } from '../../guests/debian/records.ts';
import { guestImage } from '../../guests/image/index.ts';
import { copy_image } from '../../services/block/image/convert.ts';
import type { Format } from '../../services/block/image/image.ts';
import { create_image, open_image } from '../../services/block/image/open.ts';
import { extImage, tools } from '../disk_images.ts';
import { Bed, until } from '../host/bed.ts';
import { random } from '../random.ts';

const DISK = '24M';
const LONG_MS = 120_000;
/** The guest writes for at most so long. */
const WRITES_MS = 1500;
/** One disk of each format, and what the guest knows it by. */
const DISKS = { raw: 'xvda', qcow2: 'xvdb', vhd: 'xvdc' } as const;
const FORMATS = Object.keys(DISKS) as (keyof typeof DISKS)[];

interface Safe {
  records: number;
  files: number;
}

/** Gives how many records were safe in the end, by format. */
export async function killedHosts(rounds: number, seed: number): Promise<Record<Format, Safe>> {
  await tools();
  const b = new Bed();
  const dice = random(seed);
  const safe = { raw: nothing(), qcow2: nothing(), vhd: nothing() };
  const path = (format: Format): string => join(b.folder, `disk.${format}`);
  try {
    const config = b.config('writer', {
      type: 'pvh',
      kernel: guestImage().kernel,
      ramdisk: await recordsInitrd(),
      cmdline: `console=hvc0 quiet rdinit=${RECORDS_INIT}`,
      memory: 96,
      disk: FORMATS.map((format) => `${path(format)},${format},${DISKS[format]},w`),
    });
    for (const format of FORMATS) await makeDisk(path(format), format);
    for (let round = 0; round < rounds; round++) {
      await oneLife(b, config, safe, dice(WRITES_MS));
      for (const format of FORMATS)
        await assertWhole(path(format), format, `${b.folder}/look`, `${format}, round ${round}`);
    }
    return safe;
  } finally {
    await b.close();
  }
}

const nothing = (): Safe => ({ records: 0, files: 0 });

async function makeDisk(path: string, format: Format): Promise<void> {
  const raw = extImage({}, ['-t', 'ext4'], DISK);
  if (format === 'raw') return writeFileSync(path, raw);
  await create_image(path, { format, size: raw.length });
  const image = await open_image(path, { format });
  await image.write(0, [raw]);
  await image.close();
}

/** Up, until the guest has written for `ms`, and down by SIGKILL. */
async function oneLife(b: Bed, config: string, safe: Record<Format, Safe>, ms: number): Promise<void> {
  await b.up('--memory', '128');
  const child = b.start('xl', ['create', '-qc', config]);
  let seen = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (bytes: Buffer) => (seen += bytes.toString('latin1')));
  for (const format of FORMATS) {
    const found = new RegExp(`records ${DISKS[format]}: found (\\d+) (\\d+)\\r?\\n`);
    await until(() => found.test(seen), `the guest writes to its ${format} disk`, LONG_MS).catch((error: Error) => {
      throw new Error(`${error.message}: ${seen.slice(-800)}`);
    });
    const [, records, files] = found.exec(seen)!;
    const { records: most, files: all } = safe[format];
    assert.ok(Number(records) >= most, `${format}: ${records} records are there, ${most} were safe`);
    assert.ok(Number(files) >= all, `${format}: ${files} files are there, ${all} were safe`);
  }
  await sleep(ms);
  const ended = new Promise((resolve) => child.on('close', resolve));
  await b.end('SIGKILL');
  await ended;
  assert.doesNotMatch(seen, /records: (ended|not mounted)|I\/O error|EXT4-fs error/);
  // What is being said in the moment of the kill may lack digits: whole lines only.
  const last = (format: Format, what: string): number => {
    const pattern = new RegExp(`records ${DISKS[format]}: ${what} (\\d+)\\r?\\n`, 'g');
    return Math.max(0, ...[...seen.matchAll(pattern)].map(([, n]) => Number(n)));
  };
  for (const format of FORMATS) {
    safe[format].records = Math.max(safe[format].records, last(format, 'safe'));
    safe[format].files = Math.max(safe[format].files, last(format, 'files'));
  }
}

/** A copy of the disk: its journal is replayed, and then there is nothing to complain of. */
async function assertWhole(disk: string, format: Format, copy: string, what: string): Promise<void> {
  const image = await open_image(disk, { format });
  await create_image(copy, { format: 'raw', size: image.size });
  const target = await open_image(copy, { format: 'raw' });
  await copy_image(image, target);
  await Promise.all([image.close(), target.close()]);
  const fsck = (...options: string[]): string => {
    const { status, stdout, stderr } = spawnSync('/sbin/e2fsck', [...options, copy], { encoding: 'utf8' });
    return `${status} ${stdout}${stderr}`;
  };
  const replayed = fsck('-p', '-E', 'journal_only');
  assert.match(replayed, /^[01] /, what);
  const found = fsck('-f', '-n');
  assert.match(found, /^0 /, `${what}: ${found}`);
  rmSync(copy);
}
