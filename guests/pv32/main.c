/* A 32-bit PV guest that tests what the hypervisor owes it. It ends with poweroff; every line that says FAIL is a mistake. */
#include "pv32.h"

struct entry last;
u32 args[4], last_at, entries, last_cr2, failsafe_segments[4];
volatile u32 resume_eip, resume_esp, fault_at;
struct start_info *info;
shared_info_t shared __attribute__((aligned(4096)));
char pages[8][4096] __attribute__((aligned(4096)));
static u32 failures, checks;

/* io/console.h */
static struct { char in[1024], out[2048]; u32 in_cons, in_prod, out_cons, out_prod; } ring __attribute__((aligned(4096)));
static char rest_of_ring[4096 - sizeof ring] __attribute__((aligned(16), used));

static void say_in_ring(const char *text) {
  for (; *text; text++) {
    while (ring.out_prod - *(volatile u32 *)&ring.out_cons == sizeof ring.out) HC(sched_op, 0, 0, 0, 0);
    ring.out[ring.out_prod % sizeof ring.out] = *text;
    asm volatile("" : : : "memory");
    ring.out_prod++;
  }
  u32 port = info->console_evtchn;
  HC(event_channel_op, 4, &port, 0, 0);
}

void say(const char *text) {
  u32 n = 0;
  while (text[n]) n++;
  HC(console_io, 0, n, text, 0);
  if (info->console_evtchn) say_in_ring(text);
}

static void say_number(u64 v) {
  static char digits[20] = " 0x";
  for (int i = 0; i < 16; i++) digits[3 + i] = "0123456789abcdef"[(v >> (60 - 4 * i)) & 15];
  say(digits);
}

void check(const char *name, u64 got, u64 wanted) {
  checks++;
  if (got == wanted) return;
  failures++;
  say("FAIL ");
  say(name);
  say(":");
  say_number(got);
  say(" instead of");
  say_number(wanted);
  say("\n");
}

static void shutdown(u32 reason) {
  HC(sched_op, 2, &reason, 0, 0);
  for (;;) {}
}

void fatal(const char *text) {
  say("FAIL ");
  say(text);
  say("\n");
  shutdown(3);
  __builtin_unreachable();
}

extern void resume(void) __attribute__((noreturn));

void entered(struct entry *e) {
  last = *e;
  last_at = (u32)&e->eip;
  last_cr2 = VCPU.cr2;
  entries++;
  if (e->code == EVENT) {
    VCPU.evtchn_upcall_pending = 0;
    VCPU.evtchn_pending_sel = 0;
    shared.evtchn_pending[0] = 0;
    if (!resume_eip) return;
  }
  if (!resume_eip) {
    say_number(e->code);
    say_number(e->error);
    say_number(e->eip);
    say_number(last_cr2);
    fatal(" entered unexpectedly");
  }
  resume();
}

void user(void *eip, u32 cs, u32 flags) {
  ARGS(flags, cs, eip, 0);
  RUN("pushl $0xe033\n\tpushl $user_stack_top\n\tpushl %%ebx\n\tpushl %%ecx\n\tpushl %%edx\n\tjmp HYPERCALL_iret");
}

u64 *l3(void) {
  return (u64 *)info->pt_base;
}
u64 *l2_of(u32 va) {
  return &table(l3()[va >> 30])[va >> 21 & 511];
}
u64 *l1_of(u32 va) {
  return &table(*l2_of(va))[va >> 12 & 511];
}
u64 machine(const void *p) {
  return entry(mfn_of(p), (u32)p & 4095);
}
int map(const void *va, u64 value) {
  return HC(update_va_mapping, va, value, value >> 32, 2);
}
int update(u64 ptr, u64 value) {
  u64 u[2] = { ptr, value };
  return HC(mmu_update, u, 1, 0, DOMID_SELF);
}
int mmuext(u32 cmd, u32 arg1, u32 arg2) {
  u32 op[3] = { cmd, arg1, arg2 };
  return HC(mmuext_op, op, 1, 0, DOMID_SELF);
}

extern const u32 traps[20];
extern char _end[], on_event[], on_failsafe[], on_sysenter[], trap_int80[], trap_int81[], trap_int82[];
static struct { uint8_t vector, flags; uint16_t cs; u32 address; } list[24];

static void set_traps(void) {
  for (int i = 0; i < 20; i++) {
    list[i].vector = i;
    list[i].flags = i == 3 || i == 4 ? 3 : 0;
    list[i].cs = CS1 & ~3; /* ring 0 becomes ring 1 */
    list[i].address = traps[i];
  }
  const u32 more[3] = { (u32)trap_int80, (u32)trap_int81, (u32)trap_int82 };
  for (int i = 0; i < 3; i++) {
    list[20 + i].vector = 0x80 + i;
    list[20 + i].flags = i == 0 ? 3 | 4 : i == 1 ? 1 : 3;
    list[20 + i].cs = CS1;
    list[20 + i].address = more[i];
  }
  check("set_trap_table", HC(set_trap_table, list, 0, 0, 0), 0);
}

static int callback(uint16_t type, uint16_t flags, void *address) {
  struct { uint16_t type, flags; u32 cs, eip; } c = { type, flags, CS1, (u32)address };
  return HC(callback_op, 0, &c, 0, 0);
}

static u32 how(const char *text) {
  u32 n = 0;
  while (*text >= '0' && *text <= '9') n = 10 * n + *text++ - '0';
  return n;
}

void guest_main(struct start_info *start) {
  info = start;
  set_traps();
  check("callback event", callback(0, 0, on_event), 0);
  check("callback failsafe", callback(1, 1, on_failsafe), 0);
  check("callback sysenter", callback(5, 0, on_sysenter), 0);
  check("callback syscall", callback(2, 0, on_event), (u64)-XEN_ENOSYS);
  check("stack_switch", HC(stack_switch, SS1, trap_stack_top, 0, 0), 0);
  if (info->console_evtchn && map(&ring, entry(info->console_mfn, KERNEL_PTE))) info->console_evtchn = 0;
  check("shared_info", map(&shared, (u64)info->shared_info | KERNEL_PTE), 0);
  /* whoever loaded the kernel may have left events, and tables whose upper entries are the kernel's */
  shared.evtchn_mask[0] = ~0u;
  VCPU.evtchn_upcall_pending = 0;
  VCPU.evtchn_pending_sel = shared.evtchn_pending[0] = 0;
  check("user table", update(machine(l2_of((u32)user_start)), *l2_of((u32)user_start) | US), 0);
  for (char *p = (char *)0x100000; p < _end; p += 4096) {
    const u64 e = *l1_of((u32)p);
    if (e & US) check("kernel page", map(p, e & ~(u64)US), 0);
  }
  for (char *p = user_start; p < user_end; p += 4096) check("user page", map(p, machine(p) | KERNEL_PTE | US), 0);
  const u32 mode = how(info->cmd_line);
  if (mode >= 1000) {
    hostile(mode);
    shutdown(0);
  }
  if (mode) crash(mode);
  test_traps();
  test_user();
  test_events();
  test_emulation();
  test_memory();
  test_segments();
  test_refusals();
  test_vcpus();
  test_hot();
  say(failures ? "some fail," : "all checks hold,");
  say_number(checks);
  say(" checks\n");
  shutdown(0);
}
