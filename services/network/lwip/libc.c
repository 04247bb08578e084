// The few functions of a C library that lwIP calls, and its allocator.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *memcpy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
void *memmove(void *to, const void *from, size_t size) { return __builtin_memmove(to, from, size); }
void *memset(void *to, int value, size_t size) { return __builtin_memset(to, value, size); }

int memcmp(const void *a, const void *b, size_t size) {
  const uint8_t *x = a, *y = b;
  for (size_t i = 0; i < size; i++)
    if (x[i] != y[i]) return x[i] - y[i];
  return 0;
}

size_t strlen(const char *text) {
  size_t n = 0;
  while (text[n]) n++;
  return n;
}

// Blocks come in sizes of four steps to a power of two; a freed one waits in the list of its size. Taking and giving
// are a few instructions whatever came before. The memory's maximum is the bound: malloc answers 0 beyond it.
#define SIZES 88
struct block {
  uint32_t size; // its number
  uint32_t pad;
  struct block *next; // while free: the user's bytes begin here
};
static struct block *free_blocks[SIZES];
static uintptr_t top, end;
extern uint8_t __heap_base;

static uint32_t number_of(size_t size) {
  if (size <= 32) return 0;
  uint32_t log = 31 - (uint32_t)__builtin_clz((uint32_t)size - 1); // 2^log < size <= 2^(log+1)
  uint32_t step = ((uint32_t)size - 1 - (1u << log)) >> (log - 2);
  return 4 * (log - 5) + step + 1;
}

static size_t size_of(uint32_t number) {
  if (number == 0) return 32;
  uint32_t log = (number - 1) / 4 + 5, step = (number - 1) % 4;
  return (1u << log) + ((size_t)(step + 1) << (log - 2));
}

void *malloc(size_t size) {
  if (size > 1u << 24) return 0;
  uint32_t number = number_of(size);
  struct block *b = free_blocks[number];
  if (b) {
    free_blocks[number] = b->next;
  } else {
    size_t whole = size_of(number) + 8;
    if (!top) {
      top = ((uintptr_t)&__heap_base + 15) & ~(uintptr_t)15;
      end = (uintptr_t)__builtin_wasm_memory_size(0) << 16;
    }
    if (end - top < whole) {
      size_t pages = (whole - (end - top) + 65535) >> 16;
      size_t more = pages < 16 ? 16 : pages;
      if (__builtin_wasm_memory_grow(0, more) == (size_t)-1) {
        if (__builtin_wasm_memory_grow(0, pages) == (size_t)-1) return 0;
        more = pages;
      }
      end += more << 16;
    }
    b = (struct block *)top;
    top += whole;
    b->size = number;
  }
  return &b->next;
}

void *calloc(size_t count, size_t size) {
  void *block = malloc(count * size); // lwIP's products are small constants
  if (block) memset(block, 0, count * size);
  return block;
}

void free(void *at) {
  if (!at) return;
  struct block *b = (struct block *)((uint8_t *)at - 8);
  b->next = free_blocks[b->size];
  free_blocks[b->size] = b;
}
