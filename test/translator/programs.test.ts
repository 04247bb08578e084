// Interpreter and translation agree on random programs, and what is translated touches only what it may.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bed } from './bed.ts';
import { junk, program } from './program.ts';
import { compareMany, type Pair } from './programs.ts';
import { TLB_MASK, checkModule } from './wasm.ts';

const pair = (): Pair => ({ plain: new Bed(false), translated: new Bed(true) });

test('20,000 random programs leave the same state in both tiers, slice by slice', (t) => {
  const found = { state: 0, probes: 0, neighbours: 0, accesses: 0 };
  let modules = 0;
  const totals = compareMany(pair(), program, 1, 0, 20_000, (module) => {
    if (modules++ % 8 === 0) checkModule(module, found);
  });
  const { retired, inRegions, entries } = totals;
  t.diagnostic(`${retired} instructions, ${((100 * inRegions) / retired).toFixed(0)} % in ${totals.regions} regions`);
  assert.ok(inRegions > retired * 0.55, `${inRegions} of ${retired} instructions ran in regions`);
  assert.ok(entries > 1_000_000 && totals.regions > 20_000 && totals.halted > 5_000);
  assert.ok(found.probes > 10_000 && found.neighbours > 100 && found.accesses > found.probes && found.state > 10_000);
});

test('programs that write an instruction on two pages where a region begins', () => {
  // both began in a region whose first instruction lies on two pages, and whose bytes behind the first were written
  for (const [seed, number] of [
    [110, 15166],
    [113, 8856],
  ] as const)
    compareMany(pair(), program, seed, number, 1);
});

test('random bytes as code leave the same state in both tiers, in rings 0 and 3', (t) => {
  const totals = compareMany(pair(), junk, 2, 0, 5_000);
  t.diagnostic(`${totals.retired} instructions, ${totals.regions} regions`);
  assert.ok(totals.regions > 1_500 && totals.inRegions > totals.retired * 0.2);
});

/** Where `pattern` (null: any byte) begins in a module. */
function places(module: Uint8Array, pattern: (number | null)[]): number[] {
  const out: number[] = [];
  for (let i = 0; i + pattern.length <= module.length; i++)
    if (pattern.every((b, j) => b === null || b === module[i + j])) out.push(i);
  return out;
}

test('a module that accesses memory in any other way is refused', () => {
  const modules: Uint8Array[] = [];
  compareMany(pair(), program, 3, 0, 500, (module) => void modules.push(module));
  const refused = (name: string, pattern: (number | null)[], at: number, value: number, most = 100): void => {
    let seen = 0;
    for (const module of modules.slice(0, most)) {
      for (const place of places(module, pattern)) {
        const changed = module.slice();
        changed[place + at] = value;
        assert.throws(
          () => checkModule(changed, { state: 0, probes: 0, neighbours: 0, accesses: 0 }),
          `${name} at ${place}`,
        );
        seen++;
      }
    }
    assert.ok(seen > 5, `${name}: ${seen} places`);
  };
  // a constant of 17 bits is three bytes
  const mask = [0, 7, 14].map((shift) => Number((TLB_MASK >> BigInt(shift)) & 0x7fn) | (shift < 14 ? 0x80 : 0));
  refused('another mask of the table', [0x42, ...mask, 0x83], 2, 0xfe);
  refused('a page of 2 KiB', [0x42, 0x80, 0x60, 0x83], 2, 0x70);
  refused('a smaller probe of 8 bytes', [0x42, 7, 0x7c, 0x42, 0x80, 0x60], 1, 3);
  refused('the tag for execution', [0x29, 0, 0, 0x20, null], 2, 16);
  refused('another addend', [0x28, 0, 24, 0x21], 2, 20);
  refused('an addend in another local', [0x28, 0, 24, 0x21, null], 4, 5);
  refused('no addend', [0xa7, 0x20, null, 0x6a, 0x21], 3, 0x72);
  refused('tags that are equal', [0x42, 0x80, 0x60, 0x83, 0x52], 4, 0x51);
  refused('a load behind its pointer', [0x20, null, 0x31, 0, 0], 4, 1);
  refused('a load through another local', [0x20, null, 0x31, 0, 0], 1, 5);
  refused('a neighbour on a page of 2 KiB', [0x41, 0xff, 0x1f, 0x71], 2, 0x0f, 500);
  refused('a neighbour at the end of its page', [0x41, null, 0x1f, 0x4b], 1, 0xf7, 500);
  refused('a neighbour at another distance', [0x05, 0x20, null, 0x41, null, 0x6a], 4, 0x3f, 500);
  refused('a neighbour of another pointer', [0x05, 0x20, null, 0x41, null, 0x6a], 2, 5, 500);
  refused('the state past its end', [0x20, 0, 0x29, 0, 0x18], 4, 0x80);
});
