// `npm run bench guest -- [NAME[=ROUNDS]…] [--runs N] [--group N] [--quick]`: programs in a Debian guest, under Xenolith and under
// QEMU's TCG in turn. --quick runs Xenolith alone, once, beside TCG's last figure.
import '../bin/parent.cjs';
import { parseArgs } from 'node:util';
import { prepare, run, type Figure, type Files, type Kind } from './lib/machines.ts';
import { BOOT, programNamed, PROGRAMS } from './lib/programs.ts';
import { mipsOf, readRecord, RECORD, rowsOf, table, tcgFigure, writeRecord, type Figures } from './lib/record.ts';

const KINDS: readonly Kind[] = ['xenolith', 'tcg nehalem', 'tcg max'];
const MEMORY_MIB = 256;
const LIMIT_SECONDS = 900;
/** A guest's clock may differ from the host's by this much over a program, and by the time a line takes. */
const CLOCK_TOLERANCE = 0.1;
const LINE_SECONDS = 0.3;

const nameOf = (what: string): string => what.split('=')[0]!;

/** A guest with a wrong clock measures nothing: TCG's gets its frequency from the command line. */
function checkClock(kind: Kind, name: string, figure: Figure): void {
  if (programNamed(name).lateness) return;
  const off = Math.abs(figure.seconds - figure.wall);
  if (off <= figure.wall * CLOCK_TOLERANCE + LINE_SECONDS) return;
  throw new Error(`${kind}, ${name}: ${figure.seconds} s by the guest's clock are ${figure.wall.toFixed(2)} s outside`);
}

async function once(kind: Kind, files: Files, programs: readonly string[]): Promise<[string, Figure][]> {
  const { boot, figures } = await run(kind, files, { programs, memory: MEMORY_MIB, limitSeconds: LIMIT_SECONDS });
  for (const [name, figure] of figures) checkClock(kind, name, figure);
  return [...figures, [BOOT.name, boot]];
}

function note(figures: Figures, kind: Kind, found: [string, Figure][]): void {
  for (const [name, figure] of found) ((figures[name] ??= {})[kind] ??= []).push(figure);
}

/** A few programs a guest, so that the machines take turns often: what else the host does then hits all alike. */
async function compare(programs: readonly string[], runs: number, size: number): Promise<boolean> {
  const files = await prepare(true);
  const figures: Figures = {};
  const groups = Array.from({ length: Math.ceil(programs.length / size) }, (_, i) =>
    programs.slice(i * size, (i + 1) * size),
  );
  let good = true;
  for (let n = 1; n <= runs; n++) {
    for (const group of groups) {
      for (const kind of KINDS) {
        process.stderr.write(`run ${n} of ${runs}, ${kind}: ${group.join(' ') || BOOT.name} … `);
        const start = performance.now();
        try {
          note(figures, kind, await once(kind, files, group));
          process.stderr.write(`${((performance.now() - start) / 1000).toFixed(1)} s\n`);
        } catch (error) {
          good = false;
          process.stderr.write(`\n${(error as Error).message}\n`);
        }
      }
    }
    writeRecord(figures);
  }
  console.log(`${files.packages[0]}, ${MEMORY_MIB} MiB, medians of ${runs}`);
  console.log('ratio = TCG / ours by processor time, of boot and lateness by time; ↓ below the floor\n');
  console.log(table(rowsOf(figures)));
  console.log(`\nwritten to ${RECORD}`);
  return good;
}

/** Per program: what it cost, how fast the vCPU was, and what it did. */
async function quick(programs: readonly string[]): Promise<boolean> {
  const known = readRecord();
  const files = await prepare(false);
  for (const [name, figure] of await once('xenolith', files, programs)) {
    const program = programNamed(name);
    const { seconds, cpu, rounds, counters } = figure;
    const tcg = tcgFigure(program, known[name]);
    const [ours, theirs] = program.waits ? [seconds, tcg?.seconds] : [cpu, tcg?.cpu];
    const beside =
      theirs === undefined
        ? 'no TCG figure yet: run it without --quick'
        : `TCG ${(theirs * rounds).toPrecision(3)} s, ratio ${((theirs * rounds) / ours).toFixed(3)}`;
    const unit = program.lateness ? 's late' : program.waits ? 's' : 's CPU';
    console.log(
      `${name.padEnd(17)}${ours.toPrecision(3).padStart(9)} ${unit} (${seconds.toPrecision(3)} s)   ${beside}`,
    );
    if (!counters) continue;
    const { instructions, hypercalls, halts, io } = counters;
    const rest = `${hypercalls} hypercalls, ${halts} halts, ${io} I/O`;
    console.log(
      `${''.padEnd(17)}${mipsOf(figure)?.toFixed(0)} MIPS, ${(instructions / 1e6).toFixed(1)} million instructions, ${rest}`,
    );
  }
  return true;
}

async function main(): Promise<boolean> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '3' },
      group: { type: 'string', default: '5' },
      quick: { type: 'boolean', default: false },
    },
  });
  for (const what of positionals) programNamed(nameOf(what));
  const wanted = positionals.length > 0 ? positionals : PROGRAMS.map(({ name }) => name);
  const programs = wanted.filter((name) => name !== BOOT.name);
  const number = (name: 'runs' | 'group'): number => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`--${name} takes a whole number from 1, not '${values[name]}'.`);
    return value;
  };
  if (values.quick) return quick(programs);
  return compare(programs, number('runs'), number('group'));
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
