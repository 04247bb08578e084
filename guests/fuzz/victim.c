/* The victim: it shares a few pages and ports with the fuzzers and looks again and again whether anything else of it changes. */
#include "fuzz.h"

static uint32_t own;

static uint32_t pattern(uint32_t i) { return i * 2654435761u ^ 0x5bd1e995u; }

static void fill(uint32_t first, uint32_t pages) {
  uint32_t *p = page(first);
  for (uint32_t i = 0; i < pages * 1024; i++) p[i] = pattern(first * 1024 + i);
}

/* The first word that is another, or 0. */
static uint32_t changed(uint32_t first, uint32_t pages) {
  const volatile uint32_t *p = page(first);
  for (uint32_t i = 0; i < pages * 1024; i++)
    if (p[i] != pattern(first * 1024 + i)) return (uint32_t)(word)&p[i];
  return 0;
}

static const uint32_t frames[8] = {VICTIM_RACED, VICTIM_RACED + 1, VICTIM_RACED + 2, VICTIM_RACED + 3, VICTIM_SHOWN, VICTIM_SHOWN + 1, VICTIM_SHARED, 0};

static uint32_t wanted(uint32_t i) { /* flags and domain of the entry */
  return (GTF_permit_access | (i == 4 || i == 5 ? GTF_readonly : 0)) | 0;
}

static uint32_t grants_changed(uint32_t first) {
  const volatile grant_entry_v1_t *table = page(VICTIM_TABLE);
  for (uint32_t k = 0; k < VICTIM_FRIENDS; k++)
    for (uint32_t i = 0; i < 7; i++) {
      const volatile grant_entry_v1_t *e = &table[VICTIM_REF(k) + i];
      if ((e->flags & ~(GTF_reading | GTF_writing)) != wanted(i) || e->domid != first + k || e->frame != frames[i]) return low((void *)e);
    }
  return 0;
}

void victim(void) {
  volatile uint32_t *status = page(VICTIM_STATUS);
  uint32_t a = 0x40000004, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  own = c;
  for (uint32_t i = 0; i < 32; i++) {
    xen_add_to_physmap_t arg = {.domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = i, .gpfn = VICTIM_TABLE + i};
    call(HC_memory_op, XENMEM_add_to_physmap, (word)&arg, 0);
  }
  grant_entry_v1_t *table = page(VICTIM_TABLE);
  for (uint32_t k = 0; k < VICTIM_FRIENDS; k++)
    for (uint32_t i = 0; i < 7; i++) {
      grant_entry_v1_t *e = &table[VICTIM_REF(k) + i];
      e->frame = frames[i];
      e->domid = (uint16_t)(own + 1 + k);
      __asm__ volatile("" ::: "memory");
      e->flags = (uint16_t)wanted(i);
    }
  for (uint32_t k = 0; k < VICTIM_PORTS; k++) {
    evtchn_alloc_unbound_t arg = {.dom = DOMID_SELF, .remote_dom = (uint16_t)(own + 1 + k)};
    call(HC_event_channel_op, EVTCHNOP_alloc_unbound, (word)&arg, 0);
  }
  fill(VICTIM_SHOWN, 2);
  fill(VICTIM_PATTERN, VICTIM_PATTERN_PAGES);
  for (;;) {
    uint32_t at = changed(VICTIM_PATTERN, VICTIM_PATTERN_PAGES);
    if (!at) at = changed(VICTIM_SHOWN, 2);
    if (!at) at = grants_changed(own + 1);
    if (at) {
      status[2] = at;
      status[1]++;
    }
    status[0]++;
    sched_poll_t poll = {0};
    call(HC_sched_op, SCHEDOP_yield, (word)&poll, 0);
  }
}
