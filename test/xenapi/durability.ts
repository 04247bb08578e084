// SIGKILL at random moments while clients change things: what was acknowledged is there afterwards, and nothing is half there.
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { VM_RECORD } from '../../toolstack/xenapi/testing.ts';
import { random as generator } from '../random.ts';
import { rpc, Simulated } from './bed.ts';
import { Disks } from './durability_disks.ts';

const CLIENTS = 8;

/** What a client knows of one VM: the last name that was acknowledged, and what it has asked for since. */
interface Known {
  ref: string;
  name: string;
  asked: string | undefined;
  /** Its end has been asked for; true: acknowledged. */
  gone: boolean | undefined;
}

async function client(url: string, session: string, number: number, round: number, known: Known[]): Promise<void> {
  const below = generator(1 + number * 7919 + round * 104729);
  const mine: Known[] = [];
  for (let n = 0; ; n++) {
    const name = `${round}.${number}.${n}`;
    const vm = mine[below(mine.length || 1)];
    if (!vm || below(3) === 0) {
      const ref: string = await rpc(url, 'VM.create', session, { ...VM_RECORD, name_label: name });
      const made = { ref, name, asked: undefined, gone: undefined };
      mine.push(made);
      known.push(made);
    } else if (below(4) === 0) {
      vm.gone = false;
      await rpc(url, 'VM.destroy', session, vm.ref);
      vm.gone = true;
      mine.splice(mine.indexOf(vm), 1);
    } else {
      vm.asked = name;
      await rpc(url, 'VM.set_name_label', session, vm.ref, name);
      vm.name = name;
      vm.asked = undefined;
    }
  }
}

interface Record {
  name_label: string;
  metrics: string;
  is_control_domain: boolean;
}

/** Compares what is there with what is known, and takes it as known. */
function compare(known: Known[], records: { [ref: string]: Record }, metrics: { [ref: string]: unknown }): Known[] {
  const left: Known[] = [];
  for (const vm of known) {
    const record = records[vm.ref];
    if (vm.gone === true) assert.equal(record, undefined, `${vm.name} was destroyed`);
    else if (vm.gone === undefined) assert.ok(record, `${vm.name} is gone`);
    if (!record) continue;
    assert.ok([vm.name, vm.asked].includes(record.name_label), `${record.name_label}, not ${vm.name} or ${vm.asked}`);
    left.push({ ref: vm.ref, name: record.name_label, asked: undefined, gone: undefined });
  }
  // A VM and its metrics are made by one change.
  for (const { metrics: ref } of Object.values(records)) assert.ok(metrics[ref], 'a VM without its metrics');
  assert.equal(Object.keys(metrics).length, Object.keys(records).length);
  return left;
}

export interface Killed {
  rounds: number;
  /** VMs that were made and not lost. */
  changes: number;
  /** What was done with disks. */
  operations: number;
}

/** Ends when the host does. */
async function until(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    // fetch has no other name for a connection that is cut.
    if (!(error instanceof TypeError)) throw error;
  }
}

/** So often, or until the time is up; the host is checked after each kill. */
export async function killRounds(rounds: number, seed = 4711, milliseconds = Infinity): Promise<Killed> {
  const host = new Simulated();
  const below = generator(seed);
  const disks = new Disks(host, 3, (number) => generator(seed * 31 + number));
  let known: Known[] = [];
  let changes = 0;
  let round = 0;
  const end = Date.now() + milliseconds;
  const login = async (): Promise<string> => {
    await host.start();
    return rpc(host.plain, 'session.login_with_password', 'root', host.password);
  };
  const check = async (session: string): Promise<void> => {
    const records: { [ref: string]: Record } = await rpc(host.plain, 'VM.get_all_records', session);
    const metrics: { [ref: string]: unknown } = await rpc(host.plain, 'VM_metrics.get_all_records', session);
    known = compare(known, records, metrics);
    await disks.compare(session);
  };
  try {
    for (; round < rounds && Date.now() < end; round++) {
      const session = await login();
      await check(session);
      const before = known.length;
      const load = await disks.load(session);
      const clients = Array.from({ length: CLIENTS }, (_, n) => until(client(host.plain, session, n, round, known)));
      clients.push(...load.map((work) => until(work())));
      // Whoever fails before the kill is what the test is for.
      await Promise.race([sleep(30 + below(1500)), Promise.all(clients)]);
      await host.end('SIGKILL');
      await Promise.all(clients);
      changes += known.length - before;
    }
    const session = await login();
    await check(session);
    await disks.clear(session);
    return { rounds: round, changes, operations: disks.operations };
  } finally {
    await host.close();
  }
}
