/* Output: the PV console ring when there is one (and `console=hv` is not given), else console_io. */
#include <stdarg.h>
#include "guest.h"

static xencons_interface_t *ring;
static uint32_t port;

void console_init(void) {
  uint64_t frame = 0, channel = 0;
  if (option_value("console", "hv")) return;
  if (hvm_get_param(HVM_PARAM_CONSOLE_PFN, &frame) || hvm_get_param(HVM_PARAM_CONSOLE_EVTCHN, &channel)) return;
  if (frame == 0) return;
  ring = (xencons_interface_t *)(frame * PAGE_SIZE);
  port = channel;
}

static uint32_t room(void) { return sizeof ring->out - (ring->out_prod - *(volatile uint32_t *)&ring->out_cons); }

static void ring_write(const char *text, size_t size) {
  while (size > 0) {
    /* A full ring: the back end notifies when it has taken something. */
    for (int tries = 0; room() == 0 && tries < 100; tries++) {
      sched_poll_t poll = {.ports = (uintptr_t)&port, .nr_ports = 1, .timeout = now() + 50000000};
      event_port_op(EVTCHNOP_send, port);
      hypercall(HC_sched_op, SCHEDOP_poll, (uintptr_t)&poll, 0);
    }
    uint32_t part = room() < size ? room() : size;
    if (part == 0) return;
    for (uint32_t i = 0; i < part; i++) ring->out[(ring->out_prod + i) % sizeof ring->out] = text[i];
    barrier(); /* stores stay in order on x86 */
    *(volatile uint32_t *)&ring->out_prod += part;
    text += part;
    size -= part;
  }
  event_port_op(EVTCHNOP_send, port);
}

static size_t number(char *to, uint64_t value, unsigned base, bool negative) {
  char digits[24];
  size_t n = 0, at = 0;
  do digits[n++] = "0123456789abcdef"[value % base];
  while (value /= base);
  if (negative) to[at++] = '-';
  while (n > 0) to[at++] = digits[--n];
  return at;
}

/* Knows %s %c %d %u %x and their l forms. */
void print(const char *format, ...) {
  static char line[512];
  size_t n = 0;
  va_list args;
  va_start(args, format);
  for (const char *p = format; *p && n < sizeof line - 32; p++) {
    if (*p != '%') {
      line[n++] = *p;
      continue;
    }
    bool wide = *++p == 'l';
    if (wide) p++;
    if (*p == 's') {
      for (const char *s = va_arg(args, const char *); *s && n < sizeof line - 32;) line[n++] = *s++;
    } else if (*p == 'c') {
      line[n++] = va_arg(args, int);
    } else if (*p == 'd') {
      int64_t value = wide ? va_arg(args, int64_t) : va_arg(args, int);
      n += number(line + n, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0);
    } else {
      uint64_t value = wide ? va_arg(args, uint64_t) : va_arg(args, unsigned);
      n += number(line + n, value, *p == 'x' ? 16 : 10, false);
    }
  }
  va_end(args);
  if (ring) ring_write(line, n);
  else hypercall(HC_console_io, 0, n, (uintptr_t)line);
}
