/* A block front end of our own: `work`, a good one that counts what it does, or `hostile seed=N`. */
#include "blk.h"

const char kind[] = "vbd";
disk_t disk;

bool connect(void) {
  ring_t *ring = disk.ring;
  memset(ring, 0, PAGE_SIZE);
  ring->req_event = ring->rsp_event = 1;
  disk.consumed = 0;
  store_write(device.front, "state", "1");
  if (!state_within(2, 1000)) return false;
  if (disk.port == 0) disk.port = bind_unbound(device.backend);
  store_write(device.front, "ring-ref", "8");
  store_write(device.front, "event-channel", decimal(disk.port));
  store_write(device.front, "protocol", "x86_64-abi");
  store_write(device.front, "state", "3");
  if (!state_within(4, 1000)) return false;
  store_write(device.front, "state", "4");
  disk.sectors = number_of(store_read(device.back, "sectors"));
  return true;
}

void front_main(void) {
  disk.ring = page(POOL);
  grant(8, POOL, device.backend, 0);
  if (!connect()) {
    print("no disk\n");
    stop(SHUTDOWN_crash);
  }
  print("connected\n");
  if (word("hostile")) hostile();
  work();
}
