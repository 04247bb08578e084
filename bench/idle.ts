// `npm run bench idle`: what a guest that sleeps for 10 s costs the host, in processor time.
import '../bin/parent.cjs';
import { prepare, run, type Kind } from './lib/machines.ts';

const MEMORY_MIB = 256;
const LIMIT_SECONDS = 120;
/** Of one core. */
const FLOOR_PERCENT = 1;

const files = await prepare(true);
for (const kind of ['tcg max', 'xenolith'] satisfies Kind[]) {
  const { figures } = await run(kind, files, { programs: ['idle'], memory: MEMORY_MIB, limitSeconds: LIMIT_SECONDS });
  const { cpu, wall, counters } = figures.get('idle')!;
  const percent = (100 * cpu) / wall;
  const did = counters ? `, ${counters.halts} halts, ${counters.instructions} instructions` : '';
  console.log(`${kind.padEnd(12)} ${percent.toFixed(2)} % of a core over ${wall.toFixed(1)} s${did}`);
  if (kind === 'xenolith') process.exitCode = percent < FLOOR_PERCENT ? 0 : 1;
}
