/* Upcalls: masked, unmasked, on the way back, in user mode. NMIs. */
#include "pv.h"

#define USER(name, insns) \
  asm(".section .user, \"awx\"\n" #name ":\n\t" insns "\n.previous"); \
  extern char name[];
USER(u_loop, "1: jmp 1b")

static uint32_t port;

static void send(void) {
  HC(HC_event_channel_op, EVTCHNOP_send, &port, 0);
}
void test_events(void) {
  say("events\n");
  evtchn_bind_ipi_t ipi = { 0, 0 };
  check("bind_ipi", HC(HC_event_channel_op, EVTCHNOP_bind_ipi, &ipi, 0), 0);
  port = ipi.port;
  start->shared->evtchn_mask[0] &= ~(1ul << port);
  VCPU.evtchn_upcall_mask = 1;
  entries = 0;
  send();
  check("pending", VCPU.evtchn_upcall_pending, 1);
  check("masked", entries, 0);
  VCPU.evtchn_upcall_mask = 0;
  RUN("movl $17, %%eax\n\txorl %%edi, %%edi\n\txorl %%esi, %%esi\n\tsyscall\n\tnop");
  check("with the next hypercall", entries, 1);
  check("the event callback", last.code, EVENT);
  check("cs of an upcall: was not masked", last.cs, 0xe030);
  VCPU.evtchn_upcall_mask = 0;

  /* iret unmasks */
  VCPU.evtchn_upcall_mask = 1;
  send();
  user(u_loop, 0xe033, 0x202);
  check("unmasked by iret", last.code, EVENT);
  check("before the first instruction", last.rip, (u64)u_loop);
  check("from user mode", last.cs, 0xe033);

  /* a timer interrupts user code */
  evtchn_bind_virq_t virq = { VIRQ_TIMER, 0, 0 };
  check("bind_virq", HC(HC_event_channel_op, EVTCHNOP_bind_virq, &virq, 0), 0);
  start->shared->evtchn_mask[0] &= ~(1ul << virq.port);
  vcpu_runstate_info_t now;
  HC(HC_vcpu_op, VCPUOP_get_runstate_info, 0, &now);
  HC(HC_set_timer_op, now.state_entry_time + now.time[0] + 3000000, 0, 0);
  user(u_loop, 0xe033, 0x202);
  check("a timer", last.code, EVENT);
  check("in its loop", last.rip, (u64)u_loop);
  VCPU.evtchn_upcall_mask = 0;

  /* block until the timer */
  HC(HC_vcpu_op, VCPUOP_get_runstate_info, 0, &now);
  HC(HC_set_timer_op, now.state_entry_time + 5000000, 0, 0);
  RUN("movl $29, %%eax\n\tmovl $1, %%edi\n\txorl %%esi, %%esi\n\tsyscall\n\tnop");
  check("block ends with the event", last.code, EVENT);
  VCPU.evtchn_upcall_mask = 0;

  RUN("movl $24, %%eax\n\tmovl $11, %%edi\n\txorl %%esi, %%esi\n\tsyscall\n\tnop");
  check("an NMI to oneself", last.code, NMI);
  VCPU.evtchn_upcall_mask = 0;
}
