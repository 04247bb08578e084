/* Event channels: the upcall for both ABIs (2-level and FIFO), and wrappers. */
#include "guest.h"

static uint8_t shared_page[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t control_page[PAGE_SIZE] __attribute__((aligned(4096)));
static uint32_t fifo_words[PAGE_SIZE / 4] __attribute__((aligned(4096)));
static uint32_t fifo_heads[16];
static bool fifo;

shared_info_t *const shared_info = (shared_info_t *)shared_page;
vcpu_info_t *volatile vcpu_info = ((shared_info_t *)shared_page)->vcpu_info;
volatile uint32_t event_count[4096];
volatile uint32_t event_order[16], event_order_length;

long hvm_get_param(unsigned index, uint64_t *value) {
  xen_hvm_param_t arg = {.domid = DOMID_SELF, .index = index};
  long result = hypercall(HC_hvm_op, HVMOP_get_param, (uintptr_t)&arg, 0);
  *value = arg.value;
  return result;
}

long hvm_set_param(unsigned index, uint64_t value) {
  xen_hvm_param_t arg = {.domid = DOMID_SELF, .index = index, .value = value};
  return hypercall(HC_hvm_op, HVMOP_set_param, (uintptr_t)&arg, 0);
}

long event_op(unsigned op, void *arg) { return hypercall(HC_event_channel_op, op, (uintptr_t)arg, 0); }
long event_port_op(unsigned op, uint32_t port) { return event_op(op, &port); }

long event_bind_virq(unsigned virq, unsigned vcpu, uint32_t *port) {
  evtchn_bind_virq_t arg = {.virq = virq, .vcpu = vcpu};
  long result = event_op(EVTCHNOP_bind_virq, &arg);
  *port = arg.port;
  return result;
}

bool event_pending(uint32_t port) {
  if (fifo) return *(volatile uint32_t *)&fifo_words[port] >> EVTCHN_FIFO_PENDING & 1;
  return ((volatile uint64_t *)shared_info->evtchn_pending)[port / 64] >> port % 64 & 1;
}

void event_mask(uint32_t port) {
  if (fifo) __sync_fetch_and_or(&fifo_words[port], 1u << EVTCHN_FIFO_MASKED);
  else __sync_fetch_and_or(&shared_info->evtchn_mask[port / 64], 1ul << port % 64);
}

void event_unmask(uint32_t port) {
  event_port_op(EVTCHNOP_unmask, port);
}

bool events_are_fifo(void) { return fifo; }

static void handle(uint32_t port) {
  event_count[port]++;
  if (event_order_length < 16) event_order[event_order_length++] = port;
}

static void upcall_2level(void) {
  uint64_t words = __sync_lock_test_and_set(&vcpu_info->evtchn_pending_sel, 0);
  for (; words; words &= words - 1) {
    unsigned word = __builtin_ctzl(words);
    uint64_t bits = shared_info->evtchn_pending[word] & ~shared_info->evtchn_mask[word];
    for (; bits; bits &= bits - 1) {
      unsigned bit = __builtin_ctzl(bits);
      __sync_fetch_and_and(&shared_info->evtchn_pending[word], ~(1ul << bit));
      handle(word * 64 + bit);
    }
  }
}

/* Takes one event off a priority's queue; false if that was the last (event channel FIFO ABI, "Consuming events"). */
static bool consume(evtchn_fifo_control_block_t *control, unsigned priority) {
  uint32_t port = fifo_heads[priority];
  if (port == 0) port = ((volatile uint32_t *)control->head)[priority];
  const uint32_t clear = 1u << EVTCHN_FIFO_LINKED | 0x1ffff;
  uint32_t old = __sync_fetch_and_and(&fifo_words[port], ~clear);
  fifo_heads[priority] = old & 0x1ffff;
  if (old >> EVTCHN_FIFO_PENDING & 1 && !(old >> EVTCHN_FIFO_MASKED & 1)) {
    __sync_fetch_and_and(&fifo_words[port], ~(1u << EVTCHN_FIFO_PENDING));
    handle(port);
  }
  return fifo_heads[priority] != 0;
}

static void upcall_fifo(void) {
  evtchn_fifo_control_block_t *control = (evtchn_fifo_control_block_t *)control_page;
  uint32_t ready = __sync_lock_test_and_set(&control->ready, 0);
  while (ready) {
    unsigned priority = __builtin_ctz(ready);
    if (!consume(control, priority)) ready &= ~(1u << priority);
    ready |= __sync_lock_test_and_set(&control->ready, 0);
  }
}

void events_upcall(void) {
  vcpu_info_t *v = vcpu_info;
  while (__sync_lock_test_and_set(&v->evtchn_upcall_pending, 0)) {
    if (fifo) upcall_fifo();
    else upcall_2level();
  }
}

static void init_fifo(void) {
  evtchn_init_control_t arg = {.control_gfn = gfn(control_page)};
  expect("events.fifo.init_control", event_op(EVTCHNOP_init_control, &arg), 0);
  expect("events.fifo.link_bits", arg.link_bits, 17);
  for (unsigned i = 0; i < PAGE_SIZE / 4; i++) fifo_words[i] = 1u << EVTCHN_FIFO_MASKED;
  uint64_t array = gfn(fifo_words);
  expect("events.fifo.expand_array", event_op(EVTCHNOP_expand_array, &array), 0);
  fifo = true;
}

/* Maps shared_info, and picks the ABI and the way upcalls arrive: first by the domain-wide callback vector. */
void events_init(void) {
  expect("events.shared_info", add_to_physmap(XENMAPSPACE_shared_info, 0, shared_page), 0);
  for (unsigned i = 0; i < 64; i++) shared_info->evtchn_mask[i] = ~0ul;
  if (option_value("evtchn", "fifo")) init_fifo();
  expect("events.callback_via", hvm_set_param(HVM_PARAM_CALLBACK_IRQ, 2ul << 56 | VECTOR_CALLBACK), 0);
}
