// SHA-256 (FIPS 180-4) in plain C over 64 KiB.
#include <stdlib.h>
#include <string.h>
#include "bench.h"

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes, made once.
static u32 constants[64];
static u8 data[65536];

static u32 root_fraction(u32 prime, int degree) {
  // floor(root(prime) * 2^32) by bisection on 128-bit integers; its low half is the fraction.
  u64 low = 0, high = (u64)20 << 32;
  while (high - low > 1) {
    const u64 mid = low + (high - low) / 2;
    // degree 2: mid^2 <= prime * 2^64. degree 3: mid^3 <= prime * 2^96, with mid^2 cut to its upper bits.
    const unsigned __int128 square = (unsigned __int128)mid * mid;
    int below;
    if (degree == 2) below = square <= (unsigned __int128)prime << 64;
    else {
      const u64 upper = (u64)(square >> 32), lower = (u32)square;
      const unsigned __int128 cube = (unsigned __int128)upper * mid + (((unsigned __int128)lower * mid) >> 32);
      below = cube < (unsigned __int128)prime << 64;
    }
    if (below) low = mid;
    else high = mid;
  }
  return (u32)low;
}

static u32 start[8];

static void setup(void) {
  int found = 0;
  for (u32 n = 2; found < 64; n++) {
    u32 d = 2;
    while (d * d <= n && n % d) d++;
    if (d * d <= n) continue;
    if (found < 8) start[found] = root_fraction(n, 2);
    constants[found++] = root_fraction(n, 3);
  }
  for (size_t i = 0; i < sizeof data; i++) data[i] = (u8)(i * 7 + (i >> 8));
}

static inline u32 ror(u32 x, int n) { return (x >> n) | (x << (32 - n)); }

static void block(u32 h[8], const u8 *bytes) {
  u32 w[64];
  for (int i = 0; i < 16; i++)
    w[i] = (u32)bytes[4 * i] << 24 | bytes[4 * i + 1] << 16 | bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
  for (int i = 16; i < 64; i++) {
    const u32 s0 = ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const u32 s1 = ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  u32 v[8];
  memcpy(v, h, sizeof v);
  for (int i = 0; i < 64; i++) {
    const u32 s1 = ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25);
    const u32 t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + constants[i] + w[i];
    const u32 s0 = ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22);
    const u32 t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    for (int k = 7; k > 0; k--) v[k] = v[k - 1];
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int k = 0; k < 8; k++) h[k] += v[k];
}

static u64 sha256_round(void) {
  u32 h[8];
  memcpy(h, start, sizeof h);
  for (size_t i = 0; i < sizeof data; i += 64) block(h, data + i);
  u8 last[64] = {0x80}; // padding: the length is a multiple of the block
  const u64 length = sizeof data * 8;
  for (int i = 0; i < 8; i++) last[56 + i] = (u8)(length >> (56 - 8 * i));
  block(h, last);
  return (u64)h[0] << 32 | h[1]; // the digest's first eight bytes
}
PROGRAM(sha256, "sha256", sha256_round, 0x5fce37f3129150ce, 250, setup, NULL);
