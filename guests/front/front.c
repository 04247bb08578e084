/* What every front end needs: hypercalls, console, events, grants, and its device in the store. */
#include "front.h"

device_t device;
static uint32_t seed = 1;
static const char *line;
static xencons_interface_t *console;
static uint32_t console_port;

long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3) {
  long result;
  __asm__ volatile("vmcall" : "=a"(result), "+D"(a1), "+S"(a2), "+d"(a3) : "0"((uint64_t)nr) : "memory", "r10", "r8");
  return result;
}

size_t length(const char *text) {
  size_t n = 0;
  while (text[n]) n++;
  return n;
}
void copy(void *to, const void *from, size_t size) { __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size)::"memory"); }
/* gcc makes calls of these. */
void *memcpy(void *to, const void *from, size_t size) { copy(to, from, size); return to; }
void *memset(void *to, int byte, size_t size) {
  void *p = to;
  __asm__ volatile("rep stosb" : "+D"(p), "+c"(size) : "a"(byte) : "memory");
  return to;
}

uint32_t pick(uint32_t below) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed % below;
}

/* What finds no room is lost. */
void print(const char *text) {
  for (; *text && console->out_prod - *(volatile uint32_t *)&console->out_cons < sizeof console->out; text++) {
    console->out[console->out_prod % sizeof console->out] = *text;
    barrier();
    *(volatile uint32_t *)&console->out_prod += 1;
  }
  event_send(console_port);
}

uint32_t bind_unbound(uint16_t remote) {
  evtchn_alloc_unbound_t arg = {.dom = DOMID_SELF, .remote_dom = remote};
  return hypercall(HC_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)&arg, 0) == 0 ? arg.port : 0;
}
void event_send(uint32_t port) { hypercall(HC_event_channel_op, EVTCHNOP_send, (uintptr_t)&port, 0); }

static uint64_t now(void) {
  volatile vcpu_time_info_t *time = &((shared_info_t *)page(SHARED_INFO))->vcpu_info[0].time;
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high)::"memory");
  uint64_t delta = (low | (uint64_t)high << 32) - time->tsc_timestamp;
  delta = time->tsc_shift >= 0 ? delta << time->tsc_shift : delta >> -time->tsc_shift;
  return time->system_time + (uint64_t)((unsigned __int128)delta * time->tsc_to_system_mul >> 32);
}

void poll(uint32_t port, uint32_t ms) {
  sched_poll_t arg = {.ports = (uintptr_t)&port, .nr_ports = port ? 1 : 0, .timeout = now() + ms * 1000000ul};
  hypercall(HC_sched_op, SCHEDOP_poll, (uintptr_t)&arg, 0);
  if (port) __sync_fetch_and_and(&((shared_info_t *)page(SHARED_INFO))->evtchn_pending[port / 64], ~(1ul << port % 64));
}
void pause_ms(uint32_t ms) {
  static uint32_t never; /* a port from which nothing comes */
  if (never == 0) never = bind_unbound(DOMID_SELF);
  poll(never, ms);
}

void grant(uint32_t ref, uint32_t frame, uint16_t domid, uint16_t flags) {
  grant_entry_v1_t *entry = (grant_entry_v1_t *)page(TABLE) + ref;
  entry->domid = domid;
  entry->frame = frame;
  barrier();
  *(volatile uint16_t *)&entry->flags = GTF_permit_access | flags;
}
void revoke(uint32_t ref) { *(volatile uint16_t *)&((grant_entry_v1_t *)page(TABLE) + ref)->flags = 0; }

void stop(unsigned reason) {
  uint32_t arg = reason;
  hypercall(HC_sched_op, SCHEDOP_shutdown, (uintptr_t)&arg, 0);
  for (;;) __asm__ volatile("cli; hlt");
}

static void map(unsigned space, uint32_t index, uint32_t frame) {
  xen_add_to_physmap_t arg = {.domid = DOMID_SELF, .space = space, .idx = index, .gpfn = frame};
  if (hypercall(HC_memory_op, XENMEM_add_to_physmap, (uintptr_t)&arg, 0)) stop(SHUTDOWN_crash);
}

unsigned back_state(void) { return (unsigned)number_of(store_read(device.back, "state")); }

bool state_within(unsigned wanted, unsigned tries) {
  for (; tries > 0; tries--) {
    if (back_state() == wanted) return true;
    pause_ms(2);
  }
  return false;
}

const char *word(const char *name) {
  for (const char *p = line; *p; p++) {
    const char *q = p, *n = name;
    while (*n && *q == *n) q++, n++;
    if (!*n) return q;
  }
  return 0;
}

struct start_info { uint32_t magic, version, flags, nr_modules; uint64_t modlist, cmdline, rsdp, memmap; uint32_t memmap_entries; };

void guest_main(const struct start_info *info) {
  line = (const char *)info->cmdline;
  if (word("seed=")) seed = (uint32_t)number_of(word("seed=")) * 2654435761u + 1;
  map(XENMAPSPACE_shared_info, 0, SHARED_INFO);
  for (uint32_t i = 0; i < TABLE_FRAMES; i++) map(XENMAPSPACE_grant_table, i, TABLE + i);
  xen_hvm_param_t arg = {.domid = DOMID_SELF, .index = HVM_PARAM_CONSOLE_PFN};
  hypercall(HC_hvm_op, HVMOP_get_param, (uintptr_t)&arg, 0);
  console = page((uint32_t)arg.value);
  arg.index = HVM_PARAM_CONSOLE_EVTCHN;
  hypercall(HC_hvm_op, HVMOP_get_param, (uintptr_t)&arg, 0);
  console_port = (uint32_t)arg.value;
  store_init();
  static char folder[32] = "device/";
  copy(folder + 7, kind, length(kind) + 1);
  const char *which = store(XS_DIRECTORY, 0, folder, 0);
  if (!which) stop(SHUTDOWN_crash);
  size_t n = length(folder);
  copy(device.front, folder, n);
  device.front[n] = '/';
  copy(device.front + n + 1, which, length(which) + 1);
  const char *back = store_read(device.front, "backend");
  copy(device.back, back, length(back) + 1);
  device.backend = (uint16_t)number_of(store_read(device.front, "backend-id"));
  front_main();
}
