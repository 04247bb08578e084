// Kills a process in the middle of its writes: every write that was answered is there when the image is opened again, without a flush.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Format } from '../../services/block/image/image.ts';
import { create_image, open_image } from '../../services/block/image/open.ts';
import { random } from '../random.ts';
import { stamp } from './memory_file.ts';
import { contents } from './player.ts';

const SIZE = 16 << 20;

export async function killed(
  format: Exclude<Format, 'raw'>,
  over: boolean,
  rounds: number,
  seed: number,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-kill-'));
  const dice = random(seed);
  try {
    const path = join(folder, 'image');
    if (over) {
      await create_image(join(folder, 'base'), { format, size: SIZE });
      const base = await open_image(join(folder, 'base'), { format });
      for (let at = 0; at < SIZE; at += 1 << 20) await base.write(at, [Buffer.concat(Array(2048).fill(stamp(1)))]);
      await base.close();
    }
    await create_image(path, { format, ...(over ? { backing: { path: 'base', format } } : { size: SIZE }) });
    const model = new Array<number>(SIZE / 512).fill(over ? 1 : 0);
    for (let round = 0; round < rounds; round++) {
      const next = await write(path, format, seed + round, Math.max(1, ...model) + 1000, 50 + dice(600));
      for (const [sector, value] of next) model[sector] = value;
      if (format === 'qcow2') {
        const { status, stdout, stderr } = spawnSync('qemu-img', ['check', '-f', 'qcow2', path], { encoding: 'utf8' });
        assert.ok(status === 0 || status === 3, stdout + stderr);
      }
      const image = await open_image(path, { format });
      const found = await contents(image);
      await image.close();
      // What was not answered may be there all the same: a later value of the same writer.
      found.forEach((value, sector) => {
        if (value < model[sector]!) assert.fail(`round ${round}: sector ${sector} has ${value}, not ${model[sector]}`);
        model[sector] = value;
      });
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Starts a writer, kills it after so many answers, and gives what it had told until then. */
async function write(
  path: string,
  format: Format,
  seed: number,
  first: number,
  answers: number,
): Promise<Map<number, number>> {
  const told = new Map<number, number>();
  const writer = spawn(
    process.execPath,
    [join(import.meta.dirname, 'writer.ts'), path, format, String(seed), String(first)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let count = 0;
  const lines = createInterface(writer.stdout).on('line', (line) => {
    const [sector, value] = line.split(' ').map(Number) as [number, number];
    told.set(sector, value);
    if (++count === answers) writer.kill('SIGKILL');
  });
  await once(lines, 'close');
  assert.ok(count >= answers, 'the writer ended by itself');
  return told;
}
