/* A good front end: 4 KiB written and read at random, four at a time; what is read must be what was written last. A line for every hundred. */
#include "blk.h"

enum { DEPTH = 4, BLOCKS = 256, FIRST_REF = 16, FIRST_PAGE = POOL + 1 };

static uint32_t stamps[BLOCKS];
static struct { uint32_t block, stamp; bool writes; } open[DEPTH];

static void issue(uint32_t slot) {
  static uint32_t next_stamp;
  uint32_t block;
  for (bool free = false; !free;) {
    block = pick(BLOCKS);
    free = true;
    for (uint32_t i = 0; i < DEPTH; i++) if (i != slot && open[i].block == block) free = false;
  }
  bool writes = stamps[block] == 0 || pick(2) == 0;
  uint32_t *data = page(FIRST_PAGE + slot);
  uint32_t stamp = writes ? ++next_stamp : stamps[block];
  for (unsigned i = 0; i < PAGE_SIZE / 4; i += 64) data[i] = writes ? stamp + i : 0;
  open[slot].block = block;
  open[slot].stamp = stamp;
  open[slot].writes = writes;
  ring_t *ring = disk.ring;
  request_t *request = &ring->entry[ring->req_prod % ENTRIES].request;
  *request = (request_t){.op = writes ? BLKIF_OP_WRITE : BLKIF_OP_READ, .segments = 1, .id = slot, .sector = 8 * block};
  request->segment[0] = (segment_t){.gref = FIRST_REF + slot, .first = 0, .last = 7};
  barrier();
  ring->req_prod++;
}

static void publish(uint32_t old) {
  ring_t *ring = disk.ring;
  __sync_synchronize();
  if (ring->req_prod - ring->req_event < ring->req_prod - old) event_send(disk.port);
}

static void settle(uint32_t slot, int16_t status) {
  uint32_t *data = page(FIRST_PAGE + slot);
  bool good = status == 0;
  for (unsigned i = 0; i < PAGE_SIZE / 4; i += 64) if (data[i] != open[slot].stamp + i) good = false;
  if (!good) {
    print("WRONG\n");
    stop(SHUTDOWN_crash);
  }
  if (open[slot].writes) stamps[open[slot].block] = open[slot].stamp;
}

void work(void) {
  ring_t *ring = disk.ring;
  for (uint32_t i = 0; i < DEPTH; i++) {
    grant(FIRST_REF + i, FIRST_PAGE + i, device.backend, 0);
    open[i].block = BLOCKS;
  }
  for (uint32_t i = 0; i < DEPTH; i++) issue(i);
  publish(0);
  for (uint32_t done = 0;;) {
    uint32_t old = ring->req_prod;
    for (; disk.consumed != ring->rsp_prod; disk.consumed++) {
      response_t answer = ring->entry[disk.consumed % ENTRIES].response;
      settle((uint32_t)answer.id, answer.status);
      if (++done % 100 == 0) print(".\n");
      issue((uint32_t)answer.id);
    }
    if (ring->req_prod != old) publish(old);
    ring->rsp_event = disk.consumed + 1;
    __sync_synchronize();
    if (disk.consumed == ring->rsp_prod) poll(disk.port, 1000);
  }
}
