// `npm run bench scale [COUNT [MIB]]`: so many small guests at once on one host. What each costs, and how long it takes from the request
// for one to the first byte on its console.
import '../bin/parent.cjs';
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { buildGuest } from '../guests/build.ts';
import { loadCore } from '../platform/core.ts';
import { Machine } from '../platform/machine.ts';
import { buildDomain } from '../services/domain_builder/protocol/index.ts';
import { Host, type Guest } from '../services/xenops/host.ts';
import { cpuSeconds } from './lib/host.ts';

const MIB = 1 << 20;
const FLOOR = { ms: 20, mib: 1 };
const TRANCHES = 5;
/** Ten ticks a second each. */
const CMDLINE = 'period=100000';
const SETTLE_SECONDS = 5;

const count = Number(process.argv[2] ?? 500);
const mib = Number(process.argv[3] ?? 4);
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const machine = new Machine({ memory: count * (mib + 0.25) * MIB + 8 * MIB }, loadCore());
machine.onFailure((error) => {
  throw error;
});
const host = new Host(machine);

interface One {
  guest: Guest;
  output: string;
  createMs: number;
  /** this thread's processor time for the creation */
  createCpuMs: number;
  firstByteMs: number;
}

async function create(index: number): Promise<One> {
  const one: One = { guest: undefined as never, output: '', createMs: 0, createCpuMs: 0, firstByteMs: 0 };
  const start = performance.now();
  const write = (bytes: Uint8Array): void => {
    one.firstByteMs ||= performance.now() - start;
    one.output += Buffer.from(bytes).toString('latin1');
  };
  const kernel = readFileSync(buildGuest('tick'));
  const from = performance.now();
  const cpu = process.threadCpuUsage();
  const plan = buildDomain({ kernel, cmdline: CMDLINE, memory: mib * MIB });
  one.guest = host.create({ name: `tick${index}`, plan, memoryKib: mib * 1024, vcpus: 1, console: { write } });
  one.createMs = performance.now() - from;
  const used = process.threadCpuUsage(cpu);
  one.createCpuMs = (used.user + used.system) / 1000;
  await host.run(() => one.firstByteMs > 0, AbortSignal.timeout(20_000));
  if (!one.firstByteMs) throw new Error(`guest ${index} has shown nothing`);
  one.firstByteMs -= from - start;
  return one;
}

/** Lets the host work until `done`, or for so long. */
async function work(seconds: number, done: () => boolean = () => false): Promise<void> {
  let over = false;
  const timer = setTimeout(() => {
    over = true;
    machine.ring();
  }, seconds * 1000);
  await host.run(() => over || done());
  clearTimeout(timer);
}

/** Resident bytes, and those of them that are machine memory: the largest mapping. */
function resident(): { all: number; machine: number } {
  collect();
  const kib = (text: string): number => Number(/^Rss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
  const maps = readFileSync('/proc/self/smaps', 'utf8')
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .map(kib);
  return { all: maps.reduce((sum, n) => sum + n, 0) * 1024, machine: Math.max(...maps) * 1024 };
}

const percentile = (values: readonly number[], p: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * p) - 1]!;
const show = (values: readonly number[]): string =>
  [0.5, 0.9, 0.99, 1].map((p) => percentile(values, p).toFixed(1).padStart(7)).join('');

const first = await create(0);
await work(1);
const before = resident();
const frames = machine.core.frames_free();
const guests: One[] = [];
console.log(`${count} guests of ${mib} MiB, milliseconds            median    90 %    99 %     max`);
for (let tranche = 0; tranche < TRANCHES; tranche++) {
  const to = Math.round(((tranche + 1) * count) / TRANCHES) - 1;
  const made: One[] = [];
  while (guests.length + made.length < to) made.push(await create(guests.length + made.length + 1));
  guests.push(...made);
  const ms = made.map((g) => g.firstByteMs);
  console.log(`  to the ${String(to + 1).padStart(4)}th: request to first byte    ${show(ms)}`);
  console.log(`                 of which creation       ${show(made.map((g) => g.createMs))}`);
  console.log(`                 its processor time      ${show(made.map((g) => g.createCpuMs))}`);
}
const n = guests.length;
const after = resident();
const own = (frames - machine.core.frames_free()) / n - (mib * MIB) / 4096;
const outside = (after.all - after.machine - before.all + before.machine) / n;
const beyond = outside + own * 4096;
console.log(
  `host memory beyond a guest's own: ${(beyond / 1024).toFixed(0)} KiB each (${own.toFixed(1)} frames of machine memory)`,
);

const cpu = cpuSeconds(process.pid);
await work(SETTLE_SECONDS);
const used = (100 * (cpuSeconds(process.pid) - cpu)) / SETTLE_SECONDS;
console.log(`all waiting, ten ticks a second each: ${used.toFixed(0)} % of a core`);

const everybody = [first, ...guests];
const asked = performance.now();
for (const { guest } of everybody) guest.console.onInput(Buffer.from('x\n'));
const answered = (g: One): boolean => /^\d+ x$/m.test(g.output);
await work(20, () => everybody.every(answered));
const silent = everybody.filter((g) => !answered(g)).length;
console.log(
  `a line typed to all of them: ${silent || 'all'} ${silent ? 'silent' : 'answered'} after ${(performance.now() - asked).toFixed(0)} ms`,
);

const started = performance.now();
for (const { guest } of everybody) guest.destroy();
console.log(`destruction: ${((performance.now() - started) / everybody.length).toFixed(2)} ms each`);
await host.stop();
const slow = percentile(
  guests.map((g) => g.firstByteMs),
  0.9,
);
process.exitCode = silent === 0 && slow < FLOOR.ms && beyond < FLOOR.mib * MIB ? 0 : 1;
