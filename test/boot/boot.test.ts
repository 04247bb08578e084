// Guests from their first instruction to their end, through the same classes as `xenolith run`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildGuest, guestNames } from '../../guests/build.ts';
import { guestImage } from '../../guests/image/index.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { LOG_CONSOLE } from '../../core/hypervisor/log_codes.ts';
import { CpuState } from '../../services/report/cpu_state.ts';
import { consoleText, LogReader } from '../../services/report/log_reader.ts';
import { Host, type Outcome } from '../../services/xenops/host.ts';

const MIB = 1 << 20;

interface Run {
  output: string;
  /** What it wrote with console_io. */
  log: string;
  outcome: Outcome | null;
  instructions: bigint;
}

async function boot(
  kernel: string,
  cmdline: string,
  options: { initrd?: string; memory: number; deterministic?: boolean },
): Promise<Run> {
  const initrd = options.initrd === undefined ? {} : { initrd: readFileSync(options.initrd) };
  const plan = buildDomain({ kernel: readFileSync(kernel), ...initrd, cmdline, memory: options.memory * MIB });
  const machine = new Machine(
    { memory: (options.memory + 8) * MIB, deterministic: options.deterministic ?? false },
    loadCore(),
  );
  const host = new Host(machine);
  const parts: Uint8Array[] = [];
  try {
    const console = { write: (bytes: Uint8Array): void => void parts.push(bytes.slice()) };
    const guest = host.create({ name: 'test', plan, memoryKib: options.memory * 1024, vcpus: 1, console });
    await host.run(() => guest.outcome !== null, AbortSignal.timeout(120_000));
    while (host.pump());
    const { retired } = new CpuState(machine.memory, machine.core.domain_cpu(guest.domid, 0) >>> 0);
    const log = new LogReader(machine)
      .read()
      .map((r) => (r?.type === LOG_CONSOLE ? consoleText(r) : ''))
      .join('');
    const result = { log, output: Buffer.concat(parts).toString(), outcome: guest.outcome, instructions: retired };
    guest.destroy();
    return result;
  } finally {
    await host.stop();
  }
}

const failures = (output: string): string[] => [...output.matchAll(/^FAIL ([\w.]+)/gm)].map(([, name]) => name!);

test('the unikernel powers off; its checks of events, grants, timer and xenstore pass', async () => {
  const run = await boot(buildGuest('unikernel'), 'test=all', { memory: 64 });
  assert.equal(run.outcome, 'poweroff');
  assert.deepEqual(failures(run.output), []);
  assert.match(run.output, /done 2\d\d passed/);
});

test('a guest that does not set its watchdog again is stopped by it', async () => {
  const run = await boot(buildGuest('unikernel'), 'test=idle watchdog', { memory: 32 });
  assert.equal(run.outcome, 'watchdog');
  assert.deepEqual(failures(run.output), []);
});

test('Debian boots, shows where it runs and powers off', async () => {
  const { kernel, initrd } = guestImage();
  const run = await boot(kernel, 'console=hvc0 xenolith.tour', { initrd, memory: 256 });
  assert.equal(run.outcome, 'poweroff');
  assert.match(run.output, /Hypervisor detected: Xen HVM/);
  assert.match(run.output, /# cat \/sys\/hypervisor\/type\s+xen/);
  assert.match(run.output, /tour: done/);
});

test('two deterministic boots of Debian give the same bytes and the same number of instructions', async () => {
  const { kernel, initrd } = guestImage();
  const run = () => boot(kernel, 'console=hvc0 xenolith.tour', { initrd, memory: 128, deterministic: true });
  const once = await run();
  const again = await run();
  assert.equal(once.outcome, 'poweroff');
  assert.equal(again.output, once.output);
  assert.equal(again.instructions, once.instructions);
});

test('two pCPUs run two unikernels at once, undisturbed', async () => {
  const kernel = readFileSync(buildGuest('unikernel'));
  const machine = new Machine({ memory: 2 * 40 * MIB, pcpus: 2 }, loadCore());
  const host = new Host(machine);
  try {
    const guests = ['one', 'two'].map((name) => {
      const plan = buildDomain({ kernel, cmdline: 'test=all', memory: 32 * MIB });
      let output = '';
      const console = { write: (bytes: Uint8Array): void => void (output += Buffer.from(bytes).toString('latin1')) };
      return { guest: host.create({ name, plan, memoryKib: 32 * 1024, vcpus: 1, console }), output: () => output };
    });
    await host.run(() => guests.every(({ guest }) => guest.outcome !== null), AbortSignal.timeout(60_000));
    while (host.pump());
    for (const { guest, output } of guests) {
      assert.equal(guest.outcome, 'poweroff');
      assert.deepEqual(failures(output()), []);
      assert.match(output(), /done 2\d\d passed/);
    }
  } finally {
    await host.stop();
  }
});

for (const name of guestNames().filter((n) => n.startsWith('asm/')))
  test(`${name}: what the manual says holds`, async (t) => {
    const run = await boot(buildGuest(name), '', { memory: 64 });
    assert.equal(run.outcome, 'poweroff', run.log.slice(-400));
    assert.match(run.log, /^done /m);
    assert.deepEqual(failures(run.log), []);
    t.diagnostic(`${run.log.match(/^ok /gm)?.length ?? 0} checks hold`);
  });
