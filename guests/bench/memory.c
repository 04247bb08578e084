// Memory: a chase through 16 MiB in random order, and 800 MiB moved in small and large blocks.
#include <stdlib.h>
#include <string.h>
#include "bench.h"

#define LINE 64
#define LINES (16 << 20 >> 6)
#define HOPS 1000000

struct line {
  struct line *next;
  u64 value;
  u8 rest[LINE - 16];
};
static struct line *ring;

/// One cycle through all lines (Sattolo's shuffle).
static void chase_setup(void) {
  u32 *order = malloc(LINES * sizeof *order);
  ring = aligned_alloc(4096, sizeof *ring * LINES);
  if (!ring || !order) die("malloc");
  u64 random = 7;
  for (u32 i = 0; i < LINES; i++) order[i] = i;
  for (u32 i = LINES - 1; i > 0; i--) {
    const u32 j = next_random(&random) % i;
    const u32 other = order[j];
    order[j] = order[i];
    order[i] = other;
  }
  for (u32 i = 0; i < LINES; i++) ring[i] = (struct line){&ring[order[i]], i, {0}};
  free(order);
}

static u64 chase_round(void) {
  const struct line *at = ring;
  u64 sum = 0;
  for (int i = 0; i < HOPS; i++) {
    sum += at->value;
    at = at->next;
  }
  return mix(sum, at->value);
}
PROGRAM(chase, "chase", chase_round, 0xdac2cf7edb43f5c7, 5, chase_setup, NULL);

#define MIB (1 << 20)
#define PER_ROUND (40 * MIB)
#define SMALL 4096
#define ROUNDS 20 // 800 MiB
static u8 *from, *to;

static void block_setup(void) {
  from = aligned_alloc(4096, MIB);
  to = aligned_alloc(4096, MIB);
  if (!from || !to) die("malloc");
  u64 random = 9;
  for (int i = 0; i < MIB; i += 8) {
    const u64 r = next_random(&random);
    memcpy(from + i, &r, 8);
  }
  memset(to, 0, MIB);
}

static void rep_movsb(u8 *into, const u8 *source, size_t size) {
  __asm__ volatile("rep movsb" : "+D"(into), "+S"(source), "+c"(size) : : "memory");
}

/// Each block goes to the next place of 1 MiB; the copies are seen to have happened.
#define COPIES(name, size, call)                                        \
  static u64 name##_round(void) {                                       \
    u64 sum = 0;                                                        \
    for (size_t done = 0; done < PER_ROUND; done += (size)) {           \
      u8 *into = to + done % MIB;                                       \
      const u8 *source = from + (MIB - (size)) - done % MIB;            \
      call;                                                             \
      __asm__ volatile("" : : "r"(into), "r"(source) : "memory");       \
      sum = mix(sum, into[(done >> 12) % (size)] + into[(size) - 1]);   \
    }                                                                   \
    return sum;                                                         \
  }
COPIES(memcpy_4k, SMALL, memcpy(into, source, SMALL))
COPIES(memcpy_1m, MIB, memcpy(into, source, MIB))
COPIES(memset_4k, SMALL, memset(into, *source, SMALL))
COPIES(memset_1m, MIB, memset(into, from[done >> 20], MIB))
COPIES(movsb_4k, SMALL, rep_movsb(into, source, SMALL))
COPIES(movsb_1m, MIB, rep_movsb(into, source, MIB))
PROGRAM(memcpy_4k, "memcpy-4k", memcpy_4k_round, 0x7430ee7724846fb, ROUNDS, block_setup, NULL);
PROGRAM(memcpy_1m, "memcpy-1m", memcpy_1m_round, 0x8a87bdef7ce175ae, ROUNDS, block_setup, NULL);
PROGRAM(memset_4k, "memset-4k", memset_4k_round, 0xd39a8690c86f840, ROUNDS, block_setup, NULL);
PROGRAM(memset_1m, "memset-1m", memset_1m_round, 0x45d85bfbc36276e6, ROUNDS, block_setup, NULL);
PROGRAM(movsb_4k, "movsb-4k", movsb_4k_round, 0x7430ee7724846fb, ROUNDS, block_setup, NULL);
PROGRAM(movsb_1m, "movsb-1m", movsb_1m_round, 0x8a87bdef7ce175ae, ROUNDS, block_setup, NULL);
