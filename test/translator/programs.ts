// The same random program in two machines, one of which has no translator: after every slice both must be in the same state.
import assert from 'node:assert/strict';
import { Random } from '../cpu/random.ts';
import { Bed, EXIT, type Start } from './bed.ts';

export interface Pair {
  plain: Bed;
  translated: Bed;
}
export interface Totals {
  retired: number;
  slices: number;
  regions: number;
  /** Programs that came to their end or a fault. */
  halted: number;
  inRegions: number;
  entries: number;
}
export type See = (module: Uint8Array) => void;

/** Slices of a program: the first ones are short, and behind each of them the code where it stands is translated. */
const ASKED = 3;
const SLICES = 10;

/** Runs one program in both; throws with what differs. */
export function compare({ plain, translated }: Pair, start: Start, seed: number, totals: Totals, see?: See): void {
  const r = new Random(seed, 0x5eed);
  plain.load(start);
  translated.load(start);
  for (let i = 0; i < SLICES; i++) {
    const budget = i < ASKED ? r.range(1, 60) : r.chance(0.3) ? r.range(1, 400) : r.range(400, 3000);
    const exits = [plain.run(budget), translated.run(budget)];
    const differs = plain.difference(translated) || (exits[0] !== exits[1] && `exits ${exits}`);
    if (differs) assert.fail(`slice ${i}, budget ${budget}: ${differs}`);
    totals.slices++;
    if (exits[0] !== EXIT.budget) {
      if (exits[0] === EXIT.halt) totals.halted++;
      break;
    }
    if (i < ASKED && translated.translate(see)) totals.regions++;
  }
  const differs = plain.memoryDifference(translated);
  if (differs) assert.fail(differs);
  totals.retired += Number(plain.retired);
}

/** Runs the programs from number `from` on. All are run; those that differ are listed. */
export function compareMany(
  pair: Pair,
  make: (seed: number, n: number) => Start,
  seed: number,
  from: number,
  count: number,
  see?: See,
): Totals {
  const totals: Totals = { retired: 0, slices: 0, regions: 0, halted: 0, inRegions: 0, entries: 0 };
  const failed: string[] = [];
  for (let n = from; n < from + count && failed.length < 10; n++) {
    try {
      compare(pair, make(seed, n), n, totals, see);
    } catch (error) {
      failed.push(`program ${n} of seed ${seed}: ${(error as Error).message}`);
    }
  }
  assert.equal(failed.length, 0, failed.join('\n'));
  const { retired, entries } = pair.translated.counts;
  return { ...totals, entries, inRegions: retired };
}
