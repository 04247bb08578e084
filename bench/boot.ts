// Boots the guest image under Xenolith and under QEMU's TCG in turn, with the same kernel and initramfs, and prints
// medians: wall time until init runs, instructions a second, and memory beyond the guest's own.
import '../bin/parent.cjs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../bin/setup.cjs';
import { kernelElf } from '../guests/image/elf.ts';
import { guestImage } from '../guests/image/index.ts';
import { need } from '../tools/apt.ts';
import { median, memory, tscKhz } from './lib/host.ts';

/** What /init says first. */
const MARKER = 'init: user land reached';
const LIMIT_MS = 300_000;

interface Run {
  /** from the start of the process */
  initMs: number;
  /** from the start to the guest's power-off */
  endMs: number;
  code: number | null;
  /** what `atInit` found */
  extra: Record<string, number>;
}

/** Runs a machine to its end and notes when init spoke. */
async function boot(command: string, args: string[], atInit?: (pid: number) => Record<string, number>): Promise<Run> {
  const start = performance.now();
  const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], timeout: LIMIT_MS });
  let tail = '';
  let initMs = NaN;
  let extra = {};
  child.stdout.on('data', (chunk: Buffer) => {
    if (!Number.isNaN(initMs)) return;
    tail += chunk.toString('latin1');
    if (tail.includes(MARKER)) {
      initMs = performance.now() - start;
      extra = atInit?.(child.pid!) ?? {};
    }
    tail = tail.slice(-MARKER.length);
  });
  const [code] = (await once(child, 'close')) as [number | null];
  const run = { initMs, endMs: performance.now() - start, code, extra };
  if (Number.isNaN(initMs) || code !== 0) throw new Error(`${command} ended with ${code}, init reached: ${initMs} ms`);
  return run;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '3' }, memory: { type: 'string', default: '256' } },
  });
  await need('qemu-system-x86');
  const image = guestImage();
  const elf = kernelElf(image);
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-bench-'));
  const stats = join(folder, 'stats.json');
  const guest = ['--memory', values.memory, '--initrd', image.initrd];
  const ours = ['cli/main.ts', 'run', '--kernel', image.kernel, ...guest, '--stats', stats].concat([
    ...['--cmdline', 'console=hvc0 xenolith.tour'],
  ]);
  const machine = ['-M', 'microvm', '-accel', 'tcg', '-cpu', 'max', '-m', values.memory, '-nographic', '-no-reboot'];
  const theirs = [...machine, '-kernel', elf, '-initrd', image.initrd].concat([
    ...['-append', `console=ttyS0 tsc_early_khz=${tscKhz()} xenolith.tour`],
  ]);
  const rounds: Record<string, number>[] = [];
  try {
    for (let round = 1; round <= Number(values.rounds); round++) {
      const xenolith = await boot(process.execPath, ours, memory);
      const { mips, instructions } = JSON.parse(readFileSync(stats, 'utf8')) as Record<string, number>;
      const qemu = await boot('qemu-system-x86_64', theirs);
      const result = {
        initMs: xenolith.initMs,
        endMs: xenolith.endMs,
        mips,
        'instructions (10^6)': instructions / 1e6,
        ...xenolith.extra,
        'QEMU initMs': qemu.initMs,
        'QEMU endMs': qemu.endMs,
        'init ratio': xenolith.initMs / qemu.initMs,
      };
      console.error(`round ${round}: init after ${xenolith.initMs.toFixed(0)} ms, QEMU ${qemu.initMs.toFixed(0)} ms`);
      rounds.push(result);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  console.log(`${image.packages[0]}, ${values.memory} MiB, medians of ${rounds.length}:`);
  for (const name of Object.keys(rounds[0])) {
    console.log(
      `${name.padEnd(22)} ${median(rounds.map((round) => round[name]))
        .toFixed(2)
        .padStart(10)}`,
    );
  }
}

await main();
