/* Ways to an end that is the guest's own fault. The hypervisor says which. */
#include "pv.h"

extern char on_syscall[];

void crash(u64 how) {
  say("the end\n");
  switch (how) {
    case 1: /* an exception without a handler */
      HC(HC_set_trap_table, 0, 0, 0);
      asm volatile("ud2");
      break;
    case 2: /* no room for a frame: nothing is mapped there */
      asm volatile("movq $0x7ffff0000000, %rsp\n\tud2");
      break;
    case 3: /* a frame cannot go into a page table */
      asm volatile("leaq 2048(%0), %%rsp\n\tud2" : : "r"(start->l1));
      break;
    case 4: /* nor into the hypervisor's part */
      asm volatile("movq $0xffff800000001000, %rsp\n\tud2");
      break;
    case 5: /* an iret from nowhere */
      asm volatile("movq $0x7ffff0000000, %rsp\n\tmovl $23, %eax\n\tsyscall");
      break;
    case 6: { /* user mode without a root of its own */
      struct { uint32_t cmd, pad; u64 arg1, arg2; } op = { 15, 0, 0, 0 };
      hypercall(26, (u64)&op, 1, 0, DOMID_SELF);
      user(on_syscall, 0xe033, 0x202);
      break;
    }
    case 7: { /* segments that cannot be loaded, and no failsafe callback */
      struct { uint16_t type, flags; uint64_t address; } c = { 1, 0, 0 };
      HC(30, 0, &c, 0);
      user(on_syscall, 0xe00b, 0x202);
      break;
    }
    case 8: { /* an event without a callback */
      struct { uint16_t type, flags; uint64_t address; } c = { 0, 0, 0 };
      HC(30, 0, &c, 0);
      evtchn_bind_ipi_t ipi = { 0, 0 };
      HC(HC_event_channel_op, EVTCHNOP_bind_ipi, &ipi, 0);
      start->shared->evtchn_mask[0] = 0;
      VCPU.evtchn_upcall_mask = 0;
      HC(HC_event_channel_op, EVTCHNOP_send, &ipi.port, 0);
      break;
    }
    case 9: /* INT3, which is open to all */
      HC(HC_set_trap_table, 0, 0, 0);
      asm volatile("int3");
      break;
  }
  fatal("still there");
}
