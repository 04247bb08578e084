/* What the fuzzing guest's parts share. The pages below lie where no number that the fuzzer makes leads. */
#ifndef FUZZ_H
#define FUZZ_H

#include "xen.h"

typedef unsigned long word; /* what a register holds, and a long in Xen's structures */

/* The victim's pages (frames of its own space). */
enum {
  VICTIM_STATUS = 0xa00, /* {rounds, changes, where} for whoever looks at its memory */
  VICTIM_RACED = 0xa10,  /* four pages, granted to the fuzzers as room for arguments; somebody else writes to them too */
  VICTIM_SHOWN = 0xa14,  /* two pages granted for reading */
  VICTIM_SHARED = 0xa16, /* one granted for writing */
  VICTIM_TABLE = 0xa20,  /* its grant table: 32 frames */
  VICTIM_PATTERN = 0xb00,
  VICTIM_PATTERN_PAGES = 512,
};
/* References that the victim gives the fuzzer with number `victim + 1 + k`: four raced pages, two shown, one shared. */
#define VICTIM_REF(k) (8u + 8u * (k))
enum { VICTIM_FRIENDS = 2000, VICTIM_PORTS = 400 };

/* The fuzzer's. */
enum {
  POOL = 1024,        /* frames that it does things to */
  POOL_FRAMES = 512,
  ARGUMENTS = 0x20000, /* the victim's raced pages */
  ARGUMENT_PAGES = 4,
  COUNTER = 0x20008,  /* calls made */
  TABLE = 0x20010,    /* its grant table */
};

long hypercall(word nr, const word args[5]);
static inline long call(word nr, word a, word b, word c) {
  const word args[5] = {a, b, c, 0, 0};
  return hypercall(nr, args);
}
static inline void *page(uint32_t frame) { return (void *)(word)(frame * 4096ul); }
static inline uint32_t low(const void *p) { return (uint32_t)(word)p; }

void fuzz(uint32_t seed, uint32_t calls, uint32_t victim, uint32_t own, const uint32_t *table);
void victim(void) __attribute__((noreturn));

#endif
