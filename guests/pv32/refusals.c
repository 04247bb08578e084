/* What the hypervisor does not do for a 32-bit guest. */
#include "pv32.h"

#define S(x) ((u64)(int64_t)(x))
#define NOWHERE 0x7fff0000

void test_refusals(void) {
  say("refusals\n");
  struct { uint16_t type, flags; u32 cs, eip; } c = { 3, 0, CS1, 0x1000 };
  check("callback of no kind", S(HC(callback_op, 0, &c, 0, 0)), S(-XEN_ENOSYS));
  check("callback_op of no kind", S(HC(callback_op, 2, &c, 0, 0)), S(-XEN_ENOSYS));
  check("callback_op from nowhere", S(HC(callback_op, 0, NOWHERE, 0, 0)), S(-XEN_EFAULT));
  struct { uint16_t type, unused; } un = { 5, 0 };
  check("unregister sysenter", S(HC(callback_op, 1, &un, 0, 0)), S(-XEN_EINVAL));
  check("trap table from nowhere", S(HC(set_trap_table, NOWHERE, 0, 0, 0)), S(-XEN_EFAULT));
  check("trap table from the M2P", S(HC(set_trap_table, HV_START, 0, 0, 0)), S(-XEN_EFAULT));
  check("a list from the hypervisor's part", S(HC(mmu_update, 0xfffffff0, 1, 0, DOMID_SELF)), S(-XEN_EFAULT));
  u32 frame = 1;
  check("GDT too large", S(HC(set_gdt, &frame, 14 * 512 + 1, 0, 0)), S(-XEN_EINVAL));
  check("GDT of another's frame", S(HC(set_gdt, &frame, 1, 0, 0)), S(-XEN_EINVAL));
  frame = 0xffffffff;
  check("GDT of no frame", S(HC(set_gdt, &frame, 1, 0, 0)), S(-XEN_EINVAL));
  check("GDT from nowhere", S(HC(set_gdt, NOWHERE, 1, 0, 0)), S(-XEN_EFAULT));
  check("set_segment_base", S(HC(set_segment_base, 0, 0, 0, 0)), S(-XEN_ENOSYS));
  check("no hypercall", S(hypercall(63, 0, 0, 0, 0, 0)), S(-XEN_ENOSYS));
  check("domctl", hypercall(36, 0x1000, 0, 0, 0, 0) < 0, 1);
  check("physdev of no kind", S(HC(physdev_op, 99, &c, 0, 0)), S(-XEN_ENOSYS));
  struct { u32 bitmap, ports; } io = { HV_START, 8 };
  check("I/O map in the hypervisor's part", S(HC(physdev_op, 7, &io, 0, 0)), S(-XEN_EINVAL));
  u32 iopl = 4;
  check("IOPL 4", S(HC(physdev_op, 6, &iopl, 0, 0)), S(-XEN_EINVAL));
  check("vm_assist of no kind", S(HC(vm_assist, 0, 6, 0, 0)), S(-XEN_EINVAL));
  check("m2p_strict", S(HC(vm_assist, 0, 32, 0, 0)), S(-XEN_EINVAL));
  check("4gb_segments", S(HC(vm_assist, 0, 0, 0, 0)), 0);
  check("4gb_segments_notify", S(HC(vm_assist, 0, 1, 0, 0)), 0);
  u32 features[2] = { 0, 0 };
  check("features", S(HC(xen_version, 6, features, 0, 0)), 0);
  check("of a PV guest", features[1] & ~(1u << 4), 1 << 5 | 1 << 6 | 1 << 7 | 1 << 13 | 1 << 17);
  check("pae_extended_cr3", S(HC(vm_assist, 0, 3, 0, 0)), 0);
  check("features", S(HC(xen_version, 6, features, 0, 0)), 0);
  check("and with it", features[1] >> 4 & 1, 1);
  /* the older forms */
  extern char on_event[], on_failsafe[];
  check("set_callbacks", S(HC(set_callbacks, CS1, on_event, CS1, on_failsafe)), 0);
  struct { u32 cmd, port, vcpu; } ec = { 9, 1 << 20, 0 };
  check("event_channel_op_compat", S(hypercall(16, (u32)&ec, 0, 0, 0, 0)), S(-XEN_EINVAL));
  struct { u32 cmd, iopl; } pd = { 6, 0 };
  check("physdev_op_compat", S(hypercall(19, (u32)&pd, 0, 0, 0, 0)), 0);
  struct { void *address; u32 pad; } nmi = { on_event, 0 };
  check("nmi_op", S(HC(nmi_op, 0, &nmi, 0, 0)), 0);
  check("taken back", S(HC(nmi_op, 1, 0, 0, 0)), 0);
  /* grants: a table of the older version, a copy from page to page by it */
  u32 list[1];
  struct { uint16_t dom; u32 n; int16_t status; u32 *list; } setup = { DOMID_SELF, 1, 0, list };
  check("setup_table", S(HC(grant_table_op, 2, &setup, 1, 0)), 0);
  check("its status", setup.status, 0);
  check("its frame is ours to map", S(map(pages[4], entry(list[0], KERNEL_PTE))), 0);
  struct { uint16_t flags, domid; u32 frame; } *grants = (void *)pages[4];
  grants[9].domid = 0x7ff0;
  grants[9].frame = mfn_of(pages[2]);
  grants[9].flags = 0;
  struct { struct { u32 frame; uint16_t domid, offset; } from, to; uint16_t len, flags; int16_t status; } copy = {
    { mfn_of(pages[3]), DOMID_SELF, 0 }, { mfn_of(pages[2]), DOMID_SELF, 8 }, 4, 0, 1
  };
  check("copy", S(HC(grant_table_op, 5, &copy, 1, 0)), 0);
  check("copied", S(copy.status), 0);
  check("what", pages[2][8], 0x33);
  copy.to.frame = mfn_of((void *)info->pt_base);
  check("copy into a page table", S(HC(grant_table_op, 5, &copy, 1, 0)), 0);
  check("is refused", copy.status < 0, 1);
  check("back", S(map(pages[4], machine(pages[4]) | KERNEL_PTE)), 0);
}
