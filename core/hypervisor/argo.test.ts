// Argo: rings, messages around their end, refusals, and who is told of room.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invariants } from '../../test/invariants.ts';
import { Machine, N, type Service } from '../../test/hypervisor.ts';

const ASKED = 2048;
const LIST = 3 * 4096;
const PORT = 7;

function two() {
  const m = new Machine();
  m.service(0, 1);
  return { m, a: m.service(5), b: m.service(6), c: m.service(7) };
}
const op = (s: Service, name: string, ...args: number[]) =>
  s.hypercall(N.__HYPERVISOR_argo_op, N[`XEN_ARGO_OP_${name}`], ...args);
const words = (...list: number[]) => new Uint8Array(Uint32Array.from(list, (w) => w >>> 0).buffer);

function register(
  s: Service,
  partner: number,
  len: number,
  more: { pages?: number; flags?: number; first?: number } = {},
) {
  const pages = more.pages ?? Math.ceil((len + 64) / 4096);
  s.write(0, words(PORT, partner, len));
  s.write(
    LIST,
    new Uint8Array(BigUint64Array.from({ length: pages }, (_, i) => BigInt((more.first ?? 20) + i)).buffer),
  );
  return op(s, 'register_ring', 0, LIST, pages, more.flags ?? 0);
}
function send(s: Service, to: number, parts: string[], type = 9, source = 0x7ff0): number {
  s.write(0, words(3, source, PORT, to));
  parts.forEach((text, i) => {
    s.write(4096 + 512 * i, Buffer.from(text));
    s.write(256 + 16 * i, words(4096 + 512 * i, 0, text.length, 0));
  });
  return op(s, 'sendv', 0, 256, parts.length, type);
}
/** What lies in the ring: messages between rx_ptr and tx_ptr, which are taken. */
function receive(s: Service, len: number): { from: number[]; type: number; text: string }[] {
  const at = 20 * 4096;
  const byte = (i: number) => s.read(at + 64 + (i % len), 1)![0];
  const word = (i: number) => s.u32(at + 64 + (i % len));
  const found = [];
  let rx = s.u32(at);
  const tx = s.u32(at + 4);
  while (rx !== tx) {
    const n = word(rx);
    const text = Buffer.from(Array.from({ length: n - 16 }, (_, i) => byte(rx + 16 + i))).toString('latin1');
    found.push({ from: [word(rx + 4), word(rx + 8)], type: word(rx + 12), text });
    rx = (rx + ((n + 15) & ~15)) % len;
  }
  s.setU32(at, rx);
  return found;
}
function virq(s: Service): number {
  s.put(0, 'evtchn_bind_virq', { virq: [4, N.VIRQ_ARGO] });
  assert.equal(s.hypercall(N.__HYPERVISOR_event_channel_op, N.EVTCHNOP_bind_virq, 0), 0);
  return s.get('evtchn_bind_virq', 'port', 4);
}
/** One entry of notify: its flags. */
function ask(s: Service, domid: number, space: number): number {
  s.write(ASKED, words(1, 0, PORT, domid, 0, space, 0));
  assert.equal(op(s, 'notify', ASKED), 0);
  return s.u32(ASKED + 8 + N.xen_argo_ring_data_ent__flags) & 0xffff;
}

test('messages arrive whole, in order, and around the end of the ring', () => {
  const { m, a, b } = two();
  const port = virq(b);
  assert.equal(send(a, 6, ['x']), -N.ECONNREFUSED);
  assert.equal(register(b, 5, 4096), 0);
  for (let i = 0; i < 40; i++) {
    const parts = [`message ${i} `, 'y'.repeat(i * 11)];
    assert.equal(send(a, 6, parts, i), parts.join('').length);
    assert.deepEqual(b.events(), [port]);
    assert.deepEqual(receive(b, 4096), [{ from: [3, 5], type: i, text: parts.join('') }]);
  }
  assert.equal(send(a, 6, []), 0, 'a message may be empty');
  assert.deepEqual(receive(b, 4096), [{ from: [3, 5], type: 9, text: '' }]);
  assert.equal(invariants(m.x), null);
});

test('a full ring: the sender waits, and is told when there is room', () => {
  const { m, a, b } = two();
  const port = virq(a);
  assert.equal(register(b, 5, 256), 0);
  const EXISTS_EMPTY = N.XEN_ARGO_RING_EXISTS | N.XEN_ARGO_RING_EMPTY;
  assert.equal(ask(a, 6, 224), EXISTS_EMPTY | N.XEN_ARGO_RING_SUFFICIENT);
  assert.equal(a.u32(ASKED + 8 + N.xen_argo_ring_data_ent__max_message_size), 224);
  assert.equal(ask(a, 6, 225), EXISTS_EMPTY | N.XEN_ARGO_RING_EMSGSIZE);
  assert.equal(ask(a, 4321, 1), 0, 'no such ring');
  assert.equal(send(a, 6, ['z'.repeat(225)]), -N.EMSGSIZE);
  assert.equal(send(a, 6, ['z'.repeat(100)]), 100);
  assert.equal(send(a, 6, ['z'.repeat(120)]), -N.EAGAIN);
  assert.equal(op(b, 'notify', 0), 0);
  assert.deepEqual(a.events(), [], 'nothing has been taken yet');
  assert.equal(ask(a, 6, 120), N.XEN_ARGO_RING_EXISTS);
  assert.equal(receive(b, 256).length, 1);
  assert.equal(op(b, 'notify', 0), 0);
  assert.deepEqual(a.events(), [port]);
  assert.equal(send(a, 6, ['z'.repeat(120)]), 120);
  b.setU32(20 * 4096, 3);
  assert.equal(send(a, 6, ['z']), -N.EAGAIN, 'a ring whose receiver writes nonsense takes nothing');
  assert.equal(invariants(m.x), null);
});

test('refusals', () => {
  const { m, a, b, c } = two();
  assert.equal(register(b, 5, 40), -N.EINVAL, 'too small');
  assert.equal(register(b, 5, 4100), -N.EINVAL, 'no whole slots');
  assert.equal(register(b, 5, 4096, { pages: 1 }), -N.EINVAL, 'too few pages');
  assert.equal(register(b, N.DOMID_INVALID, 4096), -N.EPERM, 'rings for everybody are off');
  assert.equal(register(b, 4321, 4096), -N.ESRCH);
  assert.equal(register(b, 5, 4096, { flags: 2 }), -N.EINVAL);
  assert.equal(register(b, 5, 4096, { first: 31 }), -N.EINVAL, 'a page that is not there');
  assert.equal(register(b, 5, 4096), 0);
  assert.equal(register(b, 5, 4096, { flags: 1 }), -N.EEXIST);
  assert.equal(register(b, 5, 256), -N.EINVAL, 'the size stays');
  assert.equal(register(b, 5, 4096, { first: 22 }), 0, 'again, elsewhere');
  assert.equal(send(c, 6, ['x']), -N.ECONNREFUSED, "another's ring");
  assert.equal(send(a, 6, ['x'], 9, 7), -N.EINVAL, 'as somebody else');
  assert.equal(send(a, 4321, ['x']), -N.ESRCH);
  a.write(0, words(3, 5, PORT, 6));
  assert.equal(op(a, 'sendv', 0, 256, 9, 0), -N.EINVAL, 'too many pieces');
  a.write(256, words(0x7ffff000, 0, 4, 0));
  assert.equal(op(a, 'sendv', 0, 256, 1, 0), -N.EFAULT);
  assert.equal(b.u32(22 * 4096 + 4), 0, 'nothing of it arrives');
  b.write(0, words(PORT, 5));
  assert.equal(op(b, 'unregister_ring', 0, 1), -N.EINVAL);
  assert.equal(op(b, 'unregister_ring', 0), 0);
  assert.equal(op(b, 'unregister_ring', 0), -N.ENOENT);
  assert.equal(a.hypercall(N.__HYPERVISOR_argo_op, 9), -N.EOPNOTSUPP);
  assert.equal(invariants(m.x), null);
});

test('rings go with their receiver and with the one who may send to them', () => {
  const { m, b } = two();
  const free = () => m.x.frames_free();
  const before = free();
  assert.equal(register(b, 5, 4096), 0);
  assert.equal(register(b, 7, 8192, { first: 24 }), 0);
  assert.equal(m.x.service_destroy(7), 0);
  assert.equal(m.x.service_destroy(5), 0);
  assert.equal(invariants(m.x), null);
  b.write(0, words(PORT, 5));
  assert.equal(op(b, 'unregister_ring', 0), -N.ENOENT);
  assert.ok(free() > before);
  assert.equal(register(b, 0, 4096), 0);
  assert.equal(m.x.service_destroy(6), 0);
  assert.equal(invariants(m.x), null);
});
