/* Ways to an end that is the guest's own fault. The hypervisor says which. */
#include "pv32.h"

USER static void nop(void) {
  asm volatile("nop\n\tint3");
}

void crash(u32 how) {
  say("the end\n");
  struct { uint16_t type, flags; u32 cs, eip; } c = { 1, 0, 0x11, (u32)nop };
  struct { u32 vcpu, port; } ipi = { 0, 0 };
  switch (how) {
    case 1: /* an exception without a handler */
      HC(set_trap_table, 0, 0, 0, 0);
      asm volatile("ud2");
      break;
    case 2: /* no room for a frame: nothing is mapped there */
      asm volatile("movl $0x7fff0000, %esp\n\tud2");
      break;
    case 3: /* a frame cannot go into a page table */
      asm volatile("leal 2048(%0), %%esp\n\tud2" : : "r"(l3()));
      break;
    case 4: /* nor into the hypervisor's part */
      asm volatile("movl $0xf5801000, %esp\n\tud2");
      break;
    case 5: /* an iret from nowhere */
      asm volatile("movl $0x7fff0000, %esp\n\tmovl $23, %eax\n\tint $0x82");
      break;
    case 6: /* to ring 0 */
      asm volatile("pushl $0x202\n\tpushl $0xe018\n\tpushl $0\n\tjmp HYPERCALL_iret");
      break;
    case 7: /* segments that cannot be loaded, and a failsafe callback in such, too */
      HC(callback_op, 0, &c, 0, 0);
      user(nop, 0xe00b, 0x202);
      break;
    case 8: /* the same without a failsafe callback */
      c.eip = 0;
      HC(callback_op, 0, &c, 0, 0);
      user(nop, 0xe00b, 0x202);
      break;
    case 9: /* an event without a callback */
      c.type = c.eip = 0;
      HC(callback_op, 0, &c, 0, 0);
      HC(event_channel_op, 7, &ipi, 0, 0);
      shared.evtchn_mask[0] = 0;
      VCPU.evtchn_upcall_mask = 0;
      HC(event_channel_op, 4, &ipi.port, 0, 0);
      break;
    case 10: /* a stack in a segment that is not there */
      HC(stack_switch, 0x31, trap_stack_top, 0, 0);
      user(nop, CS3, 0x202);
      break;
  }
  fatal("still there");
}
