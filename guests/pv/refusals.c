/* What the hypervisor must not let a guest have. */
#include "pv.h"

asm(".section .user, \"awx\"\nu_after_multicall:\n\tint $0x80\n.previous");

static int64_t callback(uint16_t type, u64 address) {
  struct { uint16_t type, flags; uint64_t address; } c = { type, 0, address };
  return HC(30, 0, &c, 0);
}

void test_refusals(void) {
  say("refusals\n");
  check("callback at no address", callback(0, 1ul << 47), -XEN_EINVAL);
  check("callback of no kind", callback(3, 0x1000), -XEN_ENOSYS);
  struct { uint16_t type, unused; } un = { 2, 0 };
  check("unregister syscall", HC(30, 1, &un, 0), -XEN_EINVAL);
  un.type = 9;
  check("unregister nothing", HC(30, 1, &un, 0), -XEN_ENOSYS);
  check("callback_op of no kind", HC(30, 2, &un, 0), -XEN_ENOSYS);
  check("callback_op from nowhere", HC(30, 0, 0x7fffff000, 0), -XEN_EFAULT);
  struct { uint8_t vector, flags; uint16_t cs; uint64_t address; } t = { 9, 0, 0, 1ul << 47 };
  check("trap at no address", HC(HC_set_trap_table, &t, 0, 0), -XEN_EINVAL);
  check("trap table from nowhere", HC(HC_set_trap_table, 0x7fffff000, 0, 0), -XEN_EFAULT);
  check("trap table from the hypervisor's part", HC(HC_set_trap_table, 0xffff820000000000, 0, 0), -XEN_EFAULT);
  check("GDT too large", HC(2, &t, 14 * 512 + 1, 0), -XEN_EINVAL);
  u64 frame = 0x7fffffff;
  check("GDT of no frame", HC(2, &frame, 1, 0), -XEN_EINVAL);
  frame = 1;
  check("GDT of another's frame", HC(2, &frame, 1, 0), -XEN_EINVAL);
  check("GDT from nowhere", HC(2, 0x7fffff000, 1, 0), -XEN_EFAULT);
  check("segment base that is no address", HC(25, 0, 1ul << 47, 0), -XEN_EINVAL);
  check("segment base of no kind", HC(25, 4, 0, 0), -XEN_EINVAL);
  check("GS selector of the hypervisor's becomes null", HC(25, 3, 0xe010, 0), 0);
  uint16_t gs;
  asm volatile("movw %%gs, %0" : "=r"(gs));
  check("null", gs, 0);
  check("GS selector", HC(25, 3, 0xe02b, 0), 0);
  asm volatile("movw %%gs, %0" : "=r"(gs));
  check("loaded", gs, 0xe02b);
  HC(25, 3, 0, 0);
  check("nmi_op of no kind", HC(28, 2, 0, 0), -XEN_ENOSYS);
  check("no hypercall", HC(63, 0, 0, 0), -XEN_ENOSYS);
  check("domctl", HC(36, 0x1000, 0, 0) < 0, 1);
  check("physdev of a domain with devices", HC(33, 15, &t, 0), -XEN_EPERM);
  check("physdev of no kind", HC(33, 99, &t, 0), -XEN_ENOSYS);
  struct { uint64_t bitmap; uint32_t ports; } io = { 0xffff800000000000, 8 };
  check("I/O map in the hypervisor's part", HC(33, 7, &io, 0), -XEN_EINVAL);
  static uint8_t map[32];
  io.bitmap = (u64)map;
  io.ports = 256;
  uint32_t iopl = 0;
  HC(33, 6, &iopl, 0);
  check("I/O map", HC(33, 7, &io, 0), 0);
  NO_FAULT("a port that the map lets through", "inb $0x80, %%al");
  map[16] = 1;
  FAULT("one that it does not", GP, 0, "inb $0x80, %%al");
  static struct { u64 op, result, args[6]; } calls[3] = { { HC_xen_version, 1, { 0 } }, { 23, 1, { 0 } }, { HC_xen_version, 1, { 0 } } };
  ARGS(calls, 0, 0, 0);
  /* Frame of the iret: RAX R11 RCX flags RIP CS RFLAGS RSP SS. It goes to user mode, which comes back at once. */
  RUN("pushq $0xe02b\n\tpushq $user_stack_top\n\tpushq $0x202\n\tpushq $0xe033\n\tpushq $u_after_multicall\n\tpushq $0\n\tpushq $7\n\tpushq $6\n\tpushq $5\n\t"
      "movq %%rbx, %%rdi\n\tmovl $3, %%esi\n\tmovl $13, %%eax\n\tsyscall");
  check("a multicall ends with an iret", last.code, 0x80);
  check("RAX, R11 and RCX from its frame", last.rax << 8 | last.r11 << 4 | last.rcx, 0x567);
  check("what was before it", calls[0].result, 4 << 16 | 17);
  check("what was behind it", calls[2].result, 1);
  struct { uint32_t index, map; } features = { 0, 0 };
  check("features", HC(HC_xen_version, XENVER_get_features, &features, 0), 0);
  check("of a PV guest", features.map, 1 << 5 | 1 << 6 | 1 << 7 | 1 << 13 | 1 << 17);
  check("vm_assist of no kind", HC(HC_vm_assist, 0, 6, 0), -XEN_EINVAL);
  check("vm_assist", HC(HC_vm_assist, 0, 2, 0), 0);
  check("sched_op_compat", HC(6, 0, 0, 0), 0);
  check("sched_op_compat of no kind", HC(6, 3, 0, 0), -XEN_ENOSYS);
  uint32_t port = 4095;
  struct { u64 ports; uint32_t count, unused; u64 timeout; } poll = { (u64)&port, 1, 0, 1 };
  check("poll a port that nothing is bound to", HC(HC_sched_op, 3, &poll, 0), 0);
  port = 4096;
  check("poll a port that there cannot be", HC(HC_sched_op, 3, &poll, 0), -XEN_EINVAL);
  struct { uint32_t cmd, a, b; } ec = { EVTCHNOP_unmask, 1 << 20, 0 };
  check("event_channel_op_compat", HC(16, &ec, 0, 0), -XEN_EINVAL);
  ec.cmd = 10;
  check("event_channel_op_compat of no kind", HC(16, &ec, 0, 0), -XEN_ENOSYS);
}
