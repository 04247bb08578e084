// Byte loops, as programs without a tuned library have them.
#include "bench.h"

#define SIZE 65536
static char text[SIZE + 1];

static void setup(void) {
  u64 random = 3;
  for (int i = 0; i < SIZE; i++) text[i] = (char)(1 + next_random(&random) % 126);
}

__attribute__((noinline, optimize("no-tree-loop-distribute-patterns"))) static u64 length_of(const char *s) {
  const char *p = s;
  while (*p) {
    p++;
    __asm__ volatile("" : "+r"(p)); // gcc would call strlen
  }
  return (u64)(p - s);
}

__attribute__((noinline)) static const char *find(const char *s, char wanted, u64 size) {
  for (const char *end = s + size; s < end; s++)
    if (*s == wanted) return s;
  return 0;
}

__attribute__((noinline)) static u64 words(const char *s) {
  u64 count = 0;
  for (int in = 0; *s; s++) {
    const char low = *s | 0x20;
    const int letter = low >= 'a' && low <= 'z';
    count += letter && !in;
    in = letter;
  }
  return count;
}

static u64 bytes_round(void) {
  u64 sum = 0;
  for (int i = 0; i < 8; i++) {
    sum = mix(sum, length_of(text + i));
    for (const char *p = text; (p = find(p, (char)(3 + i), (u64)(text + SIZE - p))); p++) sum += (u64)(p - text);
    sum = mix(sum, words(text + i));
  }
  return sum;
}
PROGRAM(bytes, "bytes", bytes_round, 0x572e552b1e7a7a1f, 250, setup, NULL);
