// Guests of ours with a disk each (guests/blk): good ones that count what they do, and hostile ones beside them.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { Host, type Guest } from '../../services/xenops/host.ts';
import { invariants } from '../invariants.ts';

const MIB = 1 << 20;
const MEMORY = 4 * MIB;
const DISK = MIB;

interface Player {
  guest: Guest;
  hostile: boolean;
  /** Hundreds of requests that a good one has done, or steps that a hostile one has. */
  dots: number;
  again: number;
  output: string;
}

export interface Beside {
  good: number;
  hostile: number;
  /** Of good ones alone, and with the hostile ones, in turn. */
  rounds: number;
  span: number;
  seed: number;
  /** The hostile ones go on until they have been given up so often, or for a minute. */
  again?: number;
}

export interface Outcome {
  /** Hundreds of requests that all good ones did in a span: alone, and beside the hostile ones. */
  alone: number[];
  beside: number[];
  /** Of each good one, in all spans. */
  each: { alone: number; beside: number }[];
  steps: number;
  /** How often the hostile ones were given up and began again. */
  again: number;
}

class Bed {
  readonly #folder = mkdtempSync(join(tmpdir(), 'xenolith-blk-'));
  readonly #image = readFileSync(buildGuest('blk'));
  readonly host: Host;
  readonly players: Player[] = [];
  readonly log: string[] = [];
  failure: Error | undefined;

  constructor(guests: number) {
    const machine = new Machine({ memory: guests * (MEMORY + MIB / 2) + 16 * MIB }, loadCore());
    machine.onFailure((error) => (this.failure = error));
    this.host = new Host(machine);
    this.host.disks.log = (text) => void this.log.push(text);
  }

  async create(hostile: boolean, seed: number): Promise<Player> {
    const path = join(this.#folder, `disk${seed}`);
    writeFileSync(path, new Uint8Array(DISK));
    const vdev = { vdev: 'xvda', number: 51712, cdrom: false, discard: true, sectorSize: 512 };
    const disks = await this.host.disks.open([{ ...vdev, image: { path, format: 'raw', readonly: false } }]);
    const cmdline = `${hostile ? 'hostile' : 'work'} seed=${seed}`;
    const plan = buildDomain({ kernel: this.#image, cmdline, memory: MEMORY });
    const player: Player = { guest: undefined as never, hostile, dots: 0, again: 0, output: '' };
    const write = (bytes: Uint8Array): void => {
      const text = Buffer.from(bytes).toString('latin1');
      player.dots += text.split('.').length - 1;
      player.again += text.split('again').length - 1;
      player.output = (player.output + text).slice(-200);
    };
    player.guest = this.host.create({ name: `blk${seed}`, plan, memoryKib: MEMORY / 1024, vcpus: 1, console: { write }, disks }); // prettier-ignore
    this.players.push(player);
    return player;
  }

  /** Lets the host work for so many milliseconds. */
  async pass(ms: number): Promise<void> {
    let over = false;
    setTimeout(() => {
      over = true;
      this.host.machine.ring();
    }, ms);
    await this.host.run(() => over || this.failure !== undefined);
    assert.ifError(this.failure);
  }

  async close(): Promise<void> {
    await this.host.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const LONGEST_MS = 60_000;

export async function beside({ good, hostile, rounds, span, seed, again = 0 }: Beside): Promise<Outcome> {
  const bed = new Bed(good + hostile);
  try {
    const { dom0 } = bed.host;
    const goods: Player[] = [];
    for (let i = 0; i < good; i++) goods.push(await bed.create(false, seed + i));
    const bads: Player[] = [];
    for (let i = 0; i < hostile; i++) bads.push(await bed.create(true, seed + 1000 + i));
    for (const { guest } of bads) dom0.pause(guest.domid);
    await bed.pass(span / 4);
    const outcome: Outcome = { alone: [], beside: [], each: goods.map(() => ({ alone: 0, beside: 0 })), steps: 0, again: 0 }; // prettier-ignore
    for (let round = 0; round < rounds; round++)
      for (const kind of ['alone', 'beside'] as const) {
        if (kind === 'beside') for (const { guest } of bads) dom0.unpause(guest.domid);
        await bed.pass(span / 8);
        const before = goods.map(({ dots }) => dots);
        await bed.pass(span);
        const done = goods.map(({ dots }, i) => dots - before[i]!);
        outcome[kind].push(done.reduce((a, b) => a + b, 0));
        done.forEach((n, i) => (outcome.each[i]![kind] += n));
        if (kind === 'beside') for (const { guest } of bads) dom0.pause(guest.domid);
      }
    const given = (): number => bads.reduce((sum, bad) => sum + bad.again, 0);
    for (const { guest } of bads) dom0.unpause(guest.domid);
    for (const end = Date.now() + LONGEST_MS; given() < again && Date.now() < end; ) await bed.pass(span / 4);
    for (const { guest, output } of goods) {
      assert.equal(guest.outcome, null, output);
      assert.doesNotMatch(output, /WRONG|no disk/);
    }
    for (const { dots } of bads) outcome.steps += 100 * dots;
    assert.ok(outcome.steps > 0, bed.log.join('\n'));
    outcome.again = given();
    assert.equal(bed.host.disks.service!.supervisor.restarts, 0, bed.log.join('\n'));
    for (const { guest } of bed.players) guest.destroy();
    await bed.pass(50);
    await bed.host.disks.stop();
    assert.equal(invariants(bed.host.machine.core), null);
    return outcome;
  } finally {
    await bed.close();
  }
}
