// `npm run bench xenstore`: requests a second of the store's socket and of Debian's C xenstored, by the same C client, in turn
// on one processor which the server and its clients share. Each figure is the median of several rounds; the ratio is what counts.
import '../bin/parent.cjs';
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '../bin/setup.cjs';
import { need } from '../tools/apt.ts';

const ROUNDS = 7;
const SECONDS = 0.5;
const KINDS = ['read', 'write', 'transaction'] as const;
/** Ratio to the C daemon by number of clients: what must hold, and what is aimed at. */
const FLOORS = new Map([
  [1, 0.7],
  [8, 1],
]);
const GOAL = 1.5;
const PACKAGE = 'xen-utils-4.17';

const here = join(ROOT, 'bench', 'xenstore');
const folder = mkdtempSync(join(tmpdir(), 'xenstore-'));
const run = (command: string, args: string[], cwd = folder): string =>
  execFileSync(command, args, { cwd, encoding: 'utf8' });

/** Debian's daemon, unpacked but not installed: an installed one would start services. */
function daemon(): string {
  const kept = join(ROOT, 'build', 'cache', PACKAGE);
  const [found] = globSync('usr/lib/xen-*/bin/xenstored', { cwd: kept });
  if (found) return join(kept, found);
  run('apt-get', ['-q', 'download', PACKAGE]);
  mkdirSync(kept, { recursive: true });
  run('dpkg-deb', ['-x', globSync(`${PACKAGE}_*.deb`, { cwd: folder })[0]!, kept]);
  return daemon();
}

const compile = (name: string, ...options: string[]): string => {
  const out = join(folder, name);
  run('gcc', ['-O2', '-Wall', ...options, '-o', out, join(here, `${name.replace(/\..*/, '')}.c`)]);
  return out;
};

const cpu = String(availableParallelism() - 1);
const pinned = (command: string, args: string[], env = process.env): ChildProcess =>
  spawn('taskset', ['-c', cpu, command, ...args], { env, stdio: ['ignore', 'ignore', 'inherit'] });

async function until(socket: string): Promise<void> {
  for (const end = Date.now() + 10_000; !existsSync(socket); ) {
    if (Date.now() > end) throw new Error(`nobody serves ${socket}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;

await need('gcc', 'libxen-dev', 'util-linux');
const client = compile('client');
const theirs = pinned(daemon(), ['-N'], {
  ...process.env,
  XENSTORED_RUNDIR: folder,
  LD_PRELOAD: compile('no_xen.so', '-shared', '-fPIC'),
});
const sockets = { xenstored: join(folder, 'socket'), xenolith: join(folder, 'ours') };
const ours = pinned(process.execPath, [join(here, 'server.ts'), sockets.xenolith]);
try {
  for (const socket of Object.values(sockets)) await until(socket);
  const measure = (socket: string, kind: string, clients: number): number =>
    Number(run('taskset', ['-c', cpu, client, socket, kind, String(clients), String(SECONDS)]));
  measure(sockets.xenolith, 'transaction', 1); // compiled code is what a long-running store has
  console.log(`${'clients'.padEnd(8)}${'requests'.padEnd(12)}   xenstored    xenolith  ratio   floor (goal ${GOAL})`);
  let held = true;
  for (const [clients, floor] of FLOORS) {
    for (const kind of KINDS) {
      const rounds = Array.from({ length: ROUNDS }, () => ({
        xenstored: measure(sockets.xenstored, kind, clients),
        xenolith: measure(sockets.xenolith, kind, clients),
      }));
      const ratio = median(rounds.map(({ xenstored, xenolith }) => xenolith / xenstored));
      const rate = (name: keyof typeof sockets) =>
        median(rounds.map((each) => each[name]))
          .toFixed(0)
          .padStart(12);
      held &&= ratio >= floor;
      const [what, verdict] = [`${kind}s`.padEnd(12), ratio >= floor ? '' : '  missed'];
      console.log(
        `${String(clients).padEnd(8)}${what}${rate('xenstored')}${rate('xenolith')}${ratio.toFixed(2).padStart(7)}${floor.toFixed(1).padStart(8)}${verdict}`,
      );
    }
  }
  process.exitCode = held ? 0 : 1;
} finally {
  for (const child of [theirs, ours]) child.kill();
  rmSync(folder, { recursive: true });
}
