// Starts the bench guest under Xenolith or under QEMU's TCG, and reads what its programs say.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { V8_FLAGS } from '../../bin/setup.cjs';
import { BENCH_INIT, benchInitrd } from '../../guests/bench/build.ts';
import { kernelElf } from '../../guests/image/elf.ts';
import { guestImage } from '../../guests/image/index.ts';
import { need } from '../../tools/apt.ts';
import { cpuSeconds, tscKhz } from './host.ts';
import type { Counters, Line } from './xenolith.ts';

export type Kind = 'xenolith' | 'xenolith pv' | 'tcg nehalem' | 'tcg max';

export interface Figure {
  rounds: number;
  /** what the guest measured */
  seconds: number;
  /** processor seconds of the whole process meanwhile */
  cpu: number;
  /** of the host, from the program's first line to its last */
  wall: number;
  /** what the vCPU did meanwhile; Xenolith only */
  counters?: Counters;
}

export interface Run {
  /** seconds from the start of the process to the guest's first process, and processor seconds until then */
  boot: Figure;
  figures: Map<string, Figure>;
}

export interface Files {
  kernel: string;
  elf: string;
  initrd: string;
  packages: string[];
}

export interface Order {
  /** `NAME` or `NAME=ROUNDS` */
  programs: readonly string[];
  memory: number;
  /** ends a guest that does not end itself */
  limitSeconds: number;
  /** called with the process at each line */
  onLine?: (text: string, pid: number) => void;
}

/** What both need, made or installed when missing. */
export async function prepare(tcg: boolean): Promise<Files> {
  await need('gcc', 'libc6-dev', ...(tcg ? ['qemu-system-x86'] : []));
  const image = guestImage();
  return { kernel: image.kernel, elf: kernelElf(image), initrd: benchInitrd(image), packages: image.packages };
}

function start(kind: Kind, files: Files, order: Order): ChildProcess {
  const own = `rdinit=${BENCH_INIT} xenolith.bench=${order.programs.join(',')}`;
  if (kind === 'xenolith' || kind === 'xenolith pv') {
    const type = kind === 'xenolith' ? 'pvh' : 'pv';
    const args = [files.kernel, files.initrd, `console=hvc0 ${own}`, String(order.memory), type];
    return spawn(process.execPath, [...V8_FLAGS, join(import.meta.dirname, 'xenolith.ts'), ...args], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }
  // tsc=reliable: on a busy host the kernel's watchdog would take the TSC for wrong and count ticks, of which some are lost.
  // QEMU goes when this process goes. It warns of every feature that TCG does not have: its complaints are shown on failure only.
  const cpu = kind === 'tcg max' ? 'max' : 'Nehalem';
  const machine = [
    '-M',
    'microvm',
    '-accel',
    'tcg',
    '-cpu',
    cpu,
    '-m',
    String(order.memory),
    '-nographic',
    '-no-reboot',
  ];
  const cmdline = `console=ttyS0 tsc_early_khz=${tscKhz()} tsc=reliable ${own}`;
  const guest = ['-kernel', files.elf, '-initrd', files.initrd, '-append', cmdline];
  const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...machine, ...guest];
  return spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'pipe'] });
}

const difference = (a: Counters, b: Counters): Counters => ({
  instructions: a.instructions - b.instructions,
  hypercalls: a.hypercalls - b.hypercalls,
  halts: a.halts - b.halts,
  io: a.io - b.io,
});

/** Understands the guest's lines; the kernel's are passed over. */
export class Reader {
  readonly figures = new Map<string, Figure>();
  boot: Figure | undefined;
  ended = false;
  #begun: { cpu: number; wall: number; counters?: Counters } | undefined;

  /** `wall` and `cpu` are the process's so far. */
  line(text: string, wall: number, cpu: number, counters?: Counters): void {
    const said = /bench: (.*?)\r?$/.exec(text)?.[1];
    if (said === undefined) return;
    const now = { cpu, wall, ...(counters && { counters }) };
    if (said.includes('failed') || /^[^ ]+: /.test(said)) throw new Error(`the guest says: ${said}`);
    if (said === 'init') this.boot = { rounds: 1, seconds: wall, ...now };
    else if (said === 'end') this.ended = true;
    else if (said.startsWith('begin ')) this.#begun = now;
    else this.#figure(said, now);
  }

  #figure(said: string, now: { cpu: number; wall: number; counters?: Counters }): void {
    const [, name, rounds, seconds] = /^(\S+) (\d+) ([\d.]+) [0-9a-f]{16}$/.exec(said) ?? [];
    const begun = this.#begun;
    if (name === undefined || begun === undefined) throw new Error(`the guest says: ${said}`);
    const { counters } = now;
    this.figures.set(name, {
      rounds: Number(rounds),
      seconds: Number(seconds),
      cpu: now.cpu - begun.cpu,
      wall: now.wall - begun.wall,
      ...(counters && begun.counters && { counters: difference(counters, begun.counters) }),
    });
  }
}

/** One machine from its start to its power-off. */
export async function run(kind: Kind, files: Files, order: Order): Promise<Run> {
  const began = performance.now();
  const child = start(kind, files, order);
  const pid = child.pid!;
  const reader = new Reader();
  const output: string[] = [];
  let failure: Error | undefined;
  const onLine = (text: string, counters?: Counters): void => {
    output.push(text);
    try {
      reader.line(text, (performance.now() - began) / 1000, cpuSeconds(pid), counters);
      order.onLine?.(text, pid);
    } catch (error) {
      failure ??= error as Error;
      child.kill('SIGKILL');
    }
  };
  const limit = setTimeout(() => {
    failure ??= new Error(`the guest did not end within ${order.limitSeconds} s`);
    child.kill('SIGKILL');
  }, order.limitSeconds * 1000);
  child.on('message', ({ text, counters }: Line) => onLine(text, counters));
  let rest = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString('latin1')).split('\n');
    rest = lines.pop()!;
    for (const line of lines) onLine(line);
  });
  child.stderr?.on('data', (chunk: Buffer) => output.push(chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(limit);
  if (failure === undefined && (code !== 0 || !reader.ended)) failure = new Error(`ended with ${code}`);
  if (failure !== undefined || reader.boot === undefined) {
    throw new Error(`${kind}: ${failure?.message}. Its last lines:\n${output.slice(-15).join('\n')}`);
  }
  return { boot: reader.boot, figures: reader.figures };
}
