// Several guests on one pCPU: each has its share, whatever the others do.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { Host, type Guest } from '../../services/xenops/host.ts';

const MIB = 1 << 20;
const image = loadCore();
const kernel = readFileSync(buildGuest('tick'));

interface Running {
  guest: Guest;
  lines: string[];
}

async function host(
  cmdlines: readonly string[],
  work: (host: Host, guests: Running[]) => Promise<void>,
): Promise<void> {
  const machine = new Machine({ memory: (8 + 3 * cmdlines.length) * MIB }, image);
  const host = new Host(machine);
  let failure: Error | undefined;
  machine.onFailure((error) => (failure = error));
  try {
    const guests = cmdlines.map((cmdline, i) => {
      const lines = [''];
      const console = {
        write: (bytes: Uint8Array): void => {
          const [head, ...rest] = Buffer.from(bytes).toString('latin1').split('\n');
          lines[lines.length - 1] += head;
          lines.push(...rest);
        },
      };
      const plan = buildDomain({ kernel, cmdline, memory: 2 * MIB });
      return { guest: host.create({ name: `tick${i}`, plan, memoryKib: 2048, vcpus: 1, console }), lines };
    });
    await work(host, guests);
    assert.ifError(failure);
  } finally {
    await host.stop();
  }
}

const cpuTime = (host: Host, { guest }: Running): number => Number(host.dom0.domainInfo(guest.domid).cpuTime) / 1e6;

/** Runs the host for so many milliseconds. */
async function pass(host: Host, ms: number): Promise<void> {
  let over = false;
  setTimeout(() => {
    over = true;
    host.machine.ring();
  }, ms);
  await host.run(() => over, AbortSignal.timeout(60_000));
}

/** Types a line and waits for the answer; milliseconds. */
async function answered(host: Host, { guest, lines }: Running): Promise<number> {
  const before = lines.length;
  const start = performance.now();
  guest.console.onInput(Buffer.from('x\n'));
  await host.run(() => lines.length > before, AbortSignal.timeout(60_000));
  return performance.now() - start;
}

test('guests that compute, fault, or call without end have the same share, and one that waits is answered at once', async () => {
  const kinds = ['spin', 'faults', 'calls'];
  const each = 8;
  // Without a place before the others, the one that waits would wait for twelve slices of 5 ms on average.
  const busy = kinds.flatMap((kind) => Array.from({ length: each }, () => kind));
  await host([...busy, 'period=0'], async (host, guests) => {
    const waiting = guests.at(-1)!;
    await host.run(() => guests.every(({ lines }) => lines[0] === 'tick: up'), AbortSignal.timeout(60_000));
    await pass(host, 300); // what is hot is translated
    const before = guests.map((g) => cpuTime(host, g));
    const answers: number[] = [];
    for (let i = 0; i < 20; i++) {
      await pass(host, 80);
      answers.push(await answered(host, waiting));
    }
    const times = busy.map((_, i) => cpuTime(host, guests[i]!) - before[i]!);
    const mean = times.reduce((a, b) => a + b) / busy.length;
    const shown = `answers after ${answers.map((t) => t.toFixed(1)).join(' ')} ms; shares ${times.map((t) => t.toFixed(0)).join(' ')} ms`;
    for (let kind = 0; kind < kinds.length; kind++) {
      const sum = times.slice(kind * each, (kind + 1) * each).reduce((a, b) => a + b);
      assert.ok(Math.abs(sum - each * mean) < 0.3 * each * mean, `${kinds[kind]}: ${shown}`);
    }
    assert.ok(Math.min(...times) > mean / 5, shown);
    assert.ok(answers.toSorted((a, b) => a - b)[10]! < 30, shown);
  });
});
