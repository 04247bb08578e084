// The FIFO event ABI against a model: what a guest that follows the protocol sees, and what one that breaks it can do (nothing).
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Machine, N, random, Service } from '../../test/hypervisor.ts';

const SELF = 0x7ff0;
const CONTROL = 2; // page numbers in the service's space
const ARRAY = 3;
const [PENDING, MASKED, LINKED] = [0x80000000, 0x40000000, 0x20000000];
const LINK = 0x1ffff;

class Fifo {
  readonly s: Service;
  readonly heads = new Array<number>(16).fill(0);
  constructor(s: Service) {
    this.s = s;
    s.write(CONTROL * 4096, new Uint8Array(8192));
    assert.equal(this.op('init_control', { control_gfn: [8, CONTROL], offset: [4, 0], vcpu: [4, 0] }), 0);
    assert.equal(s.get('evtchn_init_control', 'link_bits', 1), 17);
    assert.equal(this.op('expand_array', { array_gfn: [8, ARRAY] }), 0);
  }
  op(name: string, fields: Record<string, [number, number | bigint]>): number {
    return this.s.op('event_channel_op', `EVTCHNOP_${name}`, `evtchn_${name}`, fields);
  }
  word(port: number): number {
    return this.s.u32(ARRAY * 4096 + 4 * port);
  }
  setWord(port: number, value: number): void {
    this.s.setU32(ARRAY * 4096 + 4 * port, value >>> 0);
  }
  ipi(): number {
    const rc = this.op('bind_ipi', { vcpu: [4, 0] });
    return rc < 0 ? rc : this.s.get('evtchn_bind_ipi', 'port', 4);
  }
  send(port: number): number {
    return this.op('send', { port: [4, port] });
  }
  /** Consume the queues as a guest does, the highest priority first; the ports whose events were taken, in order. */
  consume(limit = 10000): number[] {
    const taken: number[] = [];
    let ready = this.s.u32(CONTROL * 4096);
    this.s.setU32(CONTROL * 4096, 0);
    for (let q = 0; q < 16 && limit > 0; q++) {
      if (!(ready & (1 << q))) continue;
      let port = this.heads[q] || this.s.u32(CONTROL * 4096 + 8 + 4 * q);
      while (port && limit-- > 0) {
        const w = this.word(port);
        this.setWord(port, w & ~(LINKED | LINK | PENDING));
        if (w & PENDING && !(w & MASKED)) taken.push(port);
        port = w & LINK;
      }
      this.heads[q] = 0;
    }
    this.events();
    return taken;
  }
  /** Clear upcall_pending, as the guest's upcall does: taking two-level events does the same for a service. */
  events(): void {
    this.s.events();
  }
}

const start = () => {
  const m = new Machine();
  return { m, f: new Fifo(m.service(5)) };
};

test('control block and array pages: hostile arguments', () => {
  const m = new Machine();
  const s = m.service(5);
  const init = (gfn: number, offset: number, vcpu: number) =>
    s.op('event_channel_op', 'EVTCHNOP_init_control', 'evtchn_init_control', {
      control_gfn: [8, gfn],
      offset: [4, offset],
      vcpu: [4, vcpu],
    });
  const expand = (gfn: number) =>
    s.op('event_channel_op', 'EVTCHNOP_expand_array', 'evtchn_expand_array', { array_gfn: [8, gfn] });
  assert.equal(expand(3), -N.ENOSYS, 'not before the control block');
  assert.equal(init(2, 4096 - 71, 0), -N.EINVAL);
  assert.equal(init(2, 4, 0), -N.EINVAL);
  assert.equal(init(2, 0, 1), -N.ENOENT);
  assert.equal(init(999, 0, 0), -N.EINVAL);
  assert.equal(init(2, 4096 - 72, 0), 0);
  assert.equal(init(2, 0, 0), -N.EINVAL, 'once only');
  assert.equal(expand(999), -N.EINVAL);
  for (let i = 0; i < 128; i++) assert.equal(expand(3), 0);
  assert.equal(expand(3), -N.ENOSPC);
});

test('an event sent before its word exists arrives when the page is given', () => {
  const m = new Machine();
  const s = m.service(5);
  s.write(CONTROL * 4096, new Uint8Array(8192));
  assert.equal(s.op('event_channel_op', 'EVTCHNOP_bind_ipi', 'evtchn_bind_ipi', { vcpu: [4, 0] }), 0);
  const port = s.get('evtchn_bind_ipi', 'port', 4);
  assert.equal(s.op('event_channel_op', 'EVTCHNOP_send', 'evtchn_send', { port: [4, port] }), 0);
  assert.deepEqual(new Fifo(s).consume(), [port]);
});

test('random sends, masks, priorities and consumption against a model', () => {
  const { f } = start();
  const rnd = random(20240607);
  const ports = Array.from({ length: 40 }, () => f.ipi());
  ports.forEach((p) => assert.ok(p > 0));
  // Model: a queue a priority; an event keeps its queue until it is consumed.
  const queues: number[][] = Array.from({ length: 16 }, () => []);
  const priority = new Map(ports.map((p) => [p, 7]));
  const pending = new Set<number>();
  const masked = new Set<number>();
  const linked = new Set<number>();
  const arrive = (p: number) => {
    if (pending.has(p) && !masked.has(p) && !linked.has(p)) {
      linked.add(p);
      queues[priority.get(p)!].push(p);
    }
  };
  let seen = 0;
  for (let i = 0; i < 6000; i++) {
    const p = ports[rnd(ports.length)];
    switch (rnd(8)) {
      case 0:
      case 1:
      case 2:
        assert.equal(f.send(p), 0);
        pending.add(p);
        arrive(p);
        break;
      case 3:
        f.setWord(p, f.word(p) | MASKED);
        masked.add(p);
        break;
      case 4:
        assert.equal(f.op('unmask', { port: [4, p] }), 0);
        masked.delete(p);
        arrive(p);
        break;
      case 5: {
        const to = rnd(16);
        assert.equal(f.op('set_priority', { port: [4, p], priority: [4, to] }), 0);
        priority.set(p, to);
        break;
      }
      default:
        if (rnd(4)) break;
        const expected: number[] = [];
        for (const q of queues) {
          for (const port of q) {
            linked.delete(port);
            if (!masked.has(port)) expected.push(port);
            pending.delete(port);
          }
          q.length = 0;
        }
        assert.deepEqual(f.consume(), expected);
        seen += expected.length;
    }
  }
  assert.ok(seen > 500, `${seen} events`);
});

test('a guest that writes rubbish into words and heads harms itself only', () => {
  const { m, f } = start();
  const other = m.service(6);
  const rnd = random(7);
  const ports = Array.from({ length: 30 }, () => f.ipi());
  for (let i = 0; i < 4000; i++) {
    const p = ports[rnd(ports.length)];
    if (rnd(2)) f.send(p);
    else if (rnd(2)) f.setWord(p, rnd(0x10000) * 0x10001);
    else if (rnd(2)) f.s.setU32(CONTROL * 4096 + 4 * rnd(18), rnd(0x10000) * 0x10001);
    else f.op('unmask', { port: [4, p] });
  }
  assert.equal(f.op('reset', { dom: [2, SELF] }), 0);
  assert.ok(f.ipi() > 0, 'works again on two levels');
  assert.equal(other.hypercall(N.__HYPERVISOR_xen_version, 0), 0x40011);
});
