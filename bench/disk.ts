// A disk's speed inside a guest, under Xenolith and under QEMU's TCG in turn: the same kernel, program and image file; virtio-blk there, xen-blkfront here.
// Prints medians in MiB/s and their ratios, and on stderr what each of our threads takes for a request. `--quick`: Xenolith alone; `--profile FOLDER`: once, with where the guest's
// time goes.
import '../bin/parent.cjs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, V8_FLAGS } from '../bin/setup.cjs';
import { DISK_BENCH_INIT, diskInitrd } from '../guests/disk/build.ts';
import { kernelElf } from '../guests/image/elf.ts';
import { guestImage } from '../guests/image/index.ts';
import { need } from '../tools/apt.ts';
import { median, tscKhz } from './lib/host.ts';

const MEMORY_MIB = 192;
const KINDS = [
  'sequential-read',
  'sequential-write',
  'random-read',
  'random-write',
  'stream-read',
  'stream-write',
] as const;
type Figures = Map<string, number>;

/** Runs a machine to its end and reads what its program says. */
async function measured(command: string, args: readonly string[]): Promise<Figures> {
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], timeout: 300_000 });
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString('latin1')));
  await once(child, 'close');
  const figures: Figures = new Map(
    [...said.matchAll(/bench: ([\w-]+) ([\d.]+) \d+/g)].map((found) => [found[1]!, Number(found[2])]),
  );
  if (!/bench: end/.test(said)) throw new Error(`${command} did not get to its end:\n${said.slice(-2000)}`);
  return figures;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      size: { type: 'string', default: '256' },
      quick: { type: 'boolean', default: false },
      profile: { type: 'string' },
    },
  });
  await need('qemu-system-x86', 'gcc', 'libc6-dev');
  const image = guestImage();
  const initrd = await diskInitrd(true);
  // A tmpfs would not be what people have; the page cache is warm for both.
  const folder = mkdtempSync(join(ROOT, 'build', 'disk-bench-'));
  const disk = join(folder, 'disk.img');
  writeFileSync(disk, new Uint8Array(Number(values.size) << 20).fill(0x11));
  readFileSync(disk);
  const guest = `rdinit=${DISK_BENCH_INIT} seconds=${values.seconds} quiet`;
  const ours = [
    ...[...V8_FLAGS, join(import.meta.dirname, 'lib', 'disk_guest.ts'), image.kernel, initrd, disk],
    ...[`console=hvc0 ${guest} disk=/dev/xvda`, String(MEMORY_MIB), ...(values.profile ? [values.profile] : [])],
  ];
  const theirs = [
    ...['-M', 'microvm', '-accel', 'tcg', '-cpu', 'max', '-m', String(MEMORY_MIB), '-nographic', '-no-reboot'],
    ...['-kernel', kernelElf(image), '-initrd', initrd],
    ...['-drive', `file=${disk},if=none,id=d,format=raw,cache=writeback`, '-device', 'virtio-blk-device,drive=d'],
    ...['-append', `console=ttyS0 tsc_early_khz=${tscKhz()} tsc=reliable ${guest} disk=/dev/vda`],
  ];
  const alone = values.quick || values.profile !== undefined;
  const rounds = values.profile === undefined ? Number(values.rounds) : 1;
  const results: { xenolith: Figures; qemu: Figures }[] = [];
  try {
    for (let round = 1; round <= rounds; round++) {
      const xenolith = await measured(process.execPath, ours);
      const qemu = alone ? new Map<string, number>() : await measured('qemu-system-x86_64', theirs);
      results.push({ xenolith, qemu });
      const line = KINDS.map((kind) => `${kind} ${xenolith.get(kind)} / ${qemu.get(kind) ?? '-'}`).join(', ');
      console.error(`round ${round}: ${line}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  if (alone) return;
  console.log(`MiB/s, medians of ${results.length}: Xenolith, QEMU TCG, ratio`);
  for (const kind of KINDS) {
    const [x, q] = [results.map((r) => r.xenolith.get(kind)!), results.map((r) => r.qemu.get(kind)!)];
    const ratio = median(x.map((value, i) => value / q[i]!));
    console.log(
      `${kind.padEnd(18)} ${median(x).toFixed(1).padStart(8)} ${median(q).toFixed(1).padStart(8)} ${ratio.toFixed(2).padStart(6)}`,
    );
  }
}

await main();
