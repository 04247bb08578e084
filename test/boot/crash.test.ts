// Guests that end badly: each takes its own domain with it and nothing else, and leaves a report.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { crashReport } from '../../services/report/crash.ts';
import { Host, type Guest } from '../../services/xenops/host.ts';

const MIB = 1 << 20;
const image = loadCore();
const kernel = readFileSync(buildGuest('unikernel'));

interface Ended {
  outcome: string | null;
  output: string;
  /** of a domain that crashed */
  report: string;
}

/** Runs guests at the same time on one pCPU, each with its command line, for at most `ms`. */
async function together(cmdlines: string[], ms = 60_000): Promise<Ended[]> {
  const machine = new Machine({ memory: cmdlines.length * 36 * MIB }, image);
  const host = new Host(machine);
  let failure: Error | undefined;
  machine.onFailure((error) => (failure = error));
  try {
    const outputs = cmdlines.map(() => '');
    const guests = cmdlines.map((cmdline, i): Guest => {
      const plan = buildDomain({ kernel, cmdline, memory: 32 * MIB });
      const console = {
        write: (bytes: Uint8Array): void => void (outputs[i] += Buffer.from(bytes).toString('latin1')),
      };
      return host.create({ name: `g${i}`, plan, memoryKib: 32 * 1024, vcpus: 1, console });
    });
    await host.run(() => failure !== undefined || guests.every((g) => g.outcome !== null), AbortSignal.timeout(ms));
    while (host.pump());
    assert.ifError(failure);
    return guests.map(({ outcome, domid }, i) => ({
      outcome,
      output: outputs[i],
      report: outcome === 'crash' ? crashReport(machine, domid) : '',
    }));
  } finally {
    await host.stop();
  }
}

/** What the report of each way to end says. */
const WAYS: [string, RegExp][] = [
  [
    'panic',
    /crashed: the guest reported a crash itself .*\n {2}rip [\s\S]*sched_op\(SCHEDOP_shutdown, {reason: 3}\) = 0\n$/,
  ],
  ['exception', /crashed: the guest reported a crash itself/],
  [
    'triple',
    /crashed: triple fault[\s\S]*\n {2}at rip: 0f0b {2}ud2\n {2}last hypercalls, .*now:\n( {4}\w+\(.*\) = \S+\n)+$/,
  ],
  ['jump', /crashed: triple fault[\s\S]* {2}rip 00000000f8000000 [\s\S]*at rip: nothing is mapped there\n/],
  ['hypercalls', /crashed: the guest reported a crash itself/],
  ['multicalls', /crashed: the guest reported a crash itself[\s\S]*multicall\(/],
];

test('a crash is its own domain’s: another goes on and passes its checks; the report says why, where and what was last', async () => {
  const [good, ...bad] = await together([
    'test=version,memory,events,grants,xenstore',
    ...WAYS.map(([how]) => `crash=${how}`),
  ]);
  assert.equal(good.outcome, 'poweroff', good.output.slice(-300));
  assert.match(good.output, /done 1\d\d passed, 0 failed/);
  WAYS.forEach(([how, report], i) => {
    assert.equal(bad[i].outcome, 'crash', `${how}: ${bad[i].output}`);
    assert.match(bad[i].report, report, how);
    for (const name of ['rax', 'rsp', 'r15', 'cr3', 'efer', 'cs'])
      assert.match(bad[i].report, new RegExp(`\\b${name} +[0-9a-f]+`));
  });
  for (const [i, how] of [
    [4, 'hypercalls'],
    [5, 'multicalls'],
  ] as const)
    assert.match(bad[i].output, new RegExp(`${how} survived`));
});

test('random bytes executed with random registers harm nobody else', async () => {
  const seeds = Array.from({ length: 10 }, (_, seed) => `crash=garbage seed=${seed}`);
  const [good, ...bad] = await together(['test=events,grants,xenstore', ...seeds], 10_000);
  assert.equal(good.outcome, 'poweroff', good.output.slice(-300));
  assert.match(good.output, / 0 failed/);
  // Some may run in circles.
  const crashed = bad.filter(({ outcome }) => outcome === 'crash');
  assert.ok(crashed.length >= 5, `${crashed.length}`);
  for (const { report } of crashed) assert.match(report, /crashed: triple fault[\s\S]*at rip: \S+/);
});
