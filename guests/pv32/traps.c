/* Exceptions and interrupts by instruction, from the kernel: the frame that each makes, and the way back. */
#include "pv32.h"

static void frame(void) {
  VCPU.evtchn_upcall_mask = 1;
  RUN("movl $0x1234, %%ecx\n\tstd\n\tud2");
  check("cs has the mask above it", last.cs, 0x10000 | CS1);
  check("ecx", last.ecx, 0x1234);
  check("IF in the frame is the mask inverted; RF is set", last.eflags & 0x13600, 0x10400);
  check("the mask stays", VCPU.evtchn_upcall_mask, 0);
  RUN("ud2");
  check("cs without a mask", last.cs, CS1);
  check("IF without a mask", last.eflags & 0x3200, 0x200);
  RUN("movl %%esp, %%eax\n\tud2");
  check("three words without ESP and SS, on the same stack", last_at, last.eax - 12);
  RUN("subl $3, %%esp\n\tmovl %%esp, %%eax\n\tud2");
  check("frames are not aligned", last_at, last.eax - 12);
}

void test_traps(void) {
  say("traps\n");
  frame();
  FAULT("ud2", UD, 0, "ud2");
  FAULT("hlt", GP, 0, "hlt");
  RUN("xorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tmovl $1, %%eax\n\tdivl %%ecx");
  check("divide", last.code, DE);
  FAULT("not present, read", PF, 0, "movl 0x7ffff000, %%eax");
  check("cr2", last_cr2, 0x7ffff000);
  FAULT("not present, written", PF, 2, "movl %%eax, 0x7ffff008");
  check("cr2 of a write", last_cr2, 0x7ffff008);
  RUN("movl $0x7fff0000, %%ebx\n\tjmp *%%ebx");
  check("jump to nothing", last.code, PF);
  check("error of a fetch", last.error, 16);
  check("eip", last.eip, 0x7fff0000);
  FAULT("the hypervisor's part, read", PF, 0, "movl 0xfff00000, %%eax");
  FAULT("the hypervisor's part, written", PF, 2, "movl %%eax, 0xfff00000");
  FAULT("the M2P, written", PF, 3, "movl %%eax, 0xf5800000");
  RUN("int3");
  check("int3", last.code, BP);
  RUN("int $4");
  check("int 4 is open to all", last.code, OF);
  RUN("movb $0x7f, %%al\n\tincb %%al\n\tinto");
  check("into", last.code, OF);
  RUN("int $0x80");
  check("int 0x80", last.code, 0x80);
  RUN("int $0x81");
  check("int 0x81 is open to ring 1", last.code, 0x81);
  NO_FAULT("int 0x82 is a hypercall", "movl $17, %%eax\n\txorl %%ebx, %%ebx\n\tint $0x82");
  FAULT("int of a vector without an entry", GP, 0x90 * 8 + 2, "int $0x90");
  RUN(".byte 0xf1");
  check("int1", last.code, DB);
  FAULT("syscall is 64-bit code's", UD, 0, "syscall");
  FAULT("sysexit", GP, 0, "sysexit");
  /* a single step: behind the instruction that follows POPF */
  RUN("pushfl\n\torl $0x100, (%%esp)\n\tpopfl\n\tnop\n5:\tnop\n\tmovl $5b, %%eax");
  check("a step", last.code, DB);
  check("DR6.BS", HC(get_debugreg, 6, 0, 0, 0) & 0x4000, 0x4000);
  HC(set_debugreg, 6, 0, 0, 0);

  u32 flags;
  asm volatile("pushfl\n\tpopl %0" : "=r"(flags));
  check("IF is always 1, IOPL 0", flags & 0x3200, 0x200);
  u32 cs, ss;
  asm volatile("movl %%cs, %0\n\tmovl %%ss, %1" : "=r"(cs), "=r"(ss));
  check("cs", cs, CS1);
  check("ss", ss, SS1);
}
