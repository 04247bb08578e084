/* Upcalls: when they come, what they push, multicalls that end with an iret. */
#include "pv32.h"

static u32 port;

static void send(void) {
  HC(event_channel_op, 4, &port, 0, 0);
}

USER static void spin(void) {
  asm volatile("1:\tjmp 1b");
}

void test_events(void) {
  say("events\n");
  struct { u32 vcpu, port; } ipi = { 0, 0 };
  check("bind_ipi", HC(event_channel_op, 7, &ipi, 0, 0), 0);
  port = ipi.port;
  shared.evtchn_mask[0] &= ~(1u << port);
  VCPU.evtchn_upcall_mask = 1;
  entries = 0;
  send();
  check("held back", entries, 0);
  check("pending", VCPU.evtchn_upcall_pending, 1);
  check("its selector", VCPU.evtchn_pending_sel, 1u << (port / 32));
  check("its bit", shared.evtchn_pending[port / 32] >> (port % 32) & 1, 1);
  RUN("movb $0, shared + 1\n\tmovl $17, %%eax\n\txorl %%ebx, %%ebx\n\tint $0x82\n6:\tmovl $6b, %%eax");
  check("it comes with the next hypercall", last.code, EVENT);
  check("cs without a mask", last.cs, CS1);
  VCPU.evtchn_upcall_mask = 0;
  RUN("call 1f\n\tjmp 2f\n1:\tmovl $32, %%eax\n\tmovl $4, %%ebx\n\tmovl $port, %%ecx\n\tint $0x82\n\tret\n2:");
  check("at once", last.code, EVENT);
  check("the handler runs masked", entries, 1);
  /* by a frame that lets events in */
  VCPU.evtchn_upcall_mask = 1;
  send();
  user(spin, CS3, 0x202);
  check("between iret and the program", last.code, EVENT);
  check("its eip", last.eip, (u32)spin);
  check("its cs", last.cs, CS3);
  /* a timer interrupts a program */
  struct { u32 virq, vcpu, port; } virq = { 0, 0, 0 };
  check("bind_virq", HC(event_channel_op, 1, &virq, 0, 0), 0);
  VCPU.evtchn_upcall_mask = 1;
  shared.evtchn_mask[0] &= ~(1u << virq.port);
  check("set_timer_op", HC(set_timer_op, 1, 0, 0, 0), 0);
  user(spin, CS3, 0x202);
  check("a timer", last.code, EVENT);
  HC(event_channel_op, 3, &virq.port, 0, 0);
  /* iret ends a multicall, and what lies behind it does not happen */
  static u32 calls[3][8];
  calls[0][0] = HC_xen_version;
  calls[0][1] = 7;
  calls[1][0] = HC_iret;
  calls[2][0] = HC_xen_version;
  calls[2][1] = 7;
  u32 eax;
  asm volatile("pushl $0x202\n\tpushl $0xe019\n\tpushl $1f\n\tpushl $0x1234\n\tmovl $13, %%eax\n\tmovl $3, %%ecx\n\tint $0x82\n\tud2\n1:"
               : "=a"(eax) : "b"(calls) : "ecx", "memory", "cc");
  check("a multicall's iret", eax, 0x1234);
  check("what comes before it", calls[0][1], 0x40011);
  check("what comes behind it", calls[2][1], 7);
}
