// `npm run bench xenapi`: XenAPI at scale, on a simulated host with 10,000 VMs and 20,000 VBDs and VIFs: start-up, clients that ask for
// very much at a time, clients that wait for events while 100 objects a second change, and a thousand tasks at once. Pauses are those
// of the server's event loop.
import '../bin/parent.cjs';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { dump, openDatabase, restore } from '../toolstack/xenapi/database/open.ts';
import { HttpServer } from '../toolstack/xenapi/rpc/http.ts';
import { ROOT as ROOT_USER, Users } from '../toolstack/xenapi/session/users.ts';
import { VM_RECORD } from '../toolstack/xenapi/testing.ts';
import { Xapi } from '../toolstack/xenapi/xapi.ts';
import { Simulator } from '../toolstack/xenapi/xenops/simulator.ts';
import { xenapiPaths } from '../toolstack/xenapi/server.ts';
import { Simulated } from '../test/xenapi/bed.ts';
import type { Job, Order, Result } from './xenapi/client.ts';

const VMS = 10_000;
const CHANGES_PER_SECOND = 100;
const SECONDS = 8;
const STORM = 1000;
const PASSWORD = 'bench';

/** The most processor time that this thread has used between two looks: a pause that others' processes have not made longer. */
class OwnPause {
  #last = 0;
  max = 0;
  readonly #timer = setInterval(() => this.#look(), 1).unref();

  #look(): void {
    const { user, system } = process.threadCpuUsage();
    const now = (user + system) / 1000;
    this.max = Math.max(this.max, now - this.#last);
    this.#last = now;
  }

  reset(): void {
    this.#look();
    this.max = 0;
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** What must hold, and what is aimed at; NaN: the figure alone is reported. */
const rows: [what: string, value: number, unit: string, floor: number, goal: number][] = [];

/** Milliseconds of each collection of garbage. */
const collections: number[] = [];
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) collections.push(duration);
}).observe({ entryTypes: ['gc'] });

function fill(path: string): Promise<void> {
  const db = openDatabase(path);
  db.change(() => {
    const network = db.create('network', { name_label: 'n', bridge: 'xenbr9' });
    for (let n = 0; n < VMS; n++) {
      const metrics = db.create('VM_metrics', {});
      const other_config = { mac_seed: `${n}`, folder: '/a/b', 'XenCenter.CustomFields.owner': 'somebody' };
      const vm = db.create('VM', {
        ...VM_RECORD,
        name_label: `vm ${n}`,
        metrics: metrics.ref,
        other_config,
        domid: -1,
      });
      for (let device = 0; device < 2; device++) {
        db.create('VBD', { VM: vm.ref, userdevice: String(device), type: 'CD', empty: true, mode: 'RO' });
        db.create('VIF', { VM: vm.ref, network: network.ref, device: String(device), MAC: '02:00:00:00:00:01' });
      }
    }
  });
  return db.close();
}

const quantile = (values: number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * q)] ?? NaN;

/** The clients' process, and the server's event loop while they work. */
class Bench {
  readonly #child: ChildProcess;
  readonly #delay = monitorEventLoopDelay({ resolution: 1 });
  readonly #own = new OwnPause();
  readonly #port: number;
  readonly session: string;
  readonly xapi: Xapi;

  constructor(child: ChildProcess, port: number, session: string, xapi: Xapi) {
    this.#child = child;
    this.#port = port;
    this.session = session;
    this.xapi = xapi;
  }

  close(): void {
    this.#own.close();
  }

  async ask(job: Job): Promise<Result> {
    const answered = once(this.#child, 'message');
    this.#child.send({ port: this.#port, session: this.session, job } satisfies Order);
    return (await answered)[0] as Result;
  }

  async #paused<T>(act: () => Promise<T>): Promise<{ result: T; pause: number }> {
    await sleep(200);
    this.#delay.reset();
    this.#delay.enable();
    collections.length = 0;
    this.#own.reset();
    const result = await act();
    // A pause is known when it is over.
    await sleep(20);
    this.#delay.disable();
    const most = Math.max(0, ...collections).toFixed(0);
    console.log(`  own work in a pause: ${this.#own.max.toFixed(0)} ms at most; ${collections.length} collections of garbage, ${most} ms at most`); // prettier-ignore
    return { result, pause: this.#delay.max / 1e6 };
  }

  async one(label: string, job: Job, floor = NaN, goal = NaN): Promise<void> {
    const { result, pause } = await this.#paused(() => this.ask(job));
    if (result.bytes > 0) console.log(`${label}: ${(result.bytes / 2 ** 20).toFixed(1)} MiB`);
    rows.push([label, result.ms / 1000, 's', floor, goal]);
    rows.push(['  longest pause', pause, 'ms', 100, 50]);
  }

  async events(clients: number): Promise<void> {
    const { db } = this.xapi;
    const vms = [...db.table('VM').values()].filter((row) => !row.flag('is_control_domain'));
    const watching = this.ask({ what: 'watch', clients, seconds: SECONDS });
    await sleep(1000);
    let n = 0;
    const begin = performance.now();
    const cpu = process.cpuUsage();
    const timer = setInterval(() => {
      const due = ((performance.now() - begin) / 1000) * CHANGES_PER_SECOND;
      for (; n < due; n++) db.set(vms[n % vms.length], { name_description: String(Date.now()) });
    }, 1000 / CHANGES_PER_SECOND);
    const { result, pause } = await this.#paused(() => watching);
    clearInterval(timer);
    const { user, system } = process.cpuUsage(cpu);
    const share = Math.round((user + system) / 10 / (performance.now() - begin));
    const told = result.latencies.filter((each) => each < 3600_000);
    console.log(`${clients} clients: ${n} changes, ${told.length} told; ${share} % of a processor`);
    if (told.length < n * clients * 0.5) throw new Error('changes were not told');
    rows.push([`events, ${clients} clients, p95`, quantile(told, 0.95), 'ms', clients === 50 ? 500 : NaN, 500]);
    rows.push(['  longest pause', pause, 'ms', 100, 50]);
  }
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-bench-'));
  const path = join(folder, 'db');
  const child = fork(new URL('xenapi/client.ts', import.meta.url));
  try {
    await fill(path);
    console.log(`database: ${(statSync(path).size / 2 ** 20).toFixed(0)} MiB`);
    const users = new Users(undefined, 16);
    await users.setPassword(ROOT_USER, PASSWORD);
    const before = performance.now();
    const db = openDatabase(path);
    const xenops = new Simulator({ memory: 2 ** 45 });
    const xapi = new Xapi({ db, users, xenops, log: () => {}, version: '0', address: '127.0.0.1' });
    const http = new HttpServer(xapi);
    const port = await http.listen({ host: '127.0.0.1', port: 0 });
    rows.push(['start-up', (performance.now() - before) / 1000, 's', 5, 3]);
    const login = { method: 'session.login_with_password', params: [ROOT_USER, PASSWORD] };
    const origin = { address: 'bench', signal: new AbortController().signal };
    const session = (await xapi.dispatcher.call(login, origin)).value as string;
    const bench = new Bench(child, port, session, xapi);
    await heavy(bench);
    for (const clients of [50, 200]) await bench.events(clients);
    await storms(bench);
    bench.close();
    await http.close();
    await xapi.close();
    await files(folder, path);
    await program(path);
  } finally {
    child.kill();
    rmSync(folder, { recursive: true });
  }
  report();
}

/** One client that asks for very much. */
async function heavy(bench: Bench): Promise<void> {
  const method = 'VM.get_all_records';
  await bench.one(`${method}, JSON-RPC 1.0, first`, { what: 'json', method, params: [] }, 2, 1);
  await bench.one(`${method}, JSON-RPC 1.0`, { what: 'json', method, params: [] }, 2, 1);
  await bench.one(`${method}, JSON-RPC 2.0`, { what: 'json2', method, params: [] }, 2, 1);
  await bench.one(`${method}, XML-RPC`, { what: 'xml', method, params: [] }, 2, 1);
  await bench.one(`${method}, 20 clients at once`, { what: 'many', method, count: 20 });
  const expression = 'field "power_state" = "Halted" and not field "is_a_template" = "true"';
  await bench.one('VM.get_all_records_where, an expression', { what: 'json', method: 'VM.get_all_records_where', params: [expression] }); // prettier-ignore
  await bench.one('event.from, all from the start, JSON-RPC', { what: 'json', method: 'event.from', params: [['*'], '', 30] }); // prettier-ignore
  await bench.one('event.from, all from the start, XML-RPC', { what: 'xml', method: 'event.from', params: [['*'], '', 30] }); // prettier-ignore
  await bench.one('xe vm-list params=all', { what: 'xe', line: ['vm-list', 'params=all'] });
  await bench.one('xe vm-list power-state=halted --minimal', { what: 'xe', line: ['vm-list', 'power-state=halted', '--minimal'] }); // prettier-ignore
  await bench.one('xe vif-list params=all', { what: 'xe', line: ['vif-list', 'params=all'] });
  await bench.one('/export_metadata?all=true', { what: 'get', path: '/export_metadata?all=true' });
}

/** Very many who ask for something at a time. */
async function storms(bench: Bench): Promise<void> {
  const { db } = bench.xapi;
  const vms = [...db.table('VM').values()].filter((row) => !row.flag('is_control_domain')).slice(0, STORM);
  const each = (params: (ref: string) => unknown[]) => ({
    params: vms.map(({ ref }) => params(ref)),
    connections: 100,
  });
  const storm = { what: 'storm' as const };
  await bench.one(`${STORM} Async.VM.start`, { ...storm, method: 'VM.start', ...each((ref) => [ref, false, false]) });
  // What is measured of machines that run is there after two rounds.
  for (let i = 1; i <= 2; i++) await bench.xapi.metrics.measure(Date.now() / 1000 + 5 * i);
  await bench.one(`/rrd_updates of ${STORM} VMs that run`, { what: 'get', path: '/rrd_updates?start=-600&json=true' });
  await bench.one(`/metrics of ${STORM} VMs that run`, { what: 'get', path: '/metrics?' });
  await bench.one(`${STORM} Async.VM.hard_shutdown`, { ...storm, method: 'VM.hard_shutdown', ...each((ref) => [ref]) });
  await bench.one(`${STORM} Async.VM.clone`, { ...storm, method: 'VM.clone', ...each((ref) => [ref, 'a copy']) });
}

async function files(folder: string, path: string): Promise<void> {
  let before = performance.now();
  await dump(path, join(folder, 'dump'));
  rows.push(['database dump', (performance.now() - before) / 1000, 's', NaN, NaN]);
  before = performance.now();
  await restore(join(folder, 'dump'), join(folder, 'copy'));
  rows.push(['database restore', (performance.now() - before) / 1000, 's', NaN, NaN]);
}

/** From the command until it is served; the first start brings the database's records in order, the next finds them so. */
async function program(path: string): Promise<void> {
  const host = new Simulated();
  try {
    mkdirSync(join(host.state, 'xenapi'), { recursive: true });
    for (const end of ['', '-wal', '-shm'])
      if (existsSync(`${path}${end}`)) copyFileSync(`${path}${end}`, `${xenapiPaths(host.state).database}${end}`);
    for (const label of ['xenolith simulate, first start', 'xenolith simulate, next start']) {
      const before = performance.now();
      await host.start();
      rows.push([label, (performance.now() - before) / 1000, 's', 5, 3]);
      await host.end();
    }
  } finally {
    await host.close();
  }
}

function report(): void {
  for (const [what, value, unit, floor, goal] of rows) {
    const verdict = value > floor ? 'MISSED' : value <= goal ? 'goal' : Number.isNaN(goal) ? '' : 'floor';
    const bounds = Number.isNaN(goal) ? '' : `(floor ${Number.isNaN(floor) ? '-' : floor}, goal ${goal} ${unit})`;
    console.log(`${what.padEnd(42)} ${value.toFixed(2).padStart(9)} ${unit.padEnd(2)} ${bounds} ${verdict}`.trimEnd());
  }
  if (rows.some(([, value, , floor]) => value > floor)) process.exitCode = 1;
}

await main();
