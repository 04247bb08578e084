// A process that is going to be killed: writes to an image without end and tells each write that was answered. It never flushes.
import { open_image } from '../../services/block/image/open.ts';
import { SECTOR, type Format } from '../../services/block/image/image.ts';
import { random } from '../random.ts';
import { stamp } from './memory_file.ts';

const [path, format, seed, first] = process.argv.slice(2) as [string, Format, string, string];
const image = await open_image(path, { format });
const dice = random(Number(seed));
const sectors = image.size / SECTOR;
let value = Number(first);
/** Each has sectors of its own, but not clusters. */
const worker = async (own: number): Promise<void> => {
  for (;;) {
    const sector = dice(sectors / 8) * 8 + own;
    const written = value++;
    await image.write(sector * SECTOR, [stamp(written)]);
    process.stdout.write(`${sector} ${written}\n`);
  }
};
await Promise.all(Array.from({ length: 8 }, (_, own) => worker(own)));
