import assert from 'node:assert/strict';
import { test } from 'node:test';
import { make } from './layout.ts';
import { STRUCTS } from './structs/index.ts';
import { formatHypercall, formatResult, type Read } from './trace.ts';

/** Guest memory of a few pieces at given addresses. */
function memory(...pieces: [bigint, Uint8Array][]): Read {
  return (va, length) => {
    const piece = pieces.find(([at, b]) => va >= at && va + BigInt(length) <= at + BigInt(b.length));
    return piece ? piece[1].subarray(Number(va - piece[0]), Number(va - piece[0]) + length) : null;
  };
}
const nothing: Read = () => null;

test('an op with a structure', () => {
  const s = make(STRUCTS.evtchn_alloc_unbound);
  s.view.dom = 0x7ff0;
  s.view.remote_dom = 0;
  s.view.port = 12;
  const read = memory([0x1000n, s.bytes]);
  assert.equal(
    formatHypercall(32, [6n, 0x1000n], read),
    'event_channel_op(EVTCHNOP_alloc_unbound, {dom: DOMID_SELF, remote_dom: 0, port: 12})',
  );
});

test('a continued memory op keeps its name', () => {
  const s = make(STRUCTS.xen_memory_reservation);
  s.view.extent_start = 0xffff888000001000n;
  s.view.nr_extents = 512n;
  s.view.domid = 5;
  const shown = formatHypercall(12, [(7n << 6n) | 6n, 8n], memory([8n, s.bytes]));
  assert.equal(
    shown,
    'memory_op(XENMEM_populate_physmap, {extent_start: 0xffff888000001000, nr_extents: 512, extent_order: 0, mem_flags: 0, domid: 5})',
  );
});

test('arrays, text, lists of calls and ops in memory', () => {
  const two = new Uint8Array(2 * STRUCTS.gnttab_set_version.size);
  two.set([1, 0, 0, 0, 2]);
  assert.equal(
    formatHypercall(20, [8n, 0x10n, 2n], memory([0x10n, two])),
    'grant_table_op(GNTTABOP_set_version, [{version: 1}, {version: 2}], 2)',
  );
  const hello = new TextEncoder().encode('hello\n');
  assert.equal(
    formatHypercall(18, [0n, 6n, 0x10n], memory([0x10n, hello])),
    'console_io(CONSOLEIO_write, 6, "hello\\n")',
  );
  const call = make(STRUCTS.multicall_entry);
  call.view.op = 29n;
  assert.equal(
    formatHypercall(13, [0x10n, 1n], memory([0x10n, call.bytes])),
    'multicall([sched_op(SCHEDOP_yield, NULL)], 1)',
  );
  const exts = new Uint8Array(2 * STRUCTS.mmuext_op.size);
  exts.set([3, 0, 0, 0, 0, 0, 0, 0, 0x40]);
  exts[24] = 6;
  assert.equal(
    formatHypercall(26, [0x10n, 2n, 0n, 0x7ff0n], memory([0x10n, exts])),
    'mmuext_op([{cmd: MMUEXT_PIN_L4_TABLE, arg1: {mfn: 64}, arg2: {nr_ents: 0}}, {cmd: MMUEXT_TLB_FLUSH_LOCAL}], 2, NULL, 0x7ff0)',
  );
  const ctl = make(STRUCTS.xen_domctl);
  ctl.view.cmd = 11;
  ctl.view.domain = 3;
  ctl.view.u.max_mem.max_memkb = 4096n;
  assert.equal(
    formatHypercall(36, [0x10n], memory([0x10n, ctl.bytes])),
    'domctl(3, XEN_DOMCTL_max_mem, {max_memkb: 4096})',
  );
  const op = make(STRUCTS.xen_dm_op);
  op.view.op = 5;
  op.view.u.set_ioreq_server_state.id = 1;
  op.view.u.set_ioreq_server_state.enabled = 1;
  const buf = make(STRUCTS.xen_dm_op_buf);
  buf.view.h = 0x100n;
  const read = memory([0x10n, buf.bytes], [0x100n, op.bytes]);
  assert.equal(
    formatHypercall(41, [2n, 1n, 0x10n], read),
    'dm_op(2, 1, XEN_DMOP_set_ioreq_server_state, {id: 1, enabled: 1})',
  );
});

test('bit-fields', () => {
  const s = make(STRUCTS.ioreq);
  s.view.$bits.state = 3;
  s.view.$bits.dir = 1;
  assert.equal(s.bytes[30], 0x23);
  s.view.$bits.state = 1;
  assert.equal(s.bytes[30], 0x21);
});

test('hostile arguments: nothing throws, nothing grows', () => {
  assert.equal(formatHypercall(77, [1n], nothing), 'hypercall_77(0x1)');
  assert.equal(formatHypercall(32, [99n, 0x1000n], nothing), 'event_channel_op(99, 0x1000)');
  assert.match(formatHypercall(20, [5n, 0x1000n, 0xffffffffn], nothing), /unreadable.*… 4294967295/);
  assert.match(formatHypercall(13, [0x1000n, 0xffffffffn], nothing), /unreadable/);
  for (let nr = 0; nr < 64; nr++) {
    for (let cmd = 0n; cmd < 40n; cmd++)
      assert.ok(formatHypercall(nr, [cmd, 0x5000n, 3n, 0x6000n], (_, n) => new Uint8Array(n).fill(0xff)).length < 4096);
  }
  assert.equal(formatResult(-38n & 0xffffffffffffffffn), '-ENOSYS');
  assert.equal(formatResult(0x40011n), '0x40011');
});

test('structures of 32-bit code are read in its layout', () => {
  const bytes = new Uint8Array(new Uint32Array([0x2000, 3, 0, 0, 0x7ff0]).buffer);
  const read = memory([8n, bytes]);
  read.compat = true;
  const wanted = '{extent_start: 0x2000, nr_extents: 3, extent_order: 0, mem_flags: 0, domid: DOMID_SELF}';
  assert.equal(formatHypercall(12, [6n, 8n], read), `memory_op(XENMEM_populate_physmap, ${wanted})`);
});
