/* A front end that misbehaves: impossible and giant requests, changed after they were published, grants that come and go, indices out of range, floods of the store. */
#include "blk.h"

enum { FIRST_REF = 16, REFS = POOL_PAGES - 1, FIRST_PAGE = POOL + 1 };

static uint32_t odd(void) {
  static const uint32_t values[] = {0, 1, 7, 8, 11, 12, 64, 65, 0x7f, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff};
  return pick(3) ? values[pick(sizeof values / sizeof *values)] : pick(300);
}
static uint32_t some_ref(void) { return pick(8) ? FIRST_REF + pick(REFS) : odd(); }

static void fill_segments(segment_t *segment, uint32_t count) {
  for (uint32_t i = 0; i < count; i++)
    segment[i] = (segment_t){.gref = some_ref(), .first = (uint8_t)(pick(8) ? 0 : odd()), .last = (uint8_t)(pick(8) ? 7 : odd())};
}

static uint64_t some_sector(void) {
  if (pick(4)) return 8 * pick((uint32_t)(disk.sectors / 8));
  return pick(2) ? odd() : (uint64_t)odd() << 32 | odd();
}

static void entry(uint32_t index, bool giant) {
  uint8_t kind = giant ? 3 : (uint8_t)pick(6);
  request_t *request = &disk.ring->entry[index % ENTRIES].request;
  memset(request, 0, sizeof *request);
  request->id = pick(1u << 30);
  request->sector = some_sector();
  if (kind < 2) {
    request->op = kind;
    request->segments = (uint8_t)(pick(8) ? 1 + pick(11) : odd());
    fill_segments(request->segment, 11);
  } else if (kind == 2) {
    static const uint8_t ops[] = {BLKIF_OP_BARRIER, BLKIF_OP_FLUSH, BLKIF_OP_DISCARD, 4, 7, 255};
    request->op = ops[pick(6)];
    request->segments = (uint8_t)pick(3);
    fill_segments(request->segment, 3); /* of a discard: how many sectors */
  } else {
    /* All of 256 KiB, into the same pages again and again. */
    uint32_t list = pick(4);
    segment_t *segments = page(FIRST_PAGE + list);
    uint32_t count = giant ? 64 : pick(3) ? 1 + pick(64) : odd() & 0xffff;
    if (giant) for (uint32_t i = 0; i < 64; i++) segments[i] = (segment_t){.gref = FIRST_REF + 4 + i, .first = 0, .last = 7};
    else fill_segments(segments, 64);
    indirect_t *indirect = (indirect_t *)request;
    indirect->op = BLKIF_OP_INDIRECT;
    indirect->inner = (uint8_t)pick(2);
    indirect->segments = (uint16_t)count;
    indirect->sector = giant ? 8 * pick(128) : some_sector();
    indirect->gref[0] = pick(8) ? FIRST_REF + list : some_ref();
  }
  if (!giant && pick(6) == 0) for (uint32_t n = pick(6) + 1; n > 0; n--) ((uint8_t *)request)[pick(112)] = (uint8_t)pick(256);
}

static void requests(bool giant) {
  ring_t *ring = disk.ring;
  uint32_t answered = ring->rsp_prod, count = 1 + pick(ENTRIES);
  while (count > 0 && ring->req_prod - answered < ENTRIES) {
    entry(ring->req_prod, giant);
    barrier();
    ring->req_prod++;
    count--;
  }
  event_send(disk.port);
  /* Changed while the back end looks at them. */
  if (giant) return;
  for (uint32_t n = pick(40); n > 0; n--) {
    ring->entry[pick(ENTRIES)].bytes[pick(112)] = (uint8_t)pick(256);
    ((uint8_t *)page(FIRST_PAGE + pick(4)))[pick(512)] = (uint8_t)pick(256);
  }
}

static void grants(void) {
  for (uint32_t n = 1 + pick(8); n > 0; n--) {
    uint32_t i = pick(REFS);
    if (pick(2)) revoke(FIRST_REF + i);
    else grant(FIRST_REF + i, FIRST_PAGE + (pick(8) ? i : odd()), device.backend, pick(4) ? 0 : GTF_readonly);
  }
}

static void flood(void) {
  static uint32_t counter;
  static char value[2049];
  memset(value, 'x', 2048);
  for (uint32_t n = 1 + pick(20); n > 0; n--) {
    switch (pick(6)) {
      case 0: store_write("data", decimal(counter++), "1"); break;
      case 1: store_write("data", "large", value); break;
      case 2: store(XS_WATCH, 0, device.back, decimal(counter++)); break;
      case 3: store(XS_TRANSACTION_START, 0, "", 0); break;
      case 4: store_write(device.front, decimal(counter++), "1"); break;
      default: store_write(device.front, pick(2) ? "ring-ref" : "event-channel", decimal(odd())); break;
    }
  }
}

static void again(void) {
  store_write(device.front, "state", "6");
  for (uint32_t i = 0; i < 100 && back_state() != 6; i++) pause_ms(2);
  for (uint32_t i = 0; i < REFS; i++) grant(FIRST_REF + i, FIRST_PAGE + i, device.backend, 0);
  grant(8, POOL, device.backend, 0);
  if (!connect()) pause_ms(20);
  else print("again\n");
}

void hostile(void) {
  for (uint32_t i = 0; i < REFS; i++) grant(FIRST_REF + i, FIRST_PAGE + i, device.backend, 0);
  for (uint32_t step = 1;; step++) {
    if (step % 100 == 0) print(".\n");
    if (step % 16 == 0 && back_state() != 4) again();
    uint32_t kind = pick(64);
    if (kind < 30) requests(false);
    else if (kind < 50) requests(true);
    else if (kind < 56) grants();
    else if (kind < 60) flood();
    else if (kind < 61) {
      volatile uint32_t *words = (uint32_t *)disk.ring;
      words[pick(4)] = odd();
      event_send(disk.port);
    } else if (kind < 62) store_write(device.front, "state", decimal(odd()));
    else if (kind < 63) for (uint32_t n = 0; n < 200; n++) event_send(disk.port);
    else poll(disk.port, 2);
    /* It does not care for its answers. */
    disk.ring->rsp_event = disk.ring->rsp_prod + 1;
  }
}
