/*
 * A guest of the smallest kind, for hosts with many: it prints a line, and then waits for its timer and its console in SCHEDOP_poll,
 * with interrupts off. Each line typed comes back with the number of ticks so far; `off` powers it off.
 *
 * Command line: `period=N` microseconds between two ticks (0: no timer), `work=N` rounds of arithmetic a tick, `spin`: it never waits,
 * `faults`: it never gets beyond an instruction that faults, `calls`: it never stops making hypercalls.
 */
#include "xen.h"

typedef struct { uint32_t magic, version, flags, nr_modules; uint64_t modlist, cmdline, rsdp, memmap; } start_info_t;

static long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3) {
  long result;
  __asm__ volatile("vmcall" : "=a"(result), "+D"(a1), "+S"(a2), "+d"(a3) : "a"(nr) : "memory", "rcx", "r8", "r9", "r10", "r11");
  return result;
}

static uint8_t shared_page[PAGE_SIZE] __attribute__((aligned(4096)));
static volatile shared_info_t *const shared = (shared_info_t *)shared_page;
static volatile xencons_interface_t *console;
static uint32_t console_port, timer_port;

static uint64_t now(void) {
  volatile vcpu_time_info_t *t = &shared->vcpu_info[0].time;
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
  uint64_t ticks = (low | (uint64_t)high << 32) - t->tsc_timestamp;
  ticks = t->tsc_shift < 0 ? ticks >> -t->tsc_shift : ticks << t->tsc_shift;
  return t->system_time + (uint64_t)(((unsigned __int128)ticks * t->tsc_to_system_mul) >> 32);
}

static uint64_t param(unsigned index) {
  xen_hvm_param_t arg = {.domid = DOMID_SELF, .index = index};
  hypercall(HC_hvm_op, HVMOP_get_param, (uintptr_t)&arg, 0);
  return arg.value;
}

static void notify(uint32_t port) { hypercall(HC_event_channel_op, EVTCHNOP_send, (uintptr_t)&port, 0); }

static bool take(uint32_t port) {
  uint64_t bit = 1ul << port % 64;
  return __sync_fetch_and_and(&shared->evtchn_pending[port / 64], ~bit) & bit;
}

/* What does not fit into the ring is lost: nobody reads. */
static void print(const char *text) {
  uint32_t prod = console->out_prod;
  while (*text && prod - console->out_cons < sizeof console->out) console->out[prod++ % sizeof console->out] = *text++;
  __asm__ volatile("" ::: "memory"); /* stores stay in order on x86 */
  console->out_prod = prod;
  notify(console_port);
}

static char *decimal(char *end, uint64_t value) {
  do *--end = '0' + value % 10;
  while (value /= 10);
  return end;
}

static void power_off(void) {
  uint32_t reason = SHUTDOWN_poweroff;
  for (;;) hypercall(HC_sched_op, SCHEDOP_shutdown, (uintptr_t)&reason, 0);
}

static bool same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static uint64_t ticks;

/* A typed line comes back behind the number of ticks. */
static void answer(void) {
  static char line[64];
  static unsigned length;
  char text[24 + sizeof line] = {0};
  uint32_t cons = console->in_cons;
  while (cons != console->in_prod) {
    char c = console->in[cons++ % sizeof console->in];
    if (c != '\n') {
      if (length < sizeof line - 1) line[length++] = c;
      continue;
    }
    line[length] = 0;
    length = 0;
    if (same(line, "off")) power_off();
    char *start = decimal(text + 20, ticks), *p = text + 20;
    *p++ = ' ';
    for (const char *l = line; *l;) *p++ = *l++;
    *p++ = '\n';
    *p = 0;
    print(start);
  }
  console->in_cons = cons;
  notify(console_port);
}

/* The number behind `name=`, 1 for the bare word, `other` if it is not on the command line. */
static uint64_t option(const char *p, const char *name, uint64_t other) {
  for (; *p; p++) {
    const char *n = name, *q = p;
    while (*n && *n == *q) n++, q++;
    if (*n || (*q && *q != ' ' && *q != '=')) continue;
    if (*q != '=') return 1;
    uint64_t value = 0;
    for (q++; *q >= '0' && *q <= '9'; q++) value = value * 10 + *q - '0';
    return value;
  }
  return other;
}

static void work(uint64_t rounds) {
  for (volatile uint64_t x = 1; rounds-- > 0;) x = x * 6364136223846793005ul + 1442695040888963407ul;
}

/* #UD is handled by an instruction that raises #UD, on a stack that begins anew each time (SDM 3A 6.14.5). */
__attribute__((noreturn)) static void fault(void) {
  static uint64_t gdt[8], idt[14];
  static uint32_t tss[26];
  struct { uint16_t limit; uint64_t base; } __attribute__((packed)) gdtr, idtr = {sizeof idt - 1, (uintptr_t)idt};
  extern char fault_handler[];
  uint64_t handler = (uintptr_t)fault_handler, base = (uintptr_t)tss;
  __asm__ volatile("sgdt %0" : "=m"(gdtr));
  for (unsigned i = 0; i < 4; i++) gdt[i] = ((uint64_t *)gdtr.base)[i];
  gdt[4] = (sizeof tss - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
  gdt[5] = base >> 32;
  gdtr.limit = sizeof gdt - 1;
  gdtr.base = (uintptr_t)gdt;
  tss[9] = (uintptr_t)shared_page + sizeof shared_page; /* IST1, below 4 GiB */
  idt[12] = (handler & 0xffff) | 0x18 << 16 | 1ul << 32 | 0x8eul << 40 | (handler >> 16 & 0xffff) << 48;
  idt[13] = handler >> 32;
  __asm__ volatile("lgdt %0; lidt %1; ltr %w2; fault_handler: ud2" ::"m"(gdtr), "m"(idtr), "r"(0x20) : "memory");
  __builtin_unreachable();
}

void guest_main(const start_info_t *info) {
  const char *cmdline = info->cmdline ? (const char *)info->cmdline : "";
  console = (xencons_interface_t *)(param(HVM_PARAM_CONSOLE_PFN) * PAGE_SIZE);
  console_port = param(HVM_PARAM_CONSOLE_EVTCHN);
  print("tick: up\n");
  if (option(cmdline, "faults", 0)) fault();
  while (option(cmdline, "calls", 0)) param(HVM_PARAM_CONSOLE_PFN);
  xen_add_to_physmap_t map = {.domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = (uintptr_t)shared_page / PAGE_SIZE};
  hypercall(HC_memory_op, XENMEM_add_to_physmap, (uintptr_t)&map, 0);
  evtchn_bind_virq_t virq = {.virq = VIRQ_TIMER};
  hypercall(HC_event_channel_op, EVTCHNOP_bind_virq, (uintptr_t)&virq, 0);
  timer_port = virq.port;
  uint64_t period = option(cmdline, "period", 100000) * 1000, rounds = option(cmdline, "work", 0);
  while (option(cmdline, "spin", 0)) work(1000000);
  uint32_t ports[2] = {console_port, timer_port};
  sched_poll_t poll = {.ports = (uintptr_t)ports, .nr_ports = 2};
  uint64_t next = now() + period;
  if (period) hypercall(HC_set_timer_op, next, 0, 0);
  for (;;) {
    hypercall(HC_sched_op, SCHEDOP_poll, (uintptr_t)&poll, 0);
    if (take(console_port)) answer();
    if (!take(timer_port)) continue;
    ticks++;
    work(rounds);
    /* Ticks that it was too late for are not made up for. */
    for (uint64_t at = now(); next <= at;) next += ((at - next) / period + 1) * period;
    hypercall(HC_set_timer_op, next, 0, 0);
  }
}
