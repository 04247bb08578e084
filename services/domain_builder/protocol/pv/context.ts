/** A PV domain's first vCPU at its first instruction: vcpu_guest_context (public/arch-x86/xen.h). */
import { VGCF_in_kernel, VGCF_online } from '../../../../spec/abi/constants.ts';
import { pv32 } from '../../../../spec/abi/compat_pv.ts';
import { make } from '../../../../spec/abi/layout.ts';
import { xen } from '../../../../spec/abi/structs/xen.ts';
import { PAGE } from '../bytes.ts';
import type { Image } from './image.ts';
import type { Layout } from './layout.ts';

/** Flat segments in the hypervisor's part of every GDT (FLAT_KERNEL_* of xen-x86_64.h and xen-x86_32.h). */
const KERNEL = {
  64: { cs: 0xe033, ss: 0xe02b, ds: 0 },
  32: { cs: 0xe019, ss: 0xe021, ds: 0xe021 },
} as const;
const RFLAGS_IF = 0x200;
const DR6_DEFAULT = 0xffff0ff0n;
const DR7_DEFAULT = 0x400n;

/** `root`: the machine frame of the top page table. */
export function pvContext({ bits, virtBase, entry }: Image, layout: Layout, root: number): Uint8Array {
  const stack = virtBase + BigInt((layout.bootStack + 1) * PAGE);
  const info = virtBase + BigInt(layout.startInfo * PAGE);
  const { cs, ss, ds } = KERNEL[bits];
  const segments = { cs, ss, ds, es: ds, fs: ds, gs: ds };
  if (bits === 64) {
    const { view, bytes } = make(xen.vcpu_guest_context);
    Object.assign(view.user_regs, segments, { rip: entry, rsp: stack, rsi: info, rflags: BigInt(RFLAGS_IF) });
    fill(view, BigInt(root) << 12n, ss, stack);
    return bytes;
  }
  const { view, bytes } = make(pv32.vcpu_guest_context);
  Object.assign(view.user_regs, segments, {
    ...{ eip: Number(entry), esp: Number(stack), esi: Number(info), eflags: RFLAGS_IF },
  });
  // Frames beyond 4 GiB have their high bits at the low end (xen_pfn_to_cr3).
  fill(view, ((root << 12) | (root >>> 20)) >>> 0, ss, stack);
  return bytes;
}

type Word = number | bigint;
interface Words {
  set(i: number, value: never): void;
}
function fill(
  view: { flags: Word; kernel_ss: Word; kernel_sp: Word; ctrlreg: Words; debugreg: Words },
  cr3: Word,
  ss: number,
  stack: bigint,
): void {
  view.flags = VGCF_in_kernel | VGCF_online;
  view.kernel_ss = ss;
  view.kernel_sp = stack;
  view.ctrlreg.set(3, cr3 as never);
  view.debugreg.set(6, DR6_DEFAULT as never);
  view.debugreg.set(7, DR7_DEFAULT as never);
}
