/* HLT, block, poll, yield, and a self-IPI through the local APIC. */
#include "guest.h"

static long sched_op(unsigned op, void *arg) { return hypercall(HC_sched_op, op, (uintptr_t)arg, 0); }

static void arm(uint64_t ns) { hypercall(HC_set_timer_op, now() + ns, 0, 0); }

static void test_poll(void) {
  uint32_t port = timer_port, before = event_count[timer_port];
  uint64_t start = now();
  sched_poll_t poll = {.ports = (uintptr_t)&port, .nr_ports = 1, .timeout = start + 2000000};
  hypercall(HC_set_timer_op, 0, 0, 0);
  expect("idle.poll.timeout", sched_op(SCHEDOP_poll, &poll), 0);
  check("idle.poll.timeout.waited", now() - start >= 2000000, "ns", now() - start);
  expect("idle.poll.no_event", event_count[port], before);
  poll.timeout = now() + 1000000000000ul;
  arm(1000000);
  expect("idle.poll.event", sched_op(SCHEDOP_poll, &poll), 0); /* interrupts are off: the event stays pending */
  check("idle.poll.event.soon", now() < poll.timeout, "ns", now() - start);
  poll.nr_ports = 1000;
  expect("idle.poll.too_many", sched_op(SCHEDOP_poll, &poll), -XEN_EINVAL);
  window();
  expect("idle.poll.event.delivered", event_count[port], before + 1);
}

static void test_self_ipi(void) {
  uint32_t before = interrupt_count[VECTOR_SELF];
  for (int i = 0; i < 2; i++) {
    apic_write(0x300, 1 << 18 | VECTOR_SELF); /* ICR low: destination shorthand "self", fixed */
    window();
  }
  expect("idle.self_ipi", interrupt_count[VECTOR_SELF], before + 2);
  expect("idle.apic.id", apic_read(0x20), 0);
}

static long watchdog(uint32_t id, uint32_t seconds) {
  sched_watchdog_t arg = {.id = id, .timeout = seconds};
  return sched_op(SCHEDOP_watchdog, &arg);
}

/* Two timers, which a guest sets again in time or stops; `watchdog` does neither. */
static void test_watchdog(void) {
  expect("idle.watchdog.first", watchdog(0, 1000), 1);
  expect("idle.watchdog.second", watchdog(0, 1000), 2);
  expect("idle.watchdog.third", watchdog(0, 1000), -XEN_ENOSPC);
  expect("idle.watchdog.again", watchdog(1, 2000), 0);
  expect("idle.watchdog.stop", watchdog(1, 0), 0);
  expect("idle.watchdog.stopped", watchdog(1, 1000), -XEN_EINVAL);
  expect("idle.watchdog.stop_second", watchdog(2, 0), 0);
  expect("idle.watchdog.no_such", watchdog(3, 0), -XEN_EINVAL);
  if (!option("watchdog")) return;
  uint64_t start = now();
  watchdog(0, 1);
  while (now() < start + 10000000000ul) __asm__ volatile("pause");
  check("idle.watchdog.bites", false, "ns", now() - start);
}

void test_idle(void) {
  test_watchdog();
  uint32_t before = event_count[timer_port];
  uint64_t start = now();
  arm(2000000);
  while (event_count[timer_port] == before && now() < start + 1000000000) sti_hlt();
  expect("idle.hlt.woken", event_count[timer_port], before + 1);
  check("idle.hlt.waited", now() - start >= 2000000, "ns", now() - start);
  arm(1000);
  while (now() < start + 2100000) __asm__ volatile("pause");
  sti_hlt(); /* the event is pending already: HLT must not sleep */
  expect("idle.hlt.pending", event_count[timer_port], before + 2);
  arm(5000000);
  expect("idle.block", sched_op(SCHEDOP_block, 0), 0);
  window();
  expect("idle.block.woken", event_count[timer_port], before + 3);
  expect("idle.yield", sched_op(SCHEDOP_yield, 0), 0);
  expect("idle.bad_op", sched_op(77, 0), -XEN_ENOSYS);
  test_poll();
  test_self_ipi();
}
