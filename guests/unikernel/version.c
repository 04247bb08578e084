/* xen_version, CPUID, unknown hypercalls, multicall. */
#include "guest.h"

static long version(unsigned op, void *arg) { return hypercall(HC_xen_version, op, (uintptr_t)arg, 0); }

static void test_cpuid(void) {
  uint32_t r[4];
  cpuid(1, r);
  check("cpuid.hypervisor", r[2] >> 31, "ecx", r[2]);
  cpuid(0x40000000, r);
  check("cpuid.xen", r[1] == 0x566e6558 && r[2] == 0x65584d4d && r[3] == 0x4d4d566e, "ebx", r[1]);
  check("cpuid.xen.leaves", r[0] >= 0x40000004, "last", r[0]);
  cpuid(0x40000001, r);
  expect("cpuid.xen.version", r[0], version(XENVER_version, 0));
  cpuid(0x40000002, r);
  check("cpuid.xen.hypercall_page", r[0] >= 1 && r[1] == 0x40000000, "msr", r[1]);
}

static void test_multicall(void) {
  struct { uint64_t op, result, args[6]; } calls[2] = {
    {HC_xen_version, 1, {XENVER_pagesize}},
    {HC_set_trap_table, 1, {0}},
  };
  long result = hypercall(HC_multicall, (uintptr_t)calls, 2, 0);
  expect("multicall", result, 0);
  expect("multicall.first", calls[0].result, PAGE_SIZE);
  expect("multicall.second", calls[1].result, -XEN_ENOSYS);
  expect("multicall.bad_handle", hypercall(HC_multicall, BAD_ADDRESS, 1, 0), -XEN_EFAULT);
}

void test_version(void) {
  static char text[1024];
  long number = version(XENVER_version, 0);
  check("version", number >= 0x40000 && number < 0x100000, "number", number);
  expect("version.extraversion", version(XENVER_extraversion, text), 0);
  expect("version.capabilities", version(XENVER_capabilities, text), 0);
  bool found = false;
  for (size_t i = 0; text[i] && i < sizeof text - 14; i++) found |= memcmp(text + i, "hvm-3.0-x86_64", 14) == 0;
  check("version.capabilities.hvm", found, "first byte", text[0]);
  expect("version.pagesize", version(XENVER_pagesize, 0), PAGE_SIZE);
  struct { uint32_t submap, features; } info = {0, 0};
  expect("version.features", version(XENVER_get_features, &info), 0);
  const unsigned needed = 1 << 2 | 1 << 8 | 1 << 9; /* auto_translated, hvm_callback_vector, hvm_safe_pvclock */
  check("version.features.hvm", (info.features & needed) == needed, "bits", info.features);
  expect("version.bad_op", version(63, 0), -XEN_ENOSYS);
  expect("version.bad_handle", version(XENVER_get_features, (void *)BAD_ADDRESS), -XEN_EFAULT);
  expect("hypercall.unknown", hypercall(63, 0, 0, 0), -XEN_ENOSYS);
  expect("hypercall.pv_only", hypercall(HC_set_trap_table, 0, 0, 0), -XEN_ENOSYS);
  long written = hypercall(HC_console_io, 0, 8, (uintptr_t)"console\n");
  check("console_io.write", written == 0 || written == -XEN_EPERM, "result", written); /* Xen's release builds deny it */
  expect("console_io.bad_handle", hypercall(HC_console_io, 0, 8, BAD_ADDRESS), written ? written : -XEN_EFAULT);
  test_cpuid();
  test_multicall();
}
