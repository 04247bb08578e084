// A host under attack: two hostile guests at a time, one in 64-bit and one in 32-bit code, and a victim that must not notice.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { buildGuest } from '../../guests/build.ts';
import { loadCore, type CoreImage } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { Host, type Guest } from '../../services/xenops/host.ts';
import { invariants } from '../invariants.ts';
import { fuzzTable } from './table.ts';
import type { RacerData } from './racer.ts';

const MIB = 1 << 20;
const GUEST_MIB = 16;
/** Frames of guests/fuzz/fuzz.h. */
const VICTIM_STATUS = 0xa00;
const VICTIM_RACED = 0xa10;
const RACED_PAGES = 4;
const COUNTER = 0x20008;
/** A fuzzer that makes no call for so long sleeps for good, has taken its vCPU down or has lost its counter (ms). */
const PATIENCE = 1500;
const LOOK_MS = 10;

export interface Fuzzed {
  calls: number;
  /** Fuzzers that came to their end, that ended themselves before, and that slept. */
  finished: number;
  ended: number;
  slept: number;
  /** Rounds of the victim over its memory. */
  rounds: number;
}

class Fuzzer {
  readonly guest: Guest;
  readonly #host: Host;
  readonly #goal: number;
  calls = 0;
  #seen = performance.now();

  constructor(host: Host, guest: Guest, goal: number) {
    [this.#host, this.guest, this.#goal] = [host, guest, goal];
  }

  /** What has become of it. */
  look(now: number): 'runs' | 'finished' | 'ended' | 'slept' {
    const { memory, core } = this.#host.machine;
    const at = core.domain_frame(this.guest.domid, COUNTER) >>> 0;
    const calls = at === 0 ? this.calls : new Uint32Array(memory.buffer, at, 1)[0];
    // It may have put another page in the counter's place.
    if (calls > this.calls && calls <= this.#goal) {
      this.calls = calls;
      this.#seen = now;
    }
    if (this.guest.outcome !== null) return this.calls === this.#goal ? 'finished' : 'ended';
    return now - this.#seen > PATIENCE ? 'slept' : 'runs';
  }
}

/** Makes at least `calls` hypercalls, `each` a guest. Throws with the first thing that is not as it must be. */
export async function fuzzHost(
  calls: number,
  each: number,
  seed: number,
  image: CoreImage = loadCore(),
): Promise<Fuzzed> {
  const machine = new Machine({ memory: 6 * GUEST_MIB * MIB }, image);
  const host = new Host(machine);
  let failure: Error | undefined;
  machine.onFailure((error) => (failure = error));
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const looks = setInterval(() => machine.ring(), LOOK_MS);
  let racer: Worker | undefined;
  const result: Fuzzed = { calls: 0, finished: 0, ended: 0, slept: 0, rounds: 0 };
  try {
    const create = (kernel: string, cmdline: string, initrd?: Uint8Array): Guest => {
      const image = readFileSync(buildGuest(kernel));
      const plan = buildDomain({ kernel: image, cmdline, memory: GUEST_MIB * MIB, ...(initrd && { initrd }) });
      return host.create({ name: kernel, plan, memoryKib: GUEST_MIB * 1024, vcpus: 1 });
    };
    const until = async (done: () => boolean): Promise<void> => {
      await host.run(() => failure !== undefined || done(), AbortSignal.timeout(3_600_000));
      assert.ifError(failure);
    };
    const victim = create('fuzz', '');
    const frameOf = (gfn: number): number => machine.core.domain_frame(victim.domid, gfn) >>> 0;
    const status = (): Uint32Array => new Uint32Array(machine.memory.buffer, frameOf(VICTIM_STATUS), 3);
    await until(() => frameOf(VICTIM_STATUS) !== 0 && status()[0] > 0);
    const pages = Array.from({ length: RACED_PAGES }, (_, i) => frameOf(VICTIM_RACED + i));
    const workerData: RacerData = { memory: machine.memory, pages, stop };
    racer = new Worker(new URL('./racer.ts', import.meta.url), { workerData });
    const unharmed = (): void => {
      assert.ifError(failure);
      assert.equal(invariants(machine.core), null);
      const [, changes, at] = status();
      assert.equal(changes, 0, `the victim's memory at 0x${at.toString(16)} has changed`);
      assert.equal(victim.outcome, null, 'the victim has ended');
    };

    const tables = { fuzz: fuzzTable(false), fuzz32: fuzzTable(true) };
    const start = (kernel: 'fuzz' | 'fuzz32'): Fuzzer =>
      new Fuzzer(host, create(kernel, `fuzz=${seed++} calls=${each} victim=${victim.domid}`, tables[kernel]), each);
    const running = new Map<'fuzz' | 'fuzz32', Fuzzer>();
    const settled = (): number => {
      assert.equal(running.size, 0);
      unharmed();
      return machine.core.frames_free();
    };
    let free: number | undefined;
    while (result.calls < calls) {
      for (const kernel of ['fuzz', 'fuzz32'] as const) running.set(kernel, start(kernel));
      // Both of them to their end, so that whatever they had must have come back.
      while (running.size > 0) {
        const over = (): boolean => [...running.values()].some((f) => f.look(performance.now()) !== 'runs');
        await until(over);
        for (const [kernel, fuzzer] of running) {
          const state = fuzzer.look(performance.now());
          if (state === 'runs') continue;
          result[state]++;
          result.calls += fuzzer.calls;
          fuzzer.guest.destroy();
          running.delete(kernel);
          unharmed();
        }
      }
      free ??= settled();
      assert.equal(settled(), free, 'frames are missing');
    }
    result.rounds = status()[0];
    return result;
  } finally {
    Atomics.store(stop, 0, 1);
    Atomics.notify(stop, 0);
    clearInterval(looks);
    await racer?.terminate();
    await host.stop();
  }
}
