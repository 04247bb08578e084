/* What the tests of the 32-bit PV guest share. */
#ifndef PV32_H
#define PV32_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t u32;
typedef uint64_t u64;

enum { /* hypercalls (xen.h) */
  HC_set_trap_table = 0, HC_mmu_update, HC_set_gdt, HC_stack_switch, HC_set_callbacks, HC_fpu_taskswitch, HC_set_debugreg = 8,
  HC_get_debugreg, HC_update_descriptor, HC_memory_op = 12, HC_multicall, HC_update_va_mapping, HC_set_timer_op, HC_xen_version = 17,
  HC_console_io, HC_grant_table_op = 20, HC_vm_assist, HC_update_va_mapping_otherdomain, HC_iret, HC_vcpu_op, HC_set_segment_base,
  HC_mmuext_op, HC_nmi_op = 28, HC_sched_op, HC_callback_op, HC_event_channel_op = 32, HC_physdev_op,
};
enum { XEN_EPERM = 1, XEN_ENOENT = 2, XEN_EBUSY = 16, XEN_EFAULT = 14, XEN_EEXIST = 17, XEN_EINVAL = 22, XEN_ENOSYS = 38 };
#define DOMID_SELF 0x7ff0u

/* Selectors of the hypervisor's flat segments. */
enum { CS1 = 0xe019, SS1 = 0xe021, CS3 = 0xe02b, SS3 = 0xe033 };
/* The hypervisor's part of the address space, the M2P at its beginning. */
#define HV_START 0xf5800000u
#define M2P ((const volatile u32 *)HV_START)

typedef struct {
  uint8_t evtchn_upcall_pending, evtchn_upcall_mask, pad[2];
  u32 evtchn_pending_sel, cr2, pad2[5];
  uint8_t time[32];
} vcpu_info_t;
typedef struct {
  vcpu_info_t vcpu_info[32];
  u32 evtchn_pending[32], evtchn_mask[32];
  uint8_t rest[4096 - 2304];
} shared_info_t;
struct start_info {
  char magic[32];
  u32 nr_pages, shared_info, flags, store_mfn, store_evtchn, console_mfn, console_evtchn;
  u32 pt_base, nr_pt_frames, mfn_list, mod_start, mod_len;
  char cmd_line[1024];
};

/* How the kernel was entered; from the lower end of its stack. ESP and SS are there if it was not the kernel that was interrupted. */
struct entry {
  u32 edi, esi, ebp, unused, ebx, edx, ecx, eax;
  u32 code, error, eip, cs, eflags, esp, ss;
};
enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, XM = 19 };
enum { EVENT = 0x101, FAILSAFE, SYSENTER };

/* The last entry, where it lay, and how many there were since it was waited for. */
extern struct entry last;
extern u32 last_at, entries, last_cr2, failsafe_segments[4];
extern volatile u32 resume_eip, resume_esp;
extern struct start_info *info;
extern shared_info_t shared;
#define VCPU (shared.vcpu_info[0])

extern char hypercall_page[], HYPERCALL_iret[];
static inline int hypercall(u32 nr, u32 a, u32 b, u32 c, u32 d, u32 e) {
  int r;
  asm volatile("call *%%eax" : "=a"(r), "+b"(a), "+c"(b), "+d"(c), "+S"(d), "+D"(e) : "0"(hypercall_page + nr * 32) : "memory");
  return r;
}
#define HC(nr, a, b, c, d) hypercall(HC_##nr, (u32)(a), (u32)(b), (u32)(c), (u32)(d), 0)
#define HC5(nr, a, b, c, d, e) hypercall(HC_##nr, (u32)(a), (u32)(b), (u32)(c), (u32)(d), (u32)(e))

void say(const char *text);
void check(const char *name, u64 got, u64 wanted);
void fatal(const char *text) __attribute__((noreturn));

#define CLOBBERS "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "memory", "cc"
/* What instructions below find in EBX, ECX, EDX and EAX. */
extern u32 args[4];
#define ARGS(b, c, d, a) (args[0] = (u32)(b), args[1] = (u32)(c), args[2] = (u32)(d), args[3] = (u32)(a))
#define LOAD_ARGS "movl args, %%ebx\n\tmovl args + 4, %%ecx\n\tmovl args + 8, %%edx\n\tmovl args + 12, %%eax\n\t"
/* Run instructions; when they enter the kernel, go on behind them. */
#define RUN(insns) \
  do { \
    entries = 0; \
    asm volatile("movl $9f, resume_eip\n\tmovl %%esp, resume_esp\n\t" LOAD_ARGS insns "\n9:\tmovl $0, resume_eip" : : : CLOBBERS); \
  } while (0)
/* One instruction that must raise `vector` with `error`, EIP pointing at it. */
extern volatile u32 fault_at;
#define FAULT(name, vector, err, insn) \
  do { \
    entries = 0; \
    asm volatile("movl $9f, resume_eip\n\tmovl $8f, fault_at\n\tmovl %%esp, resume_esp\n\t" LOAD_ARGS "\n8:\t" insn "\n9:\tmovl $0, resume_eip" \
                 : : : CLOBBERS); \
    check(name ": entered once", entries, 1); \
    check(name ": vector", last.code, vector); \
    check(name ": error", last.error, err); \
    check(name ": eip", last.eip, fault_at); \
  } while (0)
#define NO_FAULT(name, insns) \
  do { \
    RUN(insns); \
    check(name, entries, 0); \
  } while (0)

/* Go to ring 3 at `eip`; comes back with the next entry. */
void user(void *eip, u32 cs, u32 flags);
extern char user_start[], user_end[], user_stack_top[], stack_top[], trap_stack_top[];
#define USER __attribute__((section(".user")))

/* Page tables: entries, and where the tables of the first GiB are. */
enum { P = 1, RW = 2, US = 4, A = 0x20, D = 0x40 };
#define KERNEL_PTE (P | RW | A | D)
static inline u32 mfn_of(const void *va) {
  return ((const u32 *)info->mfn_list)[(u32)va >> 12];
}
static inline u64 entry(u32 mfn, u64 flags) {
  return (u64)mfn << 12 | flags;
}
/* The table that an entry names, as the kernel sees it; its own entry for an address. */
static inline u64 *table(u64 e) {
  return (u64 *)(M2P[(u32)(e >> 12)] << 12);
}
u64 *l3(void), *l2_of(u32 va), *l1_of(u32 va);
u64 machine(const void *entry);
int map(const void *va, u64 value);
int update(u64 ptr, u64 value);
int mmuext(u32 cmd, u32 arg1, u32 arg2);
/* A page of zeros of the kernel's own that nothing else uses. */
extern char pages[8][4096];

void test_traps(void);
void test_user(void);
void test_events(void);
void test_emulation(void);
void test_memory(void);
void test_segments(void);
void test_refusals(void);
void test_vcpus(void);
void test_hot(void);
void crash(u32 how);
void hostile(u32 seed);
#endif
