/* A hostile guest, and its victim: `fuzz=SEED calls=N victim=DOMID` with the table of operations as its module, or `victim`. */
#include "fuzz.h"

long hypercall(word nr, const word a[5]) {
  long result;
#ifdef __x86_64__
  register word r10 __asm__("r10") = a[3];
  register word r8 __asm__("r8") = a[4];
  word di = a[0], si = a[1], dx = a[2]; /* a call that gives way changes its arguments' registers */
  __asm__ volatile("vmcall" : "=a"(result), "+D"(di), "+S"(si), "+d"(dx), "+r"(r10), "+r"(r8) : "0"(nr) : "memory");
#else
  word b = a[0], c = a[1], d = a[2], s = a[3], e = a[4];
  __asm__ volatile("vmcall" : "=a"(result), "+b"(b), "+c"(c), "+d"(d), "+S"(s), "+D"(e) : "0"(nr) : "memory");
#endif
  return result;
}

static uint32_t own_domid(void) { /* Xen's leaf: ECX is the number if bit 4 of EAX says so */
  uint32_t a = 0x40000004, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return a & 16 ? c : 0;
}

static const char *find(const char *line, const char *name) {
  for (const char *p = line; *p; p++) {
    const char *q = p, *n = name;
    while (*n && *q == *n) q++, n++;
    if (!*n) return q;
  }
  return 0;
}
static uint32_t number(const char *line, const char *name) {
  uint32_t value = 0;
  for (const char *p = find(line, name); p && *p >= '0' && *p <= '9'; p++) value = value * 10 + (uint32_t)(*p - '0');
  return value;
}

struct start_info { uint32_t magic, version, flags, nr_modules; uint64_t modlist, cmdline, rsdp, memmap; uint32_t memmap_entries; };

void guest_main(const struct start_info *info) {
  const char *line = (const char *)(word)info->cmdline;
  uint32_t reason = SHUTDOWN_poweroff;
  if (find(line, "victim=")) {
    const uint64_t *module = (const uint64_t *)(word)info->modlist;
    fuzz(number(line, "fuzz="), number(line, "calls="), number(line, "victim="), own_domid(), (const uint32_t *)(word)module[0]);
  } else victim();
  call(HC_sched_op, SCHEDOP_shutdown, (word)&reason, 0);
  for (;;) __asm__ volatile("cli; hlt");
}
