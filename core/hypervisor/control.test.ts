// The control interface as a toolstack uses it: the console's ring, what is said of the host, its domains and their vCPUs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDomain, Machine, N, random, type Service } from '../../test/hypervisor.ts';
import { CON_TEXT_AT } from './console_text.ts';
import { consoleTextBytes } from './console_texts.ts';
import { versionTextBytes } from './version_text.ts';

const BUFFER = 8 * 4096;
const PRIVILEGED = 1;

function host(): { m: Machine; dom0: Service; other: Service } {
  const m = new Machine();
  const bytes = new Uint8Array(m.memory.buffer);
  bytes.set(versionTextBytes(), m.x.host_text());
  bytes.set(consoleTextBytes(), m.x.host_text() + CON_TEXT_AT);
  m.x.console_start();
  return { m, dom0: m.service(0, PRIVILEGED), other: m.service(5) };
}

/** A sysctl with its structure's u64 and u32 members by offset; the answer's bytes. */
function sysctl(s: Service, op: number, fill: (v: DataView) => void = () => {}): { rc: number; u: DataView } {
  const bytes = new Uint8Array(8 + 128);
  const v = new DataView(bytes.buffer);
  v.setUint32(0, op, true);
  v.setUint32(4, N.XEN_SYSCTL_INTERFACE_VERSION, true);
  fill(new DataView(bytes.buffer, 8));
  s.write(0, bytes);
  const rc = s.hypercall(N.__HYPERVISOR_sysctl, 0);
  return { rc, u: new DataView(s.read(8, 128)!.slice().buffer) };
}

function domctl(
  s: Service,
  op: number,
  domid: number,
  fill: (v: DataView) => void = () => {},
): { rc: number; u: DataView } {
  const bytes = new Uint8Array(16 + 128);
  const v = new DataView(bytes.buffer);
  v.setUint32(0, op, true);
  v.setUint32(4, N.XEN_DOMCTL_INTERFACE_VERSION, true);
  v.setUint16(8, domid, true);
  fill(new DataView(bytes.buffer, 16));
  s.write(0, bytes);
  const rc = s.hypercall(N.__HYPERVISOR_domctl, 0);
  return { rc, u: new DataView(s.read(16, 128)!.slice().buffer) };
}

/** readconsole; offsets of struct xen_sysctl_readconsole. */
function readConsole(s: Service, options: { clear?: boolean; from?: number; count?: number } = {}) {
  const { clear = false, from, count = 65536 } = options;
  const { rc, u } = sysctl(s, N.XEN_SYSCTL_readconsole, (v) => {
    v.setUint8(N.xen_sysctl_readconsole__clear, clear ? 1 : 0);
    v.setUint8(N.xen_sysctl_readconsole__incremental, from === undefined ? 0 : 1);
    v.setUint32(N.xen_sysctl_readconsole__index, from ?? 0, true);
    v.setBigUint64(N.xen_sysctl_readconsole__buffer, BigInt(BUFFER), true);
    v.setUint32(N.xen_sysctl_readconsole__count, count, true);
  });
  const length = u.getUint32(N.xen_sysctl_readconsole__count, true);
  const text = rc === 0 ? Buffer.from(s.read(BUFFER, length)!).toString('latin1') : '';
  return { rc, text, index: u.getUint32(N.xen_sysctl_readconsole__index, true) };
}

function say(s: Service, text: string): void {
  s.write(4096, Buffer.from(text, 'latin1'));
  assert.equal(s.hypercall(N.__HYPERVISOR_console_io, 0, text.length, 4096), 0);
}

test('the console: who says what, line by line', () => {
  const { dom0, other } = host();
  const start = readConsole(dom0);
  assert.match(
    start.text,
    /^\(XEN\) Xen version 4\.17\.\d\S* \(xenolith@localdomain\)\n\(XEN\) built by .*\n\(XEN\) machine memory: \d+ KiB/,
  );
  say(other, 'one\ntwo');
  say(dom0, 'between\n');
  say(other, ' and\x1b[31m three\r\n\x00');
  const { text, index } = readConsole(dom0, { from: start.index });
  assert.equal(text, '(d5) one\n(d5) two\n(d0) between\n(d5)  and[31m three\n');
  assert.equal(readConsole(dom0, { from: index }).text, '', 'nothing new');
  assert.equal(readConsole(dom0).text, start.text + text, 'from the oldest byte');
  assert.equal(readConsole(dom0, { count: 5 }).text, '(XEN)');
  assert.equal(readConsole(dom0, { clear: true }).text, start.text + text);
  assert.equal(readConsole(dom0).text, '');
  assert.equal(readConsole(other).rc, -N.EPERM, 'not for everybody');
});

test('the console keeps the last 64 KiB, and a reader that is late begins with the oldest byte', () => {
  const { dom0, other } = host();
  const line = `${'x'.repeat(94)}\n`;
  const { index } = readConsole(dom0, { clear: true });
  for (let i = 0; i < 1000; i++) say(other, line);
  const all = readConsole(dom0, { from: index, count: 80_000 });
  assert.equal(all.text.length, 65536);
  assert.ok(all.text.endsWith(`(d5) ${line}`));
  let [parts, at] = ['', index];
  for (let n = 1; n > 0; ) {
    const part = readConsole(dom0, { from: at, count: 1000 });
    [parts, at, n] = [parts + part.text, part.index, part.text.length];
  }
  assert.equal(parts, all.text);
});

test('debug keys tell, unknown ones too, and change nothing', () => {
  const { dom0, other } = host();
  createDomain(dom0, 64);
  const press = (s: Service, keys: string): number => {
    s.write(BUFFER, Buffer.from(keys));
    return sysctl(s, N.XEN_SYSCTL_debug_keys, (v) => {
      v.setBigUint64(N.xen_sysctl_debug_keys__keys, BigInt(BUFFER), true);
      v.setUint32(N.xen_sysctl_debug_keys__nr_keys, keys.length, true);
    }).rc;
  };
  const { index } = readConsole(dom0);
  assert.equal(press(dom0, 'hqemrZ'), 0);
  const { text } = readConsole(dom0, { from: index });
  for (const part of [
    /'h' pressed/,
    /key 'q' =>/,
    /domain 0:\n/,
    /nr_pages=32/,
    /VCPU0: CPU0/,
    /event channels of domain 5/,
    /free: \d+ KiB of/,
    /CPU0:/,
    /nothing is done at 'Z'/,
  ])
    assert.match(text, part);
  assert.ok(text.split('\n').every((line) => line === '' || line.startsWith('(XEN) ')));
  assert.equal(press(other, 'h'), -N.EPERM);
});

test('physinfo and the scheduler', () => {
  const { m, dom0 } = host();
  const { rc, u } = sysctl(dom0, N.XEN_SYSCTL_physinfo);
  assert.equal(rc, 0);
  const u32 = (name: string): number => u.getUint32(N[`xen_sysctl_physinfo__${name}`], true);
  assert.deepEqual(
    ['nr_cpus', 'max_cpu_id', 'nr_nodes', 'cores_per_socket', 'threads_per_core'].map(u32),
    [1, 0, 1, 1, 1],
  );
  assert.equal(
    u32('capabilities'),
    N.XEN_SYSCTL_PHYSCAP_pv |
      N.XEN_SYSCTL_PHYSCAP_hvm |
      N.XEN_SYSCTL_PHYSCAP_hap |
      N.XEN_SYSCTL_PHYSCAP_gnttab_v1 |
      N.XEN_SYSCTL_PHYSCAP_gnttab_v2,
  );
  assert.equal(Number(u.getBigUint64(N.xen_sysctl_physinfo__free_pages, true)), m.x.frames_free());
  assert.ok(u.getBigUint64(N.xen_sysctl_physinfo__total_pages, true) > 0n);
  assert.notEqual(u32('hw_cap') & 1, 0, 'there is an FPU');
  assert.equal(sysctl(dom0, N.XEN_SYSCTL_sched_id).u.getUint32(0, true), 0);
  assert.equal(sysctl(dom0, N.XEN_SYSCTL_perfc_op).rc, -N.ENOSYS);
});

test('vCPUs: what they do, triggers, affinity, registers', () => {
  const { dom0, other } = host();
  const domid = createDomain(dom0, 64);
  const info = (d: number, vcpu: number) =>
    domctl(dom0, N.XEN_DOMCTL_getvcpuinfo, d, (v) => v.setUint32(0, vcpu, true));
  const own = info(0, 0).u;
  assert.deepEqual(
    [4, 5, 6].map((at) => own.getUint8(at)),
    [1, 0, 1],
    'online, not blocked, running: it asks',
  );
  assert.equal(info(domid, 0).rc, 0);
  assert.equal(info(domid, 7).rc, -N.ESRCH);
  const trigger = (what: number, vcpu: number): number =>
    domctl(dom0, N.XEN_DOMCTL_sendtrigger, domid, (v) => {
      v.setUint32(0, what, true);
      v.setUint32(4, vcpu, true);
    }).rc;
  assert.deepEqual([trigger(0, 0), trigger(0, 9), trigger(1, 0), trigger(3, 0)], [0, -N.ESRCH, -N.ENOSYS, -N.EINVAL]);

  const affinity = (op: number, mask: number, bits: number, flags: number): { rc: number; hard: number } => {
    dom0.write(BUFFER, new Uint8Array(new BigUint64Array([BigInt(mask), BigInt(mask)]).buffer));
    const { rc } = domctl(dom0, op, domid, (v) => {
      v.setUint32(N.xen_domctl_vcpuaffinity__flags, flags, true);
      for (const [i, map] of [
        N.xen_domctl_vcpuaffinity__cpumap_hard,
        N.xen_domctl_vcpuaffinity__cpumap_soft,
      ].entries()) {
        v.setBigUint64(map, BigInt(BUFFER + 8 * i), true);
        v.setUint32(map + 8, bits, true);
      }
    });
    return { rc, hard: dom0.read(BUFFER, 1)![0]! };
  };
  assert.deepEqual(affinity(N.XEN_DOMCTL_getvcpuaffinity, 0, 8, 1), { rc: 0, hard: 1 });
  assert.deepEqual(affinity(N.XEN_DOMCTL_setvcpuaffinity, 0xff, 64, 3), { rc: 0, hard: 1 });
  assert.equal(affinity(N.XEN_DOMCTL_setvcpuaffinity, 2, 8, 1).rc, -N.EINVAL, 'no pCPU is left');
  assert.equal(affinity(N.XEN_DOMCTL_setvcpuaffinity, 1, 8, 0).rc, -N.EINVAL);

  const context = (vcpu: number) =>
    domctl(dom0, N.XEN_DOMCTL_getvcpucontext, domid, (v) => {
      v.setUint32(N.xen_domctl_vcpucontext__vcpu, vcpu, true);
      v.setBigUint64(N.xen_domctl_vcpucontext__ctxt, BigInt(BUFFER), true);
    }).rc;
  dom0.write(BUFFER, new Uint8Array(N.sizeof_vcpu_guest_context).fill(0xaa));
  assert.equal(context(0), 0);
  const bytes = dom0.read(BUFFER, N.sizeof_vcpu_guest_context)!;
  const v = new DataView(bytes.buffer, bytes.byteOffset);
  assert.equal(v.getUint16(0, true), 0x37f, 'the FPU control word after reset');
  // Bit 1 is always set (SDM vol. 1, 3.4.3).
  assert.equal(v.getBigUint64(N.vcpu_guest_context__user_regs + N.cpu_user_regs__rflags, true) & 2n, 2n);
  assert.equal(v.getBigUint64(N.vcpu_guest_context__ctrlreg, true) & 1n, 0n);
  assert.ok(bytes.subarray(N.vcpu_guest_context__trap_ctxt, N.vcpu_guest_context__ldt_base).every((b) => b === 0));
  assert.equal(v.getBigUint64(N.vcpu_guest_context__debugreg + 48, true), 0xffff0ff0n);
  assert.equal(context(3), -N.ESRCH);
  assert.equal(domctl(dom0, N.XEN_DOMCTL_unpausedomain, domid).rc, 0);
  assert.equal(context(0), -N.EINVAL, 'it does not stand');
  for (const op of ['getvcpuinfo', 'sendtrigger', 'getvcpuaffinity', 'getvcpucontext'])
    assert.equal(domctl(other, N[`XEN_DOMCTL_${op}`], domid).rc, -N.EPERM, op);
});

test('fuzz: no structure of these operations traps, and the ring stays text', () => {
  const next = random(41);
  const { dom0 } = host();
  const domid = createDomain(dom0, 64);
  const ops = ['getvcpuinfo', 'sendtrigger', 'getvcpuaffinity', 'setvcpuaffinity', 'getvcpucontext', 'getdomaininfo'];
  const systems = ['readconsole', 'physinfo', 'debug_keys', 'getdomaininfolist', 'sched_id'];
  const fill = (v: DataView): void => {
    for (let at = 0; at < 64; at += 4) v.setUint32(at, [0, 1, 8, 64, BUFFER, 0xffffffff, next(1 << 20)][next(7)], true);
  };
  for (let i = 0; i < 4000; i++) {
    if (next(2)) domctl(dom0, N[`XEN_DOMCTL_${ops[next(ops.length)]}`], next(2) ? domid : next(6), fill);
    else sysctl(dom0, N[`XEN_SYSCTL_${systems[next(systems.length)]}`], fill);
  }
  assert.match(readConsole(dom0).text, /^[\x20-\x7e\n\t]*$/);
});
