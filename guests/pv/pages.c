/* Page tables that are mapped for reading only: stores to them with and without the assist, and what they lead to. */
#include "pv.h"

enum { P = 1, W = 2, U = 4, A = 0x20, D = 0x40 };
enum { HC_mmuext_op = 26, MMUEXT_INVLPG_LOCAL = 7 };

static void invlpg(void *va) {
  struct { uint32_t cmd, pad; u64 arg1, arg2; } op = { MMUEXT_INVLPG_LOCAL, 0, (u64)va, 0 };
  check("invlpg", hypercall(HC_mmuext_op, (u64)&op, 1, 0, DOMID_SELF), 0);
}

/* What must be refused: nothing has happened then, neither to memory nor to registers. */
static void refused(const char *name, u64 *entry, u64 value) {
  u64 before = *entry;
  ARGS(entry, value, 0x5555, 0);
  FAULT("a store to a table", PF, 3, "xchgq %%rcx, (%%rbx)");
  check(name, last_cr2, (u64)entry);
  check("the register is what it was", last.rcx, value);
  check("the entry too", *entry, before);
  ARGS(entry, value, 0x5555, 0);
  FAULT("a plain store", PF, 3, "movq %%rcx, (%%rbx)");
  check("the entry too", *entry, before);
}

static void new_base(u64 mfn) {
  struct { uint32_t cmd, pad; u64 arg1, arg2; } op = { 5, 0, mfn, 0 };
  check("new base", hypercall(HC_mmuext_op, (u64)&op, 1, 0, DOMID_SELF), 0);
}

/* Whoever loads a root need not say which entries have changed. */
static void roots(volatile u64 *entry, u64 mapped) {
  volatile u64 *word = start->scratch + 2;
  u64 other = ((volatile u64 *)start->free_va)[2], root;
  asm volatile("movq %%cr3, %0" : "=r"(root));
  *word = 0x4321;
  for (int i = 0; i < 3; i++) {
    check("before", *word, 0x4321);
    *entry = start->free_mfn << 12 | P | U;
    asm volatile("movq %0, %%cr3" : : "r"(root) : "memory");
    check("the same root once more", *word, other);
    new_base(start->user_root);
    check("another root", *word, other);
    *entry = mapped;
    new_base(root >> 12);
    check("back to the first, an entry having changed meanwhile", *word, 0x4321);
    new_base(start->user_root);
    check("the other root again", *word, 0x4321);
    *entry = 0;
    *entry = mapped;
    new_base(root >> 12);
  }
  user(0, 0xe033, 0x202);
  check("the programs' root is what it was", last.code, PF);
}

void test_pages(void) {
  say("stores to page tables\n");
  volatile u64 *entry = &start->l1[(u64)start->scratch >> 12 & 511];
  u64 mapped = *entry;
  check("the entry names its frame", mapped >> 12, start->scratch_mfn);
  *start->scratch = 0x1234;
  HC(HC_vm_assist, 1, 2, 0);
  refused("without the assist", (u64 *)entry, 0);
  check("vm_assist", HC(HC_vm_assist, 0, 2, 0), 0);

  u64 old = 0;
  asm volatile("xchgq %0, %1" : "+r"(old), "+m"(*entry));
  check("xchg gives what was there", old & ~(u64)(A | D), mapped & ~(u64)(A | D));
  check("and clears it", *entry, 0);
  invlpg(start->scratch);
  ARGS(start->scratch, 0, 0, 0);
  FAULT("the page is gone", PF, 0, "movq (%%rbx), %%rax");
  *entry = mapped;
  check("mapped again", *start->scratch, 0x1234);
  *entry = mapped & ~(u64)W;
  invlpg(start->scratch);
  FAULT("read-only", PF, 3, "movq %%rax, (%%rbx)");
  check("which can be read", *start->scratch, 0x1234);
  asm volatile("lock orq $2, %0" : "+m"(*entry));
  invlpg(start->scratch);
  *start->scratch = 0x5678;
  check("writable by a locked OR", *start->scratch, 0x5678);
  asm volatile("lock btrq $1, %0" : "+m"(*entry));
  check("BTR", *entry & W, 0);
  u64 expected = *entry, wrong = 1;
  asm volatile("lock cmpxchgq %2, %1" : "+a"(wrong), "+m"(*entry) : "r"(0ul));
  check("CMPXCHG of something else", wrong, expected);
  asm volatile("lock cmpxchgq %2, %1" : "+a"(expected), "+m"(*entry) : "r"(mapped));
  check("CMPXCHG", *entry, mapped);
  ((volatile uint32_t *)entry)[0] = 0;
  check("half an entry", *entry & 0xffffffff, 0);
  *entry = mapped;
  check("a kernel's page becomes everybody's", (*entry = mapped & ~(u64)U, *entry & U), U);

  refused("another's frame", (u64 *)entry, 1 << 12 | P | W | U);
  refused("no frame", (u64 *)entry, 0x7ffffffff000 | P | W | U);
  refused("a table, writable", (u64 *)entry, start->l1_mfn << 12 | P | W | U);
  refused("the table of descriptors, writable", (u64 *)entry, start->free_mfn << 12 | P | W | U);
  refused("reserved bits", (u64 *)entry, mapped | 1ul << 55 | 1ul << 51);
  refused("an entry of a higher table", start->l2, 0);
  *entry = start->l1_mfn << 12 | P | U;
  invlpg(start->scratch);
  check("a table may be looked at", start->scratch[(u64)start->scratch >> 12 & 511] & ~(u64)A, start->l1_mfn << 12 | P | U);
  *entry = mapped;
  invlpg(start->scratch);
  check("after all that", *start->scratch, 0x5678);
  roots(entry, mapped);
}
