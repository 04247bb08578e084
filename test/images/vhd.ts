// A run of random requests on VHD images of one kind, with kills and power cuts; QEMU's tool reads the results, as far as it can.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SECTOR } from '../../services/block/image/image.ts';
import { RawImage } from '../../services/block/image/raw.ts';
import { createVhd } from '../../services/block/image/vhd/create.ts';
import { VhdImage } from '../../services/block/image/vhd/vhd.ts';
import { random } from '../random.ts';
import { MemoryFile, stamp } from './memory_file.ts';
import { contents, Player } from './player.ts';

export interface VhdKind {
  fixed?: boolean;
  block_size?: number;
  /** sectors of the parent */
  parent?: number;
}

export const VHD_KINDS: Record<string, VhdKind> = {
  fixed: { fixed: true },
  'dynamic, blocks of 2 MiB': {},
  'dynamic, small blocks': { block_size: 16384 },
  'dynamic, bitmaps of several sectors': { block_size: 4 << 20 },
  differencing: { parent: 1000 },
  'differencing, small blocks': { parent: 1700, block_size: 16384 },
};

const SECTORS = 1500;

export async function playVhd(kind: VhdKind, seed: number, steps: number, ends: number): Promise<void> {
  const dice = random(seed);
  try {
    const base = kind.parent ? Buffer.concat(Array.from({ length: kind.parent }, (_, i) => stamp(1e6 + i))) : undefined;
    const file = new MemoryFile(undefined, dice);
    const parent = base && { path: 'base.vhd', uuid: '00'.repeat(16), timestamp: 0 };
    const { fixed, block_size } = kind;
    await createVhd(file, {
      size: SECTORS * SECTOR,
      ...(fixed ? { fixed } : {}),
      ...(block_size ? { block_size } : {}),
      ...(parent ? { parent } : {}),
    });
    const open = (from: MemoryFile): Promise<VhdImage> =>
      VhdImage.open(from, {
        readonly: false,
        // What a parent is made of is nothing to its child.
        backing: base && new RawImage(new MemoryFile(base), { readonly: true }),
      });
    const player = new Player(
      {
        ...{ file, sectors: SECTORS, mostSectors: 3 * SECTORS, snapshots: false, open },
        // The end within a fixed one's resize leaves its old footer in what was added, which the model does not know.
        resize: fixed ? 'none' : 'grow',
        base: (sector) => (sector < Math.min(kind.parent ?? 0, SECTORS) ? 1e6 + sector : 0),
      },
      dice,
    );
    await player.play(steps);
    if (!base) await same(file, open);
    for (let i = 0; i < ends; i++) {
      const left = await player.crash(dice(file.log.length), i % 2 === 0 ? 'kill' : 'cut');
      if (!base && i % 16 === 0) await same(left, open);
    }
  } catch (error) {
    throw new Error(`${JSON.stringify(kind)}, seed ${seed}: ${(error as Error).message}`, { cause: error });
  }
}

async function same(file: MemoryFile, open: (file: MemoryFile) => Promise<VhdImage>): Promise<void> {
  const ours = Buffer.concat((await contents(await open(new MemoryFile(file.contents)))).map(stamp));
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-vhd-'));
  try {
    const [path, out] = [join(folder, 'image.vhd'), join(folder, 'raw')];
    writeFileSync(path, file.contents);
    const { status, stderr, error } = spawnSync('qemu-img', ['convert', '-f', 'vpc', '-O', 'raw', path, out], {
      encoding: 'utf8',
    });
    if (error) throw error;
    assert.equal(status, 0, stderr);
    assert.ok(readFileSync(out).equals(ours), 'qemu-img reads something else');
  } finally {
    rmSync(folder, { recursive: true });
  }
}
