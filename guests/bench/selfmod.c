// Code that is written while it runs, that crosses pages, or that shares its page with data. Bytes are x86-64 machine code.
#include <string.h>
#include <sys/mman.h>
#include "bench.h"

#define PAGE 4096
#define PAGES 16
static u8 *code;

static void setup(void) {
  code = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (code == MAP_FAILED) die("mmap");
}

static u8 *put(u8 *at, const char *bytes, size_t count) {
  memcpy(at, bytes, count);
  return at + count;
}
static u8 *put32(u8 *at, u32 value) {
  memcpy(at, &value, 4);
  return at + 4;
}
/// Behind a 32-bit displacement's field, so that it leads to `target`.
static u8 *put_relative(u8 *at, const u8 *target) { return put32(at, (u32)(target - (at + 4))); }

static u32 call(const u8 *at, u32 argument) { return ((u32(*)(u32))(uintptr_t)at)(argument); }

/// Each turn of the loop writes the number that its next instruction adds.
static u64 modify_round(void) {
  u8 *p = code;
  p = put(p, "\x31\xc0", 2);                     //        xor eax, eax
  u8 *loop = p;                                  //
  p = put(p, "\x89\x3d\x01\x00\x00\x00", 6);     // loop:  mov [next + 1], edi
  p = put(p, "\x05\x00\x00\x00\x00", 5);         // next:  add eax, 0
  p = put(p, "\xff\xcf\x0f\x85", 4);             //        dec edi; jnz loop
  p = put_relative(p, loop);
  put(p, "\xc3", 1);                             //        ret
  return call(code, 20000);
}
PROGRAM(self_modifying, "self-modifying", modify_round, 20000u * 20001u / 2, 4, setup, NULL);

/// Functions written one behind the other over 64 KiB, each called a few times; the next pass overwrites them.
static u64 jit_round(void) {
  u64 sum = 0, random = 11;
  u8 *at = code;
  for (int function = 0; function < 2000; function++) {
    if (at + 256 > code + PAGES * PAGE) at = code;
    u8 *p = put(at, "\x89\xf8", 2);              // mov eax, edi
    for (int i = 0; i < 16; i++) {
      const u64 r = next_random(&random);
      switch (r & 3) {
        case 0: p = put32(put(p, "\x05", 1), (u32)(r >> 8)); break;         // add eax, imm
        case 1: p = put32(put(p, "\x69\xc0", 2), (u32)(r >> 8)); break;     // imul eax, eax, imm
        case 2: p = put(p, "\x31\xf8\xc1\xc0\x07", 5); break;               // xor eax, edi; rol eax, 7
        default: p = put(p, "\x8d\x04\x78", 3); break;                      // lea eax, [rax + 2 * rdi]
      }
    }
    put(p, "\xc3", 1);
    for (u32 i = 0; i < 20; i++) sum = mix(sum, call(at, i));
    at += 256;
  }
  return sum;
}
PROGRAM(jit, "jit", jit_round, 0x7c2e8ee7e11b5ebd, 14, setup, NULL);

/// A loop of fragments, each with an instruction that lies on a page border.
static u64 border_round(void) {
  u8 *start = code + PAGE - 3, *p = start;
  for (int page = 1; page < PAGES; page++) {
    p = code + page * PAGE - 3;
    p = put32(put(p, "\x05", 1), 0x9e3779b9u * (u32)page);   // add eax, imm: the border is in the number
    p = put(p, "\xc1\xc0\x05\x31\xf8", 5);                   // rol eax, 5; xor eax, edi
    if (page + 1 < PAGES) p = put_relative(put(p, "\xe9", 1), code + (page + 1) * PAGE - 3);
  }
  p = put_relative(put(p, "\xff\xcf\x0f\x85", 4), start);    // dec edi; jnz start
  put(p, "\xc3", 1);
  u8 *entry = put(code, "\x31\xc0\xe9", 3);                  // xor eax, eax; jmp start
  put_relative(entry, start);
  return call(code, 100000);
}
PROGRAM(page_border, "page-border", border_round, 0x6ecd7947, 10, setup, NULL);

/// A loop that counts in the page it runs in, at some distance.
static u64 beside_round(void) {
  u8 *p = code, *counter = code + 2048;
  memset(counter, 0, 8);
  u8 *loop = p;
  p = put(p, "\x01\x3d", 2);                                 // loop: add [counter], edi
  p = put_relative(p, counter);
  p = put(p, "\xff\x05", 2);                                 //       inc dword [counter + 4]
  p = put_relative(p, counter + 4);
  p = put_relative(put(p, "\xff\xcf\x0f\x85", 4), loop);     //       dec edi; jnz loop
  p = put(p, "\x8b\x05", 2);                                 //       mov eax, [counter]
  p = put_relative(p, counter);
  put(p, "\xc3", 1);
  u32 turns;
  const u32 sum = call(code, 20000);
  memcpy(&turns, counter + 4, 4);
  return (u64)turns << 32 | sum;
}
PROGRAM(code_beside_data, "code-beside-data", beside_round, 20000ull << 32 | 20000u * 20001u / 2, 20, setup, NULL);

#define DISTINCT_PAGES 4096
static u8 *distinct;
static u32 written;

static void distinct_setup(void) {
  setup();
  distinct = mmap(NULL, DISTINCT_PAGES * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (distinct == MAP_FAILED) die("mmap");
  written = 0;
}

/// 16 MiB of code that has never been, run once. Each page ends in a branch to the next.
static u64 distinct_round(void) {
  u32 expect = 0;
  for (int page = 0; page < DISTINCT_PAGES; page++) {
    u8 *p = distinct + page * PAGE, *next = p + PAGE;
    while (p + 10 <= next) {
      expect += ++written;
      p = put32(put(p, "\x05", 1), written);                    // add eax, imm
    }
    if (page + 1 < DISTINCT_PAGES) put_relative(put(p, "\xe9", 1), next);
    else put(p, "\xc3", 1);
  }
  u8 *entry = put(code, "\x31\xc0\x48\xb9", 4);              // xor eax, eax; mov rcx, distinct; jmp rcx
  memcpy(entry, &distinct, 8);
  put(entry + 8, "\xff\xe1", 2);
  return call(code, 0) - expect;
}
PROGRAM(distinct_code, "distinct-code", distinct_round, 0, 2, distinct_setup, NULL);
