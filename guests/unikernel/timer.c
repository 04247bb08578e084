/* Clock (pvclock), timers, runstate. */
#include "guest.h"

uint32_t timer_port;

/* The sum the public header gives for vcpu_time_info: scaled time since the last update, plus system time. */
static uint64_t read_clock(volatile vcpu_time_info_t *time) {
  uint32_t version;
  uint64_t result;
  do {
    version = time->version;
    barrier();
    uint64_t delta = rdtsc() - time->tsc_timestamp;
    if (time->tsc_shift >= 0) delta <<= time->tsc_shift;
    else delta >>= -time->tsc_shift;
    result = time->system_time + (uint64_t)((unsigned __int128)delta * time->tsc_to_system_mul >> 32);
    barrier();
  } while (version & 1 || version != time->version);
  return result;
}

uint64_t now(void) { return read_clock(&vcpu_info->time); }

static long vcpu_op(unsigned op, unsigned vcpu, void *arg) { return hypercall(HC_vcpu_op, op, vcpu, (uintptr_t)arg); }

static long singleshot(uint64_t at, uint32_t flags) {
  vcpu_set_singleshot_timer_t arg = {.timeout_abs_ns = at, .flags = flags};
  return vcpu_op(VCPUOP_set_singleshot_timer, 0, &arg);
}

bool wait_change(volatile uint32_t *counter, uint32_t from, uint64_t ns) {
  uint64_t end = now() + ns;
  while (*counter == from) {
    uint64_t time = now();
    if (time >= end) return false;
    singleshot(end, 0);
    sti_hlt();
  }
  return true;
}

void timer_init(void) {
  expect("timer.bind_virq", event_bind_virq(VIRQ_TIMER, 0, &timer_port), 0);
  event_unmask(timer_port);
}

static void test_clock(void) {
  check("clock.tsc_moves", rdtsc() < rdtsc(), "tsc", rdtsc());
  uint64_t last = now();
  bool monotonic = true;
  for (int i = 0; i < 1000; i++) {
    uint64_t time = now();
    monotonic &= time >= last;
    last = time;
  }
  check("clock.monotonic", monotonic, "ns", last);
  check("clock.wallclock", shared_info->wc_sec != 0 && !(shared_info->wc_version & 1), "seconds", shared_info->wc_sec);
}

/* The vcpu_info moves out of shared_info, once. */
static void test_register_vcpu_info(void) {
  static uint8_t page[PAGE_SIZE] __attribute__((aligned(4096)));
  vcpu_register_vcpu_info_t arg = {.mfn = gfn(page), .offset = 4090};
  expect("vcpu_info.crosses_page", vcpu_op(VCPUOP_register_vcpu_info, 0, &arg), -XEN_ENXIO);
  arg.offset = 128;
  uint64_t before = now();
  expect("vcpu_info.register", vcpu_op(VCPUOP_register_vcpu_info, 0, &arg), 0);
  vcpu_info = (vcpu_info_t *)(page + 128);
  check("vcpu_info.clock", now() >= before && now() < before + 10000000000ul, "ns", now() - before);
  expect("vcpu_info.twice", vcpu_op(VCPUOP_register_vcpu_info, 0, &arg), -XEN_EINVAL);
  expect("vcpu_op.bad_vcpu", vcpu_op(VCPUOP_is_up, 77, 0), -XEN_ENOENT);
  expect("vcpu_op.is_up", vcpu_op(VCPUOP_is_up, 0, 0), 1);
}

static volatile uint32_t *ticks(void) { return &event_count[timer_port]; }

/* Halts until the timer's event has come `more` times, at most a second. */
static bool wait_ticks(uint32_t from, uint32_t more) {
  uint64_t end = now() + 1000000000;
  while (*ticks() - from < more && now() < end) sti_hlt();
  return *ticks() - from >= more;
}

static void spin(uint64_t ns) {
  sti();
  for (uint64_t end = now() + ns; now() < end;) __asm__ volatile("pause");
  cli();
}

static void test_singleshot(void) {
  uint32_t before = *ticks();
  uint64_t start = now();
  expect("timer.singleshot", singleshot(start + 3000000, 0), 0);
  check("timer.singleshot.fires", wait_ticks(before, 1), "ticks", *ticks() - before);
  check("timer.singleshot.not_early", now() - start >= 3000000, "ns", now() - start);
  before = *ticks();
  long result = singleshot(1, VCPU_SSHOTTMR_future); /* the hypervisor may ignore the flag: Xen does since 4.16 */
  check("timer.singleshot.future_flag", result == -XEN_ETIME || (result == 0 && wait_ticks(before, 1)), "result", result);
  before = *ticks();
  expect("timer.singleshot.past", singleshot(1, 0), 0);
  check("timer.singleshot.past.fires", wait_ticks(before, 1), "ticks", *ticks() - before);
  before = *ticks();
  singleshot(now() + 2000000, 0);
  expect("timer.stop_singleshot", vcpu_op(VCPUOP_stop_singleshot_timer, 0, 0), 0);
  spin(5000000);
  expect("timer.stop_singleshot.silent", *ticks(), before);
  singleshot(now() + 1000000000000ul, 0);
  start = now();
  expect("timer.set_timer_op", hypercall(HC_set_timer_op, start + 1000000, 0, 0), 0);
  check("timer.set_timer_op.fires", wait_ticks(before, 1), "ticks", *ticks() - before);
  check("timer.set_timer_op.not_early", now() - start >= 1000000, "ns", now() - start);
}

static void test_periodic(void) {
  struct { uint64_t period_ns; } arg = {2000000};
  uint32_t before = *ticks();
  expect("timer.periodic", vcpu_op(VCPUOP_set_periodic_timer, 0, &arg), 0);
  /* Awake: Xen stops it while the vCPU sleeps. On a busy host the vCPU may not run for many periods. */
  for (unsigned i = 0; i < 1000 && *ticks() - before < 3; i++) spin(3000000);
  check("timer.periodic.fires", *ticks() - before >= 3, "ticks", *ticks() - before);
  expect("timer.stop_periodic", vcpu_op(VCPUOP_stop_periodic_timer, 0, 0), 0);
  spin(1000000);
  before = *ticks();
  spin(6000000);
  expect("timer.stop_periodic.silent", *ticks(), before);
  arg.period_ns = 1000;
  expect("timer.periodic.too_short", vcpu_op(VCPUOP_set_periodic_timer, 0, &arg), -XEN_EINVAL);
}

static void test_runstate(void) {
  static vcpu_runstate_info_t area __attribute__((aligned(64)));
  vcpu_runstate_info_t *where = &area, info;
  expect("runstate.register", vcpu_op(VCPUOP_register_runstate_memory_area, 0, &where), 0);
  expect("runstate.get", vcpu_op(VCPUOP_get_runstate_info, 0, &info), 0);
  expect("runstate.running", info.state, RUNSTATE_running);
  uint64_t blocked = info.time[RUNSTATE_blocked], total = 0;
  for (int i = 0; i < 4; i++) total += info.time[i];
  check("runstate.sum", total > 0 && total <= now() + 1000000000, "ns", total);
  uint32_t before = *ticks();
  singleshot(now() + 5000000, 0);
  wait_ticks(before, 1);
  vcpu_op(VCPUOP_get_runstate_info, 0, &info);
  check("runstate.blocked", info.time[RUNSTATE_blocked] >= blocked + 1000000, "ns", info.time[RUNSTATE_blocked] - blocked);
  volatile vcpu_runstate_info_t *shared = &area;
  expect("runstate.area.running", shared->state, RUNSTATE_running);
  check("runstate.area.blocked", shared->time[RUNSTATE_blocked] >= blocked + 1000000, "ns", shared->time[RUNSTATE_blocked]);
}

void test_timer(void) {
  test_clock();
  test_register_vcpu_info();
  test_clock();
  test_singleshot();
  test_periodic();
  test_runstate();
}
