/* A second vCPU: VCPUOP_initialise with struct vcpu_guest_context, up, down. */
#include "pv.h"

enum { VCPUOP_initialise = 0, VCPUOP_up = 1 };
/* Offsets of the structure (public/arch-x86/xen.h). */
enum { CTX_FLAGS = 512, CTX_REGS = 520, CTX_LDT = 4816, CTX_LDT_ENTRIES = 4824, CTX_KERNEL_SP = 4976, CTX_CTRLREG = 4984, CTX_EVENT = 5112, CTX_GS_KERNEL = 5152 };
enum { REG_RDI = 14 * 8, REG_RIP = 16 * 8, REG_CS = 17 * 8, REG_RFLAGS = 18 * 8, REG_RSP = 19 * 8, REG_SS = 20 * 8 };

static uint8_t context[5168] __attribute__((aligned(64)));
static uint8_t stack[4096] __attribute__((aligned(16)));
static volatile u64 seen[4];

static void put(int at, u64 v) {
  *(u64 *)(context + at) = v;
}
static int64_t op(int what, int id, void *arg) {
  return HC(HC_vcpu_op, what, id, arg);
}

static void other(u64 rdi) {
  u64 gs, cr3;
  asm volatile("movq %%gs:0, %0" : "=r"(gs));
  asm volatile("movq %%cr3, %0" : "=r"(cr3));
  seen[0] = rdi;
  seen[1] = gs;
  seen[2] = cr3;
  seen[3] = op(VCPUOP_is_up, 1, 0);
  op(VCPUOP_down, 1, 0);
  for (;;) HC(HC_sched_op, SCHEDOP_yield, 0, 0);
}

void test_vcpus(void) {
  say("a second vCPU\n");
  static u64 base = 0x3333;
  u64 cr3;
  asm volatile("movq %%cr3, %0" : "=r"(cr3));
  check("not up", op(VCPUOP_is_up, 1, 0), 0);
  check("no such vCPU", op(VCPUOP_is_up, 2, 0), -XEN_ENOENT);
  check("up before it is anything", op(VCPUOP_up, 1, 0), -XEN_EINVAL);
  put(CTX_FLAGS, 4);
  put(CTX_REGS + REG_RIP, (u64)other);
  put(CTX_REGS + REG_RDI, 0x77);
  put(CTX_REGS + REG_CS, 0xe033);
  put(CTX_REGS + REG_SS, 0xe02b);
  put(CTX_REGS + REG_RFLAGS, 0x3202);
  put(CTX_REGS + REG_RSP, (u64)stack + sizeof stack - 8);
  put(CTX_KERNEL_SP, (u64)stack + sizeof stack);
  put(CTX_GS_KERNEL, (u64)&base);
  check("without a root", op(VCPUOP_initialise, 1, context), -XEN_EINVAL);
  put(CTX_CTRLREG + 24, start->l1_mfn << 12);
  check("with a root that is a table of another level", op(VCPUOP_initialise, 1, context), -XEN_EINVAL);
  put(CTX_CTRLREG + 24, 1 << 12);
  check("with a root that is not ours", op(VCPUOP_initialise, 1, context), -XEN_EINVAL);
  put(CTX_CTRLREG + 24, cr3);
  put(CTX_EVENT, 1ul << 47);
  check("with a callback at no address", op(VCPUOP_initialise, 1, context), -XEN_EINVAL);
  put(CTX_EVENT, 0);
  put(CTX_LDT, 0x1001);
  check("with an LDT between pages", op(VCPUOP_initialise, 1, context), -XEN_EINVAL);
  put(CTX_LDT, 0);
  put(CTX_LDT_ENTRIES, 8193);
  check("with an LDT too large", op(VCPUOP_initialise, 1, context), -XEN_EINVAL);
  put(CTX_LDT_ENTRIES, 0);
  put(CTX_FLAGS, 0);
  check("in user mode without a root for it", op(VCPUOP_initialise, 1, context), -XEN_EINVAL);
  put(CTX_FLAGS, 4);
  check("from nowhere", op(VCPUOP_initialise, 1, (void *)0x7fffff000), -XEN_EFAULT);
  check("initialise", op(VCPUOP_initialise, 1, context), 0);
  check("once", op(VCPUOP_initialise, 1, context), -XEN_EEXIST);
  check("not up yet", op(VCPUOP_is_up, 1, 0), 0);
  check("up", op(VCPUOP_up, 1, 0), 0);
  for (int i = 0; i < 1000 && !seen[3]; i++) HC(HC_sched_op, SCHEDOP_yield, 0, 0);
  check("its register", seen[0], 0x77);
  check("its GS base", seen[1], 0x3333);
  check("its root", seen[2], cr3);
  check("it was up", seen[3], 1);
  for (int i = 0; i < 1000 && op(VCPUOP_is_up, 1, 0); i++) HC(HC_sched_op, SCHEDOP_yield, 0, 0);
  check("down", op(VCPUOP_is_up, 1, 0), 0);
}
