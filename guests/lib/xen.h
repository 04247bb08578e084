/* The part of Xen's public ABI that our guests use (x86-64). Names follow the public headers; layouts are the ABI's. */
#ifndef XEN_H
#define XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096ul

enum { /* hypercalls (xen.h) */
  HC_set_trap_table = 0, HC_memory_op = 12, HC_multicall = 13, HC_set_timer_op = 15, HC_xen_version = 17,
  HC_console_io = 18, HC_grant_table_op = 20, HC_vm_assist = 21, HC_vcpu_op = 24, HC_sched_op = 29,
  HC_event_channel_op = 32, HC_hvm_op = 34,
};

enum { XEN_EPERM = 1, XEN_ENOENT = 2, XEN_ENXIO = 6, XEN_EFAULT = 14, XEN_EEXIST = 17, XEN_EINVAL = 22, XEN_ENOSPC = 28, XEN_ENOSYS = 38, XEN_ENODATA = 61, XEN_ETIME = 62 };

#define DOMID_SELF 0x7ff0u

typedef struct {
  uint32_t version, pad0;
  uint64_t tsc_timestamp, system_time;
  uint32_t tsc_to_system_mul;
  int8_t tsc_shift;
  uint8_t flags, pad1[2];
} vcpu_time_info_t;

typedef struct {
  uint8_t evtchn_upcall_pending, evtchn_upcall_mask, pad[6];
  uint64_t evtchn_pending_sel, cr2, pad2;
  vcpu_time_info_t time;
} vcpu_info_t;

typedef struct {
  vcpu_info_t vcpu_info[32];
  uint64_t evtchn_pending[64], evtchn_mask[64];
  uint32_t wc_version, wc_sec, wc_nsec, wc_sec_hi;
  uint8_t arch[48];
} shared_info_t;

_Static_assert(sizeof(vcpu_info_t) == 64 && sizeof(shared_info_t) == 3136, "public layout");

/* xen_version */
enum { XENVER_version = 0, XENVER_extraversion = 1, XENVER_capabilities = 3, XENVER_get_features = 6, XENVER_pagesize = 7 };

/* memory_op */
enum {
  XENMEM_decrease_reservation = 1, XENMEM_current_reservation = 3, XENMEM_maximum_reservation = 4, XENMEM_populate_physmap = 6,
  XENMEM_add_to_physmap = 7, XENMEM_memory_map = 9, XENMEM_maximum_gpfn = 14, XENMEM_remove_from_physmap = 15,
};
enum { XENMAPSPACE_shared_info = 0, XENMAPSPACE_grant_table = 1 };
typedef struct { uint64_t extent_start, nr_extents; uint32_t extent_order, mem_flags; uint16_t domid; } xen_memory_reservation_t;
typedef struct { uint16_t domid, size; uint32_t space; uint64_t idx, gpfn; } xen_add_to_physmap_t;
typedef struct { uint32_t nr_entries; uint64_t buffer; } xen_memory_map_t;
typedef struct { uint64_t addr, size; uint32_t type; } __attribute__((packed)) e820_entry_t;

/* vcpu_op */
enum {
  VCPUOP_down = 2, VCPUOP_is_up = 3, VCPUOP_get_runstate_info = 4, VCPUOP_register_runstate_memory_area = 5, VCPUOP_set_periodic_timer = 6,
  VCPUOP_stop_periodic_timer = 7, VCPUOP_set_singleshot_timer = 8, VCPUOP_stop_singleshot_timer = 9, VCPUOP_register_vcpu_info = 10, VCPUOP_send_nmi = 11,
};
enum { RUNSTATE_running = 0, RUNSTATE_runnable = 1, RUNSTATE_blocked = 2, RUNSTATE_offline = 3 };
typedef struct { int32_t state; uint64_t state_entry_time, time[4]; } vcpu_runstate_info_t;
typedef struct { uint64_t timeout_abs_ns; uint32_t flags; } vcpu_set_singleshot_timer_t;
typedef struct { uint64_t mfn; uint32_t offset, rsvd; } vcpu_register_vcpu_info_t;
#define VCPU_SSHOTTMR_future 1u

/* sched_op */
enum { SCHEDOP_yield = 0, SCHEDOP_block = 1, SCHEDOP_shutdown = 2, SCHEDOP_poll = 3, SCHEDOP_watchdog = 6 };
enum { SHUTDOWN_poweroff = 0, SHUTDOWN_reboot = 1, SHUTDOWN_crash = 3 };
typedef struct { uint64_t ports; uint32_t nr_ports; uint64_t timeout; } sched_poll_t;
typedef struct { uint32_t id, timeout; } sched_watchdog_t;

/* event_channel_op */
enum {
  EVTCHNOP_bind_interdomain = 0, EVTCHNOP_bind_virq = 1, EVTCHNOP_close = 3, EVTCHNOP_send = 4, EVTCHNOP_status = 5,
  EVTCHNOP_alloc_unbound = 6, EVTCHNOP_bind_ipi = 7, EVTCHNOP_bind_vcpu = 8, EVTCHNOP_unmask = 9, EVTCHNOP_init_control = 11,
  EVTCHNOP_expand_array = 12, EVTCHNOP_set_priority = 13,
};
enum { EVTCHNSTAT_closed = 0, EVTCHNSTAT_unbound = 1, EVTCHNSTAT_interdomain = 2, EVTCHNSTAT_virq = 4, EVTCHNSTAT_ipi = 5 };
enum { VIRQ_TIMER = 0, VIRQ_DEBUG = 1 };
typedef struct { uint16_t dom, remote_dom; uint32_t port; } evtchn_alloc_unbound_t;
typedef struct { uint16_t remote_dom; uint32_t remote_port, local_port; } evtchn_bind_interdomain_t;
typedef struct { uint32_t virq, vcpu, port; } evtchn_bind_virq_t;
typedef struct { uint32_t vcpu, port; } evtchn_bind_ipi_t;
typedef struct { uint32_t port, value; } evtchn_port_value_t; /* bind_vcpu {port, vcpu}, set_priority {port, priority} */
typedef struct {
  uint16_t dom;
  uint32_t port, status, vcpu;
  union {
    struct { uint16_t dom; } unbound;
    struct { uint16_t dom; uint32_t port; } interdomain;
    uint32_t virq;
  } u;
} evtchn_status_t;
typedef struct { uint64_t control_gfn; uint32_t offset, vcpu; uint8_t link_bits, pad[7]; } evtchn_init_control_t;
typedef struct { uint32_t ready, pad, head[16]; } evtchn_fifo_control_block_t;
enum { EVTCHN_FIFO_PENDING = 31, EVTCHN_FIFO_MASKED = 30, EVTCHN_FIFO_LINKED = 29 };

/* hvm_op */
enum { HVMOP_set_param = 0, HVMOP_get_param = 1, HVMOP_set_evtchn_upcall_vector = 23 };
enum { HVM_PARAM_CALLBACK_IRQ = 0, HVM_PARAM_STORE_PFN = 1, HVM_PARAM_STORE_EVTCHN = 2, HVM_PARAM_CONSOLE_PFN = 17, HVM_PARAM_CONSOLE_EVTCHN = 18 };
typedef struct { uint16_t domid; uint32_t index; uint64_t value; } xen_hvm_param_t;
typedef struct { uint32_t vcpu; uint8_t vector; } xen_hvm_evtchn_upcall_vector_t;

/* grant_table_op */
enum { GNTTABOP_map_grant_ref = 0, GNTTABOP_unmap_grant_ref = 1, GNTTABOP_transfer = 4, GNTTABOP_copy = 5, GNTTABOP_query_size = 6, GNTTABOP_set_version = 8, GNTTABOP_get_version = 10 };
enum { GTF_permit_access = 1, GTF_readonly = 4, GTF_reading = 8, GTF_writing = 16 };
enum { GNTST_okay = 0, GNTST_general_error = -1, GNTST_bad_domain = -2, GNTST_bad_gntref = -3, GNTST_bad_handle = -4, GNTST_bad_copy_arg = -10 };
enum { GNTMAP_host_map = 2, GNTMAP_readonly = 4 };
enum { GNTCOPY_source_gref = 1, GNTCOPY_dest_gref = 2 };
typedef struct { uint16_t flags, domid; uint32_t frame; } grant_entry_v1_t;
typedef struct {
  uint64_t host_addr;
  uint32_t flags, ref;
  uint16_t dom;
  int16_t status;
  uint32_t handle;
  uint64_t dev_bus_addr;
} gnttab_map_grant_ref_t;
typedef struct { uint64_t host_addr, dev_bus_addr; uint32_t handle; int16_t status; } gnttab_unmap_grant_ref_t;
typedef struct { uint64_t frame_or_ref; uint16_t domid, offset; uint32_t pad; } gnttab_copy_end_t;
typedef struct { gnttab_copy_end_t source, dest; uint16_t len, flags; int16_t status; } gnttab_copy_t;
typedef struct { uint16_t dom; uint32_t nr_frames, max_nr_frames; int16_t status; } gnttab_query_size_t;
typedef struct { uint16_t dom; uint32_t version; } gnttab_get_version_t;
_Static_assert(sizeof(gnttab_map_grant_ref_t) == 32 && sizeof(gnttab_copy_t) == 40, "public layout");

/* io/console.h, io/xs_wire.h */
typedef struct { char in[1024], out[2048]; uint32_t in_cons, in_prod, out_cons, out_prod; } xencons_interface_t;
typedef struct {
  char req[1024], rsp[1024];
  uint32_t req_cons, req_prod, rsp_cons, rsp_prod, server_features, connection;
} xenstore_interface_t;
typedef struct { uint32_t type, req_id, tx_id, len; } xsd_sockmsg_t;
enum {
  XS_DIRECTORY = 1, XS_READ = 2, XS_GET_PERMS = 3, XS_WATCH = 4, XS_UNWATCH = 5, XS_TRANSACTION_START = 6, XS_TRANSACTION_END = 7,
  XS_WRITE = 11, XS_MKDIR = 12, XS_RM = 13, XS_WATCH_EVENT = 15, XS_ERROR = 16,
};

#endif
