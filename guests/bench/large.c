// Runs the generated functions (large.ts) in turn.
#include "bench.h"

extern u64 (*const large_functions[])(u64, u64 *);
extern const u32 large_count;

static u64 large_round(void) {
  u64 words[64] = {0}, x = 1;
  for (u32 i = 0; i < large_count; i++) x = large_functions[i](x, words);
  return x;
}
PROGRAM(large, "large", large_round, 0x59d083de6f617338, 10, NULL, NULL);
