// Rings worked on for a service: a front end that keeps to the protocol in any order of steps loses and repeats nothing; one that does not is
// told apart, and the service's journal stays what was taken and not answered.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { createDomain, foreign, Machine, N, random, type Service } from '../../test/hypervisor.ts';

const ENTRIES = 32;
const ENTRY = 112;
const ANSWER = 16;
const HEAD = 40;
const STRIDE = 8 + ENTRY;
const PUT_STRIDE = 8 + ANSWER;
/** In the service's space: the ring's page, the journal, lists in its own memory. */
const RING = 0x100000;
const JOURNAL = 0x4000;
const LIST = 0x8000;
/** The mailbox's data as addresses. */
const WINDOW = 2 ** 42;
const PORT_HEAD = 20;
/** Of a vCPU's run state, behind its Cpu (core/hypervisor/vcpu.ts). */
const VCPU_STATE = 4096 + 12;

let m: Machine;
let dom0: Service;
let back: Service;
let guest: number;
let port: number;

const word = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

function journal(entries = ENTRIES): void {
  const head = new DataView(new ArrayBuffer(HEAD));
  head.setBigUint64(0, BigInt(RING), true);
  [entries, ENTRY, ANSWER, 0, 0, 0, 0].forEach((value, i) => head.setUint32(8 + 4 * i, value, true));
  back.write(JOURNAL, new Uint8Array(head.buffer));
  back.write(JOURNAL + HEAD, new Uint8Array(ENTRIES * STRIDE));
}

interface Taken {
  status: number;
  more: number;
  busy: number;
  requests: { slot: number; sequence: number; body: number }[];
}

function take(max = ENTRIES, quiet = 0): Taken {
  const rc = back.op('service_op', 'SERVICEOP_ring_take', 'service_ring_take', {
    journal: [8, JOURNAL],
    list: [8, LIST],
    max: [4, max],
    quiet: [4, quiet],
  }, 1); // prettier-ignore
  assert.equal(rc, 0);
  const get = (field: string, signed = false): number => back.get('service_ring_take', field, 4, signed);
  const n = get('taken');
  const list = back.read(LIST, n * STRIDE)!;
  return {
    status: get('status', true),
    more: get('more'),
    busy: get('busy'),
    requests: Array.from({ length: n }, (_, i) => ({
      slot: word(list, i * STRIDE),
      sequence: word(list, i * STRIDE + 4),
      body: word(list, i * STRIDE + 8),
    })),
  };
}

function put(answers: readonly { slot: number; body: number }[]): number {
  const list = new DataView(new ArrayBuffer(PUT_STRIDE * answers.length));
  answers.forEach(({ slot, body }, i) => {
    list.setUint32(i * PUT_STRIDE, slot, true);
    list.setUint32(i * PUT_STRIDE + 8, body, true);
  });
  back.write(LIST, new Uint8Array(list.buffer));
  const fields = { journal: [8, JOURNAL], list: [8, LIST], count: [4, answers.length] } as const;
  assert.equal(back.op('service_op', 'SERVICEOP_ring_put', 'service_ring_put', fields as never, 1), 0);
  return back.get('service_ring_put', 'status', 4, true);
}

/** The journal's slots that are taken: the request's first word by its number. */
function inFlight(): Map<number, number> {
  const slots = back.read(JOURNAL + HEAD, ENTRIES * STRIDE)!;
  const found = new Map<number, number>();
  for (let i = 0; i < ENTRIES; i++)
    if (word(slots, i * STRIDE + 4)) found.set(word(slots, i * STRIDE + 4), word(slots, i * STRIDE + 8));
  return found;
}

/** The front end's side of the ring. */
const ring = {
  get: (at: number): number => dom0.u32(RING + at),
  set: (at: number, value: number): void => dom0.setU32(RING + at, value),
  entry: (index: number): number => 64 + (index % ENTRIES) * ENTRY,
};

before(() => {
  m = new Machine();
  dom0 = m.service(0, 1);
  back = m.service(0x7f03, 256 | 1);
  guest = createDomain(dom0, 64);
  for (const s of [dom0, back]) foreign(s, guest, 20, RING >>> 12);
});

test('random steps of both ends agree with a model of the ring', () => {
  const next = random(7);
  for (const start of [0, 0xfffffff0]) {
    dom0.write(RING, new Uint8Array(4096));
    journal();
    for (const at of [0, 8]) ring.set(at, start);
    ring.set(4, start + 1);
    ring.set(12, start + ENTRIES + 1);
    const head = back.read(JOURNAL, HEAD)!;
    const v = new DataView(head.buffer, head.byteOffset);
    v.setUint32(24, start, true);
    v.setUint32(28, start, true);
    back.write(JOURNAL, head);
    let [sent, heard, asked] = [0, 0, 0];
    const wanted: number[] = [];
    const open = new Map<number, { slot: number; body: number }>();
    const answered: number[] = [];
    for (let step = 0; step < 4000; step++) {
      const what = next(4);
      if (what === 0) {
        for (let n = next(8); n > 0 && sent - heard < ENTRIES; n--, sent++) {
          ring.set(ring.entry((start + sent) >>> 0), sent + 1);
          wanted.push(sent + 1);
        }
        ring.set(0, start + sent);
      } else if (what === 1) {
        const { status, more, requests } = take(1 + next(40));
        assert.equal(status, 0);
        for (const { slot, sequence, body } of requests) {
          assert.equal(body, wanted.shift());
          assert.ok(!open.has(sequence) && ![...open.values()].some((o) => o.slot === slot));
          open.set(sequence, { slot, body });
          asked++;
        }
        assert.equal(more, wanted.length > 0 ? 1 : 0);
        if (!more) assert.equal(ring.get(4), (start + asked + 1) >>> 0, 'an event is asked for');
      } else if (what === 2 && open.size > 0) {
        const some = [...open].filter(() => next(2) === 0);
        assert.equal(put(some.map(([, o]) => o)), 0);
        for (const [sequence, { body }] of some) {
          open.delete(sequence);
          answered.push(body);
        }
      } else {
        for (; heard !== (ring.get(8) - start) >>> 0; heard++)
          assert.equal(ring.get(ring.entry((start + heard) >>> 0)), answered.shift());
        ring.set(12, start + heard + ENTRIES + 1); // no event: the port is nobody's here
      }
      assert.deepEqual(inFlight(), new Map([...open].map(([sequence, { body }]) => [sequence, body])));
    }
    assert.ok(sent > 1000);
  }
});

test('who looks again asks for no event: never, or if something was taken', () => {
  const asked = (quiet: number, sent: number): boolean => {
    dom0.write(RING, new Uint8Array(4096));
    journal();
    ring.set(0, sent);
    assert.equal(take(ENTRIES, quiet).requests.length, sent);
    return ring.get(4) === sent + 1;
  };
  const found = [0, 1, 2].map((quiet) => [asked(quiet, 0), asked(quiet, 3)]);
  assert.deepEqual(found, [[true, true], [false, false], [true, false]]); // prettier-ignore
});

test('indices that cannot be are refused, and change nothing in the journal', () => {
  dom0.write(RING, new Uint8Array(4096));
  journal();
  ring.set(0, 3);
  assert.equal(take().requests.length, 3);
  for (const bad of [ENTRIES + 1, 0x80000000, 0xffffffff, 2]) {
    ring.set(0, bad);
    const { status, requests } = take();
    assert.deepEqual([status, requests.length], [-N.EBADMSG, 0], String(bad));
    assert.equal(inFlight().size, 3);
  }
});

test('answers to what was not asked, journals and rings that are none', () => {
  dom0.write(RING, new Uint8Array(4096));
  journal();
  assert.equal(put([{ slot: 5, body: 1 }]), -N.EINVAL);
  assert.equal(put([{ slot: ENTRIES, body: 1 }]), -N.EINVAL);
  assert.equal(ring.get(8), 0);
  ring.set(0, 1);
  const [request] = take().requests;
  assert.equal(put([{ slot: request!.slot, body: 9 }, { slot: request!.slot, body: 9 }]), -N.EINVAL); // prettier-ignore
  assert.equal(ring.get(8), 1, 'once');
  for (const entries of [0, 3, 0x10000]) {
    journal(entries);
    assert.equal(take().status, -N.EINVAL, String(entries));
  }
  journal();
  back.write(JOURNAL, new Uint8Array(new BigUint64Array([BigInt(RING + 0x10000)]).buffer));
  assert.equal(take().status, -N.EFAULT);
});

test('a guest has no such hypercall; the mailbox can be named by address', () => {
  assert.equal(m.x.test_hypercall!(guest, N.__HYPERVISOR_service_op, 0n, 0n, 1n, 0n, 0n, 1), -38n as never);
  journal();
  dom0.write(RING, new Uint8Array(4096));
  ring.set(0, 2);
  ring.set(ring.entry(1), 77);
  const bytes = new Uint8Array(N.sizeof_service_ring_take);
  const v = new DataView(bytes.buffer);
  v.setBigUint64(0, BigInt(JOURNAL), true);
  v.setBigUint64(8, BigInt(WINDOW + 4096), true);
  v.setUint32(16, ENTRIES, true);
  back.write(JOURNAL + 0x3000, bytes);
  const at = m.x.service_mailbox!(0x7f03) >>> 0;
  new Uint8Array(m.memory.buffer).set(bytes, at + 4096);
  assert.equal(back.hypercall(N.__HYPERVISOR_service_op, 0, WINDOW, 1), 0);
  const data = new DataView(m.memory.buffer, at + 4096);
  assert.deepEqual([data.getUint32(20, true), data.getInt32(28, true), data.getUint32(4096 + STRIDE + 8, true)], [2, 0, 77]); // prettier-ignore
  assert.equal(back.hypercall(N.__HYPERVISOR_service_op, 0, WINDOW + 0x40000 - 8, 1), -14, 'past its end');
});

test('an event for a service with a worker rings its bell', () => {
  const dom0Port = dom0.op('event_channel_op', 'EVTCHNOP_alloc_unbound', 'evtchn_alloc_unbound', {
    dom: [2, guest],
    remote_dom: [2, 0x7f03],
  });
  assert.equal(dom0Port, 0);
  const remote = dom0.get('evtchn_alloc_unbound', 'port', 4);
  m.woken.length = 0;
  const bind = { remote_dom: [2, guest], remote_port: [4, remote] } as const;
  assert.equal(back.op('event_channel_op', 'EVTCHNOP_bind_interdomain', 'evtchn_bind_interdomain', bind as never), 0);
  assert.deepEqual(m.woken, [1]);
  const local = back.get('evtchn_bind_interdomain', 'local_port', 4);
  assert.deepEqual(back.events(), [local]);
  port = local;
});

test('whether the front end runs: told by its vCPUs, and of no port of its own by none', () => {
  dom0.write(RING, new Uint8Array(4096));
  const busy = (to: number): number => {
    journal();
    back.setU32(JOURNAL + PORT_HEAD, to);
    return take().busy;
  };
  const state = (m.x.domain_cpu!(guest, 0) >>> 0) + VCPU_STATE;
  const words = new DataView(m.memory.buffer);
  const before = words.getUint32(state, true);
  assert.deepEqual([before, busy(port)], [N.RUNSTATE_offline, 0]);
  words.setUint32(state, N.RUNSTATE_running!, true);
  assert.deepEqual([busy(port), busy(0), busy(port + 1)], [1, 0, 0]);
  words.setUint32(state, before, true);
});
