/* A second vCPU: VCPUOP_initialise with the 32-bit struct vcpu_guest_context, up, down. */
#include "pv32.h"

#define S(x) ((u64)(int64_t)(x))
/* Offsets of the structure (public/arch-x86/xen.h, xen-x86_32.h). */
enum { CTX_FLAGS = 512, CTX_REGS = 516, CTX_LDT = 2632, CTX_LDT_ENTRIES = 2636, CTX_KERNEL_SS = 2708, CTX_KERNEL_SP = 2712, CTX_CTRLREG = 2716, CTX_EVENT_CS = 2780, CTX_EVENT_EIP = 2784 };
enum { REG_EDI = 16, REG_EIP = 32, REG_CS = 36, REG_EFLAGS = 40, REG_ESP = 44, REG_SS = 48, REG_DS = 56 };
enum { initialise, up, down, is_up };

static uint8_t context[2800] __attribute__((aligned(64)));
static uint8_t stack[4096] __attribute__((aligned(16)));
static volatile u32 seen[5];

static void put(int at, u32 v) {
  *(u32 *)(context + at) = v;
}
static u64 op(int what, int id, void *arg) {
  return S(HC(vcpu_op, what, id, arg, 0));
}

static void __attribute__((used)) other(u32 edi) {
  u32 cr3, cs;
  asm volatile("movl %%cr3, %0\n\tmovl %%cs, %1" : "=r"(cr3), "=r"(cs));
  seen[0] = edi;
  seen[1] = cs;
  seen[2] = cr3;
  seen[3] = op(is_up, 1, 0);
  op(down, 1, 0);
  for (;;) HC(sched_op, 0, 0, 0, 0);
}
asm(".text\nother_start:\n\tpushl %edi\n\tcall other\n\tud2");
extern char other_start[];

/* What a vCPU is told of itself: in the 32-bit layout, 64-bit members four bytes apart from the first. */
static void told(void) {
  static struct { u32 state; u64 entry, time[4]; } __attribute__((packed)) run;
  static struct { u32 w[11], guard; } area __attribute__((aligned(64)));
  check("get_runstate_info", op(4, 0, &run), 0);
  check("it runs", run.state, 0);
  check("since when", run.entry != 0, 1);
  area.guard = 0x77;
  u32 *at[2] = { area.w, 0 };
  check("register_runstate_memory_area", op(5, 0, at), 0);
  check("an entry time", (area.w[1] | area.w[2]) != 0, 1);
  check("44 bytes", area.guard, 0x77);
  at[0] = 0;
  check("taken back", op(5, 0, at), 0);
  u64 now[2] = { 1, 0 };
  check("a single shot in the past", op(8, 0, now), 0);
  check("stopped", op(9, 0, 0), 0);
  extern const u32 traps[20];
  struct { uint8_t vector, flags; uint16_t cs; u32 address; } t[2] = { { NMI, 0, CS1, traps[NMI] }, { 0, 0, 0, 0 } };
  check("a handler of NMIs", S(HC(set_trap_table, t, 0, 0, 0)), 0);
  RUN("movl $24, %%eax\n\tmovl $11, %%ebx\n\txorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\tint $0x82\n6:\tmovl $6b, %%eax");
  check("an NMI to itself", last.code, NMI);
  check("of the kernel", last.cs, CS1);
}

void test_vcpus(void) {
  say("a second vCPU\n");
  told();
  u32 cr3;
  asm volatile("movl %%cr3, %0" : "=r"(cr3));
  check("not up", op(is_up, 1, 0), 0);
  check("no such vCPU", op(is_up, 2, 0), S(-XEN_ENOENT));
  check("up before it is anything", op(up, 1, 0), S(-XEN_EINVAL));
  put(CTX_REGS + REG_EIP, (u32)other_start);
  put(CTX_REGS + REG_EDI, 0x77);
  put(CTX_REGS + REG_CS, CS1 & ~3);
  put(CTX_REGS + REG_SS, SS1);
  put(CTX_REGS + REG_DS, SS1);
  put(CTX_REGS + REG_DS - 4, SS1);
  put(CTX_REGS + REG_EFLAGS, 0x202);
  put(CTX_REGS + REG_ESP, (u32)stack + sizeof stack);
  put(CTX_KERNEL_SS, SS1);
  put(CTX_KERNEL_SP, (u32)stack + sizeof stack);
  check("without a root", op(initialise, 1, context), S(-XEN_EINVAL));
  put(CTX_CTRLREG + 12, mfn_of(stack) << 12);
  check("with a root that is a page", op(initialise, 1, context), S(-XEN_EINVAL));
  put(CTX_CTRLREG + 12, cr3);
  put(CTX_LDT, 0x1001);
  check("with an LDT between pages", op(initialise, 1, context), S(-XEN_EINVAL));
  put(CTX_LDT, 0);
  put(CTX_LDT_ENTRIES, 8193);
  check("with an LDT too large", op(initialise, 1, context), S(-XEN_EINVAL));
  put(CTX_LDT_ENTRIES, 0);
  check("from nowhere", op(initialise, 1, (void *)0x7fff0000), S(-XEN_EFAULT));
  check("initialise", op(initialise, 1, context), 0);
  check("once", op(initialise, 1, context), S(-XEN_EEXIST));
  check("up", op(up, 1, 0), 0);
  for (int i = 0; i < 3000000 && !seen[3]; i++) HC(sched_op, 0, 0, 0, 0);
  check("its register", seen[0], 0x77);
  check("its cs", seen[1], CS1);
  check("its root", seen[2], cr3);
  check("it was up", seen[3], 1);
  for (int i = 0; i < 3000000 && op(is_up, 1, 0); i++) HC(sched_op, 0, 0, 0, 0);
  check("down", op(is_up, 1, 0), 0);
}
