// Traces and profiles of the unikernel: what they say is what it did.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { buildGuest } from '../../guests/build.ts';
import { loadCore } from '../../platform/core.ts';
import { Machine, type MachineOptions } from '../../platform/machine.ts';
import { buildDomain } from '../../services/domain_builder/protocol/index.ts';
import { LogReader } from '../../services/report/log_reader.ts';
import { folded, Profile, type ProfileResult } from '../../services/report/profile.ts';
import { Statistics, type Stats } from '../../services/report/statistics.ts';
import { TraceFile } from '../../services/report/trace_file.ts';
import { readSymbols } from '../../services/symbols/protocol/files.ts';
import { Host } from '../../services/xenops/host.ts';

const MIB = 1 << 20;
const folder = mkdtempSync(join(tmpdir(), 'xenolith-look-'));
after(() => rmSync(folder, { recursive: true }));

async function run(cmdline: string, options: Partial<MachineOptions>, attach: (host: Host) => void): Promise<Stats> {
  const machine = new Machine({ memory: 72 * MIB, ...options }, loadCore());
  const host = new Host(machine);
  const statistics = new Statistics(machine);
  attach(host);
  try {
    const plan = buildDomain({ kernel: readFileSync(buildGuest('unikernel')), cmdline, memory: 64 * MIB });
    const guest = host.create({ name: 'looked-at', plan, memoryKib: 64 * 1024, vcpus: 1 });
    await host.run(() => guest.outcome !== null, AbortSignal.timeout(60_000));
    while (host.pump());
    assert.equal(guest.outcome, 'poweroff');
    statistics.end(guest.domid, 'poweroff');
    return statistics.result() as Stats;
  } finally {
    await host.stop();
  }
}

interface Event {
  name: string;
  ph: string;
  pid: number;
  tid: number;
  ts: number;
  dur: number;
  args: Record<string, unknown>;
}

test('a trace file has the hypercalls, events, upcalls and halts that the guest made', async () => {
  const path = join(folder, 'trace.json');
  const trace = new TraceFile(path);
  const stats = await run('test=all', { trace: trace.machineOptions }, (host) => {
    trace.attach(host);
    trace.span({ thread: 'compiler', name: 'region', start: 10, duration: 5, args: { bytes: 100 } });
  });
  trace.close();
  const events = JSON.parse(readFileSync(path, 'utf8')) as Event[];
  const processes = events.filter((e) => e.name === 'process_name');
  const { pid } = processes.find((e) => e.args.name === 'domain 1')!;
  const guest = events.filter((e) => e.pid === pid && e.ph !== 'M');
  const named = (name: string): Event[] => guest.filter((e) => e.name === name);
  const counts = Object.entries(stats.hypercalls);
  assert.ok(counts.length > 5);
  for (const [name, count] of counts) assert.equal(named(name).length, count, name);
  assert.equal(named('upcall').length, stats.interrupts.upcall);
  assert.equal(named('interrupt').length, stats.interrupts.other);
  assert.equal(named('guest code').filter((e) => e.args.exit === 'halt').length, stats.exits.hlt);
  assert.equal(
    named('guest code').reduce((sum, e) => sum + Number(e.args.instructions), 0),
    stats.instructions,
  );
  assert.ok(named('blocked').length > 0);
  assert.ok(guest.some((e) => /EVTCHNOP_send, \{port: \d+\}/.test(String(e.args?.call))));
  assert.ok(events.some((e) => e.name === 'region' && e.dur === 0.005));
  nested(guest.filter((e) => e.ph === 'X'));
});

/** Stretches of one track lie side by side or one in the other, else viewers draw nonsense. */
function nested(spans: Event[]): void {
  const open: Event[] = [];
  const end = (e: Event): number => e.ts + e.dur;
  for (const e of spans.sort((a, b) => a.ts - b.ts || b.dur - a.dur)) {
    while (open.length > 0 && end(open.at(-1)!) <= e.ts + SLACK_US) open.pop();
    const around = open.at(-1);
    if (around) assert.ok(end(e) <= end(around) + SLACK_US, `${JSON.stringify(e)} leaves ${JSON.stringify(around)}`);
    open.push(e);
  }
}
/** Times are fractions of a microsecond in binary. */
const SLACK_US = 0.01;

async function profiled(options: Partial<MachineOptions>): Promise<ProfileResult> {
  const profile = new Profile();
  let log!: LogReader;
  let timer!: NodeJS.Timeout;
  const drain = (): void => log.read().forEach((record) => profile.add(record));
  await run('spin=250 test=version', options, (host) => {
    log = new LogReader(host.machine);
    timer = setInterval(drain, 10);
  });
  clearInterval(timer);
  drain();
  return profile.result(readSymbols(readFileSync(buildGuest('unikernel'))));
}

test('a profile says where the guest spent its time, with its callers', async () => {
  const start = performance.now();
  const result = await profiled({ profile: 1999 });
  const seconds = (performance.now() - start) / 1000;
  const parts = Object.values(result.parts);
  assert.equal(
    parts.reduce((sum, n) => sum + n, 0),
    result.total,
  );
  assert.ok(result.total > 50 && result.total < 1999 * seconds * 1.1 + 50, `${result.total} in ${seconds} s`);
  assert.equal(result.lost, 0);
  assert.equal(result.top.filter(({ part }) => part !== 'idle')[0]!.name, 'spin');
  assert.match(folded(result), /^kernel;guest_main;spin \d+$/m);
});

test('in virtual time samples are taken by instructions: equal runs have equal profiles', async () => {
  const [once, again] = [
    await profiled({ profile: 997, deterministic: true }),
    await profiled({ profile: 997, deterministic: true }),
  ];
  assert.ok(once.total > 100);
  assert.equal(folded(once), folded(again));
});
