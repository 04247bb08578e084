// Integer work: a mix of 64-bit operations, and libc's sort.
#include <stdlib.h>
#include <string.h>
#include "bench.h"

static u64 table[4096];

static u64 integer_round(void) {
  u64 random = 1, sum = 0;
  for (int i = 0; i < 4096; i++) table[i] = next_random(&random);
  for (int pass = 0; pass < 64; pass++) {
    for (int i = 0; i < 4096; i++) {
      u64 x = table[i] + sum;
      if (x & 0x10) x = x * 0x5851f42d4c957f2d + 1;
      else x -= (x >> 3) ^ table[(i + pass) & 4095];
      if ((i & 7) == 0) x += (x | 1) % (u32)((table[i] >> 40) | 1);
      x = (x << 13) | (x >> 51);
      sum += (u16)x - (int)(x >> 48);
      table[(x >> 20) & 4095] = x;
      sum ^= __builtin_bswap64(x) + __builtin_popcountll(x);
    }
  }
  return sum;
}
PROGRAM(integer, "integer", integer_round, 0x44286af46a33eaac, 250, NULL, NULL);

#define NUMBERS 100000
static int numbers[NUMBERS];

static int compare(const void *a, const void *b) {
  const int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

static u64 qsort_round(void) {
  u64 random = 42, sum = 0;
  for (int i = 0; i < NUMBERS; i++) numbers[i] = (int)next_random(&random);
  qsort(numbers, NUMBERS, sizeof numbers[0], compare);
  for (int i = 0; i < NUMBERS; i++) sum = mix(sum, (u32)numbers[i]);
  return sum;
}
PROGRAM(sort, "qsort", qsort_round, 0x25344d0ce5bc481a, 20, NULL, NULL);
