/* Bytes, and the memory_op suite. */
#include "guest.h"

void *memset(void *to, int byte, size_t size) {
  void *start = to;
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
  return start;
}

void *memcpy(void *to, const void *from, size_t size) {
  void *start = to;
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory");
  return start;
}

int memcmp(const void *a, const void *b, size_t size) {
  const uint8_t *x = a, *y = b;
  for (size_t i = 0; i < size; i++)
    if (x[i] != y[i]) return x[i] - y[i];
  return 0;
}

size_t strlen(const char *text) {
  size_t n = 0;
  while (text[n]) n++;
  return n;
}

long memory_op(unsigned op, void *arg) {
  return hypercall(HC_memory_op, op, (uintptr_t)arg, 0);
}

long add_to_physmap(unsigned space, uint64_t index, volatile void *page) {
  xen_add_to_physmap_t arg = {.domid = DOMID_SELF, .space = space, .idx = index, .gpfn = gfn(page)};
  return memory_op(XENMEM_add_to_physmap, &arg);
}

static uint8_t pages[4][PAGE_SIZE] __attribute__((aligned(4096)));

static long reservation(unsigned op, uint64_t *gfns, uint64_t count) {
  xen_memory_reservation_t arg = {.extent_start = (uintptr_t)gfns, .nr_extents = count, .domid = DOMID_SELF};
  return memory_op(op, &arg);
}

static void test_balloon(void) {
  uint16_t self = DOMID_SELF;
  uint64_t frames[3] = {gfn(pages[0]), gfn(pages[1]), gfn(pages[2])};
  long before = memory_op(XENMEM_current_reservation, &self);
  check("memory.current_reservation", before > 0, "pages", before);
  check("memory.maximum_reservation", memory_op(XENMEM_maximum_reservation, &self) >= before, "current", before);
  pages[1][0] = 1;
  expect("memory.decrease", reservation(XENMEM_decrease_reservation, frames, 3), 3);
  expect("memory.decrease.current", memory_op(XENMEM_current_reservation, &self), before - 3);
  expect("memory.decrease.again", reservation(XENMEM_decrease_reservation, frames, 3), 0);
  expect("memory.populate", reservation(XENMEM_populate_physmap, frames, 3), 3);
  expect("memory.populate.current", memory_op(XENMEM_current_reservation, &self), before);
  for (int i = 0; i < 3; i++) memset(pages[i], 0x5a + i, PAGE_SIZE);
  bool kept = true;
  for (int i = 0; i < 3; i++)
    for (unsigned at = 0; at < PAGE_SIZE; at++) kept &= pages[i][at] == 0x5a + i;
  check("memory.populate.usable", kept, "first byte", pages[0][0]);
  expect("memory.decrease.bad_handle", reservation(XENMEM_decrease_reservation, (uint64_t *)BAD_ADDRESS, 1), 0);
  frames[0] = 1ul << 40;
  expect("memory.decrease.bad_gfn", reservation(XENMEM_decrease_reservation, frames, 1), 0);
}

static void test_memory_map(void) {
  static e820_entry_t map[16];
  xen_memory_map_t arg = {.nr_entries = 16, .buffer = (uintptr_t)map};
  expect("memory.map", memory_op(XENMEM_memory_map, &arg), 0);
  check("memory.map.entries", arg.nr_entries >= 1 && arg.nr_entries <= 16, "entries", arg.nr_entries);
  check("memory.map.ram", map[0].addr == 0 && map[0].type == 1 && map[0].size >= 16 << 20, "size", map[0].size);
  arg.buffer = BAD_ADDRESS;
  expect("memory.map.bad_handle", memory_op(XENMEM_memory_map, &arg), -XEN_EFAULT);
  uint16_t self = DOMID_SELF;
  long last = memory_op(XENMEM_maximum_gpfn, &self);
  check("memory.maximum_gpfn", last >= (long)(map[0].size / PAGE_SIZE) - 1, "gfn", last);
}

void test_memory(void) {
  test_memory_map();
  test_balloon();
  expect("memory.bad_op", memory_op(63, 0), -XEN_ENOSYS);
  expect("memory.bad_arg", memory_op(XENMEM_add_to_physmap, (void *)BAD_ADDRESS), -XEN_EFAULT);
  expect("memory.decrease.bad_arg", memory_op(XENMEM_decrease_reservation, (void *)BAD_ADDRESS), 0); /* no extent done */
  check("memory.bad_space", add_to_physmap(77, 0, pages[3]) < 0, "space", 77);
  uint16_t stranger = 0x1234;
  check("memory.bad_domain", memory_op(XENMEM_current_reservation, &stranger) < 0, "domain", stranger);
}
