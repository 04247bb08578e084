/* Ways to end badly, chosen by `crash=`; and `loop`, which never ends. */
#include "guest.h"

/* With no IDT the first exception becomes a triple fault. */
static void no_idt(void) {
  struct { uint16_t limit; uint64_t base; } __attribute__((packed)) none = {0, 0};
  __asm__ volatile("lidt %0" ::"m"(none));
}

/* What is legal and would end the run early: giving away or overwriting our own frames. Slot 23 (iret) of the page is UD2. */
static bool harms_self(unsigned nr, const uint64_t *args) {
  uint64_t op = args[0];
  switch (nr) {
    case 23: case HC_sched_op: case HC_multicall: return true;
    case HC_memory_op: return op != XENMEM_memory_map;
    case HC_grant_table_op: return op == GNTTABOP_copy || op == GNTTABOP_transfer || (args[1] != BAD_ADDRESS && args[2] > 64);
    case HC_vcpu_op: return op == VCPUOP_register_runstate_memory_area || op > VCPUOP_stop_singleshot_timer;
    default: return false;
  }
}

/* Random hypercalls with hostile arguments. */
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
    if (harms_self(nr, args)) continue;
    cli();
    hypercall(nr, args[0], args[1], args[2]);
  }
  print("hypercalls survived\n");
  power(SHUTDOWN_crash);
}

/* Multicalls of everything and of each other, at no address, and of as many entries as memory holds (it is zero there). */
static void endless_multicalls(void) {
  static struct { uint64_t op, result, args[6]; } calls[128];
  const struct { uint64_t list; uint32_t count; } shapes[] = {
    {(uintptr_t)calls, 128}, {8 << 20, ~0u}, {BAD_ADDRESS, ~0u}, {~0ul - 100, 128}, {7, 3},
  };
  for (unsigned round = 0; round < 4; round++)
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
      for (unsigned j = 0; j < 128; j++) calls[j].op = j == 100 ? HC_multicall : j;
      cli();
      hypercall(HC_multicall, shapes[i].list, shapes[i].count, 0);
    }
  print("multicalls survived\n");
  power(SHUTDOWN_crash);
}

/* `seed=N`: random bytes, executed with random registers. */
static void garbage(void) {
  static uint64_t code[512] __attribute__((aligned(4096)));
  uint64_t x = 88172645463325252ul;
  for (uint64_t n = option_number("seed") + 1; n > 0; n--)
    for (unsigned i = 0; i < 512; i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17, code[i] = x;
  no_idt();
  __asm__ volatile("mov %0, %%rbx; mov %0, %%rcx; mov %0, %%rdx; mov %0, %%rsi; not %%rsi; mov %1, %%rdi; mov %1, %%rbp; jmp *%1"
                   ::"a"(x), "r"(code) : "rbx", "rcx", "rdx", "rsi", "rdi");
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
  if (option_value("crash", "multicalls")) endless_multicalls();
  if (option_value("crash", "garbage")) garbage();
  if (option_value("crash", "hypercalls")) hostile_hypercalls();
  if (option("loop"))
    for (;;) __asm__ volatile("pause");
}
