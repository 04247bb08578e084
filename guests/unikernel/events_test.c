/* The event channel suite. */
#include "guest.h"

static uint32_t alloc_unbound(void) {
  evtchn_alloc_unbound_t arg = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
  return event_op(EVTCHNOP_alloc_unbound, &arg) == 0 ? arg.port : 0;
}

static evtchn_status_t status(uint32_t port) {
  evtchn_status_t arg = {.dom = DOMID_SELF, .port = port, .status = 99};
  if (event_op(EVTCHNOP_status, &arg)) arg.status = 98;
  return arg;
}

static void test_upcall_forms(uint32_t port) {
  uint32_t before = event_count[port], callbacks = interrupt_count[VECTOR_CALLBACK];
  event_port_op(EVTCHNOP_send, port);
  window();
  expect("events.callback.delivered", event_count[port], before + 1);
  check("events.callback.vector", interrupt_count[VECTOR_CALLBACK] > callbacks, "count", interrupt_count[VECTOR_CALLBACK]);

  xen_hvm_evtchn_upcall_vector_t arg = {.vcpu = 0, .vector = 3};
  expect("events.upcall_vector.bad_vector", hypercall(HC_hvm_op, HVMOP_set_evtchn_upcall_vector, (uintptr_t)&arg, 0), -XEN_EINVAL);
  arg.vector = VECTOR_UPCALL;
  arg.vcpu = 77;
  expect("events.upcall_vector.bad_vcpu", hypercall(HC_hvm_op, HVMOP_set_evtchn_upcall_vector, (uintptr_t)&arg, 0), -XEN_ENOENT);
  arg.vcpu = 0;
  expect("events.upcall_vector", hypercall(HC_hvm_op, HVMOP_set_evtchn_upcall_vector, (uintptr_t)&arg, 0), 0);
  expect("events.upcall_vector.param", hvm_set_param(HVM_PARAM_CALLBACK_IRQ, 1), 0);
  uint32_t upcalls = interrupt_count[VECTOR_UPCALL];
  for (int i = 0; i < 3; i++) {
    event_port_op(EVTCHNOP_send, port);
    window();
  }
  expect("events.upcall.delivered", event_count[port], before + 4);
  expect("events.upcall.vector", interrupt_count[VECTOR_UPCALL], upcalls + 3); /* three need EOIs in between */
}

/* `port` is the end that events arrive at, `other` the one they are sent from. */
static void test_mask(uint32_t port, uint32_t other) {
  uint32_t before = event_count[port];
  event_mask(port);
  event_port_op(EVTCHNOP_send, other);
  event_port_op(EVTCHNOP_send, other);
  window();
  expect("events.masked.not_delivered", event_count[port], before);
  check("events.masked.pending", event_pending(port), "port", port);
  event_unmask(port);
  window();
  expect("events.unmask.delivered_once", event_count[port], before + 1);
  check("events.unmask.not_pending", !event_pending(port), "port", port);
  event_port_op(EVTCHNOP_send, other);
  for (int i = 0; i < 100; i++) barrier();
  expect("events.if_clear.not_delivered", event_count[port], before + 1);
  expect("events.upcall_pending", vcpu_info->evtchn_upcall_pending, 1);
  window();
  expect("events.if_set.delivered", event_count[port], before + 2);
}

static void test_interdomain(void) {
  uint32_t a = alloc_unbound();
  check("events.alloc_unbound", a != 0, "port", a);
  expect("events.status.unbound", status(a).status, EVTCHNSTAT_unbound);
  expect("events.send.unbound", event_port_op(EVTCHNOP_send, a), 0);
  evtchn_bind_interdomain_t bind = {.remote_dom = DOMID_SELF, .remote_port = a};
  expect("events.bind_interdomain", event_op(EVTCHNOP_bind_interdomain, &bind), 0);
  uint32_t b = bind.local_port;
  check("events.bind_interdomain.port", b != 0 && b != a, "port", b);
  expect("events.status.interdomain", status(a).status, EVTCHNSTAT_interdomain);
  expect("events.status.remote_port", status(a).u.interdomain.port, b);
  expect("events.status.remote_port.back", status(b).u.interdomain.port, a);
  check("events.bind_interdomain.twice", event_op(EVTCHNOP_bind_interdomain, &bind) < 0, "port", a);
  window();
  event_unmask(a);
  event_unmask(b);
  window();
  uint32_t count_a = event_count[a], count_b = event_count[b];
  expect("events.send", event_port_op(EVTCHNOP_send, b), 0);
  window();
  expect("events.send.remote_end", event_count[a], count_a + 1);
  expect("events.send.not_own_end", event_count[b], count_b);
  test_mask(a, b);
  expect("events.close", event_port_op(EVTCHNOP_close, a), 0);
  expect("events.close.status", status(a).status, EVTCHNSTAT_closed);
  expect("events.close.remote_unbound", status(b).status, EVTCHNSTAT_unbound);
  expect("events.close.twice", event_port_op(EVTCHNOP_close, a), -XEN_EINVAL);
  expect("events.close.other_end", event_port_op(EVTCHNOP_close, b), 0);
}

static void test_order(void) {
  evtchn_bind_ipi_t low = {.vcpu = 0}, high = {.vcpu = 0};
  expect("events.bind_ipi.second", event_op(EVTCHNOP_bind_ipi, &low), 0);
  event_op(EVTCHNOP_bind_ipi, &high);
  event_unmask(low.port);
  event_unmask(high.port);
  evtchn_port_value_t priority = {.port = high.port, .value = 3};
  if (!events_are_fifo()) {
    expect("events.set_priority.2level", event_op(EVTCHNOP_set_priority, &priority), -XEN_ENOSYS);
  } else {
    expect("events.set_priority", event_op(EVTCHNOP_set_priority, &priority), 0);
    event_order_length = 0;
    event_port_op(EVTCHNOP_send, low.port);
    event_port_op(EVTCHNOP_send, high.port);
    window();
    expect("events.priority.both", event_order_length, 2);
    expect("events.priority.first", event_order[0], high.port);
    priority.value = 16;
    expect("events.set_priority.bad", event_op(EVTCHNOP_set_priority, &priority), -XEN_EINVAL);
  }
  event_port_op(EVTCHNOP_close, low.port);
  event_port_op(EVTCHNOP_close, high.port);
}

static void test_errors(uint32_t ipi) {
  uint32_t port;
  evtchn_port_value_t move = {.port = ipi, .value = 0};
  expect("events.send.port_0", event_port_op(EVTCHNOP_send, 0), -XEN_EINVAL);
  expect("events.send.closed", event_port_op(EVTCHNOP_send, 900), -XEN_EINVAL);
  expect("events.send.huge", event_port_op(EVTCHNOP_send, 0xffffffff), -XEN_EINVAL);
  expect("events.send.virq", event_port_op(EVTCHNOP_send, timer_port), -XEN_EINVAL);
  expect("events.unmask.huge", event_port_op(EVTCHNOP_unmask, 0xffffffff), -XEN_EINVAL);
  expect("events.bind_vcpu.ipi", event_op(EVTCHNOP_bind_vcpu, &move), -XEN_EINVAL);
  move.value = 77;
  expect("events.bind_vcpu.bad_vcpu", event_op(EVTCHNOP_bind_vcpu, &move), -XEN_ENOENT);
  expect("events.bind_virq.twice", event_bind_virq(VIRQ_TIMER, 0, &port), -XEN_EEXIST);
  expect("events.bind_virq.bad_virq", event_bind_virq(99, 0, &port), -XEN_EINVAL);
  expect("events.bind_virq.bad_vcpu", event_bind_virq(VIRQ_DEBUG, 77, &port), -XEN_ENOENT);
  evtchn_bind_interdomain_t bind = {.remote_dom = DOMID_SELF, .remote_port = 1000};
  expect("events.bind_interdomain.closed", event_op(EVTCHNOP_bind_interdomain, &bind), -XEN_EINVAL);
  expect("events.bad_handle", event_op(EVTCHNOP_send, (void *)BAD_ADDRESS), -XEN_EFAULT);
  expect("events.bad_op", event_op(77, &port), -XEN_ENOSYS);
}

/* Many ports: numbers are reused, none is handed out twice. */
static void test_many(void) {
  enum { COUNT = 200 };
  static uint32_t ports[COUNT];
  static uint8_t seen[4096];
  bool distinct = true;
  for (int i = 0; i < COUNT; i++) {
    ports[i] = alloc_unbound();
    distinct &= ports[i] != 0 && ports[i] < 4096 && !seen[ports[i]]++;
  }
  check("events.many.distinct", distinct, "last port", ports[COUNT - 1]);
  bool closed = true;
  for (int i = 0; i < COUNT; i++) closed &= event_port_op(EVTCHNOP_close, ports[i]) == 0;
  check("events.many.closed", closed, "ports", COUNT);
  uint32_t again = alloc_unbound();
  expect("events.many.reused", again, ports[0]);
  event_port_op(EVTCHNOP_close, again);
}

void test_events(void) {
  evtchn_bind_ipi_t ipi = {.vcpu = 0};
  expect("events.bind_ipi", event_op(EVTCHNOP_bind_ipi, &ipi), 0);
  expect("events.status.ipi", status(ipi.port).status, EVTCHNSTAT_ipi);
  expect("events.status.virq", status(timer_port).u.virq, VIRQ_TIMER);
  event_unmask(ipi.port);
  test_upcall_forms(ipi.port);
  test_interdomain();
  test_order();
  test_errors(ipi.port);
  test_many();
  expect("events.close.ipi", event_port_op(EVTCHNOP_close, ipi.port), 0);
}
