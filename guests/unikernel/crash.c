/* Ways to end badly, chosen by `crash=`; and `loop`, which never ends. */
#include "guest.h"

/* With no IDT the first exception becomes a triple fault. */
static void no_idt(void) {
  struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = {0, 0};
  __asm__ volatile("lidt %0" ::"m"(none));
}

/* Random hypercalls with hostile arguments. Powering off is the one operation left out: the outcome must be our own. */
static void hostile_hypercalls(void) {
  static uint64_t buffer[512] __attribute__((aligned(4096)));
  uint64_t x = 88172645463325252ul;
  for (unsigned i = 0; i < 20000; i++) {
    uint64_t args[4];
    for (unsigned j = 0; j < 4; j++) {
      x ^= x << 13, x ^= x >> 7, x ^= x << 17;
      const uint64_t shapes[] = {x, x % 64, (uintptr_t)buffer, (uintptr_t)buffer + 4090, BAD_ADDRESS, 0, ~0ul, 1ul << 63};
      args[j] = shapes[(x >> 40) % 8];
    }
    for (unsigned j = 0; j < 8; j++) buffer[j] = (x >> j * 3) % 3 ? x >> j * 5 & 0xffff : x * (j + 1);
    unsigned nr = (x >> 20) % 64;
    /* Giving away our own frames is legal and would only end the run early. */
    if (nr == HC_sched_op || nr == HC_multicall || (nr == HC_memory_op && args[0] != XENMEM_memory_map)) continue;
    cli();
    hypercall(nr, args[0], args[1], args[2]);
  }
  print("hypercalls survived\n");
  power(SHUTDOWN_crash);
}

void crash(void) {
  if (option_value("crash", "panic")) power(SHUTDOWN_crash);
  if (option_value("crash", "triple")) {
    no_idt();
    __asm__ volatile("ud2");
  }
  if (option_value("crash", "jump")) {
    no_idt();
    __asm__ volatile("jmp *%0" ::"r"(0xf8000000ul)); /* mapped by our tables, backed by nothing */
  }
  if (option_value("crash", "exception")) __asm__ volatile("ud2");
  if (option_value("crash", "hypercalls")) hostile_hypercalls();
  if (option("loop"))
    for (;;) __asm__ volatile("pause");
}
