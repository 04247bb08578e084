/* The unikernel: runs the suites the command line names, prints a line a check, and powers off. */
#include "guest.h"

static const char *cmdline = "";
static unsigned passed, failed;
uint32_t hypercall_form;

/* The value behind `name=`, or behind a bare word; null if the word is not on the command line. */
static const char *find(const char *name) {
  size_t size = strlen(name);
  for (const char *p = cmdline; *p;) {
    if (memcmp(p, name, size) == 0 && (p[size] == 0 || p[size] == ' ')) return p + size;
    if (memcmp(p, name, size) == 0 && p[size] == '=') return p + size + 1;
    while (*p && *p != ' ') p++;
    while (*p == ' ') p++;
  }
  return 0;
}

bool option(const char *word) { return find(word) != 0; }

/* `name=a,b`: does the list hold `value`? */
bool option_value(const char *name, const char *value) {
  size_t size = strlen(value);
  const char *p = find(name);
  while (p && *p && *p != ' ') {
    if (memcmp(p, value, size) == 0 && (p[size] == 0 || p[size] == ' ' || p[size] == ',')) return true;
    while (*p && *p != ' ' && *p != ',') p++;
    if (*p == ',') p++;
  }
  return false;
}

uint64_t option_number(const char *name) {
  uint64_t value = 0;
  for (const char *p = find(name); p && *p >= '0' && *p <= '9'; p++) value = value * 10 + *p - '0';
  return value;
}

void expect(const char *name, int64_t got, int64_t wanted) {
  if (got == wanted) print("ok %s\n", name);
  else print("FAIL %s: got %ld, expected %ld\n", name, got, wanted);
  *(got == wanted ? &passed : &failed) += 1;
}

void check(const char *name, bool good, const char *fact, int64_t value) {
  if (good) print("ok %s\n", name);
  else print("FAIL %s: %s %ld\n", name, fact, value);
  *(good ? &passed : &failed) += 1;
}

void power(unsigned reason) {
  uint32_t arg = reason;
  hypercall(HC_sched_op, SCHEDOP_shutdown, (uintptr_t)&arg, 0);
  for (;;) __asm__ volatile("cli; hlt");
}

static const struct { const char *name; void (*run)(void); } suites[] = {
  {"version", test_version}, {"memory", test_memory}, {"timer", test_timer}, {"events", test_events},
  {"grants", test_grants}, {"xenstore", test_xenstore}, {"idle", test_idle},
};

/* `hypercall=`: page (the default), vmcall, vmmcall, or inline: the one for the CPU's vendor, as Linux does. */
static void choose_hypercall_form(void) {
  uint32_t vendor[4];
  cpuid(0, vendor);
  bool amd = vendor[1] == 0x68747541 || vendor[1] == 0x6f677948; /* "Auth"enticAMD, "Hygo"nGenuine */
  if (option_value("hypercall", "vmcall")) hypercall_form = 1;
  else if (option_value("hypercall", "vmmcall")) hypercall_form = 2;
  else if (option_value("hypercall", "inline")) hypercall_form = amd ? 2 : 1;
  else wrmsr(0x40000000, (uintptr_t)hypercall_page);
}

/* `spin=N`: N million rounds of arithmetic, for time-slices, counts and profiles; with a frame pointer, for stacks. */
__attribute__((noinline, optimize("no-omit-frame-pointer"))) static void spin(void) {
  uint64_t millions = option_number("spin"), x = 1;
  for (uint64_t i = 0; i < millions * 1000000; i++) x = x * 6364136223846793005ul + 1442695040888963407ul;
  if (millions) print("spin %lx\n", x);
}

struct start_info { uint32_t magic, version, flags, nr_modules; uint64_t modlist, cmdline, rsdp, memmap; uint32_t memmap_entries; };

void guest_main(const struct start_info *info) {
  bool good = info->magic == 0x336ec578 && info->version >= 1;
  if (good && info->cmdline) cmdline = (const char *)info->cmdline;
  choose_hypercall_form();
  cpu_init();
  console_init();
  print("xenolith unikernel: %s\n", cmdline);
  check("start_info", good, "magic", info->magic);
  const uint8_t *rsdp = (const uint8_t *)info->rsdp;
  check("start_info.rsdp", rsdp && memcmp(rsdp, "RSD PTR ", 8) == 0, "address", info->rsdp);
  events_init();
  timer_init();
  crash();
  spin();
  for (unsigned i = 0; i < sizeof suites / sizeof *suites; i++)
    if (!option("test") || option_value("test", "all") || option_value("test", suites[i].name)) suites[i].run();
  print("done %u passed, %u failed\n", passed, failed);
  power(option("reboot") ? SHUTDOWN_reboot : SHUTDOWN_poweroff);
}
