// Control flow: recursion, a bytecode interpreter by switch, and indirect calls.
#include "bench.h"

__attribute__((noinline, optimize("no-optimize-sibling-calls"))) static u64 fib(u32 n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static u64 fib_round(void) {
  volatile u32 n = 25;
  return fib(n);
}
PROGRAM(recursion, "fib", fib_round, 75025, 300, NULL, NULL);

enum op { LOAD, MOVE, ADD, SUB, MUL, XOR, SHIFT, AND, JUMP_NONZERO, STORE, FETCH, HALT };
struct instruction {
  u8 op, to, a, b;
  int value;
};

/// Fills 256 words with a hash of their index, then folds them.
static const struct instruction code[] = {
    {LOAD, 0, 0, 0, 256},          // 0: i = 256
    {MOVE, 1, 0, 0, 0},            // 1: x = i
    {LOAD, 3, 0, 0, 8},            // 2: n = 8
    {MUL, 1, 1, 0, 0x2545f491},    // 3: x *= c
    {SHIFT, 2, 1, 0, 15},          // 4: t = x >> 15
    {XOR, 1, 1, 2, 0},             // 5: x ^= t
    {ADD, 1, 1, 0, 0},             // 6: x += i
    {SUB, 3, 3, 4, 1},             // 7: n -= 1
    {JUMP_NONZERO, 0, 3, 0, 3},    // 8
    {STORE, 0, 0, 1, 0},           // 9: memory[i] = x
    {SUB, 0, 0, 4, 1},             // 10: i -= 1
    {JUMP_NONZERO, 0, 0, 0, 1},    // 11
    {LOAD, 0, 0, 0, 256},          // 12: i = 256
    {FETCH, 1, 0, 0, 0},           // 13: x = memory[i]
    {XOR, 5, 5, 1, 0},             // 14: sum ^= x
    {MUL, 5, 5, 0, 0x01000193},    // 15: sum *= prime
    {SUB, 0, 0, 4, 1},             // 16
    {JUMP_NONZERO, 0, 0, 0, 13},   // 17
    {AND, 5, 5, 5, 0},             // 18
    {HALT, 5, 0, 0, 0},            // 19
};

__attribute__((noinline)) static u64 interpret(const struct instruction *program) {
  u64 r[8] = {0};
  static u64 memory[256];
  for (const struct instruction *at = program;;) {
    const struct instruction i = *at++;
    switch (i.op) {
      case LOAD: r[i.to] = (u64)i.value; break;
      case MOVE: r[i.to] = r[i.a]; break;
      case ADD: r[i.to] = r[i.a] + r[i.b]; break;
      case SUB: r[i.to] = r[i.a] - r[i.b] - (u64)i.value; break;
      case MUL: r[i.to] = r[i.a] * (u64)(u32)i.value; break;
      case XOR: r[i.to] = r[i.a] ^ r[i.b]; break;
      case SHIFT: r[i.to] = r[i.a] >> i.value; break;
      case AND: r[i.to] = r[i.a] & r[i.b]; break;
      case JUMP_NONZERO: if (r[i.a]) at = program + i.value; break;
      case STORE: memory[r[i.a] & 255] = r[i.b]; break;
      case FETCH: r[i.to] = memory[r[i.a] & 255]; break;
      default: return r[i.to];
    }
  }
}

static u64 switch_round(void) {
  u64 sum = 0;
  for (int i = 0; i < 20; i++) sum = mix(sum, interpret(code));
  return sum;
}
PROGRAM(interpreter, "switch", switch_round, 0x80ff99289be9d248, 200, NULL, NULL);

#define F(n, expression) \
  __attribute__((noinline)) static u64 f##n(u64 x) { return expression; }
F(0, x + 1) F(1, x * 3) F(2, x ^ (x >> 9)) F(3, x - 0x1234567) F(4, ~x) F(5, x << 1 | x >> 63) F(6, x + (x << 4)) F(7, -x)
static u64 (*const functions[8])(u64) = {f0, f1, f2, f3, f4, f5, f6, f7};

static u64 indirect_round(void) {
  u64 x = 1, random = 5;
  for (int i = 0; i < 200000; i++) x = functions[next_random(&random) & 7](x);
  return x;
}
PROGRAM(indirect, "indirect", indirect_round, 0xfe0f7377312ef583, 150, NULL, NULL);
