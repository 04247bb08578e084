/* A xenstore client over the guest's ring (Xen's docs/misc/xenstore-ring, io/xs_wire.h). */
#include "guest.h"

static xenstore_interface_t *ring;
static uint32_t port, next_id = 1;

typedef struct {
  xsd_sockmsg_t head;
  char body[4097];
} reply_t;

static reply_t watch_event; /* the last one; body is path NUL token NUL */
static unsigned watch_events;

static volatile uint32_t *index_of(uint32_t *field) { return field; }

/* Moves bytes between a buffer and a ring of 1024, waiting for the store when it is full or empty. False: a second without progress. */
static bool transfer(char *area, uint32_t *producer, uint32_t *consumer, char *data, size_t size, bool send) {
  while (size > 0) {
    uint32_t before = event_count[port];
    uint32_t filled = *index_of(producer) - *index_of(consumer);
    uint32_t part = send ? 1024 - filled : filled;
    if (part == 0) {
      if (!wait_change(&event_count[port], before, 1000000000)) return false;
      continue;
    }
    if (part > size) part = size;
    uint32_t *mine = send ? producer : consumer;
    for (uint32_t i = 0; i < part; i++) {
      char *byte = &area[(*mine + i) % 1024];
      if (send) *byte = data[i];
      else data[i] = *byte;
    }
    barrier();
    *index_of(mine) += part;
    data += part;
    size -= part;
    event_port_op(EVTCHNOP_send, port);
  }
  return true;
}

static bool receive(reply_t *reply) {
  if (!transfer(ring->rsp, &ring->rsp_prod, &ring->rsp_cons, (char *)&reply->head, sizeof reply->head, false)) return false;
  if (reply->head.len > 4096) return false;
  if (!transfer(ring->rsp, &ring->rsp_prod, &ring->rsp_cons, reply->body, reply->head.len, false)) return false;
  reply->body[reply->head.len] = 0;
  return true;
}

/* One request and its reply; watch events that come before it are kept. `parts` are strings, each sent with its NUL if `nul`. */
static const reply_t *request(unsigned type, uint32_t transaction, const char *first, const char *second, bool second_nul) {
  static reply_t reply;
  static char body[4096];
  size_t size = first ? strlen(first) + 1 : 0;
  memcpy(body, first ? first : "", size);
  if (second) {
    memcpy(body + size, second, strlen(second));
    size += strlen(second);
    if (second_nul) body[size++] = 0;
  }
  xsd_sockmsg_t head = {.type = type, .req_id = next_id++, .tx_id = transaction, .len = size};
  reply.head.type = 0;
  if (!transfer(ring->req, &ring->req_prod, &ring->req_cons, (char *)&head, sizeof head, true)) return 0;
  if (!transfer(ring->req, &ring->req_prod, &ring->req_cons, body, size, true)) return 0;
  for (;;) {
    if (!receive(&reply)) return 0;
    if (reply.head.type != XS_WATCH_EVENT) break;
    watch_event = reply;
    watch_events++;
  }
  return reply.head.req_id == head.req_id ? &reply : 0;
}

/* True if the reply is of the type asked for and has this body. */
static bool answers(const reply_t *reply, unsigned type, const char *body) {
  if (!reply || reply->head.type != type) return false;
  size_t size = strlen(body);
  return memcmp(reply->body, body, size) == 0 && reply->head.len <= size + 1;
}

static void expect_reply(const char *name, const reply_t *reply, unsigned type, const char *body) {
  bool good = answers(reply, type, body);
  check(name, good, "reply", reply ? (int64_t)reply->head.type : -1);
  if (!good && reply) print("  %s instead of %s\n", reply->body, body);
}

static bool list_has(const reply_t *reply, const char *name) {
  if (!reply || reply->head.type != XS_DIRECTORY) return false;
  for (size_t at = 0; at < reply->head.len; at += strlen(reply->body + at) + 1)
    if (strlen(reply->body + at) == strlen(name) && memcmp(reply->body + at, name, strlen(name)) == 0) return true;
  return false;
}

static const reply_t *read_at(const char *path) { return request(XS_READ, 0, path, 0, false); }
static const reply_t *write_at(const char *path, const char *value) { return request(XS_WRITE, 0, path, value, false); }

static void test_read_write(void) {
  const reply_t *name = read_at("name");
  check("xenstore.read.name", name && name->head.type == XS_READ && name->head.len > 0, "length", name ? name->head.len : 0);
  const reply_t *domid = read_at("domid");
  check("xenstore.read.domid", domid && domid->head.type == XS_READ && domid->body[0] >= '0' && domid->body[0] <= '9', "length", domid ? domid->head.len : 0);
  expect_reply("xenstore.read.missing", read_at("data/none"), XS_ERROR, "ENOENT");
  expect_reply("xenstore.write", write_at("data/hello", "world"), XS_WRITE, "OK");
  expect_reply("xenstore.write.read_back", read_at("data/hello"), XS_READ, "world");
  expect_reply("xenstore.write.foreign", write_at("/local/domain/0/x", "1"), XS_ERROR, "EACCES");
  expect_reply("xenstore.write.bad_path", write_at("data//x", "1"), XS_ERROR, "EINVAL");
  expect_reply("xenstore.bad_op", request(99, 0, "data", 0, false), XS_ERROR, "ENOSYS");
  expect_reply("xenstore.mkdir", request(XS_MKDIR, 0, "data/folder", 0, false), XS_MKDIR, "OK");
  const reply_t *list = request(XS_DIRECTORY, 0, "data", 0, false);
  check("xenstore.directory", list_has(list, "hello") && list_has(list, "folder"), "length", list ? list->head.len : 0);
  expect_reply("xenstore.rm", request(XS_RM, 0, "data/folder", 0, false), XS_RM, "OK");
  expect_reply("xenstore.rm.gone", request(XS_DIRECTORY, 0, "data/folder", 0, false), XS_ERROR, "ENOENT");
  const reply_t *perms = request(XS_GET_PERMS, 0, "data", 0, false);
  check("xenstore.get_perms", perms && perms->head.type == XS_GET_PERMS && perms->body[0] == 'n', "first", perms ? perms->body[0] : 0);
}

/* Values longer than the ring, several times around it. */
static void test_large(void) {
  static char value[1801];
  bool good = true;
  for (unsigned round = 0; round < 8; round++) {
    for (unsigned i = 0; i < sizeof value - 1; i++) value[i] = 'a' + (i * (round + 3) + round) % 26;
    good &= answers(write_at("data/large", value), XS_WRITE, "OK") && answers(read_at("data/large"), XS_READ, value);
  }
  check("xenstore.large", good, "bytes", sizeof value - 1);
}

static bool wait_watch(unsigned from) {
  while (watch_events == from) {
    reply_t *event = &watch_event;
    if (!receive(event) || event->head.type != XS_WATCH_EVENT) return false;
    watch_events++;
  }
  return true;
}

static void test_watch(void) {
  unsigned before = watch_events;
  expect_reply("xenstore.watch", request(XS_WATCH, 0, "data/watched", "token", true), XS_WATCH, "OK");
  check("xenstore.watch.fires_at_once", wait_watch(before), "events", watch_events);
  before = watch_events;
  write_at("data/watched/below", "1");
  check("xenstore.watch.fires", wait_watch(before), "events", watch_events);
  static const char fired[] = "data/watched/below\0token";
  check("xenstore.watch.path_and_token", watch_event.head.len == sizeof fired && memcmp(watch_event.body, fired, sizeof fired) == 0, "length", watch_event.head.len);
  expect_reply("xenstore.watch.twice", request(XS_WATCH, 0, "data/watched", "token", true), XS_ERROR, "EEXIST");
  expect_reply("xenstore.unwatch", request(XS_UNWATCH, 0, "data/watched", "token", true), XS_UNWATCH, "OK");
  expect_reply("xenstore.unwatch.twice", request(XS_UNWATCH, 0, "data/watched", "token", true), XS_ERROR, "ENOENT");
}

static uint32_t start_transaction(void) {
  const reply_t *reply = request(XS_TRANSACTION_START, 0, "", 0, false);
  uint32_t id = 0;
  if (reply && reply->head.type == XS_TRANSACTION_START)
    for (const char *p = reply->body; *p >= '0' && *p <= '9'; p++) id = id * 10 + *p - '0';
  return id;
}

static void test_transaction(void) {
  uint32_t id = start_transaction();
  check("xenstore.transaction.start", id != 0, "id", id);
  expect_reply("xenstore.transaction.write", request(XS_WRITE, id, "data/tx", "inside", false), XS_WRITE, "OK");
  expect_reply("xenstore.transaction.read_inside", request(XS_READ, id, "data/tx", 0, false), XS_READ, "inside");
  expect_reply("xenstore.transaction.isolated", read_at("data/tx"), XS_ERROR, "ENOENT");
  expect_reply("xenstore.transaction.commit", request(XS_TRANSACTION_END, id, "T", 0, false), XS_TRANSACTION_END, "OK");
  expect_reply("xenstore.transaction.committed", read_at("data/tx"), XS_READ, "inside");
  id = start_transaction();
  request(XS_WRITE, id, "data/tx", "dropped", false);
  expect_reply("xenstore.transaction.abort", request(XS_TRANSACTION_END, id, "F", 0, false), XS_TRANSACTION_END, "OK");
  expect_reply("xenstore.transaction.aborted", read_at("data/tx"), XS_READ, "inside");
  id = start_transaction();
  request(XS_READ, id, "data/tx", 0, false);
  request(XS_WRITE, id, "data/tx", "mine", false);
  write_at("data/tx", "theirs");
  expect_reply("xenstore.transaction.conflict", request(XS_TRANSACTION_END, id, "T", 0, false), XS_ERROR, "EAGAIN");
  expect_reply("xenstore.transaction.conflict.kept", read_at("data/tx"), XS_READ, "theirs");
  expect_reply("xenstore.transaction.unknown", request(XS_READ, 0x7777, "data/tx", 0, false), XS_ERROR, "ENOENT");
}

void test_xenstore(void) {
  uint64_t frame = 0, channel = 0;
  expect("xenstore.param.store_pfn", hvm_get_param(HVM_PARAM_STORE_PFN, &frame), 0);
  expect("xenstore.param.store_evtchn", hvm_get_param(HVM_PARAM_STORE_EVTCHN, &channel), 0);
  check("xenstore.ring", frame != 0 && channel != 0 && channel < 4096, "gfn", frame);
  if (frame == 0 || channel == 0 || channel >= 4096) return;
  ring = (xenstore_interface_t *)(frame * PAGE_SIZE);
  port = channel;
  event_unmask(port);
  const reply_t *first = read_at("domid");
  check("xenstore.alive", first != 0, "port", port);
  if (!first) return;
  test_read_write();
  test_large();
  test_watch();
  test_transaction();
}
