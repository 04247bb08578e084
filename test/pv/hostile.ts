// Hostile PV guests (guests/pv/hostile.c, guests/pv32/hostile.c), each in two machines, one of which translates: turn by turn their processors are in the same state, and when a
// guest has ended, or has gone on for long enough, every invariant of the hypervisor holds.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import '../lazy_regions.ts';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { invariants } from '../invariants.ts';
import { cpuDifference } from '../translator/bed.ts';
import { pvGuest } from './bed.ts';
import { pv32Guest } from './bed32.ts';

const TURNS = 300;
/** Turns between two looks at the invariants. */
const LOOK = 10;
/** `how` of a hostile guest is its seed (guests/pv/main.c). */
const FIRST_SEED = 1000;

/** Instructions that `n` guests have retired, from seed `from` on. */
export function hostileGuests(bits: 32 | 64, from: number, n: number): number {
  const image = readFileSync(buildGuest(bits === 64 ? 'pv' : 'pv32'));
  const make = bits === 64 ? pvGuest : pv32Guest;
  const core = loadCore();
  let instructions = 0;
  for (let seed = FIRST_SEED + from; seed < FIRST_SEED + from + n; seed++) {
    // a domain with one vCPU has no translations that are stale; one with two may keep them until it asks
    const [plain, translated] = [false, true].map((translate) => make(image, translate, core, seed, 1 + (seed & 1)));
    const sound = (turn: number): void => {
      for (const { machine } of [plain!, translated!])
        assert.equal(invariants(machine.core), null, `seed ${seed}, turn ${turn}`);
    };
    for (let turn = 0; turn < TURNS && plain!.stopped() === null; turn++) {
      plain!.machine.step();
      translated!.machine.step();
      const differs = cpuDifference(plain!.machine.memory, plain!.cpu, translated!.machine.memory, translated!.cpu);
      assert.equal(differs, '', `seed ${seed}, turn ${turn}`);
      if (turn % LOOK === 0) sound(turn);
    }
    sound(TURNS);
    const view = new DataView(plain!.machine.memory.buffer);
    instructions += Number(view.getBigUint64(plain!.cpu + 304, true));
  }
  return instructions;
}
