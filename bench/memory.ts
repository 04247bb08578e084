// `npm run bench memory`: all programs in one guest under Xenolith, then the process's peak memory less the machine's own.
import '../bin/parent.cjs';
import { memory } from './lib/host.ts';
import { prepare, run } from './lib/machines.ts';
import { PROGRAMS } from './lib/programs.ts';

const MEMORY_MIB = 256;
const LIMIT_SECONDS = 1800;
/** Beyond the machine's memory, after everything. */
const FLOOR_MIB = 300;

// distinct-code: 2 GiB of it
const programs = PROGRAMS.map(({ name }) => (name === 'distinct-code' ? `${name}=128` : name));
let found = { peakMib: NaN, overheadMib: NaN };
await run('xenolith', await prepare(false), {
  programs,
  memory: MEMORY_MIB,
  limitSeconds: LIMIT_SECONDS,
  onLine: (text, pid) => {
    const name = /bench: begin (\S+)/.exec(text)?.[1];
    if (name) process.stderr.write(`${name} `);
    if (text.includes('bench: end')) found = memory(pid);
  },
});
console.log(`\npeak (VmHWM)                    ${found.peakMib.toFixed(0)} MiB`);
console.log(`less machine memory's resident  ${found.overheadMib.toFixed(0)} MiB, at most ${FLOOR_MIB}`);
process.exitCode = found.overheadMib < FLOOR_MIB ? 0 : 1;
