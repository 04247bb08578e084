// `npm run bench xenapi`: XenAPI at scale, on a simulated host with 10,000 VMs and 20,000 VBDs and VIFs: start-up, one client that
// asks for all VMs, and clients that wait for events while 100 objects a second change. Pauses are those of the server's event loop.
import '../bin/parent.cjs';
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'node:http';
import { openDatabase } from '../toolstack/xenapi/database/open.ts';
import { HttpServer } from '../toolstack/xenapi/rpc/http.ts';
import { ROOT as ROOT_USER, Users } from '../toolstack/xenapi/session/users.ts';
import { VM_RECORD } from '../toolstack/xenapi/testing.ts';
import { Xapi } from '../toolstack/xenapi/xapi.ts';
import { Simulator } from '../toolstack/xenapi/xenops/simulator.ts';

const VMS = 10_000;
const CHANGES_PER_SECOND = 100;
const SECONDS = 8;
const PASSWORD = 'bench';

type Result = { ms: number; bytes: number } | { latencies: number[] };

/** What must hold, and what is aimed at. */
const rows: [what: string, value: number, unit: string, floor: number, goal: number][] = [];

const agent = new Agent({ keepAlive: true, maxSockets: 500 });

function post(port: number, path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request({ port, path, method: 'POST', agent, host: '127.0.0.1' }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () => resolve(Buffer.concat(parts).toString()));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function rpc(port: number, method: string, ...params: unknown[]): Promise<never> {
  const { result, error } = JSON.parse(await post(port, '/jsonrpc', JSON.stringify({ method, params, id: 0 }))) as {
    result: never;
    error: string[] | null;
  };
  if (error) throw new Error(error.join(' '));
  return result;
}

// ---- the clients' process

async function all(port: number, session: string, xml: boolean): Promise<Result> {
  const body = xml
    ? `<methodCall><methodName>VM.get_all_records</methodName><params><param><value>${session}</value></param></params></methodCall>`
    : JSON.stringify({ method: 'VM.get_all_records', params: [session], id: 0 });
  const before = performance.now();
  const answer = await post(port, xml ? '/' : '/jsonrpc', body);
  return { ms: performance.now() - before, bytes: answer.length };
}

/** From when a change was written into an object until each client has it, or a later one of the same object. */
async function watch(port: number, session: string, clients: number): Promise<Result> {
  const latencies: number[] = [];
  const end = Date.now() + SECONDS * 1000;
  const [pool]: string[] = await rpc(port, 'pool.get_all', session);
  const one = async (): Promise<void> => {
    // Not the 10,000 at the beginning: they are measured above.
    let token: string = await rpc(port, 'event.inject', session, 'pool', pool);
    while (Date.now() < end) {
      const batch: { token: string; events: { operation: string; snapshot: { name_description: string } }[] } =
        await rpc(port, 'event.from', session, ['vm'], token, 1);
      token = batch.token;
      const now = Date.now();
      for (const { snapshot } of batch.events) latencies.push(now - Number(snapshot.name_description));
    }
  };
  await Promise.all(Array.from({ length: clients }, one));
  return { latencies };
}

// ---- the server's

async function ask(child: ChildProcess, message: object): Promise<Result> {
  const answered = once(child, 'message');
  child.send(message);
  return (await answered)[0] as Result;
}

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
        db.create('VBD', { VM: vm.ref, userdevice: String(device), type: 'Disk', mode: 'RW' });
        db.create('VIF', { VM: vm.ref, network: network.ref, device: String(device), MAC: '02:00:00:00:00:01' });
      }
    }
  });
  return db.close();
}

const quantile = (values: number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length * q)] ?? NaN;

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'xenapi-bench-'));
  const path = join(folder, 'db');
  const child = fork(new URL(import.meta.url));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  try {
    await fill(path);
    console.log(`database: ${(statSync(path).size / 2 ** 20).toFixed(0)} MiB`);
    const users = new Users(undefined, 16);
    await users.setPassword(ROOT_USER, PASSWORD);
    const before = performance.now();
    const db = openDatabase(path);
    const xenops = new Simulator({ memory: 2 ** 45 });
    const xapi = new Xapi({ db, users, xenops, log: console.error, version: '0', address: '127.0.0.1' });
    const http = new HttpServer(xapi);
    const port = await http.listen({ host: '127.0.0.1', port: 0 });
    rows.push(['start-up', (performance.now() - before) / 1000, 's', 5, 3]);
    const session: string = await rpc(port, 'session.login_with_password', ROOT_USER, PASSWORD);
    await measureAll(child, delay, port, session);
    for (const clients of [50, 200]) await measureEvents(child, delay, port, session, clients, xapi);
    await http.close();
    await xapi.close();
  } finally {
    child.kill();
    rmSync(folder, { recursive: true });
  }
  report();
}

/** A client whose ask follows a change of everything, and one whose records are all at hand. */
async function measureAll(
  child: ChildProcess,
  delay: ReturnType<typeof monitorEventLoopDelay>,
  port: number,
  session: string,
): Promise<void> {
  for (const what of ['json', 'xml'])
    for (const [round, label] of [
      [0, 'first'],
      [1, 'again'],
    ] as const) {
      if (what === 'xml' && round === 1) continue;
      await sleep(200);
      delay.reset();
      delay.enable();
      const result = (await ask(child, { port, session, what })) as { ms: number; bytes: number };
      delay.disable();
      console.log(`${what}, ${label}: ${(result.bytes / 2 ** 20).toFixed(0)} MiB`);
      rows.push([`VM.get_all_records, ${what}, ${label}`, result.ms / 1000, 's', 2, 1]);
      rows.push([`  longest pause`, delay.max / 1e6, 'ms', 100, 50]);
    }
}

async function measureEvents(
  child: ChildProcess,
  delay: ReturnType<typeof monitorEventLoopDelay>,
  port: number,
  session: string,
  clients: number,
  { db }: Xapi,
): Promise<void> {
  const vms = [...db.table('VM').values()].filter((row) => !row.flag('is_control_domain'));
  const watching = ask(child, { port, session, what: 'watch', clients });
  await sleep(1000);
  delay.reset();
  delay.enable();
  let n = 0;
  const begin = performance.now();
  const cpu = process.cpuUsage();
  const timer = setInterval(() => {
    const due = ((performance.now() - begin) / 1000) * CHANGES_PER_SECOND;
    for (; n < due; n++) db.set(vms[n % vms.length], { name_description: String(Date.now()) });
  }, 1000 / CHANGES_PER_SECOND);
  const { latencies } = (await watching) as { latencies: number[] };
  clearInterval(timer);
  delay.disable();
  const { user, system } = process.cpuUsage(cpu);
  const share = Math.round((user + system) / 10 / (performance.now() - begin));
  const told = latencies.filter((each) => each < 3600_000);
  console.log(`${clients} clients: ${n} changes, ${told.length} told; ${share} % of a processor`);
  rows.push([`events, ${clients} clients, p95`, quantile(told, 0.95), 'ms', clients === 50 ? 500 : NaN, 500]);
  rows.push([`  longest pause`, delay.max / 1e6, 'ms', 100, 50]);
}

function report(): void {
  for (const [what, value, unit, floor, goal] of rows) {
    const verdict = value > floor ? 'MISSED' : value <= goal ? 'goal' : 'floor';
    const bounds = `floor ${Number.isNaN(floor) ? '-' : floor}, goal ${goal} ${unit}`;
    console.log(`${what.padEnd(34)} ${value.toFixed(2).padStart(9)} ${unit.padEnd(2)} (${bounds}) ${verdict}`);
  }
  if (rows.some(([, value, , floor]) => value > floor)) process.exitCode = 1;
}

if (process.send) {
  process.on(
    'message',
    ({ port, session, what, clients }: { port: number; session: string; what: string; clients: number }) => {
      const work = what === 'watch' ? watch(port, session, clients) : all(port, session, what === 'xml');
      void work.then((result) => process.send!(result));
    },
  );
} else await main();
