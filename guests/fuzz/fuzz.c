/*
 * Calls every operation of the table with structured random arguments: fields get numbers of their kind, some are out of range, pointers
 * go to good and bad places, and somebody else changes the arguments while they are read.
 */
#include "fuzz.h"

/* The table (test/fuzz/table.ts): a word with the number of operations, then these with their fields behind each. */
struct operation {
  uint32_t number;
  uint32_t arguments; /* kinds, four bits each from the lowest */
  uint32_t command;   /* value of an argument of kind COMMAND, or of the structure's first word */
  uint32_t version;   /* interface version in the structure's second word, 0 = none */
  uint32_t size;      /* of the structure */
  uint32_t flags;     /* 1: the structure begins with the command; 2: the argument behind the structure counts an array */
  uint32_t fields;
  uint32_t field[];   /* offset | size << 16 | kind << 24, bit 31: in place of one before */
};
enum kind { INTEGER, DOMAIN, PORT, REFERENCE, FRAME, COUNT, POINTER, COMMAND, ADDRESS, NONE = 15 };

static uint32_t state, victim_id, own_id, operations;
static const uint32_t *ops;

static uint32_t rnd(void) {
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}
static uint32_t below(uint32_t n) { return rnd() % n; }

static const uint32_t edges[] = {0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 1023, 1024, 4095, 4096, 0x7fff, 0xffff, 0x20000000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};

static uint32_t integer(void) {
  switch (below(8)) {
    case 0: return rnd() | 0x1000000;
    case 1: case 2: return edges[below(sizeof edges / sizeof *edges)];
    default: return below(8);
  }
}

/* Half of the calls are about the victim: what one field alone says seldom leads anywhere. */
static bool at_victim;

static uint32_t domain(void) {
  if (at_victim && below(8)) return below(2) ? victim_id : DOMID_SELF;
  switch (below(10)) {
    case 0: return 0;
    case 1: return 0x7f01 + below(2);
    case 2: return rnd() & 0xffff;
    case 3: case 4: return own_id - 1 + below(3);
    case 5: return own_id;
    case 6: return victim_id;
    default: return DOMID_SELF;
  }
}

/* A frame of the pool, near nothing, or one that cannot be. */
static uint64_t frame(void) {
  switch (below(16)) {
    case 0: return rnd() | 0x1000000;
    case 1: return below(256);
    case 2: return ((uint64_t)rnd() << 32) | rnd() | 0x1000000;
    case 3: return 0x3fffffffu - below(3) + 1;
    default: return POOL + below(POOL_FRAMES);
  }
}

static word arguments_place(uint32_t size) {
  word base = ARGUMENTS * 4096ul;
  /* Now and then across the last page's end, behind which there is nothing. */
  if (below(16) == 0) return base + ARGUMENT_PAGES * 4096 - below(size + 8);
  return base + (below(ARGUMENT_PAGES * 4096 - 1024) & ~7u);
}

static word pointer(void) {
  switch (below(12)) {
    case 0: return 0;
    case 1: return (word)integer();
    case 2: return (word)(rnd() | 0x1000000) << (sizeof(word) == 8 ? below(32) : 0);
    case 3: return POOL * 4096ul + below(POOL_FRAMES * 4096);
    case 4: return arguments_place(64) + below(8);
    default: return arguments_place(64);
  }
}

static uint64_t value(enum kind kind) {
  switch (kind) {
    case DOMAIN: return domain();
    case PORT: return below(8) ? below(24) : integer();
    case REFERENCE: return below(8) ? (below(2) ? VICTIM_REF(own_id - victim_id - 1) + below(8) : below(40)) : integer();
    case FRAME: return frame();
    case COUNT: return below(16) ? below(4) : integer();
    case POINTER: return pointer();
    case ADDRESS: return below(8) ? (uint64_t)(POOL + below(POOL_FRAMES)) << 12 : frame() << 12;
    default: return below(32) ? integer() : ((uint64_t)rnd() << 32) | rnd() | 0x1000000;
  }
}

static void put(volatile uint8_t *at, uint32_t size, uint64_t v) {
  for (uint32_t i = 0; i < size && i < 8; i++) at[i] = (uint8_t)(v >> (8 * i));
}

/* Argument structures at `at`, one behind the other. */
static void structure(const struct operation *o, word at, uint32_t n) {
  const word end = (ARGUMENTS + ARGUMENT_PAGES) * 4096ul;
  for (uint32_t k = 0; k < n; k++, at += o->size) {
    if (at + o->size > end) return;
    volatile uint8_t *p = (volatile uint8_t *)at;
    for (uint32_t i = 0; i < o->size; i++) p[i] = 0;
    for (uint32_t i = 0; i < o->fields; i++) {
      uint32_t f = o->field[i];
      if (f >> 31 && below(2)) continue; /* the other member of a union stays */
      put(p + (f & 0xffff), f >> 16 & 0xff, value(f >> 24 & 0x7f));
    }
    if (o->flags & 1) put(p, 4, o->command);
    if (o->version) put(p + 4, 4, o->version);
  }
  /* Lists that the structures point to are read from the same pages: fill some of them with what lists hold. */
  volatile uint8_t *list = (volatile uint8_t *)(arguments_place(64));
  for (uint32_t i = 0; i < 4 && (word)list + 32 < end; i++) put(list + sizeof(word) * i, sizeof(word), below(2) ? frame() : below(16));
}

static const struct operation *pick(void) {
  const uint32_t *p = ops;
  for (uint32_t n = below(operations); n > 0; n--) p += 7 + ((const struct operation *)p)->fields;
  return (const struct operation *)p;
}

/* Registers for a call of `o`. */
static void arguments(const struct operation *o, word args[5]) {
  uint32_t n = 1;
  for (uint32_t i = 0; i < 5; i++) {
    uint32_t kind = o->arguments >> (4 * i) & 15;
    if (kind == NONE) args[i] = below(4) ? 0 : (word)value(INTEGER);
    else if (kind == COMMAND) args[i] = o->command | (below(64) ? 0 : rnd() << 6);
    else if (kind == POINTER) {
      n = o->flags & 2 ? 1 + below(3) : 1;
      args[i] = o->size == 0 || below(24) == 0 ? pointer() : arguments_place(o->size * n);
      if (o->size && args[i] >= ARGUMENTS * 4096ul) structure(o, args[i], n);
    } else if (kind == COUNT) args[i] = below(16) ? n : integer();
    else args[i] = (word)value(kind);
  }
}

/* Calls that would end the game at once: they come seldom, but they come. */
static bool ends(const struct operation *o) {
  bool sleeps = o->number == HC_sched_op && (o->command == SCHEDOP_block || o->command == SCHEDOP_shutdown || o->command == SCHEDOP_poll || o->command == SCHEDOP_watchdog);
  /* An NMI finds no handler here. */
  bool vcpu = o->number == HC_vcpu_op && (o->command == VCPUOP_down || o->command == VCPUOP_send_nmi);
  return (sleeps || vcpu) && below(2000) != 0;
}

static void multicall(void) {
  word list[8 * 8];
  uint32_t n = 1 + below(8);
  for (uint32_t i = 0; i < n; i++) {
    const struct operation *o = pick();
    while (ends(o)) o = pick();
    list[8 * i] = below(32) ? o->number : integer();
    arguments(o, &list[8 * i + 2]);
  }
  /* With more entries than there are the list would go on over this program, which ends it: only where nothing follows. */
  if (below(16)) call(HC_multicall, (word)list, n, 0);
  else call(HC_multicall, arguments_place(512), below(4) ? n : integer(), 0);
}

static void own_grants(void) {
  volatile grant_entry_v1_t *e = (volatile grant_entry_v1_t *)page(TABLE) + below(40);
  e->frame = (uint32_t)frame();
  e->domid = (uint16_t)domain();
  e->flags = (uint16_t)(below(4) ? GTF_permit_access | (rnd() & GTF_readonly) : rnd());
}

/* The victim's pages as room for arguments: again, if something has taken one away. */
static void map_arguments(void) {
  for (uint32_t i = 0; i < ARGUMENT_PAGES; i++) {
    volatile uint32_t *p = page(ARGUMENTS + i);
    if (*p != ~0u || (*p = 1, *p != ~0u)) continue;
    gnttab_map_grant_ref_t arg = {.host_addr = (uint64_t)(ARGUMENTS + i) << 12, .flags = GNTMAP_host_map, .ref = VICTIM_REF(own_id - victim_id - 1) + i, .dom = (uint16_t)victim_id};
    call(HC_grant_table_op, GNTTABOP_map_grant_ref, (word)&arg, 1);
  }
}

/* The loader's memory that has a place for the counter and the table: the populated page of another frame moves there. */
static void place(uint32_t space, word from, word to) {
  struct { uint16_t domid, size; uint32_t space; word idx, gpfn; } arg = {DOMID_SELF, 0, space, from, to};
  call(HC_memory_op, XENMEM_add_to_physmap, (word)&arg, 0);
}

void fuzz(uint32_t seed, uint32_t calls, uint32_t victim, uint32_t own, const uint32_t *table) {
  state = seed * 2654435761u | 1;
  victim_id = victim;
  own_id = own;
  operations = table[0];
  ops = table + 1;
  place(2, 2000, COUNTER);
  place(XENMAPSPACE_grant_table, 0, TABLE);
  volatile uint32_t *counter = page(COUNTER);
  for (uint32_t i = 0; i < calls; i++) {
    if (i % 512 == 0) map_arguments();
    if (i % 16 == 0) own_grants();
    *counter = i;
    word args[5];
    uint32_t how = below(64);
    at_victim = below(2);
    if (how == 0) {
      for (uint32_t k = 0; k < 5; k++) args[k] = below(2) ? pointer() : (word)value(INTEGER);
      uint32_t number = below(64);
      if (number != HC_sched_op && number != HC_vcpu_op) hypercall(below(8) ? number : rnd(), args);
    } else if (how < 6) multicall();
    else {
      const struct operation *o = pick();
      if (ends(o)) continue;
      arguments(o, args);
      hypercall(o->number, args);
    }
  }
  *counter = calls;
}
