/* A PV guest that tests what the processor half of the hypervisor owes it. It ends with poweroff; every line that says FAIL is a mistake. */
#include "pv.h"

struct entry last;
u64 args[4], entries, last_cr2, failsafe_segments[4];
volatile u64 resume_rip, resume_rsp;
struct start *start;
static u64 failures, checks;

void say(const char *text) {
  u64 n = 0;
  while (text[n]) n++;
  HC(HC_console_io, 0, n, text);
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

static void shutdown(uint32_t reason) {
  HC(HC_sched_op, SCHEDOP_shutdown, &reason, 0);
  for (;;) {}
}

void fatal(const char *text) {
  say("FAIL ");
  say(text);
  say("\n");
  shutdown(SHUTDOWN_crash);
  __builtin_unreachable();
}

void entered(struct entry *e) {
  if (serving && (e->code == SYSCALL || e->code == UD)) {
    serve(e);
    return;
  }
  last = *e;
  last_cr2 = VCPU.cr2;
  entries++;
  if (e->code == EVENT) {
    VCPU.evtchn_upcall_pending = 0;
    VCPU.evtchn_pending_sel = 0;
    start->shared->evtchn_pending[0] = 0;
    if (!resume_rip) return;
  }
  if (!resume_rip) {
    say_number(e->code);
    say_number(e->error);
    say_number(e->rip);
    say_number(last_cr2);
    fatal(" entered unexpectedly");
  }
  e->rip = resume_rip;
  e->rsp = resume_rsp;
  e->cs = 0xe030;
  e->ss = 0xe02b;
  e->rflags = 0x202;
}

/* All that is pushed for the way back is what `back` takes: RIP CS RFLAGS RSP SS. */
void user(void *rip, u64 cs, u64 flags) {
  ARGS(flags, cs, rip, 0);
  RUN("pushq $0xe02b\n\tpushq $user_stack_top\n\tpushq %%rbx\n\tpushq %%rcx\n\tpushq %%rdx\n\tjmp back");
}

void user_sysret(void *rip) {
  ARGS(0, 0, rip, 0);
  RUN("pushq $0x2b\n\tpushq $user_stack_top\n\tpushq $0x202\n\tpushq $0x33\n\tpushq %%rdx\n\tpushq $0x100\n\tpushq $0\n\tpushq $0\n\tpushq $0x77\n\tmovl $23, %%eax\n\tsyscall");
}

extern const u64 traps[20];
extern char on_syscall[], on_event[], on_failsafe[], on_sysenter[], trap_int80[], trap_int81[], trap_int82[], trap_stack_top[];

static struct { uint8_t vector, flags; uint16_t cs; uint64_t address; } table[24];

static void set_traps(void) {
  for (int i = 0; i < 20; i++) {
    table[i].vector = i;
    table[i].flags = i == 3 || i == 4 ? 3 : 0;
    table[i].cs = 0xe033;
    table[i].address = traps[i];
  }
  table[20].vector = 0x80;
  table[20].flags = 3 | 4;
  table[20].address = (u64)trap_int80;
  table[21].vector = 0x81;
  table[21].flags = 1;
  table[21].address = (u64)trap_int81;
  table[22].vector = 0x82;
  table[22].flags = 0;
  table[22].address = (u64)trap_int82;
  check("set_trap_table", HC(HC_set_trap_table, table, 0, 0), 0);
}

static int64_t callback(uint16_t type, uint16_t flags, void *address) {
  struct { uint16_t type, flags; uint64_t address; } c = { type, flags, (u64)address };
  return HC(30, 0, &c, 0);
}

void guest_main(struct start *s) {
  start = s;
  set_traps();
  check("callback event", callback(0, 0, on_event), 0);
  check("callback failsafe", callback(1, 1, on_failsafe), 0);
  check("callback syscall", callback(2, 1, on_syscall), 0);
  check("callback sysenter", callback(5, 0, on_sysenter), 0);
  check("stack_switch", HC(3, 0xe02b, trap_stack_top, 0), 0);
  if (s->how >= 1000) {
    hostile(s->how);
    shutdown(SHUTDOWN_poweroff);
  }
  if (s->how) crash(s->how);
  test_traps();
  test_user();
  test_events();
  test_emulation();
  test_memory();
  test_segments();
  test_refusals();
  test_pages();
  test_vcpus();
  test_hot();
  say(failures ? "some fail," : "all checks hold,");
  say_number(checks);
  say(" checks\n");
  shutdown(SHUTDOWN_poweroff);
}
