/* Grant tables, version 1: the domain grants pages to itself, copies and maps them. */
#include "guest.h"

enum { FIRST_REF = 8, REF_A = FIRST_REF, REF_B, REF_READONLY, REF_FREE };

static grant_entry_v1_t table[PAGE_SIZE / sizeof(grant_entry_v1_t)] __attribute__((aligned(4096)));
static uint8_t page_a[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t page_b[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t window_page[PAGE_SIZE] __attribute__((aligned(4096)));
static uint16_t own_id;

static long grant_op(unsigned op, void *arg) { return hypercall(HC_grant_table_op, op, (uintptr_t)arg, 1); }

/* An event channel to oneself shows the domain's real id. */
static uint16_t find_own_id(void) {
  evtchn_alloc_unbound_t a = {.dom = DOMID_SELF, .remote_dom = DOMID_SELF};
  event_op(EVTCHNOP_alloc_unbound, &a);
  evtchn_status_t status = {.dom = DOMID_SELF, .port = a.port};
  event_op(EVTCHNOP_status, &status);
  event_port_op(EVTCHNOP_close, a.port);
  return status.u.unbound.dom;
}

static void grant(unsigned ref, volatile void *page, unsigned flags) {
  table[ref].domid = own_id;
  table[ref].frame = gfn(page);
  barrier();
  *(volatile uint16_t *)&table[ref].flags = GTF_permit_access | flags;
}

static unsigned flags_of(unsigned ref) { return *(volatile uint16_t *)&table[ref].flags; }

static void test_setup(void) {
  gnttab_query_size_t size = {.dom = DOMID_SELF};
  expect("grants.query_size", grant_op(GNTTABOP_query_size, &size), 0);
  expect("grants.query_size.status", size.status, GNTST_okay);
  check("grants.query_size.frames", size.nr_frames >= 1 && size.max_nr_frames >= size.nr_frames, "frames", size.nr_frames);
  uint32_t version = 1;
  expect("grants.set_version", grant_op(GNTTABOP_set_version, &version), 0);
  gnttab_get_version_t get = {.dom = DOMID_SELF};
  expect("grants.get_version", grant_op(GNTTABOP_get_version, &get), 0);
  expect("grants.get_version.one", get.version, 1);
  version = 7;
  expect("grants.set_version.bad", grant_op(GNTTABOP_set_version, &version), -XEN_EINVAL);
  expect("grants.map_table", add_to_physmap(XENMAPSPACE_grant_table, 0, table), 0);
  check("grants.map_table.bad_index", add_to_physmap(XENMAPSPACE_grant_table, 100000, window_page) < 0, "index", 100000);
}

static int copy(gnttab_copy_end_t source, gnttab_copy_end_t dest, unsigned length, unsigned flags) {
  gnttab_copy_t arg = {.source = source, .dest = dest, .len = length, .flags = flags, .status = 99};
  long result = grant_op(GNTTABOP_copy, &arg);
  return result ? (int)result : arg.status;
}

static gnttab_copy_end_t by_ref(unsigned ref, unsigned offset) {
  return (gnttab_copy_end_t){.frame_or_ref = ref, .domid = own_id, .offset = offset};
}
static gnttab_copy_end_t by_page(void *page, unsigned offset) {
  return (gnttab_copy_end_t){.frame_or_ref = gfn(page), .domid = DOMID_SELF, .offset = offset};
}

static void test_copy(void) {
  for (unsigned i = 0; i < PAGE_SIZE; i++) page_a[i] = i * 7;
  memset(page_b, 0xee, PAGE_SIZE);
  expect("grants.copy.from_ref", copy(by_ref(REF_A, 100), by_page(page_b, 33), 3000, GNTCOPY_source_gref), GNTST_okay);
  check("grants.copy.bytes", memcmp(page_b + 33, page_a + 100, 3000) == 0, "first", page_b[33]);
  check("grants.copy.bounds", page_b[32] == 0xee && page_b[3033] == 0xee, "byte", page_b[3033]);
  expect("grants.copy.to_ref", copy(by_page(page_a, 0), by_ref(REF_B, 0), PAGE_SIZE, GNTCOPY_dest_gref), GNTST_okay);
  check("grants.copy.to_ref.bytes", memcmp(page_a, page_b, PAGE_SIZE) == 0, "first", page_b[0]);
  expect("grants.copy.no_pins_left", flags_of(REF_A) & (GTF_reading | GTF_writing), 0);
  expect("grants.copy.crosses_page", copy(by_ref(REF_A, 4000), by_page(page_b, 0), 97, GNTCOPY_source_gref), GNTST_bad_copy_arg);
  expect("grants.copy.free_ref", copy(by_ref(REF_FREE, 0), by_page(page_b, 0), 1, GNTCOPY_source_gref), GNTST_general_error);
  expect("grants.copy.bad_ref", copy(by_ref(1 << 30, 0), by_page(page_b, 0), 1, GNTCOPY_source_gref), GNTST_bad_gntref);
  expect("grants.copy.read_only", copy(by_page(page_a, 0), by_ref(REF_READONLY, 0), 1, GNTCOPY_dest_gref), GNTST_general_error);
  gnttab_copy_end_t stranger = by_ref(REF_A, 0);
  stranger.domid = 0x1234;
  expect("grants.copy.bad_domain", copy(stranger, by_page(page_b, 0), 1, GNTCOPY_source_gref), GNTST_bad_domain);
}

static gnttab_map_grant_ref_t map(unsigned ref, unsigned domain, unsigned flags) {
  gnttab_map_grant_ref_t arg = {.host_addr = (uintptr_t)window_page, .flags = GNTMAP_host_map | flags, .ref = ref, .dom = domain, .status = 99};
  long result = grant_op(GNTTABOP_map_grant_ref, &arg);
  if (result) arg.status = 98;
  return arg;
}

static int unmap(uint32_t handle) {
  gnttab_unmap_grant_ref_t arg = {.host_addr = (uintptr_t)window_page, .handle = handle, .status = 99};
  long result = grant_op(GNTTABOP_unmap_grant_ref, &arg);
  return result ? 98 : arg.status;
}

/* Mapping a grant of one's own would move the page to the new place (one frame has one gfn), so only refusals are tried here. */
static void test_map(void) {
  expect("grants.map.read_only.writable", map(REF_READONLY, own_id, 0).status, GNTST_general_error);
  expect("grants.map.free_ref", map(REF_FREE, own_id, 0).status, GNTST_general_error);
  expect("grants.map.bad_ref", map(1 << 30, own_id, 0).status, GNTST_bad_gntref);
  expect("grants.map.bad_domain", map(REF_A, 0x1234, 0).status, GNTST_bad_domain);
  expect("grants.map.unpinned", flags_of(REF_READONLY) & (GTF_reading | GTF_writing), 0);
  expect("grants.unmap.bad_handle", unmap(12345678), GNTST_bad_handle);
}

void test_grants(void) {
  test_setup();
  own_id = find_own_id();
  check("grants.own_id", own_id > 0 && own_id < DOMID_SELF, "domain", own_id);
  grant(REF_A, page_a, 0);
  grant(REF_B, page_b, 0);
  grant(REF_READONLY, page_a, GTF_readonly);
  test_copy();
  test_map();
  expect("grants.bad_op", grant_op(77, page_a), -XEN_ENOSYS);
  check("grants.bad_handle", grant_op(GNTTABOP_query_size, (void *)BAD_ADDRESS) == -XEN_EFAULT, "result", grant_op(GNTTABOP_query_size, (void *)BAD_ADDRESS));
}
