/* What front ends of ours share: they poll, no interrupt ever comes. */
#ifndef FRONT_H
#define FRONT_H

#include "xen.h"

/* Frames that lie behind the image, for pages shared with others. */
enum { SHARED_INFO = 0x300, TABLE = 0x304, TABLE_FRAMES = 4, POOL = 0x310, POOL_PAGES = 0x80 };

/* front.c */
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

/* The device that the guest has, as the store has it. */
typedef struct {
  char front[64], back[96];
  uint16_t backend;
} device_t;
extern device_t device;
unsigned back_state(void);
/* Whether the back end's state comes to be that, in so many looks 2 ms apart. */
bool state_within(unsigned wanted, unsigned tries);
/* What stands behind `name` in the command line, or null. */
const char *word(const char *name);
/* The guest's own, called once `device` is the first one of `kind`. */
extern const char kind[];
void front_main(void) __attribute__((noreturn));

#endif
