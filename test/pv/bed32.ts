// A 32-bit PV domain from a kernel's plan, by hand: what bed.ts is for a 64-bit one.
import assert from 'node:assert/strict';
import { buildDomain, type PvPlan } from '../../services/domain_builder/protocol/index.ts';
import { loadCore, type CoreImage } from '../../platform/core.ts';
import { N } from '../hypervisor.ts';
import { Bare, PAGES, type PvGuest } from './bed.ts';

const PAGE = 4096;

/** A machine with one guest that is ready to run; its command line says what it is to do (guests/pv32/main.c). */
export function pv32Guest(
  image: Uint8Array,
  translate: boolean,
  core: CoreImage = loadCore(),
  cmdline: number | '' = '',
  vcpus = 2,
): PvGuest {
  const b = new Bare(translate, core, vcpus, PAGES);
  const { domid, dom0 } = b;
  assert.equal(
    b.domctl('XEN_DOMCTL_set_address_size', (u) => u.setUint32(0, 32, true)),
    0,
  );
  const frames = b.populate(PAGES);
  const plan = buildDomain({ type: 'pv', kernel: image, cmdline: String(cmdline), memory: PAGES * PAGE }) as PvPlan;
  const mfn = (pfn: number): number => frames[pfn]!;
  const { writes, context } = plan.finish(mfn, { sharedInfo: b.sharedInfo(), storePort: 0, consolePort: 0 });
  const memory = new Uint8Array(b.machine.memory.buffer);
  for (const { gpa, bytes } of [...plan.writes, ...writes])
    for (let i = 0; i < bytes.length; ) {
      const n = Math.min(bytes.length - i, PAGE - ((gpa + i) % PAGE));
      memory.set(bytes.subarray(i, i + n), mfn(Math.floor((gpa + i) / PAGE)) * PAGE + ((gpa + i) % PAGE));
      i += n;
    }
  const page = mfn(plan.hypercallPfn!);
  const filled = b.domctl('XEN_DOMCTL_hypercall_init', (u) => u.setBigUint64(0, BigInt(page), true));
  assert.equal(filled, 0, 'hypercall_init');
  dom0.put(64, 'mmuext_op', { cmd: [4, N.MMUEXT_PIN_L3_TABLE!], arg1__mfn: [8, mfn(plan.rootPfn)] });
  assert.equal(dom0.hypercall(N.__HYPERVISOR_mmuext_op!, 64, 1, 0, domid), 0, 'pin');
  return b.start(context);
}
