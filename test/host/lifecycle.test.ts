// Domains and what becomes of them, in this process: the toolstack over a machine of its own.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { makeElf } from '../../services/domain_builder/protocol/fixtures.ts';
import { Host } from '../../services/xenops/host.ts';
import { domainConfig, parseSettings } from '../../toolstack/config/index.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import { Domains, type Domain, type Happening } from '../../toolstack/host/domains.ts';
import { requestShutdown } from '../../toolstack/host/guest_control.ts';
import { actionFor, LifeCycle } from '../../toolstack/host/lifecycle.ts';
import { endAll } from '../../toolstack/host/service.ts';
import { State } from '../../toolstack/host/state.ts';
import { until } from './bed.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenolith-life-'));
/** Halts with interrupts off: powers off. Loops. Loads an empty IDT and faults: a triple fault. */
const KERNELS = { off: [0xfa, 0xf4], loop: [0xeb, 0xfe], crash: [0x0f, 0x01, 0x1d, 0, 0, 0, 0, 0xcc] };
for (const [name, code] of Object.entries(KERNELS))
  writeFileSync(join(folder, name), makeElf({ code: Uint8Array.from(code) }));

const log: string[] = [];
const dumps: string[] = [];
const stop = new AbortController();
let host: Host;
let state: State;
let domains: Domains;
let lifeCycle: LifeCycle;
let running: Promise<void>;

before(() => {
  host = new Host(new Machine({ memory: 96 << 20 }, loadCore()));
  state = new State(join(folder, 'state'));
  domains = new Domains(host, state, (text) => log.push(text));
  lifeCycle = new LifeCycle(domains, state.paths.dump, async (_domain, path) => void dumps.push(path));
  running = host.run(() => false, stop.signal);
});
after(async () => {
  stop.abort();
  await running;
  await host.stop();
  rmSync(folder, { recursive: true });
});

function create(kernel: keyof typeof KERNELS, lines = '', paused = false): Domain {
  const source = `name="${kernel}"\nkernel="${join(folder, kernel)}"\nmemory=16\n${lines}`;
  const config = domainConfig(parseSettings(source, 'f'), (path) => path);
  return domains.create(config, { source, paused, unattended: false });
}

/** What happens until `enough`. */
async function happenings(begin: () => void, enough: (all: Happening[]) => boolean): Promise<Happening[]> {
  const all: Happening[] = [];
  const unlisten = domains.listen((happening) => all.push(happening));
  begin();
  await until(() => enough(all), `it happens: ${JSON.stringify(all)}`);
  unlisten();
  return all;
}

test('destroyed at its power-off: no frame, no node, no file is left', async () => {
  // The services' own tables grow with the first domain, and stay.
  await happenings(
    () => create('off'),
    (list) => list.at(-1)?.what === 'destroyed',
  );
  const [free, nodes] = [host.machine.core.frames_free(), domains.store.list('/local/domain')];
  const all = await happenings(
    () => create('off'),
    (list) => list.at(-1)?.what === 'destroyed',
  );
  assert.deepEqual(
    all.map(({ what }) => what),
    ['shutdown', 'destroyed'],
  );
  assert.deepEqual([all[0]!.reason, all[0]!.action], [0, 'destroy']);
  await until(() => host.machine.core.frames_free() === free, 'the frames come back');
  assert.deepEqual(domains.store.list('/local/domain'), nodes);
  assert.deepEqual(readdirSync(state.paths.domains), []);
});

test('a crash: reported, dumped, started again with the same UUID, not more than once a second', async () => {
  const start = Date.now();
  const first = create('crash', 'on_crash="coredump-restart"');
  const { uuid } = first.guest.description;
  const all = await happenings(
    () => {},
    (list) => list.filter(({ what }) => what === 'restarted').length === 2,
  );
  assert.ok(Date.now() - start >= 1900, 'a second each');
  assert.ok(dumps.length >= 2);
  assert.match(dumps[0]!, /crash\.\d+\.core$/);
  const next = [...domains].find(({ name }) => name === 'crash')!;
  assert.equal(next.guest.description.uuid, uuid);
  assert.equal(all.find(({ what }) => what === 'restarted')!.successor, first.domid + 1);
  assert.ok(
    log.some((line) => line.includes(`domain ${first.domid} crashed: triple fault`)),
    log.join('\n'),
  );
  // Destroyed while it waits: that is the end of it.
  await until(() => next.ended !== undefined, 'it has crashed again');
  domains.destroy(next.domid);
  await new Promise((resolve) => setTimeout(resolve, 1200));
  assert.equal(domains.size, 0);
});

test('every reason has its action', () => {
  const config = create(
    'loop',
    'on_poweroff="preserve"\non_reboot="destroy"\non_watchdog="rename-restart"',
    true,
  ).config;
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 77].map((reason) => actionFor(config, reason)),
    ['preserve', 'destroy', 'preserve', 'destroy', 'rename-restart', 'soft-reset', 'destroy'],
  );
  domains.destroy(domains.named('loop')!);
});

test('what cannot be is refused, and nothing is left of it', () => {
  const free = host.machine.core.frames_free();
  const refused = (begin: () => unknown, sentence: RegExp) =>
    assert.throws(begin, (error) => error instanceof Refused && sentence.test(error.message));
  refused(() => create('loop', 'memory=900'), /MiB free, and the domain needs 9\d\d/);
  refused(() => create('loop', `kernel="${folder}/nothing"`), /there is no such file/);
  const one = create('loop', '', true);
  refused(() => create('loop'), /already exists: give another name/);
  refused(() => create('off', `uuid="${one.guest.description.uuid}"`), /UUID .* exists already/);
  refused(() => domains.rename(one.domid, 'a/b'), /no name for a domain/);
  refused(() => domains.find(0), /Domain-0 is the host itself/);
  domains.destroy(one.domid);
  refused(() => domains.destroy(one.domid), /does not exist/);
  assert.equal(host.machine.core.frames_free(), free);
});

test('a shutdown is a request, which the guest answers by clearing it', async () => {
  const { domid } = create('loop');
  const path = `/local/domain/${domid}/control/shutdown`;
  const asked = requestShutdown(domains, domid, 'reboot');
  assert.equal(domains.store.read(path), 'reboot');
  domains.store.write(path, '');
  await asked;
  domains.destroy(domid);
});

test('the end of a host: who knows how is asked and waited for, the others are destroyed', async () => {
  const [deaf, good] = [create('loop', 'name="deaf"'), create('loop', 'name="good"')];
  const path = `/local/domain/${good.domid}/control`;
  domains.store.write(`${path}/feature-poweroff`, '1');
  const unwatch = domains.store.watch(`${path}/shutdown`, () => {
    if (domains.store.find(`${path}/shutdown`) === 'poweroff') domains.destroy(good.domid);
  });
  const start = Date.now();
  await endAll(domains, lifeCycle, 20_000);
  assert.ok(Date.now() - start < 10_000, 'it does not wait for the deaf one');
  assert.equal(domains.size, 0);
  assert.equal(domains.store.find(`/local/domain/${deaf.domid}`), undefined);
  unwatch();

  const stubborn = create('loop', 'name="stubborn"');
  domains.store.write(`/local/domain/${stubborn.domid}/control/feature-poweroff`, '1');
  await endAll(domains, lifeCycle, 200);
  assert.equal(domains.size, 0);
  assert.equal(existsSync(join(state.paths.domains, `${stubborn.domid}.json`)), false);
});
