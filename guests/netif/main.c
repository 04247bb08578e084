/* A network front end of our own. `hear`: two queues and a control ring, by which it has its packets hashed; a line for each packet. `say`: packets to all,
 * again and again. `wild`: as `hear`, and then an index of its control ring that cannot be. */
#include "front.h"

const char kind[] = "vif";

enum { QUEUES = 2, ENTRIES = 256, BUFFERS = 16, CONTROL_ENTRIES = 128 };
/* Pages: rings, then what control requests name, then a frame to send, then buffers. */
enum { CONTROL = POOL, RINGS, CONTENT = RINGS + 2 * QUEUES, FRAME, RECEIVE };
/* The grant of a page. */
enum { FIRST_REF = 16 };
static uint32_t ref_of(uint32_t frame) { return FIRST_REF + frame - POOL; }

typedef struct { uint32_t gref; uint16_t offset, flags, id, size; } tx_request_t;
typedef struct { uint16_t id, pad; uint32_t gref; } rx_request_t;
typedef struct { uint16_t id, offset, flags; int16_t status; } rx_response_t;
typedef struct { uint8_t type, flags, hash, algorithm, value[4]; } extra_t;
typedef struct { uint16_t id, type; uint32_t data[3]; } control_request_t;
typedef struct { uint16_t id, type; uint32_t status, data; } control_response_t;
_Static_assert(sizeof(tx_request_t) == 12 && sizeof(rx_response_t) == 8 && sizeof(extra_t) == 8 && sizeof(control_request_t) == 16, "io/netif.h");

#define RING(name, entries, ...) \
  typedef struct { volatile uint32_t req_prod, req_event, rsp_prod, rsp_event; uint8_t pad[48]; union { __VA_ARGS__; } entry[entries]; } name
RING(tx_ring_t, ENTRIES, tx_request_t request);
RING(rx_ring_t, ENTRIES, rx_request_t request; rx_response_t response; extra_t extra);
RING(control_ring_t, CONTROL_ENTRIES, control_request_t request; control_response_t response);

static tx_ring_t *tx(uint32_t queue) { return page(RINGS + 2 * queue); }
static rx_ring_t *rx(uint32_t queue) { return page(RINGS + 2 * queue + 1); }
static control_ring_t *const control = (control_ring_t *)(CONTROL * PAGE_SIZE);
static uint32_t ports[QUEUES], control_port, consumed[QUEUES];

static void say_hex(uint32_t value) {
  char text[10] = " ";
  for (int i = 0; i < 8; i++) text[1 + i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
  text[9] = 0;
  print(text);
}

static const char *under(uint32_t queue, uint32_t queues, const char *name) {
  static char path[64];
  size_t n = 0;
  if (queues > 1) {
    copy(path, "queue-", 6);
    path[6] = (char)('0' + queue);
    path[7] = '/';
    n = 8;
  }
  copy(path + n, name, length(name) + 1);
  return path;
}

static void new_ring(uint32_t frame) {
  memset(page(frame), 0, PAGE_SIZE);
  ((volatile uint32_t *)page(frame))[1] = 1;
  ((volatile uint32_t *)page(frame))[3] = 1;
}

static void connect(uint32_t queues, bool controlled) {
  for (uint32_t i = 0; i < RECEIVE - POOL + QUEUES * BUFFERS; i++) grant(FIRST_REF + i, POOL + i, device.backend, 0);
  for (uint32_t frame = CONTROL; frame < CONTENT; frame++) new_ring(frame);
  store_write(device.front, "state", "1");
  if (!state_within(2, 1000)) stop(SHUTDOWN_crash);
  if (queues > 1) store_write(device.front, "multi-queue-num-queues", decimal(queues));
  for (uint32_t queue = 0; queue < queues; queue++) {
    ports[queue] = bind_unbound(device.backend);
    store_write(device.front, under(queue, queues, "tx-ring-ref"), decimal(ref_of(RINGS + 2 * queue)));
    store_write(device.front, under(queue, queues, "rx-ring-ref"), decimal(ref_of(RINGS + 2 * queue + 1)));
    store_write(device.front, under(queue, queues, "event-channel"), decimal(ports[queue]));
  }
  if (controlled) {
    if (number_of(store_read(device.back, "feature-ctrl-ring")) != 1) stop(SHUTDOWN_crash);
    control_port = bind_unbound(device.backend);
    store_write(device.front, "ctrl-ring-ref", decimal(ref_of(CONTROL)));
    store_write(device.front, "event-channel-ctrl", decimal(control_port));
  }
  store_write(device.front, "request-rx-copy", "1");
  store_write(device.front, "feature-sg", "1");
  store_write(device.front, "state", "4");
  if (!state_within(4, 1000)) stop(SHUTDOWN_crash);
  print("connected\n");
}

/* One request, and a line with its answer: type, status, data. */
static void ask(uint16_t type, uint32_t a, uint32_t b, uint32_t c) {
  uint32_t at = control->req_prod % CONTROL_ENTRIES;
  control->entry[at].request = (control_request_t){.id = (uint16_t)(type + 100), .type = type, .data = {a, b, c}};
  control->rsp_event = control->rsp_prod + 1;
  barrier();
  uint32_t wanted = ++control->req_prod;
  event_send(control_port);
  while (control->rsp_prod != wanted) poll(control_port, 10);
  control_response_t answer = control->entry[at].response;
  if (answer.id != type + 100 || answer.type != type) print("WRONG ANSWER");
  print("control ");
  print(decimal(type));
  print(" status ");
  print(decimal(answer.status));
  print(" data ");
  print(decimal(answer.data));
  print("\n");
}

static void set_up(void) {
  /* The key of Microsoft's verification suite. */
  static const uint8_t key[40] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
  };
  static const uint32_t mapping[2] = {1, 0}, beyond[2] = {QUEUES, 0};
  ask(1, 0, 0, 0); /* GET_HASH_FLAGS: no algorithm yet */
  ask(7, 1, 0, 0); /* SET_HASH_ALGORITHM: Toeplitz */
  ask(1, 0, 0, 0);
  ask(2, 15, 0, 0); /* SET_HASH_FLAGS: all */
  copy(page(CONTENT), key, sizeof key);
  ask(3, ref_of(CONTENT), sizeof key, 0); /* SET_HASH_KEY */
  ask(3, FIRST_REF - 1, sizeof key, 0); /* which is granted to nobody */
  ask(4, 0, 0, 0); /* GET_HASH_MAPPING_SIZE */
  ask(5, 2, 0, 0); /* SET_HASH_MAPPING_SIZE */
  copy(page(CONTENT), mapping, sizeof mapping);
  ask(6, ref_of(CONTENT), 2, 0); /* SET_HASH_MAPPING */
  copy(page(CONTENT), beyond, sizeof beyond);
  ask(6, ref_of(CONTENT), 2, 0);
  ask(9, 0, ref_of(CONTENT), 1); /* ADD_GREF_MAPPING */
}

static void offer(uint32_t queue, uint32_t buffer) {
  rx_ring_t *ring = rx(queue);
  ring->entry[ring->req_prod % ENTRIES].request = (rx_request_t){.id = (uint16_t)buffer, .gref = ref_of(RECEIVE + queue * BUFFERS + buffer)};
  barrier();
  ring->req_prod++;
}

/* A line for each packet: its queue, the last bytes of its sender's address, and type and value of its hash. */
static void hear_queue(uint32_t queue) {
  rx_ring_t *ring = rx(queue);
  bool heard = consumed[queue] != ring->rsp_prod;
  while (consumed[queue] != ring->rsp_prod) {
    rx_response_t answer = ring->entry[consumed[queue] % ENTRIES].response;
    uint32_t buffers = 1;
    extra_t extra = {0};
    if (answer.flags & 8) extra = ring->entry[(consumed[queue] + buffers++) % ENTRIES].extra;
    const uint8_t *frame = page(RECEIVE + queue * BUFFERS + answer.id);
    if (answer.status > 33 && frame[12] == 8 && frame[13] == 0) {
      print("queue ");
      print(decimal(queue));
      print(" from ");
      print(decimal(frame[29]));
      print(" hash ");
      print(decimal(extra.type * 100u + extra.hash * 10u + extra.algorithm));
      uint32_t value;
      copy(&value, extra.value, 4);
      say_hex(value);
      print("\n");
    }
    /* A buffer keeps its place in the ring, so an extra's is known by it. */
    for (; buffers > 0; buffers--, consumed[queue]++) offer(queue, consumed[queue] % BUFFERS);
  }
  ring->rsp_event = consumed[queue] + 1;
  __sync_synchronize();
  if (heard) event_send(ports[queue]);
}

static void hear(void) {
  for (uint32_t queue = 0; queue < QUEUES; queue++) {
    for (uint32_t i = 0; i < BUFFERS; i++) offer(queue, i);
    event_send(ports[queue]);
  }
  for (;;) {
    for (uint32_t queue = 0; queue < QUEUES; queue++) hear_queue(queue);
    pause_ms(2);
  }
}

/* The first bytes of a TCP segment from a port of an address to another. */
static void say_to(const uint8_t from[6], const uint8_t to[6]) {
  uint8_t *frame = page(FRAME);
  memset(frame, 0, 60);
  memset(frame, 0xff, 6);
  frame[6] = 2;
  frame[12] = 8;
  frame[14] = 0x45;
  frame[17] = 40;
  frame[22] = 64;
  frame[23] = 6;
  copy(frame + 26, from, 4);
  copy(frame + 30, to, 4);
  copy(frame + 34, from + 4, 2);
  copy(frame + 36, to + 4, 2);
  frame[46] = 0x50;
  tx_ring_t *ring = tx(0);
  uint32_t wanted = ring->req_prod + 1;
  ring->entry[ring->req_prod % ENTRIES].request = (tx_request_t){.gref = ref_of(FRAME), .size = 60};
  ring->rsp_event = wanted;
  barrier();
  ring->req_prod = wanted;
  event_send(ports[0]);
  while (ring->rsp_prod != wanted) poll(ports[0], 10);
}

static void say(void) {
  /* Of the same suite: addresses, then ports. */
  static const uint8_t from[2][6] = {{66, 9, 149, 187, 2794 >> 8, 2794 & 255}, {38, 27, 205, 30, 48228 >> 8, 48228 & 255}};
  static const uint8_t to[2][6] = {{161, 142, 100, 80, 1766 >> 8, 1766 & 255}, {209, 142, 163, 6, 2217 >> 8, 2217 & 255}};
  for (uint32_t i = 0;; i++) {
    say_to(from[i % 2], to[i % 2]);
    pause_ms(20);
  }
}

void front_main(void) {
  bool hears = word("hear"), wild = word("wild");
  connect(hears || wild ? QUEUES : 1, hears || wild);
  if (!hears && !wild) say();
  set_up();
  if (hears) hear();
  control->req_prod += CONTROL_ENTRIES + 1;
  event_send(control_port);
  print(state_within(5, 1000) ? "given up\n" : "still served\n");
  for (;;) pause_ms(1000);
}
