/* Descriptor tables: the GDT's frames, the flat segments behind them, the LDT, and what an iret or a load makes of bad ones. */
#include "pv.h"

#define USER(name, insns) \
  asm(".section .user, \"awx\"\n" #name ":\n\t" insns "\n.previous"); \
  extern char name[];
USER(u_back, "int $0x80")

static int64_t descriptor(u64 index, u64 value) {
  return HC(10, (start->free_mfn << 12) + 8 * index, value, 0);
}

#define DATA3 0x00cff2000000ffff
#define DATA0 0x00cf92000000ffff
#define CODE3_64 0x00affa000000ffff
#define CODE3_32 0x00cffa000000ffff

static void loads(void) {
  NO_FAULT("ds of the flat data", "movl $0xe02b, %%eax\n\tmovl %%eax, %%ds");
  NO_FAULT("null ds", "xorl %%eax, %%eax\n\tmovl %%eax, %%ds\n\tmovl %%eax, %%es");
  RUN("movl $0xe010, %%eax\n\tmovl %%eax, %%ds");
  check("the hypervisor's data is not to be had", last.code, GP);
  check("error is the selector", last.error, 0xe010);
  RUN("movl $0xe00b, %%eax\n\tmovl %%eax, %%ds");
  check("nor its code", last.error, 0xe008);
  RUN("movl $0xfff3, %%eax\n\tmovl %%eax, %%ds");
  check("behind the table", last.error, 0xfff0);
  RUN("movl $0x13, %%eax\n\tmovl %%eax, %%ds");
  check("without a GDT", last.error, 0x10);
  RUN("movl $7, %%eax\n\tmovl %%eax, %%ds");
  check("without an LDT", last.error, 4);
}

static void tables(void) {
  u64 frames[1] = { start->free_mfn };
  check("set_gdt", HC(2, frames, 8, 0), 0);
  check("data", descriptor(2, DATA3), 0);
  check("64-bit code", descriptor(3, CODE3_64), 0);
  check("32-bit code", descriptor(4, CODE3_32), 0);
  check("ring 0 data becomes ring 3", descriptor(5, DATA0), 0);
  check("not present", descriptor(6, DATA3 & ~0x800000000000), 0);
  check("a TSS", descriptor(7, 0x008089000000ffff), -XEN_EINVAL);
  check("a trap gate", descriptor(7, 0x00008f0000000000), -XEN_EINVAL);
  check("an LDT", descriptor(7, 0x000082000000ffff), -XEN_EINVAL);
  check("not aligned", HC(10, (start->free_mfn << 12) + 4, 0, 0), -XEN_EINVAL);
  check("not ours", HC(10, 1 << 12, 0, 0), -XEN_EINVAL);
  check("no frame", HC(10, 0x7ffffffff000, 0, 0), -XEN_EINVAL);
  NO_FAULT("load data", "movl $0x13, %%eax\n\tmovl %%eax, %%ds");
  check("accessed", ((volatile u64 *)start->free_va)[2], DATA3 | 0x10000000000);
  NO_FAULT("load what was ring 0's", "movl $0x28, %%eax\n\tmovl %%eax, %%es");
  RUN("movl $0x33, %%eax\n\tmovl %%eax, %%ds");
  check("not present", last.code, NP);
  check("its selector", last.error, 0x30);
  u64 ar = 0;
  asm volatile("lar %1, %0" : "=r"(ar) : "r"(0x13ul) : "cc");
  check("lar", ar & 0xf0ff00, 0xc0f300);
  asm volatile("pushq $0x1b\n\tpushq $7f\n\tlretq\n7:\tmovl $17, %%eax\n\txorl %%edi, %%edi\n\tsyscall\n\tmovl %%cs, %%eax" : "=a"(ar) : : "rdi", "rcx", "r11", "memory");
  check("a hypercall comes back to the flat code", ar, 0xe033);
  user(u_back, 0x1b, 0x202);
  check("user code of our own segment", last.code, 0x80);
  check("its selector", last.cs, 0x1b);
  user(u_back, 0x23, 0x202);
  check("32-bit code of our own segment", last.code, 0x80);
  check("its selector", last.cs, 0x23);
  asm volatile("xorl %%eax, %%eax\n\tmovl %%eax, %%ds\n\tmovl %%eax, %%es" : : : "rax");
}

static void bad(const char *name, u64 cs, u64 ss, u64 rip) {
  ARGS(ss, cs, rip, 0);
  RUN("pushq %%rbx\n\tpushq $user_stack_top\n\tpushq $0x202\n\tpushq %%rcx\n\tpushq %%rdx\n\tjmp back");
  check(name, last.code, FAILSAFE);
  check("cs as it was wanted", last.cs & 0xffff, (cs & 3) == 3 ? cs | 3 : cs & ~3ul);
  check("ss as it was wanted", last.ss, ss | 3);
  check("rip", last.rip, rip);
}

static void bad_irets(void) {
  bad("the hypervisor's code", 0xe008, 0xe02b, (u64)u_back);
  bad("the hypervisor's code, from user mode", 0xe00b, 0xe02b, (u64)u_back);
  bad("the hypervisor's 32-bit code", 0xe03b, 0xe02b, (u64)u_back);
  bad("null code", 3, 0xe02b, (u64)u_back);
  bad("data as code", 0xe02b, 0xe02b, (u64)u_back);
  bad("null stack", 0xe033, 3, (u64)u_back);
  bad("code as stack", 0xe033, 0xe033, (u64)u_back);
  bad("the hypervisor's data as stack", 0xe033, 0xe013, (u64)u_back);
  bad("behind the tables", 0xfff3, 0xe02b, (u64)u_back);
  bad("an LDT that is not there", 7, 0xe02b, (u64)u_back);
  bad("no address", 0xe033, 0xe02b, 0x800000000000);
  check("failsafe saves DS to GS", failsafe_segments[0] | failsafe_segments[1], 0);
  RUN("movl $0xe02b, %%eax\n\tmovl %%eax, %%es\n\tpushq $3\n\tpushq $0\n\tpushq $2\n\tpushq $3\n\tpushq $0\n\tjmp back");
  check("ES in the failsafe's frame", failsafe_segments[1], 0xe02b);
  asm volatile("xorl %%eax, %%eax\n\tmovl %%eax, %%es" : : : "rax");
}

static int64_t set_ldt(u64 base, u64 entries) {
  struct { uint32_t cmd, pad; u64 arg1, arg2; } op = { 13, 0, base, entries };
  return (int64_t)hypercall(26, (u64)&op, 1, 0, DOMID_SELF);
}

/* The page that is the GDT serves as LDT, too. */
static void ldt(void) {
  check("LDT between pages", set_ldt(start->free_va + 8, 8), -XEN_EINVAL);
  check("LDT too large", set_ldt(start->free_va, 8193), -XEN_EINVAL);
  check("LDT in the hypervisor's part", set_ldt(0xffff820000000000, 8), -XEN_EINVAL);
  check("an LDT", set_ldt(start->free_va, 8), 0);
  NO_FAULT("data of the LDT", "movl $0x17, %%eax\n\tmovl %%eax, %%ds");
  RUN("movl $0x37, %%eax\n\tmovl %%eax, %%ds");
  check("not present", last.code, NP);
  check("its selector", last.error, 0x34);
  RUN("movl $0x47, %%eax\n\tmovl %%eax, %%ds");
  check("behind the LDT", last.code, GP);
  check("its selector", last.error, 0x44);
  user(u_back, 0x1f, 0x202);
  check("user code of the LDT", last.code, 0x80);
  check("its selector", last.cs, 0x1f);
  bad("data of the LDT as code", 0x17, 0xe02b, (u64)u_back);
  check("GS selector of the LDT", HC(25, 3, 0x17, 0), 0);
  uint16_t gs;
  asm volatile("movw %%gs, %0" : "=r"(gs));
  check("loaded", gs, 0x17);
  HC(25, 3, 0, 0);
  check("an LDT where nothing is mapped", set_ldt(0x7ffff0000000, 8), 0);
  RUN("movl $0x17, %%eax\n\tmovl %%eax, %%ds");
  check("a page fault of the LDT", last.code, PF);
  check("its address", last_cr2, 0x7ffff0000010);
  check("its error", last.error, 0);
  bad("an iret by it", 0x1f, 0xe02b, (u64)u_back);
  check("an LDT that can be written", set_ldt((u64)start->scratch, 8), 0);
  RUN("movl $0x17, %%eax\n\tmovl %%eax, %%ds");
  check("is none", last.code, PF);
  check("no LDT", set_ldt(0, 0), 0);
  RUN("movl $0x17, %%eax\n\tmovl %%eax, %%ds");
  check("nothing again", last.code, GP);
  asm volatile("xorl %%eax, %%eax\n\tmovl %%eax, %%ds" : : : "rax");
}

void test_segments(void) {
  say("segments\n");
  loads();
  bad_irets();
  tables();
  ldt();
}
