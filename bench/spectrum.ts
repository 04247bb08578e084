// `npm run bench spectrum -- [--runs N]`: one Debian kernel with the same programs as a PV and as a PVH guest, in turn: where in the virtualization
// spectrum what costs how much.
import '../bin/parent.cjs';
import { parseArgs } from 'node:util';
import { median } from './lib/host.ts';
import { prepare, run, type Kind } from './lib/machines.ts';
import { BOOT } from './lib/programs.ts';
import { markdown } from './lib/record.ts';

const MEMORY_MIB = 256;
const LIMIT_SECONDS = 600;
const KINDS: readonly Kind[] = ['xenolith', 'xenolith pv'];

/** What a program shows; `floor`: speed as PV relative to PVH below which something is wrong, and what is aimed at. */
interface Work {
  title: string;
  floor?: number;
  goal?: number;
}
const WORK: Record<string, Work> = {
  [BOOT.name]: { title: 'boot to the first process', floor: 1 / 1.6, goal: 1 / 1.2 },
  integer: { title: 'a program alone' },
  getppid: { title: 'system calls', floor: 0.5, goal: 0.8 },
  pipe: { title: 'context switches', floor: 0.5, goal: 0.8 },
  'page-fault': { title: 'page faults, new mappings', floor: 0.5, goal: 0.8 },
  fork: { title: 'fork, exit, wait' },
  'fork-exec': { title: 'fork, exec, wait' },
};

/** Who does what in the two modes; the rest of the spectrum is not there yet (docs/SUPPORT.md). */
const MODES = [
  ['disk and network', 'paravirtual', 'paravirtual'],
  ['interrupts, timers', 'event channels, hypercalls', 'event channels, hypercalls'],
  ['motherboard, firmware', 'none', 'none'],
  ['privileged instructions', 'hypercalls, emulated', 'executed, ring 0'],
  ['page tables', "machine frames, the hypervisor's checks", "the guest's own, by the p2m"],
];

const seconds = (value: number): string => value.toPrecision(3);

async function main(): Promise<boolean> {
  const { values } = parseArgs({ options: { runs: { type: 'string', default: '3' } } });
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs takes a whole number from 1, not '${values.runs}'.`);
  const files = await prepare(false);
  const programs = Object.keys(WORK).filter((name) => name !== BOOT.name);
  const found = new Map<string, number[]>();
  for (let n = 1; n <= runs; n++)
    for (const kind of KINDS) {
      process.stderr.write(`run ${n} of ${runs}, ${kind === 'xenolith' ? 'PVH' : 'PV'} … `);
      const { boot, figures } = await run(kind, files, { programs, memory: MEMORY_MIB, limitSeconds: LIMIT_SECONDS });
      process.stderr.write('done\n');
      for (const [name, { cpu }] of [...figures, [BOOT.name, boot] as const]) {
        const key = `${kind} ${name}`;
        found.set(key, [...(found.get(key) ?? []), cpu]);
      }
    }
  let good = true;
  const rows = Object.entries(WORK).map(([name, { title, floor, goal }]) => {
    const [pvh, pv] = KINDS.map((kind) => median(found.get(`${kind} ${name}`)!)) as [number, number];
    const speed = pvh / pv;
    const low = floor !== undefined && speed < floor;
    good &&= !low;
    const bound = (value?: number): string => value?.toFixed(2) ?? '';
    return [name, title, seconds(pv), seconds(pvh), `${speed.toFixed(2)}${low ? ' ↓' : ''}`, bound(floor), bound(goal)];
  });
  const head = ['program', 'what', 'PV, CPU s', 'PVH, CPU s', 'PV speed', 'floor', 'goal'];
  console.log(
    `${files.packages[0]}, ${MEMORY_MIB} MiB, medians of ${runs}; PV speed = PVH / PV by processor time, ↓ below the floor\n`,
  );
  console.log(`${markdown(head, rows, 2)}\n`);
  console.log(markdown(['who does it', 'PV', 'PVH'], MODES, 3));
  return good;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
