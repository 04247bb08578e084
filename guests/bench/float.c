// Floating point: double (SSE2), single (SSE), and x87. No library function whose last bit may differ.
#include <string.h>
#include "bench.h"

#define BODIES 5
struct body {
  double at[3], speed[3], mass;
};

static void advance(struct body *b, double step) {
  for (int i = 0; i < BODIES; i++)
    for (int j = i + 1; j < BODIES; j++) {
      double d[3], square = 0.01;
      for (int k = 0; k < 3; k++) {
        d[k] = b[i].at[k] - b[j].at[k];
        square += d[k] * d[k];
      }
      const double pull = step / (square * __builtin_sqrt(square));
      for (int k = 0; k < 3; k++) {
        b[i].speed[k] -= d[k] * b[j].mass * pull;
        b[j].speed[k] += d[k] * b[i].mass * pull;
      }
    }
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) b[i].at[k] += step * b[i].speed[k];
}

static u64 nbody_round(void) {
  struct body b[BODIES];
  for (int i = 0; i < BODIES; i++)
    b[i] = (struct body){{3.0 * i, 1.5 * i * i - 4, 0.25 * i}, {0.1 * i, 0.3 - 0.05 * i, 0.01}, i ? 0.04 / i : 39.5};
  for (int i = 0; i < 20000; i++) advance(b, 0.001);
  u64 sum = 0;
  for (int i = 0; i < BODIES; i++)
    for (int k = 0; k < 3; k++) sum = mix(mix(sum, bits_of(b[i].at[k])), bits_of(b[i].speed[k]));
  return sum;
}
PROGRAM(nbody, "nbody", nbody_round, 0xfc2ff671084bb960, 25, NULL, NULL);

typedef float float4 __attribute__((vector_size(16)));
static float4 row[1024];

/// Scalar: points of the Mandelbrot set. Packed: a filter over 4096 numbers.
static u64 float_round(void) {
  u64 sum = 0;
  for (int y = 0; y < 48; y++)
    for (int x = 0; x < 64; x++) {
      const float cr = -2.0f + (float)x * (1 / 24.0f), ci = -1.0f + (float)y * (1 / 24.0f);
      float zr = 0, zi = 0;
      int n = 0;
      while (n < 100 && zr * zr + zi * zi < 4.0f) {
        const float t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = t;
        n++;
      }
      sum = mix(sum, (u64)n);
    }
  for (int i = 0; i < 1024; i++) row[i] = (float4){i, i + 1, 2 * i, 0.5f * i};
  float4 state = {0, 0, 0, 0};
  for (int pass = 0; pass < 20; pass++)
    for (int i = 0; i < 1024; i++) {
      state = state * 0.75f + row[i] * 0.25f;
      row[i] = state - row[i] * 0.0625f;
    }
  for (int i = 0; i < 1024; i++) sum = mix(sum, bits_of(row[i][0] + row[i][1] - row[i][2] * row[i][3]));
  return sum;
}
PROGRAM(single, "float", float_round, 0x2bee96b455ae276f, 120, NULL, NULL);

/// gcc keeps long double in x87 registers.
static u64 x87_round(void) {
  u64 sum = 0;
  for (int i = 1; i <= 2000; i++) {
    const long double x = i * 0.0078125L;
    long double root = x > 1 ? x : 1;
    for (int k = 0; k < 6; k++) root = (root + x / root) / 2;
    long double power = 0;
    for (int k = 20; k > 0; k--) power = power * x / k + 1;
    long double wave = 0, term = x;
    for (int k = 1; k < 12; k++) {
      wave += term;
      term = -term * x * x / ((2 * k) * (2 * k + 1));
    }
    sum = mix(mix(mix(sum, bits_of((double)root)), bits_of((double)power)), bits_of((double)wave));
  }
  return sum;
}
PROGRAM(x87, "x87", x87_round, 0x9f24ac838894623b, 100, NULL, NULL);
