// What a benchmark program is: rounds of equal work whose answer is known.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

struct program {
  const char *name;
  /// One round; every round starts from the same state and gives the same answer.
  u64 (*round)(void);
  u64 expect;
  /// Enough for 1 to 2 s under QEMU's TCG, or 800 MiB moved.
  u32 rounds;
  /// Untimed preparation, or NULL.
  void (*setup)(void);
  /// What is measured instead of the time, in seconds, or NULL.
  double (*measure)(void);
};

/// Adds a program to the table, which the linker puts together.
#define PROGRAM(id, ...) \
  static const struct program id __attribute__((used, section("programs"), aligned(8))) = {__VA_ARGS__}

/// Equal everywhere and in every run (xorshift64, Marsaglia 2003).
static inline u64 next_random(u64 *state) {
  u64 x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

/// Order-dependent checksum.
static inline u64 mix(u64 sum, u64 value) { return (sum ^ value) * 0x9e3779b97f4a7c15; }

static inline u64 bits_of(double value) {
  union {
    double d;
    u64 u;
  } both = {value};
  return both.u;
}

/// Ends the program: a benchmark whose system call fails measures nothing.
void die(const char *what) __attribute__((noreturn));
/// Folder of this program, where its helper `tiny` lies.
extern const char *bench_folder;
