/* User mode and back: iret in all forms, SYSCALL and SYSENTER, the two roots, the GS bases. */
#include "pv.h"

#define USER(name, insns) \
  asm(".section .user, \"awx\"\n" #name ":\n\t" insns "\n.previous"); \
  extern char name[];
USER(u_int80, "int $0x80")
USER(u_syscall, "movl $0x42, %eax\n\tmovl $0x43, %r9d\n\tsyscall\nu_syscall_end:")
USER(u_sysenter, "sysenter")
USER(u_ud, "ud2")
USER(u_hlt, "hlt")
USER(u_int81, "int $0x81")
USER(u_int3, "int3")
USER(u_kernel_page, "movq 0x8000000000, %rax")
USER(u_null, "movq 0x7fffff000, %rax")
USER(u_rdmsr, "movl $0xc0000101, %ecx\n\trdmsr")
USER(u_cr0, "movq %cr0, %rax")
USER(u_in, "inb $0x80, %al")
USER(u_cli, "cli")
USER(u_gs, "movq %gs:0, %rax\n\tint $0x80")
USER(u_step, "nop\n\tnop\n\tint $0x80")
USER(u_compat, ".code32\n\tmovl $0x5a, %eax\n\tint $0x80\n\t.code64")
USER(u_cpuid, "xorl %eax, %eax\n\tcpuid\n\tint $0x80")
USER(u_vmcall, "vmcall")
USER(u_syscall32, ".code32\n\tsyscall\n\t.code64")
extern char u_syscall_end[];

asm(".section .user, \"awx\"\n\t.balign 4096\n\t.skip 4096\n\t.globl user_stack_top\nuser_stack_top:\n.previous");

static u64 user_gs_page[2] = { 0x1111, 0x2222 };

void test_user(void) {
  say("user mode\n");
  user(u_int80, 0xe033, 0x202);
  check("int 0x80", last.code, 0x80);
  check("cs", last.cs, 0xe033);
  check("ss", last.ss, 0xe02b);
  check("rsp", last.rsp, (u64)user_stack_top);
  check("rip", last.rip, (u64)u_int80 + 2);
  check("IF", last.rflags & 0x3200, 0x200);

  user(u_syscall, 0xe033, 0x602);
  check("syscall", last.code, SYSCALL);
  check("its number", last.rax, 0x42);
  check("r9", last.r9, 0x43);
  check("rcx is the return address", last.rcx, (u64)u_syscall_end);
  check("rip too", last.rip, (u64)u_syscall_end);
  check("r11 has the flags", last.r11 & 0x600, 0x600);
  check("flags of the frame", last.rflags & 0x600, 0x600);
  check("cs", last.cs, 0xe033);
  check("ss", last.ss, 0xe02b);
  check("mask_events of the callback has been lifted again", VCPU.evtchn_upcall_mask, 0);
  user_sysret(u_syscall);
  check("back by the short way", last.code, SYSCALL);
  check("flat selectors", last.cs, 0xe033);

  user(u_sysenter, 0xe033, 0x202);
  check("sysenter", last.code, SYSENTER);
  check("sysenter knows no address", last.rip, 0);
  check("nor a stack", last.rsp, 0);
  check("its cs", last.cs, 3);
  check("its ss", last.ss, 0xe02b);

  user(u_ud, 0xe033, 0x202);
  check("ud2", last.code, UD);
  check("ud2's rip", last.rip, (u64)u_ud);
  check("ud2's cs", last.cs, 0xe033);
  user(u_hlt, 0xe033, 0x202);
  check("hlt", last.code, GP);
  user(u_int81, 0xe033, 0x202);
  check("int 0x81 is not for user mode", last.code, GP);
  check("its error", last.error, 0x81 * 8 + 2);
  user(u_int3, 0xe033, 0x202);
  check("int3", last.code, BP);
  user(u_kernel_page, 0xe033, 0x202);
  check("a page of the kernel's root alone", last.code, PF);
  check("error says user", last.error, 4);
  check("cr2", last_cr2, 0x8000000000);
  check("which the kernel sees", *(volatile u64 *)0x8000000000, 0);
  user(u_null, 0xe033, 0x202);
  check("a page that is not there", last.error, 4);
  user(u_rdmsr, 0xe033, 0x202);
  check("rdmsr", last.code, GP);
  user(u_cr0, 0xe033, 0x202);
  check("mov from cr0", last.code, GP);
  user(u_in, 0xe033, 0x202);
  check("in", last.code, GP);
  user(u_cli, 0xe033, 0x202);
  check("cli", last.code, GP);
  user(u_vmcall, 0xe033, 0x202);
  check("vmcall", last.code, UD);
  user(u_cpuid, 0xe033, 0x202);
  check("cpuid", last.code, 0x80);
  check("its vendor", last.rbx, 0x756e6547);

  /* bases */
  check("set user GS", HC(25, 1, user_gs_page, 0), 0);
  check("set kernel GS", HC(25, 2, user_gs_page + 1, 0), 0);
  u64 v;
  asm volatile("movq %%gs:0, %0" : "=r"(v));
  check("the kernel's GS", v, 0x2222);
  user(u_gs, 0xe033, 0x202);
  check("the program's GS", last.rax, 0x1111);
  asm volatile("movq %%gs:0, %0" : "=r"(v));
  check("the kernel's GS again", v, 0x2222);

  user(u_step, 0xe033, 0x302);
  check("a step in user mode", last.code, DB);
  check("behind the first instruction", last.rip, (u64)u_step + 1);
  HC(8, 6, 0, 0);

  /* 32-bit code */
  user(u_compat, 0xe023, 0x202);
  check("compatibility mode", last.code, 0x80);
  check("ran", last.rax & 0xffffffff, 0x5a);
  check("its cs", last.cs, 0xe023);
  user(u_syscall32, 0xe023, 0x202);
  check("syscall of 32-bit code, as on Intel", last.code, UD);

  /* events are masked on the way into user mode if the frame says so */
  user(u_int80, 0xe033, 2);
  check("masked in user mode", last.cs, 0x10000e033);
  VCPU.evtchn_upcall_mask = 0;
}
