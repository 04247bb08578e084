/* What the hypervisor owes a PV guest of memory, and what it must not let it have, whatever the TLB remembers. */
#include "pv.h"

#define RO 5ul
#define RW 7ul
/* Of the kernel's accesses: not user ones, to it. */
#define PRESENT_WRITE 3
#define M2P ((volatile u64 *)0xffff800000000000)

enum { PIN_L1 = 0, UNPIN = 4, FLUSH_LOCAL = 6 };

typedef u64 page[512];
static page table __attribute__((aligned(4096))), alias __attribute__((aligned(4096))), plain __attribute__((aligned(4096)));
static page descriptors __attribute__((aligned(4096)));
static u64 table_mfn, alias_mfn, plain_mfn, descriptors_mfn, reads;

static int64_t map(volatile void *va, u64 mfn, u64 flags, u64 flush) { return HC(14, va, mfn << 12 | flags, flush); }

static int64_t extended(uint32_t cmd, u64 arg) {
  struct { uint32_t cmd, pad; u64 arg1, arg2; } op = { cmd, 0, arg, 0 };
  return (int64_t)hypercall(26, (u64)&op, 1, 0, DOMID_SELF);
}

static int64_t update(u64 ptr, u64 value) {
  struct { u64 ptr, value; } request = { ptr, value };
  return (int64_t)hypercall(1, (u64)&request, 1, 0, DOMID_SELF);
}

/* The machine frame of a page of the domain's, which is mapped at its own number. */
static u64 mfn_of(volatile void *p, u64 end) {
  for (u64 mfn = 0; mfn < end; mfn++)
    if (M2P[mfn] == (u64)p >> 12) return mfn;
  return 0;
}

static void window(void) {
  u64 end = HC(HC_memory_op, 2, 0, 0);
  table_mfn = mfn_of(table, end);
  alias_mfn = mfn_of(alias, end);
  plain_mfn = mfn_of(plain, end);
  descriptors_mfn = mfn_of(descriptors, end);
  check("frames are in the M2P", table_mfn && alias_mfn && plain_mfn && descriptors_mfn, 1);
  check("a frame of the host's is not", M2P[0], ~0ul);
  ARGS(M2P + table_mfn, 0, 0, 0);
  FAULT("the M2P is read-only", PF, PRESENT_WRITE, "movq %%rax, (%%rbx)");
  check("its number", update(plain_mfn << 12 | 1, 0x123), 0);
  check("is new", M2P[plain_mfn], 0x123);
  check("another's frame has none of ours", update(1 << 12 | 1, 5), -XEN_EINVAL);
  update(plain_mfn << 12 | 1, (u64)plain >> 12);
}

static void store(volatile u64 *p, u64 value) { *p = value; }

#define REFUSED(name, address) \
  do { \
    ARGS(address, 0, 0, 0x77); \
    FAULT(name, PF, PRESENT_WRITE, "movq %%rax, (%%rbx)"); \
  } while (0)

/* A page is written through the TLB, then becomes a table without a word about its old mapping: no store reaches it any more. */
static void stale(void) {
  for (int i = 0; i < 300; i++) {
    for (int n = 0; n < 512; n++) store(&table[n], 0);
    check("read-only, and nothing forgotten", map(table, table_mfn, RO, 0), 0);
    check("pinned", extended(PIN_L1, table_mfn), 0);
    REFUSED("a store to a table", &table[0]);
    check("it stays as it was", table[0], 0);
    reads += table[1];
    check("an entry", update(table_mfn << 12, plain_mfn << 12 | RW), 0);
    check("is seen", table[0] & ~0x60ul, plain_mfn << 12 | RW);
    check("unpinned", extended(UNPIN, table_mfn), 0);
    check("writable again", map(table, table_mfn, RW, 2), 0);
  }
}

/* The same with several mappings, of which one was forgotten. */
static void aliases(void) {
  for (int i = 0; i < 40; i++) {
    check("mapped twice", map(alias, table_mfn, RW, 2), 0);
    store(&table[3], 0);
    store(&alias[4], 0);
    store(&table[0], 0);
    check("one for reading", map(table, table_mfn, RO, 0), 0);
    check("no table while the other can be written", extended(PIN_L1, table_mfn), -XEN_EINVAL);
    check("the other too", map(alias, table_mfn, RO, 0), 0);
    check("now it can be one", extended(PIN_L1, table_mfn), 0);
    REFUSED("a store by the first", &table[0]);
    REFUSED("a store by the second", &alias[0]);
    check("not to be mapped for writing", map(alias, table_mfn, RW, 2), -16);
    check("unpinned", extended(UNPIN, table_mfn), 0);
    check("back", map(table, table_mfn, RW, 2), 0);
    check("and back", map(alias, alias_mfn, RW, 2), 0);
    store(&alias[0], 1);
    check("its own frame", alias[0], 1);
  }
}

static void segments(void) {
  u64 frame = descriptors_mfn;
  for (int i = 0; i < 40; i++) {
    store(&descriptors[1], 0);
    check("a GDT that can be written", HC(2, &frame, 8, 0), -XEN_EINVAL);
    check("for reading", map(descriptors, descriptors_mfn, RO, 0), 0);
    store(&plain[0], i);
    check("a GDT", HC(2, &frame, 8, 0), 0);
    REFUSED("a store to it", &descriptors[1]);
    check("no GDT", HC(2, &frame, 0, 0), 0);
    check("writable again", map(descriptors, descriptors_mfn, RW, 2), 0);
  }
  store(&descriptors[2], 0x00008e0000000000);
  map(descriptors, descriptors_mfn, RO, 0);
  check("a GDT with an interrupt gate", HC(2, &frame, 8, 0), -XEN_EINVAL);
  map(descriptors, descriptors_mfn, RW, 2);
  store(&descriptors[2], 0);
}

/* Stores to a table as if it were memory. */
static void writable(void) {
  check("assist", HC(HC_vm_assist, 0, 2, 0), 0);
  for (int n = 0; n < 512; n++) store(&table[n], 0);
  map(table, table_mfn, RO, 2);
  check("pinned", extended(PIN_L1, table_mfn), 0);
  for (int i = 0; i < 200; i++) {
    store(&table[7], plain_mfn << 12 | RW);
    check("an entry", table[7], plain_mfn << 12 | RW);
    u64 old = __atomic_exchange_n(&table[7], 0, __ATOMIC_SEQ_CST);
    check("taken out", old, plain_mfn << 12 | RW);
    store(&table[7], plain_mfn << 12 | RO);
    __atomic_fetch_or(&table[7], 0x40, __ATOMIC_SEQ_CST);
    ((volatile uint8_t *)table)[7 * 8] = 0x25;
    check("changed", table[7], plain_mfn << 12 | 0x25);
  }
  ARGS(&table[7], table_mfn << 12 | RW, 0, 0);
  FAULT("an entry that may not be", PF, PRESENT_WRITE, "movq %%rcx, (%%rbx)");
  check("it stays", table[7], plain_mfn << 12 | 0x25);
  check("unpinned", extended(UNPIN, table_mfn), 0);
  map(table, table_mfn, RW, 2);
  check("no assist", HC(HC_vm_assist, 1, 2, 0), 0);
}

void test_memory(void) {
  say("memory\n");
  window();
  stale();
  aliases();
  segments();
  writable();
  map(alias, alias_mfn, RW, 2);
  extended(FLUSH_LOCAL, 0);
}
