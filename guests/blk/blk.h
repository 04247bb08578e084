/* What the block front end's parts share. It polls: no interrupt ever comes. */
#ifndef BLK_H
#define BLK_H

#include "xen.h"

/* Frames that lie behind the image, for pages shared with others. */
enum { SHARED_INFO = 0x300, TABLE = 0x304, TABLE_FRAMES = 4, POOL = 0x310, POOL_PAGES = 0x80 };

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

/* main.c */
long hypercall(unsigned nr, uint64_t a1, uint64_t a2, uint64_t a3);
static inline void *page(uint32_t frame) { return (void *)(frame * PAGE_SIZE); }
static inline void barrier(void) { __asm__ volatile("" ::: "memory"); }
uint32_t pick(uint32_t below);
void print(const char *text);
uint32_t bind_unbound(uint16_t remote);
void event_send(uint32_t port);
/* Waits until the port has an event, or so many milliseconds. */
void poll(uint32_t port, uint32_t ms);
/* Lets others run. */
void pause_ms(uint32_t ms);
void grant(uint32_t ref, uint32_t frame, uint16_t domid, uint16_t flags);
void revoke(uint32_t ref);
void stop(unsigned reason) __attribute__((noreturn));
size_t length(const char *text);
void copy(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);

/* store.c */
void store_init(void);
/* The reply's body, ended by a NUL, until the next call; null if it is an error, whose name is then in store_error. */
const char *store(unsigned type, uint32_t transaction, const char *path, const char *value);
extern char store_error[32];
const char *store_read(const char *folder, const char *name);
bool store_write(const char *folder, const char *name, const char *value);
uint64_t number_of(const char *text);
const char *decimal(uint64_t value);

/* The device. */
typedef struct {
  char front[64], back[96];
  uint16_t backend;
  uint32_t port;
  ring_t *ring;
  uint64_t sectors;
  uint32_t consumed;
} device_t;
extern device_t device;
unsigned back_state(void);
bool connect(void);
/* What the guest does with it. */
void work(void) __attribute__((noreturn));
void hostile(void) __attribute__((noreturn));

#endif
