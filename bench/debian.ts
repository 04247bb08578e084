// A whole Debian from its disk to the login prompt, under Xenolith and under QEMU's TCG in turn: the same image, kernel and initrd; xen-blkfront and
// xen-netfront here, virtio there
// (`--cpu`: QEMU's name of a processor). Prints medians and the ratio of the times.
import '../bin/parent.cjs';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../bin/setup.cjs';
import { debianImage } from '../guests/debian/build.ts';
import { need } from '../tools/apt.ts';
import { bootOurs, bootQemu, partsOf, type Boot } from './lib/debian.ts';
import { median } from './lib/host.ts';

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      runs: { type: 'string', default: '3' },
      memory: { type: 'string', default: '384' },
      cpu: { type: 'string', default: 'max' },
    },
  });
  const memory = Number(values.memory);
  await need('qemu-system-x86');
  const image = await debianImage();
  // A tmpfs would not be what people have; the page cache is warm for both.
  const folder = mkdtempSync(join(ROOT, 'build', 'debian-bench-'));
  const rounds: { ours: Boot; qemu: Boot }[] = [];
  try {
    const parts = await partsOf(image, folder);
    for (let round = 1; round <= Number(values.runs); round++) {
      const ours = await bootOurs(image, join(folder, `x${round}`), memory);
      const qemu = await bootQemu(image, parts, join(folder, `q${round}`), { memory, cpu: values.cpu });
      rounds.push({ ours, qemu });
      const text = ({ seconds, cpu }: Boot): string => `${seconds.toFixed(1)} s (${cpu.toFixed(1)} s of processor)`;
      console.error(`round ${round}: login after ${text(ours)}, QEMU ${text(qemu)}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  const line = (name: string, of: (boot: Boot) => number): void => {
    const [x, q] = [rounds.map(({ ours }) => of(ours)), rounds.map(({ qemu }) => of(qemu))];
    const ratio = median(x.map((value, i) => value / q[i]!));
    console.log(`${name.padEnd(24)} ${median(x).toFixed(1).padStart(8)} ${median(q).toFixed(1).padStart(8)} ${ratio.toFixed(2).padStart(6)}`); // prettier-ignore
  };
  console.log(`to login, medians of ${rounds.length}: Xenolith, QEMU TCG, ratio`);
  line('seconds', ({ seconds }) => seconds);
  line('processor seconds', ({ cpu }) => cpu);
}

await main();
