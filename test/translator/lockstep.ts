// A guest's boot in two deterministic machines, one of which translates: after every slice their processors must be in the same state.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { loadCore, type CoreImage } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { regionCounts, type RegionCounts } from '../../platform/regions.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { Host, type Guest } from '../../services/xenops/host.ts';
import { cpuDifference } from './bed.ts';

const MIB = 1 << 20;

interface Side {
  machine: Machine;
  host: Host;
  guest: Guest;
  cpu: number;
  output: () => Buffer;
}

export interface Boot {
  kernel: string;
  initrd?: string;
  cmdline: string;
  /** MiB */
  memory: number;
}

function side(boot: Boot, image: CoreImage, translate: boolean): Side {
  const initrd = boot.initrd === undefined ? {} : { initrd: readFileSync(boot.initrd) };
  const memory = boot.memory * MIB;
  const plan = buildDomain({ kernel: readFileSync(boot.kernel), ...initrd, cmdline: boot.cmdline, memory });
  const machine = new Machine({ memory: memory + 8 * MIB, deterministic: true, translate }, image);
  const host = new Host(machine);
  const parts: Buffer[] = [];
  const console = { write: (bytes: Uint8Array): void => void parts.push(Buffer.from(bytes)) };
  const guest = host.create({ name: 'test', plan, memoryKib: boot.memory * 1024, vcpus: 1, console });
  const cpu = machine.core.domain_cpu(guest.domid, 0) >>> 0;
  return { machine, host, guest, cpu, output: () => Buffer.concat(parts) };
}

export interface Lockstep {
  instructions: number;
  slices: number;
  outcome: Guest['outcome'];
  output: string;
  counts: RegionCounts;
}

/** The other side's turn and the translated one's: true = there is more to do at once. */
type Turn = (plain: Side, translated: Side) => readonly [boolean, boolean];

const retired = ({ machine, cpu }: Side): number =>
  Number(new DataView(machine.memory.buffer).getBigUint64(cpu + 304, true));

function step({ machine, host }: Side): boolean {
  const more = machine.step();
  host.pump();
  return more;
}

/** Turns to the guest's end, or until `instructions` have retired. Throws behind the first one after which the sides differ. */
async function turns(boot: Boot, instructions: number, begin: (side: Side) => void, turn: Turn): Promise<Lockstep> {
  const image = loadCore();
  const sides = [side(boot, image, false), side(boot, image, true)] as const;
  const [plain, translated] = sides;
  sides.forEach(begin);
  let slices = 0;
  try {
    while (sides.every(({ guest }) => guest.outcome === null) && retired(plain) < instructions) {
      const more = turn(plain, translated);
      slices++;
      const differs = cpuDifference(plain.machine.memory, plain.cpu, translated.machine.memory, translated.cpu);
      assert.equal(differs, '', `turn ${slices}, ${retired(translated)} instructions`);
      assert.equal(more[0], more[1]);
      for (let i = 0; !more[0] && i < 1000 && sides.map(({ host }) => host.pump()).some(Boolean); i++);
    }
    assert.equal(plain.guest.outcome, translated.guest.outcome);
    assert.ok(plain.output().equals(translated.output()), 'the consoles differ');
    const counts = regionCounts(translated.machine.core, 0);
    const output = plain.output().toString();
    return { instructions: retired(plain), slices, outcome: plain.guest.outcome, output, counts };
  } finally {
    for (const { host } of sides) await host.stop();
  }
}

/** Slice by slice. */
export const lockstep = (boot: Boot, instructions = Infinity): Promise<Lockstep> =>
  turns(
    boot,
    instructions,
    () => {},
    (plain, translated) => [step(plain), step(translated)],
  );

/**
 * The translated side runs to the first place behind a region where a slice may end, the other side as many instructions: what they
 * differ in is that region's.
 */
export const regionByRegion = (boot: Boot): Promise<Lockstep> =>
  turns(
    boot,
    Infinity,
    ({ machine }) => {
      machine.core.pcpu_one_run(1);
      machine.core.regions_one_by_one(1);
    },
    (plain, translated) => {
      const more = step(translated);
      // a slice that ends by itself ends so on the other side, too
      plain.machine.core.cpu_stop_at(translated.machine.core.regions_ended_slice() ? retired(translated) : -1);
      return [step(plain), more];
    },
  );
