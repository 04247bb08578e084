/* Programs in ring 3, and HYPERVISOR_iret. */
#include "pv32.h"

USER static void ud(void) {
  asm volatile("movl $0x77, %esi\n\tud2");
}
USER static void kernel_read(void) {
  asm volatile("movl info, %eax");
}
USER static void kernel_call(void) {
  asm volatile("movl $guest_main, %eax\n\tjmp *%eax");
}
USER static void m2p(void) {
  asm volatile("movl 0xf5800000, %ecx\n\tud2");
}
USER static void int80(void) {
  asm volatile("int $0x80");
}
USER static void int81(void) {
  asm volatile("int $0x81");
}
USER static void int82(void) {
  asm volatile("movl $17, %eax\n\tint $0x82");
}
USER static void sysenter(void) {
  asm volatile("movl %esp, %ebp\n\tsysenter");
}
USER static void privileged(void) {
  asm volatile("movl %cr0, %eax");
}
USER static void io(void) {
  asm volatile("inb $0x80, %al");
}
USER static void far_to_kernel(void) {
  asm volatile("ljmp $0xe019, $user_start");
}
USER static void segments(void) {
  asm volatile("movl %ds, %ecx\n\tmovl %es, %edx\n\tmovl %fs, %ebx\n\tud2");
}

static void rings(void) {
  user(ud, CS3, 0x202);
  check("ud2 of a program", last.code, UD);
  check("its esi", last.esi, 0x77);
  check("its cs", last.cs, CS3);
  check("its ss", last.ss, SS3);
  check("its esp", last.esp, (u32)user_stack_top);
  check("on the kernel's stack", last_at, (u32)trap_stack_top - 20);
  check("its IF", last.eflags & 0x3200, 0x200);
  user(ud, CS3, 2);
  check("events masked by its frame", last.cs, 0x10000 | CS3);
  user(kernel_read, CS3, 0x202);
  check("the kernel's memory, read", last.code << 16 | last.error, PF << 16 | 5);
  check("cr2", last_cr2, (u32)&info);
  user(kernel_call, CS3, 0x202);
  check("the kernel's memory, executed", last.code << 16 | last.error, PF << 16 | 0x15);
  user(m2p, CS3, 0x202);
  check("the M2P may be read", last.code, UD);
  user(int80, CS3, 0x202);
  check("int 0x80", last.code, 0x80);
  check("it masks", VCPU.evtchn_upcall_mask, 0);
  user(int81, CS3, 0x202);
  check("int 0x81 is the kernel's", last.code << 16 | last.error, GP << 16 | (0x81 * 8 + 2));
  user(int82, CS3, 0x202);
  check("int 0x82 of a program is an interrupt", last.code, 0x82);
  user(sysenter, CS3, 0x202);
  check("sysenter", last.code, SYSENTER);
  check("it saves nothing", last.eip | last.esp, 0);
  check("cs", last.cs, 3);
  check("ss", last.ss, SS3);
  user(privileged, CS3, 0x202);
  check("a privileged instruction", last.code << 16 | last.error, GP << 16);
  user(io, CS3, 0x202);
  check("a port", last.code << 16 | last.error, GP << 16);
  user(far_to_kernel, CS3, 0x202);
  check("a far jump to ring 1", last.code << 16 | last.error, GP << 16 | 0xe018);
}

static void iret(void) {
  /* back into ring 1: EAX comes from the frame, the stack goes on behind it */
  u32 eax, sp;
  asm volatile("movl %%esp, %%esi\n\tpushl $0x202\n\tpushl $0xe019\n\tpushl $1f\n\tpushl $0x5555\n\tmovl $23, %%eax\n\tint $0x82\n1:\tsubl %%esp, %%esi"
               : "=a"(eax), "=S"(sp) : : "memory", "cc");
  check("iret to ring 1: eax", eax, 0x5555);
  check("iret to ring 1: esp", sp, 0);
  asm volatile("pushl $0x2\n\tpushl $0xe019\n\tpushl $1f\n\tjmp HYPERCALL_iret\n1:" : : : "memory", "cc");
  check("its IF goes to the mask", VCPU.evtchn_upcall_mask, 1);
  VCPU.evtchn_upcall_mask = 0;
  asm volatile("pushl $0x202\n\tpushl $0xe019\n\tpushl $1f\n\tiretl\n1:" : : : "memory", "cc");
  check("the processor's own iret", 1, 1);
  /* the processor's own way to ring 3 */
  ARGS(0, 0, ud, 0);
  RUN("pushl $0xe033\n\tpushl $user_stack_top\n\tpushl $0x202\n\tpushl $0xe02b\n\tpushl %%edx\n\tiretl");
  check("ring 3 by iret", last.code, UD);
  check("whose cs", last.cs, CS3);
  /* data segments that ring 3 may not have become null */
  asm volatile("movl %0, %%fs" : : "r"(SS1));
  user(segments, CS3, 0x202);
  check("fs of ring 1", last.ebx, 0);
  check("ds of ring 3", last.ecx, SS3);
  /* segments that cannot be loaded */
  user(ud, 0xe008 | 3, 0x202);
  check("64-bit code of the hypervisor's", last.code, FAILSAFE);
  check("its cs", last.cs, 0xe00b);
  check("its ss", last.ss, SS3);
  check("the segments that there were", failsafe_segments[0], SS3);
  user(ud, (CS3 & ~3) | 2, 0x202);
  check("ring 2 in a segment of ring 3", last.code, FAILSAFE);
  user(ud, 3, 0x202);
  check("a null cs", last.code, FAILSAFE);
  user(ud, 0x7fff, 0x202);
  check("an LDT that is not there", last.code, FAILSAFE);
  user(ud, 0x3b, 0x202);
  check("a GDT that is not there", last.code, FAILSAFE);
  /* virtual-8086 mode: #GP on the first instruction there */
  ARGS(0x20202, 0x4444, 0x1111, 0);
  RUN("pushl $4\n\tpushl $3\n\tpushl $2\n\tpushl $1\n\tpushl $6\n\tpushl $5\n\tpushl %%ebx\n\tpushl %%ecx\n\tpushl %%edx\n\tjmp HYPERCALL_iret");
  check("virtual-8086 mode", last.code << 16 | last.error, GP << 16);
  check("eip", last.eip, 0x1111);
  check("cs", last.cs & 0xffff, 0x4444);
  check("VM", last.eflags & 0x20000, 0x20000);
  check("esp", last.esp, 5);
  check("where", last_at, (u32)trap_stack_top - 36);
}

void test_user(void) {
  say("user\n");
  rings();
  iret();
}
