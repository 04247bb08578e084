/* A xenstore client (io/xs_wire.h) that waits by polling. */
#include "front.h"

static xenstore_interface_t *ring;
static uint32_t port;
char store_error[32];

static uint64_t parameter(unsigned index) {
  xen_hvm_param_t arg = {.domid = DOMID_SELF, .index = index};
  hypercall(HC_hvm_op, HVMOP_get_param, (uintptr_t)&arg, 0);
  return arg.value;
}

void store_init(void) {
  ring = page((uint32_t)parameter(HVM_PARAM_STORE_PFN));
  port = (uint32_t)parameter(HVM_PARAM_STORE_EVTCHN);
}

static void move(char *area, volatile uint32_t *producer, volatile uint32_t *consumer, char *data, size_t size, bool send) {
  while (size > 0) {
    uint32_t filled = *producer - *consumer, part = send ? 1024 - filled : filled;
    if (part == 0) {
      poll(port, 10);
      continue;
    }
    if (part > size) part = size;
    volatile uint32_t *mine = send ? producer : consumer;
    for (uint32_t i = 0; i < part; i++) {
      char *byte = &area[(*mine + i) % 1024];
      if (send) *byte = data[i];
      else data[i] = *byte;
    }
    barrier();
    *mine += part;
    data += part;
    size -= part;
    event_send(port);
  }
}

const char *store(unsigned type, uint32_t transaction, const char *path, const char *value) {
  static char body[4200];
  size_t size = length(path) + 1;
  copy(body, path, size);
  if (value) {
    copy(body + size, value, length(value));
    size += length(value) + (type == XS_WATCH ? 1 : 0);
    body[size] = 0;
  }
  xsd_sockmsg_t head = {.type = type, .req_id = 1, .tx_id = transaction, .len = (uint32_t)size};
  move(ring->req, &ring->req_prod, &ring->req_cons, (char *)&head, sizeof head, true);
  move(ring->req, &ring->req_prod, &ring->req_cons, body, size, true);
  do {
    move(ring->rsp, &ring->rsp_prod, &ring->rsp_cons, (char *)&head, sizeof head, false);
    if (head.len > 4096) stop(SHUTDOWN_crash);
    move(ring->rsp, &ring->rsp_prod, &ring->rsp_cons, body, head.len, false);
    body[head.len] = 0;
  } while (head.type == XS_WATCH_EVENT);
  if (head.type != XS_ERROR) return body;
  copy(store_error, body, head.len < 31 ? head.len + 1 : 31);
  return 0;
}

static const char *joined(const char *folder, const char *name) {
  static char path[256];
  size_t n = length(folder);
  copy(path, folder, n);
  path[n] = '/';
  copy(path + n + 1, name, length(name) + 1);
  return path;
}

const char *store_read(const char *folder, const char *name) { return store(XS_READ, 0, joined(folder, name), 0); }
bool store_write(const char *folder, const char *name, const char *value) { return store(XS_WRITE, 0, joined(folder, name), value) != 0; }

uint64_t number_of(const char *text) {
  uint64_t value = 0;
  for (; text && *text >= '0' && *text <= '9'; text++) value = value * 10 + (uint64_t)(*text - '0');
  return value;
}

const char *decimal(uint64_t value) {
  static char text[24];
  char *p = text + 23;
  *p = 0;
  do *--p = (char)('0' + value % 10);
  while (value /= 10);
  return p;
}
