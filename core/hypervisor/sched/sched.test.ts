// The scheduler without guest code: turns are made by the test, on a clock of its own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDomain, destroyDomain, Machine, N, random, type Service } from '../../../test/hypervisor.ts';

const MS = 1e6;
const SLICE = 5 * MS;
const BOOST = MS;
const [RUNNING, RUNNABLE, BLOCKED, OFFLINE] = [0, 1, 2, 3];

interface Bed {
  m: Machine;
  dom0: Service;
  /** Up and runnable, in this order. */
  domains: number[];
}

function bed(count: number, wasmPages = 2048): Bed {
  const m = new Machine(wasmPages);
  const dom0 = m.service(0, 1);
  m.x.test_sched_init();
  const domains = Array.from({ length: count }, () => createDomain(dom0, 0));
  for (const d of domains) {
    domctl(dom0, d, 'XEN_DOMCTL_unpausedomain');
    m.x.test_wake(d);
  }
  return { m, dom0, domains };
}

function domctl(dom0: Service, domid: number, cmd: string): void {
  dom0.put(0, 'xen_domctl', { cmd: [4, N[cmd]], interface_version: [4, 0x15], domain: [2, domid] });
  assert.equal(dom0.hypercall(N.__HYPERVISOR_domctl, 0), 0);
}

/** Who sleeps for so long after running for so long; without it a vCPU never sleeps. */
type Habit = { runs: number; sleeps: number } | undefined;

/** Lets everybody run until `end`; gives what each has had, and how long each has waited at most when it was woken by its timer. */
function simulate({ m, domains }: Bed, end: number, habit: (d: number) => Habit) {
  const ran = new Map(domains.map((d) => [d, 0]));
  const late = new Map(domains.map((d) => [d, 0]));
  const due = new Map<number, number>();
  const rest = new Map<number, number>();
  while (m.clock < end) {
    const d = m.x.test_turn();
    if (d < 0) {
      m.clock += Math.max(1, m.x.test_timer());
      continue;
    }
    if (due.has(d)) late.set(d, Math.max(late.get(d)!, m.clock - due.get(d)!));
    due.delete(d);
    const h = habit(d);
    const wants = h ? (rest.get(d) ?? h.runs) : Infinity;
    const ns = Math.max(1000, Math.min(wants, m.x.test_left(), m.x.test_timer()));
    m.clock += ns;
    ran.set(d, ran.get(d)! + ns);
    if (h && ns >= wants) {
      due.set(d, m.clock + h.sleeps);
      rest.delete(d);
      m.x.test_turn_end(ns, m.clock + h.sleeps);
    } else {
      rest.set(d, wants - ns);
      m.x.test_turn_end(ns, -1);
    }
  }
  return { ran, late };
}

test('who never sleeps gets the same time as the others, to a slice', () => {
  const b = bed(20);
  const { ran } = simulate(b, 4000 * MS, () => undefined);
  const times = [...ran.values()];
  assert.ok(Math.max(...times) - Math.min(...times) <= SLICE, String(times));
});

test('who sleeps most of the time gets in at once, and the others share what is left', () => {
  const b = bed(10);
  const [a, c] = b.domains;
  const { ran, late } = simulate(b, 3000 * MS, (d) =>
    d === a || d === c ? { runs: 0.2 * MS, sleeps: 10 * MS } : undefined,
  );
  for (const d of [a!, c!]) {
    assert.ok(late.get(d)! <= BOOST + 0.2 * MS, `${late.get(d)}`);
    assert.ok(ran.get(d)! >= 55 * MS, `${ran.get(d)}`);
  }
  const hogs = [...ran].filter(([d]) => d !== a && d !== c).map(([, ns]) => ns);
  assert.ok(Math.max(...hogs) - Math.min(...hogs) <= SLICE);
});

test('waking over and over is no way to get more than a share', () => {
  const b = bed(10);
  const honest = b.domains[0]!;
  const { ran } = simulate(b, 3000 * MS, (d) => (d === honest ? undefined : { runs: 0.9 * MS, sleeps: 1 }));
  for (const [d, ns] of ran)
    assert.ok(d === honest ? ns >= 300 * MS - SLICE : ns <= 300 * MS + SLICE, `${d === honest} ${ns}`);
});

test('who wakes while another runs makes it look; who has woken before the others keeps its place for a while only', () => {
  const { m, domains } = bed(3);
  const [a, c, d] = domains as [number, number, number];
  assert.equal(m.x.test_turn(), a);
  m.x.test_turn_end(1, 1e12);
  assert.equal(m.x.test_turn(), c);
  m.x.test_turn_end(2 * BOOST, -1);
  assert.equal(m.x.test_turn(), d);
  m.x.test_turn_end(2 * BOOST, -1);
  assert.equal(m.x.test_turn(), c);
  assert.equal(m.x.test_look(), 0);
  assert.equal(m.x.test_left(), SLICE - 2 * BOOST);
  m.x.test_wake(a);
  assert.equal(m.x.test_look(), 1);
  assert.equal(m.x.test_left(), 0);
  m.x.test_turn_end(10, -1);
  assert.equal(m.x.test_turn(), a);
  m.x.test_turn_end(10, 1e12);
  assert.equal(m.x.test_turn(), c, 'it goes on where it was interrupted');
});

test('time that was taken beyond the slice is given back', () => {
  const { m, domains } = bed(2);
  const [a, c] = domains as [number, number];
  assert.equal(m.x.test_turn(), a);
  m.x.test_turn_end(10 * SLICE, -1);
  let turns = 0;
  for (; m.x.test_turn() === c; turns++) m.x.test_turn_end(SLICE, -1);
  assert.equal(turns, 10);
});

test('who owes more than can be owed runs all the same when nobody else wants to', () => {
  const { m, domains } = bed(1);
  for (const slices of [1, 15, 16, 17, 18, 64, 65, 66, 1000]) {
    assert.equal(m.x.test_turn(), domains[0], `${slices}`);
    m.clock += slices * SLICE;
    m.x.test_turn_end(slices * SLICE, -1);
  }
  assert.equal(m.x.test_turn(), domains[0]);
});

test('who yields comes behind the others', () => {
  const { m, domains } = bed(3);
  const order = [];
  for (let i = 0; i < 6; i++) {
    order.push(m.x.test_turn());
    m.x.test_turn_end(1000, -2);
  }
  assert.deepEqual(order, [...domains, ...domains]);
});

test('sleepers wake in the order of their timers, whoever of them goes meanwhile', () => {
  const { m, dom0, domains } = bed(200, 4096);
  const pick = random(7);
  const due = new Map<number, number>();
  for (let i = 0; i < domains.length; i++) {
    const d = m.x.test_turn();
    const at = 1000 * (1 + pick(1e6));
    due.set(d, at);
    m.x.test_turn_end(1, at);
  }
  assert.equal(m.x.test_turn(), -1);
  for (const d of domains.filter((_, i) => i % 7 === 3)) {
    if (d % 2) destroyDomain(dom0, d);
    else domctl(dom0, d, 'XEN_DOMCTL_pausedomain');
    due.delete(d);
  }
  const order = [...due].sort(([, x], [, y]) => x - y);
  for (const [d, at] of order) {
    assert.equal(m.x.test_timer(), at - m.clock);
    m.clock = at;
    assert.equal(m.x.test_turn(), d);
    m.x.test_turn_end(1, 1e15);
  }
  assert.equal(m.x.test_turn(), -1);
});

test('the four times of a vCPU add up to its age, whatever happens to it', () => {
  const b = bed(8);
  const { m, dom0, domains } = b;
  const pick = random(99);
  const paused = new Map(domains.map((d) => [d, 0]));
  const seen = new Set<number>();
  const check = (): void => {
    for (const d of domains) {
      seen.add(m.x.test_state(d));
      const sum = [RUNNING, RUNNABLE, BLOCKED, OFFLINE].reduce((total, s) => total + m.x.test_time_in(d, s), 0);
      assert.equal(sum, m.x.test_state_entry(d));
      assert.ok(!paused.get(d) || [BLOCKED, OFFLINE].includes(m.x.test_state(d)));
    }
  };
  for (let i = 0; i < 3000; i++) {
    m.clock += pick(2 * MS);
    const d = domains[pick(domains.length)]!;
    const what = pick(6);
    if (what === 0) {
      domctl(dom0, d, 'XEN_DOMCTL_pausedomain');
      paused.set(d, paused.get(d)! + 1);
    } else if (what === 1 && paused.get(d)) {
      domctl(dom0, d, 'XEN_DOMCTL_unpausedomain');
      paused.set(d, paused.get(d)! - 1);
    } else if (what === 2) m.x.test_wake(d);
    else {
      const ran = m.x.test_turn();
      if (ran >= 0) {
        assert.equal(paused.get(ran), 0);
        const ns = pick(SLICE);
        m.clock += ns;
        m.x.test_turn_end(ns, pick(2) ? m.clock + pick(20 * MS) : -1);
      }
    }
    check();
  }
  assert.equal(seen.size, 3, 'runnable, blocked and offline have all been seen');
});

test('a turn costs the same with 1,000 vCPUs asleep and awake', () => {
  const cost = (count: number): number => {
    const b = bed(count, 2048 + count * 4);
    const started = process.hrtime.bigint();
    let turns = 0;
    for (; turns < 20000; turns++) {
      if (b.m.x.test_turn() < 0) b.m.clock += Math.max(1, b.m.x.test_timer());
      else {
        b.m.clock += 50_000;
        b.m.x.test_turn_end(50_000, turns % 2 ? b.m.clock + 5 * MS : -1);
      }
    }
    return Number(process.hrtime.bigint() - started) / turns;
  };
  cost(8);
  const ratio = cost(1000) / cost(8);
  assert.ok(ratio < 20, `${ratio.toFixed(1)} times`);
});
