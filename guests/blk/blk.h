/* What the block front end's parts share. */
#ifndef BLK_H
#define BLK_H

#include "front.h"

typedef struct { uint32_t gref; uint8_t first, last, pad[2]; } segment_t;
typedef struct {
  uint8_t op, segments;
  uint16_t handle;
  uint32_t pad;
  uint64_t id, sector;
  segment_t segment[11];
} request_t;
typedef struct {
  uint8_t op, inner;
  uint16_t segments;
  uint32_t pad;
  uint64_t id, sector;
  uint16_t handle;
  uint16_t pad2;
  uint32_t gref[8];
} indirect_t;
typedef struct { uint64_t id; uint8_t op, pad; int16_t status; } response_t;
_Static_assert(sizeof(request_t) == 112, "io/blkif.h, x86_64-abi");

enum { BLKIF_OP_READ = 0, BLKIF_OP_WRITE = 1, BLKIF_OP_BARRIER = 2, BLKIF_OP_FLUSH = 3, BLKIF_OP_DISCARD = 5, BLKIF_OP_INDIRECT = 6 };
enum { ENTRIES = 32 };
/* One page (io/ring.h). */
typedef struct {
  volatile uint32_t req_prod, req_event, rsp_prod, rsp_event;
  uint8_t pad[48];
  union { request_t request; indirect_t indirect; response_t response; uint8_t bytes[112]; } entry[ENTRIES];
} ring_t;

typedef struct {
  uint32_t port;
  ring_t *ring;
  uint64_t sectors;
  uint32_t consumed;
} disk_t;
extern disk_t disk;
bool connect(void);
/* What the guest does with it. */
void work(void) __attribute__((noreturn));
void hostile(void) __attribute__((noreturn));

#endif
