/* Exceptions and interrupts by instruction, from the kernel: the frame that each makes, and the way back. */
#include "pv.h"

static void frame(void) {
  u64 sp;
  asm volatile("movq %%rsp, %0" : "=r"(sp));
  VCPU.evtchn_upcall_mask = 1;
  RUN("movl $0x1234, %%ecx\n\tmovl $0x5678, %%r11d\n\tstd\n\tud2");
  check("cs says kernel, and the mask", last.cs, 0x10000e030);
  check("ss", last.ss, 0xe02b);
  check("rcx", last.rcx, 0x1234);
  check("r11", last.r11, 0x5678);
  check("IF in the frame is the mask inverted; RF is set", last.rflags & 0x13600, 0x10400);
  check("the mask stays", VCPU.evtchn_upcall_mask, 0);
  VCPU.evtchn_upcall_mask = 0;
  RUN("ud2");
  check("cs without a mask", last.cs, 0xe030);
  check("IF without a mask", last.rflags & 0x3200, 0x200);
  RUN("ud2");
  check("the stack comes back", last.rsp, last.rsp & ~7ul);
  RUN("movl $0xaabb, %%esp\n\tmovq resume_rsp, %%rsp\n\tsubq $4, %%rsp\n\tud2");
  check("frames are aligned, the pointer is saved as it was", last.rsp, resume_rsp - 4);
}

/* A breakpoint on what MOV SS reads: it is put off to where INT3 leads, the hypervisor, and lost there. */
static uint64_t watched_ss = 0xe02b;

static void put_off(void) {
  HC(8, 0, &watched_ss, 0);
  HC(8, 7, 0xf0303, 0);
  RUN("movw watched_ss, %%ss\n\tnop\n6:\tmovq $6b, %%rax");
  check("a breakpoint behind MOV SS", last.code, DB);
  RUN("movw watched_ss, %%ss\n\tint3");
  check("int3 behind MOV SS: entered once", entries, 1);
  check("int3 behind MOV SS", last.code, BP);
  RUN("movw watched_ss, %%ss\n\tud2");
  check("ud2 behind MOV SS: entered once", entries, 1);
  check("ud2 behind MOV SS", last.code, UD);
  NO_FAULT("a hypercall behind MOV SS", "movl $17, %%eax\n\txorl %%edi, %%edi\n\tmovw watched_ss, %%ss\n\tsyscall\n\tnop");
  HC(8, 7, 0, 0);
  HC(8, 6, 0, 0);
}

void test_traps(void) {
  say("traps\n");
  frame();
  FAULT("ud2", UD, 0, "ud2");
  FAULT("hlt", GP, 0, "hlt");
  FAULT("ud2 again", UD, 0, "ud2");
  RUN("xorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tmovl $1, %%eax\n\tdivl %%ecx");
  check("divide", last.code, DE);
  FAULT("not present, read", PF, 0, "movq 0x7fffff000, %%rax");
  check("cr2", last_cr2, 0x7fffff000);
  FAULT("not present, written", PF, 2, "movq %%rax, 0x7fffff008");
  check("cr2 of a write", last_cr2, 0x7fffff008);
  ARGS(1ul << 47, 0, 0, 0);
  FAULT("not canonical", GP, 0, "movq (%%rbx), %%rax");
  ARGS(1ul << 47, 0, 0, 0);
  FAULT("not canonical, stack", SS, 0, "movq (%%rsp, %%rbx, 1), %%rax");
  RUN("movq $0x800000000000, %%rbx\n\tjmpq *%%rbx");
  check("jump to no address", last.code, GP);
  RUN("movq $0x7ffffff000, %%rbx\n\tjmpq *%%rbx");
  check("jump to nothing", last.code, PF);
  check("fetched from", last_cr2, 0x7ffffff000);
  check("error of a fetch", last.error, 16);
  check("rip", last.rip, 0x7ffffff000);
  ARGS(0xffff830000000000, 0, 0, 0);
  FAULT("the hypervisor's part, read", PF, 0, "movq (%%rbx), %%rax");
  ARGS(0xffff830000000000, 0, 0, 0);
  FAULT("the hypervisor's part, written", PF, 2, "movq %%rax, (%%rbx)");
  RUN("int3");
  check("int3", last.code, BP);
  RUN("int $4");
  check("int 4 is open to all", last.code, OF);
  RUN("int $0x80");
  check("int 0x80", last.code, 0x80);
  check("masked by its trap", VCPU.evtchn_upcall_mask, 0);
  RUN("int $0x81");
  check("int 0x81: ring 1 is the kernel's", last.code, 0x81);
  FAULT("int 0x82, of ring 0", GP, 0x82 * 8 + 2, "int $0x82");
  FAULT("int of a vector without an entry", GP, 0x90 * 8 + 2, "int $0x90");
  RUN(".byte 0xf1");
  check("int1", last.code, DB);
  /* a single step: behind the instruction that follows POPF */
  RUN("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\tnop\n5:\tnop\n\tmovq $5b, %%rax");
  check("a step", last.code, DB);
  check("the handler runs without TF", 1, 1);
  check("DR6.BS", HC(9, 6, 0, 0) & 0x4000, 0x4000);
  HC(8, 6, 0, 0);
  put_off();
  u64 flags;
  asm volatile("pushfq\n\tpopq %0" : "=r"(flags));
  check("IF is always 1, IOPL 0", flags & 0x3200, 0x200);
}
