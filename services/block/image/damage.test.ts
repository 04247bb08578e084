// Full disks, failing disks and hostile images: an error of ours, nothing damaged, nothing without bounds.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { MemoryFile, stamp } from '../../../test/images/memory_file.ts';
import { contents } from '../../../test/images/player.ts';
import { random } from '../../../test/random.ts';
import { need } from '../../../tools/apt.ts';
import { has_snapshots, ImageError, SECTOR, type DiskImage } from './image.ts';
import { createQcow2 } from './qcow2/create.ts';
import { checkQcow2 } from './qcow2/layout.ts';
import { Qcow2Image } from './qcow2/qcow2.ts';
import { createVhd } from './vhd/create.ts';
import { VhdImage } from './vhd/vhd.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-damage-'));
after(() => rmSync(folder, { recursive: true }));
before(() => need('qemu-utils'));

const SECTORS = 2000;
/** Damaged images of each format; more of them in the long run. */
const DAMAGED = Number(process.env.XENOLITH_DAMAGED ?? 200);

const FORMATS = {
  qcow2: {
    create: (file: MemoryFile) => createQcow2(file, { size: SECTORS * SECTOR, cluster_size: 4096 }),
    open: (file: MemoryFile): Promise<DiskImage> => Qcow2Image.open(file, { readonly: false }),
  },
  vhd: {
    create: (file: MemoryFile) => createVhd(file, { size: SECTORS * SECTOR, block_size: 16384 }),
    open: (file: MemoryFile): Promise<DiskImage> => VhdImage.open(file, { readonly: false }),
  },
};

function checked(file: MemoryFile): void {
  const path = join(folder, 'image');
  writeFileSync(path, file.contents);
  const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { encoding: 'utf8' });
  assert.ok(status === 0 || status === 3, stdout + stderr);
}

for (const [name, { create, open }] of Object.entries(FORMATS)) {
  test(`${name}: a full disk fails requests as such, and they succeed when there is room`, async () => {
    for (let seed = 1; seed <= 3; seed++) {
      const dice = random(seed);
      const file = new MemoryFile(undefined, dice);
      await create(file);
      const image = await open(file);
      const model: (number | undefined)[] = Array.from({ length: SECTORS }, () => 0);
      let failed = 0;
      for (let i = 1; i < 120; i++) {
        if (i % 10 === 0) file.limit = dice(3) === 0 ? Infinity : file.size + dice(20000) - 5000;
        const first = dice(SECTORS - 40);
        const count = 1 + dice(40);
        const put = (value: number | undefined): void => void model.fill(value, first, first + count);
        const data = Buffer.concat(Array.from({ length: count }, () => stamp(i)));
        try {
          await image.write(first * SECTOR, [data]);
          put(i);
        } catch (error) {
          assert.equal((error as ImageError).kind, 'no_space');
          failed++;
          put(undefined); // in parts, perhaps
          if (dice(3) > 0) continue;
          file.limit = Infinity;
          await image.write(first * SECTOR, [data]);
          put(i);
        }
      }
      assert.ok(failed > 0);
      const agree = (found: number[]): void =>
        found.forEach((value, i) =>
          assert.ok(model[i] === undefined || model[i] === value, `sector ${i}, seed ${seed}`),
        );
      agree(await contents(image));
      if (name === 'qcow2') checked(file);
      file.limit = Infinity;
      await image.close();
      agree(await contents(await open(file)));
      if (name === 'qcow2') checked(file);
    }
  });

  test(`${name}: whatever fails, what was answered is there`, async () => {
    for (let seed = 1; seed <= 4; seed++) {
      const dice = random(seed);
      const file = new MemoryFile(undefined, dice);
      await create(file);
      const image = await open(file);
      const model: (number | undefined)[] = Array.from({ length: SECTORS }, () => 0);
      file.onChange = () => {
        if (dice(25) === 0) throw new ImageError('io', 'writing fails with EIO.');
      };
      for (let i = 1; i < 100; i++) {
        const first = dice(SECTORS - 40);
        const count = 1 + dice(40);
        try {
          await image.write(first * SECTOR, [Buffer.concat(Array.from({ length: count }, () => stamp(i)))]);
          model.fill(i, first, first + count);
          if (dice(10) === 0) await image.flush();
        } catch (error) {
          assert.equal((error as ImageError).kind, 'io');
          model.fill(undefined, first, first + count);
        }
        if (has_snapshots(image) && i % 30 === 0) await image.create_snapshot(`s${i}`).catch(() => undefined);
      }
      file.onChange = () => undefined;
      await image.close().catch(() => undefined);
      const again = await open(file);
      (await contents(again)).forEach((value, i) =>
        assert.ok(model[i] === undefined || model[i] === value, `sector ${i}, seed ${seed}`),
      );
      await again.close();
      if (name === 'qcow2') checked(file);
    }
  });

  test(`${name}: damaged headers and tables`, async () => {
    const file = new MemoryFile();
    await create(file);
    const image = await open(file);
    for (let i = 0; i < 60; i++) await image.write(i * 33 * SECTOR, [stamp(i + 1), stamp(i + 1)]);
    if (has_snapshots(image)) await image.create_snapshot('s');
    for (let i = 0; i < 60; i += 2) await image.write(i * 33 * SECTOR, [stamp(i + 9)]);
    await image.close();
    const whole = Buffer.from(file.contents);
    const dice = random(5);
    let opened = 0;
    for (let i = 0; i < DAMAGED; i++) {
      const bytes = Buffer.from(whole);
      for (let n = 1 + dice(4); n > 0; n--) {
        const at = dice(4) > 0 ? dice(2048) : dice(bytes.length);
        if (dice(3) === 0)
          bytes.writeUInt32BE([0, 1, 0x7fffffff, 0xffffffff, 0x10000][dice(5)]!, Math.min(at & ~3, bytes.length - 4));
        else bytes[at] = dice(256);
      }
      const cut = dice(10) === 0 ? bytes.subarray(0, dice(bytes.length)) : bytes;
      opened += await tolerate(() => useUp(new MemoryFile(cut), open));
    }
    assert.ok(opened > DAMAGED / 20, String(opened));
  });
}

/** 1: it went well; 0: it was refused as it should be. */
async function tolerate(work: () => Promise<void>): Promise<number> {
  try {
    await work();
    return 1;
  } catch (error) {
    if (error instanceof ImageError) return 0;
    throw error;
  }
}

async function useUp(file: MemoryFile, open: (file: MemoryFile) => Promise<DiskImage>): Promise<void> {
  file.limit = 1 << 24; // of a hostile place in a table
  if (file.contents.toString('latin1', 0, 3) === 'QFI')
    await tolerate(async () => void (await checkQcow2(file, await Qcow2Image.header(file))));
  const image = await open(file);
  const last = Math.min(image.size, SECTORS * SECTOR) - SECTOR;
  if (last < 0) return;
  const buffer = Buffer.alloc(SECTOR);
  for (const at of [0, 33 * SECTOR, 66 * SECTOR, last]) {
    if (at > last) continue;
    await image.read(at, [buffer]);
    await image.write(at, [buffer]);
  }
  await image.write_zeroes(0, Math.min(last, 100 * SECTOR));
  if (has_snapshots(image)) await image.create_snapshot('fuzz');
  await image.flush();
  await image.close();
}

test('qcow2: a guest cannot reach the tables by entries that lead there', async () => {
  const file = new MemoryFile();
  await createQcow2(file, { size: 1 << 20 });
  const image = await Qcow2Image.open(file, { readonly: false });
  await image.write(0, [Buffer.alloc(65536, 1)]);
  await image.close();
  const l1 = file.contents.readUInt32BE(44);
  const l2 = file.contents.readUInt32BE(l1 + 4);
  for (const place of [0, 65536, l1, l2]) {
    const bytes = Buffer.from(file.contents);
    bytes.writeUInt32BE(place, l2 + 4);
    bytes.writeUInt32BE(0x80000000, l2);
    if (place === 0) continue; // that is no entry
    const bad = await Qcow2Image.open(new MemoryFile(bytes), { readonly: false });
    await assert.rejects(bad.write(0, [Buffer.alloc(512)]), /is one of its tables/);
  }
});
