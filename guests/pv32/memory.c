/* Page tables: what may be changed by which way, and what may not. */
#include "pv32.h"

enum { PIN_L1, PIN_L2, PIN_L3, PIN_L4, UNPIN, NEW_BASEPTR, TLB_FLUSH_LOCAL, INVLPG_LOCAL, NEW_USER_BASEPTR = 15 };
#define EINVAL_ ((u64)(int64_t)-XEN_EINVAL)
#define S(x) ((u64)(int64_t)(x))


static void entries_by_hypercall(void) {
  const u32 va = (u32)pages[2];
  const u64 old = *l1_of(va);
  pages[3][0] = 0x33;
  check("update_va_mapping", S(map(pages[2], machine(pages[3]) | KERNEL_PTE)), 0);
  check("it shows", pages[2][0], 0x33);
  check("mmu_update", S(update(machine(l1_of(va)), old)), 0);
  check("invlpg", S(mmuext(INVLPG_LOCAL, va, 0)), 0);
  check("it shows, too", pages[2][0], 0);
  check("kernel's pages stay the kernel's", *l1_of(va) & US, old & US);
  check("otherdomain, of itself", S(HC5(update_va_mapping_otherdomain, va, old, old >> 32, 2, DOMID_SELF)), 0);
  check("otherdomain, of nobody", S(HC5(update_va_mapping_otherdomain, va, old, old >> 32, 2, 0x1234)), S(-3));
  check("no L1 table there", S(HC(update_va_mapping, 0x40000000, 0, 0, 0)), EINVAL_);
  check("the hypervisor's part", S(HC(update_va_mapping, HV_START, 0, 0, 0)), EINVAL_);
  check("a frame of the hypervisor's", S(map(pages[2], entry(1, KERNEL_PTE))), EINVAL_);
  check("a frame behind all memory", S(map(pages[2], entry(0xffffffff, KERNEL_PTE) & 0xffffffffffffull)), EINVAL_);
  check("PWT", S(map(pages[2], machine(pages[2]) | KERNEL_PTE | 8)), EINVAL_);
  check("a table, to be written", S(map(pages[2], machine((void *)info->pt_base) | KERNEL_PTE)), S(-XEN_EBUSY));
  check("a table, to be read", S(map(pages[2], machine((void *)info->pt_base) | P)), 0);
  FAULT("it is not written", PF, 3, "movl %%eax, pages + 0x2000");
  check("an L2 as an L1 entry's", S(update(machine(l2_of(va)), machine(pages[3]) | KERNEL_PTE)), EINVAL_);
  check("back", S(map(pages[2], old)), 0);
  check("a large page", S(update(machine(l2_of(va) + 8), machine(pages[3]) | P | RW | 0x80)), EINVAL_);
}

static void stores(void) {
  const u32 va = (u32)pages[2];
  u64 *e = l1_of(va);
  const u64 old = *e;
  const u64 other = machine(pages[3]) | KERNEL_PTE;
  ARGS(e, 0, 0, other);
  FAULT("a store without the assist", PF, 3, "movl %%eax, (%%ebx)");
  check("writable_pagetables", S(HC(vm_assist, 0, 2, 0, 0)), 0);
  /* the two halves, the lower one last */
  ARGS(e, (u32)(other >> 32), 0, (u32)other);
  NO_FAULT("two stores", "movl $0, (%%ebx)\n\tmovl %%ecx, 4(%%ebx)\n\tmovl %%eax, (%%ebx)");
  mmuext(INVLPG_LOCAL, va, 0);
  check("what they made", *e & ~0x60ull, other & ~0x60ull);
  check("what is seen", pages[2][0], 0x33);
  ARGS(e, (u32)(old >> 32), (u32)old, 0);
  NO_FAULT("cmpxchg8b", "movl %%edx, %%esi\n\tmovl %%ecx, %%edi\n\tmovl (%%ebx), %%eax\n\tmovl 4(%%ebx), %%edx\n\tpushl %%ebx\n\tmovl %%ebx, %%ebp\n\tmovl %%esi, %%ebx\n\tmovl %%edi, %%ecx\n\tlock cmpxchg8b (%%ebp)\n\tpopl %%ebx");
  mmuext(INVLPG_LOCAL, va, 0);
  check("what it made", *e & ~0x60ull, old & ~0x60ull);
  check("seen again", pages[2][0], 0);
  ARGS(e, 0, 0, machine((void *)info->pt_base) | KERNEL_PTE);
  FAULT("a table that would be writable", PF, 3, "movl %%eax, (%%ebx)");
  check("nothing has changed", *e & ~0x60ull, old & ~0x60ull);
  /* the upper half of a present entry that would name what is not the guest's: the entry is taken away, the lower half is to follow */
  ARGS(e, 0x7, (u32)(old >> 32), (u32)old);
  NO_FAULT("halves the wrong way round", "movl %%ecx, 4(%%ebx)");
  check("not present meanwhile", *e & P, 0);
  ARGS(e, (u32)(old >> 32), 0, (u32)old);
  NO_FAULT("put right", "movl %%ecx, 4(%%ebx)\n\tmovl %%eax, (%%ebx)");
  mmuext(INVLPG_LOCAL, va, 0);
  check("as before", *e & ~0x60ull, old & ~0x60ull);
  ARGS(l2_of(va), 0, 0, 0);
  FAULT("a store to an L2", PF, 3, "movl %%eax, (%%ebx)");
  HC(vm_assist, 1, 2, 0, 0);
}

/* Frees a page from its mapping, so that it can become a table. */
static u32 table_of(void *page) {
  check("read-only", S(map(page, machine(page) | P | A)), 0);
  return mfn_of(page);
}
static void page_of(void *page) {
  check("writable", S(map(page, machine(page) | KERNEL_PTE)), 0);
}

static void roots(void) {
  u64 *root = l3();
  check("the last slot is not to be changed", S(update(machine(root + 3), root[3])), EINVAL_);
  check("nor one behind it", S(update(machine(root + 4), root[0])), EINVAL_);
  check("an L3 entry with RW is changed", S(update(machine(root + 1), 0)), 0);
  check("NX in an L3 entry", S(update(machine(root + 1), root[0] | 1ull << 63)), EINVAL_);
  check("the xen L2 elsewhere", S(update(machine(root + 1), root[3])), EINVAL_);
  u64 *xen = table(root[3]);
  check("a slot of the hypervisor's", S(update(machine(xen + 428), *l2_of((u32)pages))), EINVAL_);
  check("one below is the guest's", S(update(machine(xen + 427), *l2_of((u32)pages))), 0);
  const u32 alias = 0xc0000000 + (427u << 21) + ((u32)pages[3] & 0x1fffff);
  check("it shows", *(volatile char *)alias, 0x33);
  check("and goes", S(update(machine(xen + 427), 0)), 0);
  check("PIN_L4", S(mmuext(PIN_L4, mfn_of(root), 0)), EINVAL_);
  check("NEW_USER_BASEPTR", S(mmuext(NEW_USER_BASEPTR, mfn_of(root), 0)), EINVAL_);
  check("PIN_L2 of the xen L2", S(mmuext(PIN_L2, root[3] >> 12, 0)), EINVAL_);
  /* another root, with the same tables but an own last L2 */
  u64 *r = (u64 *)pages[4], *last = (u64 *)pages[5];
  for (int i = 0; i < 512; i++) r[i] = i < 3 ? root[i] : 0x5555;
  for (int i = 0; i < 512; i++) last[i] = i < 428 ? 0 : ~0ull;
  const u32 m2 = table_of(last);
  r[3] = 0;
  u32 m = table_of(r);
  check("a root without its last entry", S(mmuext(PIN_L3, m, 0)), EINVAL_);
  page_of(r);
  r[3] = entry(m2, P);
  m = table_of(r);
  check("PIN_L3", S(mmuext(PIN_L3, m, 0)), 0);
  check("what is not the guest's is empty", r[4] | last[428] | last[511], 0);
  check("NEW_BASEPTR", S(mmuext(NEW_BASEPTR, m, 0)), 0);
  u32 cr3;
  asm volatile("movl %%cr3, %0" : "=r"(cr3));
  check("cr3", cr3, m << 12 | m >> 20);
  check("a root in use, unpinned", S(mmuext(UNPIN, m, 0)), 0);
  check("it still cannot be written", S(map(r, machine(r) | KERNEL_PTE)), S(-XEN_EBUSY));
  const u32 first = mfn_of(root);
  ARGS(0, 0, 0, first << 12 | first >> 20);
  NO_FAULT("back, by cr3", "movl %%eax, %%cr3");
  page_of(r);
  page_of(last);
}

static void linear(void) {
  /* an L2 that names itself shows its tables as pages */
  u64 *l2 = table(l3()[0]);
  const u32 mfn = M2P[0] ? l3()[0] >> 12 : l3()[0] >> 12;
  check("a linear entry, to be written", S(update(machine(l2 + 300), entry(mfn, P | RW))), EINVAL_);
  check("a linear entry", S(update(machine(l2 + 300), entry(mfn, P))), 0);
  const volatile u64 *seen = (const volatile u64 *)((300u << 21) + ((u32)pages >> 21 << 12));
  check("an L1 table through it", seen[(u32)pages >> 12 & 511] & ~0x60ull, *l1_of((u32)pages) & ~0x60ull);
  check("taken away", S(update(machine(l2 + 300), 0)), 0);
}

static void lists(void) {
  check("the M2P", M2P[mfn_of(pages)], (u32)pages >> 12);
  struct { u32 start, end, max; } where = { 0, 0, 0 };
  check("machphys_mapping", S(HC(memory_op, 12, &where, 0, 0)), 0);
  check("its start", where.start, HV_START);
  check("its end", where.end, 0xffe00000);
  check("its entries", where.max, (0xffe00000 - HV_START) / 4 - 1);
  u32 frames[2] = { 0, 0 };
  struct { u32 max; u32 *list; u32 n; } l = { 2, frames, 0 };
  check("machphys_mfn_list", S(HC(memory_op, 5, &l, 0, 0)), 0);
  check("one of 2 MiB is enough", l.n, 1);
  l.n = 0;
  check("machphys_compat_mfn_list", S(HC(memory_op, 25, &l, 0, 0)), 0);
  check("the same", l.n, 1);
  u32 platform[2] = { 0, 0x77 };
  check("platform_parameters", S(HC(xen_version, 5, platform, 0, 0)), 0);
  check("virt_start", platform[0], HV_START);
  check("four bytes", platform[1], 0x77);
  check("machphys update", S(update(machine(pages[6]) | 1, 0x1234)), 0);
  check("it shows", M2P[mfn_of(pages[6])], 0x1234);
  update(machine(pages[6]) | 1, (u32)pages[6] >> 12);
  /* pages back and others for them */
  check("unmapped", S(map(pages[7], 0)), 0);
  u32 mfn = mfn_of(pages[7]);
  struct { u32 *list, n, order, flags; uint16_t domid; } r = { &mfn, 1, 0, 0, DOMID_SELF };
  check("decrease_reservation", S(HC(memory_op, 1, &r, 0, 0)), 1);
  check("its number is nobody's", M2P[mfn], 0xffffffff);
  u32 number = (u32)pages[7] >> 12;
  r.list = &number;
  check("populate_physmap", S(HC(memory_op, 6, &r, 0, 0)), 1);
  check("a new number", M2P[number], (u32)pages[7] >> 12);
  ((u32 *)info->mfn_list)[(u32)pages[7] >> 12] = number;
  page_of(pages[7]);
  pages[7][0] = 1;
}

void test_memory(void) {
  say("memory\n");
  entries_by_hypercall();
  stores();
  roots();
  linear();
  lists();
}
