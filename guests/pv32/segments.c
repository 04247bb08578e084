/* Descriptor tables: the GDT's frames, the LDT, rings of descriptors, bases and limits, stacks that have a base. */
#include "pv32.h"

#define S(x) ((u64)(int64_t)(x))
#define DATA0 0x00cf92000000ffffull
#define DATA3 0x00cff2000000ffffull
#define CODE0 0x00cf9a000000ffffull
#define CODE3 0x00cffa000000ffffull

static u64 *gdt, *ldt;

static int descriptor(u64 *at, u64 value) {
  const u64 ma = machine(at);
  return HC(update_descriptor, ma, ma >> 32, value, value >> 32);
}
/* As processors do: set in what was loaded. */
#define ACCESSED (1ull << 40)

static u64 based(const void *base, u64 flags, u32 limit) {
  const u32 b = (u32)base;
  return flags | (limit & 0xffff) | (u64)(limit >> 16 & 15) << 48 | (u64)(b & 0xffffff) << 16 | (u64)(b >> 24) << 56;
}

USER static void back(void) {
  asm volatile("int $0x80");
}

static void tables(void) {
  gdt = (u64 *)pages[6];
  for (int i = 0; i < 512; i++) gdt[i] = 0;
  gdt[5] = 0x00af9a000000ffffull;
  u32 frame = mfn_of(gdt);
  check("a GDT that may be written", S(HC(set_gdt, &frame, 8, 0, 0)), S(-XEN_EINVAL));
  check("read-only", S(map(gdt, machine(gdt) | P | A)), 0);
  check("64-bit code in it", S(HC(set_gdt, &frame, 8, 0, 0)), S(-XEN_EINVAL));
  check("writable", S(map(gdt, machine(gdt) | KERNEL_PTE)), 0);
  gdt[1] = CODE0;
  gdt[2] = DATA0;
  gdt[3] = CODE3;
  gdt[4] = DATA3;
  /* flat up to where the M2P once began */
  gdt[5] = based(0, 0x00c0920000000000ull, 0xf67ff);
  gdt[6] = based(0, 0x00c0920000000000ull, 0xf57ff - 0x100);
  check("read-only", S(map(gdt, machine(gdt) | P | A)), 0);
  check("set_gdt", S(HC(set_gdt, &frame, 8, 0, 0)), 0);
  check("ring 0 becomes ring 1", gdt[1], CODE0 | 1ull << 45);
  check("ring 3 stays", gdt[3], CODE3);
  check("a flat segment is made whole", gdt[5], 0x00cfb2000000ffffull);
  check("one that ends before stays", gdt[6], based(0, 0x00c0b20000000000ull, 0xf57ff - 0x100));
  check("a descriptor page, to be written", S(map(pages[2], machine(gdt) | KERNEL_PTE)), S(-XEN_EBUSY));
  check("64-bit code", S(descriptor(gdt + 7, 0x00affa000000ffffull)), S(-XEN_EINVAL));
  check("a TSS", S(descriptor(gdt + 7, 0x008089000000ffffull)), S(-XEN_EINVAL));
  check("an LDT", S(descriptor(gdt + 7, 0x000082000000ffffull)), S(-XEN_EINVAL));
  check("a trap gate", S(descriptor(gdt + 7, 0x00008f0000000000ull)), S(-XEN_EINVAL));
  check("not present", S(descriptor(gdt + 7, 0x000009000000ffffull)), 0);
  check("a gate", S(descriptor(gdt + 7, 0x0010ec0000081234ull)), 0);
  check("its ring is in its selector", gdt[7], 0x00108c00000b1234ull);
  const u64 ma = machine(gdt) + 4;
  check("not aligned", S(HC(update_descriptor, ma, ma >> 32, 0, 0)), S(-XEN_EINVAL));
}

static void loads(void) {
  NO_FAULT("data of ring 1", "movl $0x11, %%eax\n\tmovl %%eax, %%fs");
  check("accessed", gdt[2], DATA0 | 1ull << 45 | ACCESSED);
  NO_FAULT("data of ring 3", "movl $0x23, %%eax\n\tmovl %%eax, %%fs");
  RUN("movl $0xe010, %%eax\n\tmovl %%eax, %%fs");
  check("the hypervisor's data", last.code << 16 | last.error, GP << 16 | 0xe010);
  RUN("movl $0xe008, %%eax\n\tmovl %%eax, %%fs");
  check("its code", last.code << 16 | last.error, GP << 16 | 0xe008);
  FAULT("a far jump to its code", GP, 0xe008, "ljmp $0xe009, $0");
  NO_FAULT("code of our own", "ljmp $0x09, $1f\n1:\tmovl %%cs, %%ebx\n\tljmp $0xe019, $2f\n2:");
  RUN("ljmp $0x09, $1f\n1:\tud2");
  check("a frame from it", last.cs, 9);
  /* a base and a limit */
  pages[2][0] = 0x44;
  pages[2][16] = 0x45;
  check("a small segment", S(descriptor(gdt + 7, based(pages[2], 0x0040f20000000000ull, 15))), 0);
  u32 v;
  asm volatile("movl $0x3b, %%eax\n\tmovl %%eax, %%fs\n\tmovzbl %%fs:0, %0" : "=r"(v) : : "eax");
  check("its base", v, 0x44);
  RUN("movl $0x3b, %%eax\n\tmovl %%eax, %%fs\n\tmovb %%fs:16, %%al");
  check("its limit", last.code << 16 | last.error, GP << 16);
  pages[2][0] = pages[2][16] = 0;
  user(back, 0x1b, 0x202);
  check("a program in our own code", last.code, 0x80);
  check("cs", last.cs, 0x1b);
  check("its code was used", gdt[3], CODE3 | ACCESSED);
}

asm(".section .user, \"ax\", @progbits\ngate_call:\n\tpushl $0x7777\n\tlcall $0x3b, $0\n\tud2\ngate_bad:\n\tlcall $0x43, $0\n.text\n"
    "gate_enter:\n\tud2\ngate_pass:\n\tmovl 8(%esp), %ebx\n\tlretl $4");
extern char gate_call[], gate_bad[], gate_enter[], gate_pass[];

/* Call gates, which a 64-bit processor does not have for 32-bit code: a way of programs into the kernel. */
static void gates(void) {
  const u64 gate = 0x0000ec0000080000ull;
  const u32 enter = (u32)gate_enter, pass = (u32)gate_pass;
  check("a gate", S(descriptor(gdt + 7, gate | (enter & 0xffff) | (u64)(enter >> 16) << 48)), 0);
  user(gate_call, CS3, 0x202);
  check("it leads to ring 1", last.code, UD);
  check("cs", last.cs, 9);
  check("eip", last.eip, enter);
  check("on the kernel's stack", last_at, (u32)trap_stack_top - 16 - 12);
  check("a gate with a parameter", S(descriptor(gdt + 7, gate | 1ull << 32 | (pass & 0xffff) | (u64)(pass >> 16) << 48)), 0);
  user(gate_call, CS3, 0x202);
  check("and back", last.code, UD);
  check("cs", last.cs, CS3);
  check("the parameter", last.ebx, 0x7777);
  check("it is off the stack", last.esp, (u32)user_stack_top);
  check("a gate of the kernel's own", S(descriptor(gdt + 8 - 1, (gate & ~(3ull << 45)) | 1ull << 45)), 0);
  user(gate_call, CS3, 0x202);
  check("is not for programs", last.code << 16 | last.error, GP << 16 | 0x38);
  user(gate_bad, CS3, 0x202);
  check("one that is not there", last.code << 16 | last.error, GP << 16 | 0x40);
}

static void ldts(void) {
  ldt = (u64 *)pages[5];
  for (int i = 0; i < 512; i++) ldt[i] = 0;
  ldt[1] = based(pages[2], 0x0040f20000000000ull, 15);
  pages[2][0] = 0x46;
  u32 op[3] = { 13, (u32)ldt + 8, 4 };
  check("SET_LDT, not of a page", S(HC(mmuext_op, op, 1, 0, DOMID_SELF)), S(-XEN_EINVAL));
  op[1] = HV_START;
  check("SET_LDT, of the hypervisor's", S(HC(mmuext_op, op, 1, 0, DOMID_SELF)), S(-XEN_EINVAL));
  op[1] = (u32)ldt;
  op[2] = 8193;
  check("SET_LDT, too many", S(HC(mmuext_op, op, 1, 0, DOMID_SELF)), S(-XEN_EINVAL));
  op[2] = 4;
  check("SET_LDT", S(HC(mmuext_op, op, 1, 0, DOMID_SELF)), 0);
  RUN("movl $0x0d, %%eax\n\tmovl %%eax, %%gs");
  check("a page that may be written is none", last.code << 16 | last.error, PF << 16);
  check("cr2", last_cr2, (u32)ldt + 8);
  check("read-only", S(map(ldt, machine(ldt) | P | A)), 0);
  u32 v;
  asm volatile("movl $0x0f, %%eax\n\tmovl %%eax, %%gs\n\tmovzbl %%gs:0, %0\n\txorl %%eax, %%eax\n\tmovl %%eax, %%gs" : "=r"(v) : : "eax");
  check("its base", v, 0x46);
  check("it cannot be written now", S(map(pages[3], machine(ldt) | KERNEL_PTE)), S(-XEN_EBUSY));
  RUN("movl $0x27, %%eax\n\tmovl %%eax, %%gs");
  check("behind its end", last.code << 16 | last.error, GP << 16 | 0x24);
  op[1] = op[2] = 0;
  check("no LDT", S(HC(mmuext_op, op, 1, 0, DOMID_SELF)), 0);
  check("writable again", S(map(ldt, machine(ldt) | KERNEL_PTE)), 0);
  pages[2][0] = 0;
}

static void stacks(void) {
  /* the kernel's stack in a segment with a base: the frame lies there */
  check("a segment for it", S(descriptor(gdt + 7, based((void *)0x1000, 0x00c0b20000000000ull, 0xfffff))), 0);
  check("stack_switch", S(HC(stack_switch, 0x39, (u32)trap_stack_top - 0x1000, 0, 0)), 0);
  u32 saved = resume_eip;
  ARGS(0x202, CS3, back, 0);
  /* the handler's own code has no base for its stack: it only looks */
  extern char look[];
  struct { uint8_t vector, flags; uint16_t cs; u32 address; } t[2] = { { 0x80, 3, CS1, (u32)look }, { 0, 0, 0, 0 } };
  HC(set_trap_table, t, 0, 0, 0);
  static u32 seen[3];
  asm volatile("movl %%esp, resume_esp\n\tpushl $0xe033\n\tpushl $user_stack_top\n\tpushl $0x202\n\tpushl $0xe02b\n\tpushl %%edx\n\tjmp HYPERCALL_iret\n"
               "look:\n\tmovl %%ss, %%eax\n\tmovl %%esp, %%ecx\n\tmovl %%ss:(%%esp), %%edx\n\tmovl $0xe021, %%ebx\n\tmovl %%ebx, %%ss\n\tmovl resume_esp, %%esp\n\t"
               "movl $0xe033, %%ebx\n\tmovl %%ebx, %%ds\n\tmovl %%ebx, %%es"
               : "=a"(seen[0]), "=c"(seen[1]), "=d"(seen[2]) : "d"(back) : "ebx", "esi", "edi", "ebp", "memory", "cc");
  check("ss", seen[0], 0x39);
  check("esp", seen[1], (u32)trap_stack_top - 0x1000 - 20);
  check("eip", seen[2], (u32)back + 2);
  resume_eip = saved;
  extern char trap_int80[];
  t[0].address = (u32)trap_int80;
  t[0].flags = 7;
  HC(set_trap_table, t, 0, 0, 0);
  check("back", S(HC(stack_switch, SS1, trap_stack_top, 0, 0)), 0);
  /* a handler in a segment that cannot be loaded */
  extern char trap_int81[];
  t[0].vector = 0x81;
  t[0].address = (u32)trap_int81;
  t[0].cs = 0x21;
  HC(set_trap_table, t, 0, 0, 0);
  RUN("int $0x81");
  check("the failsafe callback is told", last.code, FAILSAFE);
  check("of its eip", last.eip, (u32)trap_int81);
  check("of its cs", last.cs & 0xffff, 0x21);
  t[0].cs = CS1;
  t[0].flags = 1;
  HC(set_trap_table, t, 0, 0, 0);
}

void test_segments(void) {
  say("segments\n");
  tables();
  loads();
  gates();
  ldts();
  stacks();
  asm volatile("movl %0, %%fs" : : "r"(SS3));
  u32 none = 0;
  check("no GDT", S(HC(set_gdt, &none, 0, 0, 0)), 0);
  RUN("movl $0x11, %%eax\n\tmovl %%eax, %%fs");
  check("it is gone", last.code << 16 | last.error, GP << 16 | 0x10);
  check("writable again", S(map(gdt, machine(gdt) | KERNEL_PTE)), 0);
}
