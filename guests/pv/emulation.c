/* Privileged instructions that the hypervisor carries out, and those that it does not. */
#include "pv.h"

static u64 rdmsr(uint32_t nr) {
  uint32_t a, d;
  asm volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(nr));
  return (u64)d << 32 | a;
}
static void wrmsr(uint32_t nr, u64 v) {
  asm volatile("wrmsr" : : "c"(nr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

static u64 page[2] = { 0xabc, 0xdef };

static void registers(void) {
  u64 v;
  asm volatile("movq %%cr0, %0" : "=r"(v));
  check("cr0", v, 0x80050033);
  asm volatile("movq %%cr4, %0" : "=r"(v));
  check("cr4", v & 0x670, 0x620);
  asm volatile("movq %%cr2, %0" : "=r"(v));
  check("cr2", v, VCPU.cr2);
  FAULT("mov from cr8", GP, 0, "movq %%cr8, %%rbx");
  asm volatile("movq %%cr3, %0" : "=r"(v));
  check("cr3 names a frame", v & 0xfff, 0);
  NO_FAULT("cr0 with TS", "movq %%cr0, %%rbx\n\torl $8, %%ebx\n\tmovq %%rbx, %%cr0");
  FAULT("TS makes #NM", NM, 0, "movaps %%xmm0, %%xmm1");
  asm volatile("movq %%cr0, %0" : "=r"(v));
  check("#NM clears TS", v & 8, 0);
  NO_FAULT("SSE works then", "movaps %%xmm0, %%xmm1");
  HC(5, 1, 0, 0);
  asm volatile("movq %%cr0, %0" : "=r"(v));
  check("fpu_taskswitch sets TS", v & 8, 8);
  NO_FAULT("clts", "clts\n\tmovaps %%xmm0, %%xmm1");
  ARGS(0x80040033ul, 0, 0, 0);
  FAULT("cr0 without WP", GP, 0, "movq %%rbx, %%cr0");
  ARGS(0x3706f8ul | 8, 0, 0, 0);
  NO_FAULT("cr4 drops what is not the guest's", "movq %%rbx, %%cr4");
  asm volatile("movq %%cr4, %0" : "=r"(v));
  check("DE, FSGSBASE and OSXSAVE have come", v, 0x50628);
  ARGS((u64)page, 0, 0, 0);
  NO_FAULT("wrgsbase", "wrgsbase %%rbx\n\trdgsbase %%rbx");
  asm volatile("movq %%gs:8, %0" : "=r"(v));
  check("through it", v, 0xdef);
  ARGS(0x620ul, 0, 0, 0);
  NO_FAULT("cr4 without FSGSBASE", "movq %%rbx, %%cr4");
  FAULT("rdgsbase without its bit", UD, 0, "rdgsbase %%rbx");
}

static void msrs(void) {
  check("EFER", rdmsr(0xc0000080), 0xd01);
  ARGS(0, 0xc0000080, 0, 0xd01);
  NO_FAULT("EFER as it is", "wrmsr");
  ARGS(0, 0xc0000080, 0, 0);
  FAULT("EFER otherwise", GP, 0, "wrmsr");
  wrmsr(0xc0000101, (u64)page);
  check("GS base", rdmsr(0xc0000101), (u64)page);
  u64 v;
  asm volatile("movq %%gs:0, %0" : "=r"(v));
  check("GS", v, 0xabc);
  wrmsr(0xc0000100, (u64)page);
  asm volatile("movq %%fs:8, %0" : "=r"(v));
  check("FS", v, 0xdef);
  wrmsr(0xc0000102, 0x123000);
  check("the other GS base", rdmsr(0xc0000102), 0x123000);
  ARGS(0, 0xc0000101, 0x8000, 0);
  FAULT("a base that is no address", GP, 0, "wrmsr");
  check("PAT", rdmsr(0x277), 0x050100070406);
  check("APIC base", rdmsr(0x1b) & 0xfffff000, 0xfee00000);
  wrmsr(0x1a0, 0);
  check("tsc goes on", rdmsr(0x10) < rdmsr(0x10), 1);
}

static void others(void) {
  u64 v;
  uint32_t a, b, c, d;
  NO_FAULT("wbinvd", "wbinvd");
  FAULT("invd", GP, 0, "invd");
  FAULT("invlpg", GP, 0, "invlpg (%%rsp)");
  FAULT("lmsw", GP, 0, "lmsw %%ax");
  NO_FAULT("smsw", "smsw %%eax");
  FAULT("swapgs", GP, 0, "swapgs");
  FAULT("sysretq", GP, 0, "sysretq");
  FAULT("lgdt", GP, 0, "lgdt (%%rsp)");
  FAULT("lidt", GP, 0, "lidt (%%rsp)");
  FAULT("lldt", GP, 0, "lldt %%ax");
  FAULT("ltr", GP, 0, "ltr %%ax");
  FAULT("vmcall", UD, 0, "vmcall");
  FAULT("rdpmc", GP, 0, "rdpmc");
  NO_FAULT("rdtsc", "rdtsc\n\trdtscp");
  NO_FAULT("sgdt", "subq $16, %%rsp\n\tsgdt (%%rsp)\n\taddq $16, %%rsp");
  FAULT("cli without IOPL", GP, 0, "cli");
  FAULT("in without IOPL", GP, 0, "inb $0x80, %%al");
  uint32_t iopl = 1;
  check("set_iopl", HC(33, 6, &iopl, 0), 0);
  NO_FAULT("cli and sti with IOPL 1", "cli\n\tsti");
  check("change nothing", VCPU.evtchn_upcall_mask, 0);
  asm volatile("xorl %%eax, %%eax\n\tinb $0x71, %%al" : "=a"(a));
  check("in with IOPL 1: nothing is there", a & 0xff, 0xff);
  NO_FAULT("out", "outb %%al, $0x80");
  iopl = 4;
  check("IOPL 4", HC(33, 6, &iopl, 0), -XEN_EINVAL);
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
  check("no PCID, no x2APIC", c & (1 << 17 | 1 << 21), 0);
  check("no PSE, no PGE, no MTRR", d & (1 << 3 | 1 << 13 | 1 << 12), 0);
  asm volatile(".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e\n\tcpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x40000000), "c"(0));
  check("forced CPUID", b == 0x566e6558 && c == 0x65584d4d && d == 0x4d4d566e, 1);
  asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x40000002), "c"(0));
  check("PV's feature", c, 1);
  FAULT("another instruction under the prefix", UD, 0, ".byte 0x0f, 0x0b, 0x78, 0x65, 0x6e\n\tnop");
  asm volatile("movq %%cr4, %0" : "=r"(v));
  NO_FAULT("xgetbv", "xorl %%ecx, %%ecx\n\txgetbv");
  FAULT("xsetbv without OSXSAVE", UD, 0, "xsetbv");
  asm volatile("movq %0, %%cr4" : : "r"(v | 0x40000));
  NO_FAULT("xsetbv", "xorl %%ecx, %%ecx\n\tmovl $3, %%eax\n\txorl %%edx, %%edx\n\txsetbv");
  ARGS(0, 0, 0, 7);
  FAULT("xsetbv of what is not there", GP, 0, "xsetbv");
}

static void roots(void) {
  u64 v;
  asm volatile("movq %%cr3, %0" : "=r"(v));
  ARGS(v, 0, 0, 0);
  NO_FAULT("the root once more", "movq %%rbx, %%cr3");
  ARGS(start->l1_mfn << 12, 0, 0, 0);
  FAULT("a root that is another table", GP, 0, "movq %%rbx, %%cr3");
  ARGS(1 << 12, 0, 0, 0);
  FAULT("a root that is not ours", GP, 0, "movq %%rbx, %%cr3");
  check("nothing has changed", page[0], 0xabc);
}

#define USER(name, insns) \
  asm(".section .user, \"awx\"\n" #name ":\n\t" insns "\n.previous"); \
  extern char name[];
USER(u_ports, "inb $0x80, %al\n\tcli\n\tint $0x80")
USER(u_flags, "pushfq\n\tpopq %rax\n\tint $0x80")

/* I/O privilege of programs, and as the architecture has it. */
static void privilege(void) {
  uint32_t iopl = 3;
  check("IOPL 3", HC(33, 6, &iopl, 0), 0);
  user(u_ports, 0xe033, 0x202);
  check("programs may, too", last.code, 0x80);
  iopl = 0;
  HC(33, 6, &iopl, 0);
  user(u_ports, 0xe033, 0x3202);
  check("an iret does not give it", last.code, GP);
  check("architectural IOPL", HC(HC_vm_assist, 0, 4, 0), 0);
  NO_FAULT("ring 0 needs none", "inb $0x80, %%al");
  user(u_ports, 0xe033, 0x3202);
  check("an iret gives it", last.code, 0x80);
  check("and frames show it", last.rflags & 0x3000, 0x3000);
  user(u_flags, 0xe033, 0x3202);
  check("PUSHF does not", last.rax & 0x3200, 0x200);
  user(u_ports, 0xe033, 0x202);
  check("an iret takes it", last.code, GP);
  check("no architectural IOPL", HC(HC_vm_assist, 1, 4, 0), 0);
}

void test_emulation(void) {
  say("emulation\n");
  registers();
  roots();
  privilege();
  msrs();
  others();
  u64 v;
  asm volatile("movq %0, %%db0" : : "r"(page));
  check("dr0 both ways", HC(9, 0, 0, 0), (u64)page);
  check("set dr7", HC(8, 7, 0xf0001, 0), 0);
  RUN("movl page, %%ebx\n\tnop");
  check("a data breakpoint", last.code, DB);
  asm volatile("movq %%db6, %0" : "=r"(v));
  check("dr6", v & 0xf, 1);
  check("dr7 off", HC(8, 7, 0, 0), 0);
  check("breakpoint in the hypervisor's part", HC(8, 0, 0xffff800000000000, 0), -XEN_EPERM);
  check("dr7 with GD", HC(8, 7, 0x2000, 0), -XEN_EPERM);
  check("dr8", HC(8, 8, 0, 0), -19);
  check("dr9 is not there", HC(9, 9, 0, 0), -19);
}
