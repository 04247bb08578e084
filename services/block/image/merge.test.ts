import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { DiskImage } from './image.ts';
import { merge_down, merge_images } from './merge.ts';
import { create_image, open_image } from './open.ts';

const MIB = 2 ** 20;
const SIZE = 8 * MIB;

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'xenolith-merge-'));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** What a disk reads as. */
async function contents(path: string, format: 'qcow2' | 'vhd'): Promise<Buffer> {
  const image = await open_image(path, { format, readonly: true });
  const bytes = Buffer.alloc(image.size);
  await image.read(0, [bytes]);
  await image.close();
  return bytes;
}

/** A small generator, so that a failure can be had again. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

async function scribble(image: DiskImage, next: (below: number) => number, byte: number): Promise<void> {
  for (let i = 0; i < 12; i++) {
    const offset = next(image.size / 512 - 1) * 512;
    const length = Math.min((1 + next(600)) * 512, image.size - offset);
    if (next(4) === 0) await image.write_zeroes(offset, length);
    else await image.write(offset, [Buffer.alloc(length, byte + i)]);
  }
}

for (const format of ['qcow2', 'vhd'] as const)
  test(`${format}: an image and the one behind it become one that reads the same, at any place of a chain`, async (t) => {
    const at = folder(t);
    const path = (name: string) => join(at, `${name}.${format}`);
    for (let seed = 1; seed <= 4; seed++) {
      const next = random(seed);
      const names = ['root', 'middle', 'top'].map((name) => `${name}${seed}`);
      for (const [i, name] of names.entries()) {
        // The lowest one is smaller.
        const size = i === 0 ? SIZE / 2 : SIZE;
        const backing = i === 0 ? undefined : { path: `${names[i - 1]}.${format}`, format };
        await create_image(path(name), { format, size, ...(backing && { backing }) });
        const image = await open_image(path(name), { format });
        await scribble(image, next, 1 + i * 20);
        await image.close();
      }
      for (const [name, behind] of [
        [names[2], names[0]],
        [names[1], undefined],
      ] as const) {
        const backing = behind === undefined ? undefined : { path: `${behind}.${format}`, format };
        await create_image(path('merged'), { format, size: SIZE, ...(backing && { backing }) });
        const [from, to] = [
          await open_image(path(name), { format, readonly: true }),
          await open_image(path('merged'), { format }),
        ];
        await merge_images(from, to);
        await from.close();
        await to.close();
        assert.ok((await contents(path('merged'), format)).equals(await contents(path(name), format)), `seed ${seed}`);
        rmSync(path('merged'));
      }
      const before = await contents(path(names[2]), format);
      const [top, into] = [
        await open_image(path(names[2]), { format, readonly: true, lock: false }),
        await open_image(path(names[1]), { format }),
      ];
      await merge_down(top, into);
      await into.close();
      await top.close();
      for (const name of [names[1], names[2]]) assert.ok((await contents(path(name), format)).equals(before), name);
    }
  });

test('what is behind an image has to lie in the folder that is named, links followed', async (t) => {
  const [inside, outside] = [folder(t), folder(t)];
  await create_image(join(outside, 'secret.qcow2'), { format: 'qcow2', size: MIB });
  await create_image(join(inside, 'base.qcow2'), { format: 'qcow2', size: MIB });
  symlinkSync(join(outside, 'secret.qcow2'), join(inside, 'link.qcow2'));
  const make = async (name: string, behind: string, format: 'qcow2' | 'vhd' = 'qcow2') =>
    create_image(join(inside, name), { format, backing: { path: behind, format } });
  const open = async (name: string, format: 'qcow2' | 'vhd' = 'qcow2') =>
    (await open_image(join(inside, name), { format, backing: { within: inside }, readonly: true })).close();
  await make('good', 'base.qcow2');
  await make('deeper', 'good');
  await make('away', join(outside, 'secret.qcow2'));
  await make('linked', 'link.qcow2');
  await make('behind', 'away');
  await open('good');
  await open('deeper');
  for (const name of ['away', 'linked', 'behind']) await assert.rejects(open(name), { kind: 'unsupported' }, name);
  await create_image(join(outside, 'secret.vhd'), { format: 'vhd', size: MIB });
  await make('away.vhd', join(outside, 'secret.vhd'), 'vhd');
  await assert.rejects(open('away.vhd', 'vhd'), { kind: 'unsupported' });
});
