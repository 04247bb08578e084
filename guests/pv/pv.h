/* What the tests of the PV guest share. */
#ifndef PV_H
#define PV_H
#include "xen.h"

typedef uint64_t u64;

/* How the kernel was entered; from the lower end of its stack. */
struct entry {
  u64 rdi, rsi, rdx, rcx, rax, r8, r9, r10, r11, rbx, rbp, r12, r13, r14, r15;
  u64 code, error, rip, cs, rflags, rsp, ss;
};

enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, XM = 19 };
enum { SYSCALL = 0x100, EVENT, FAILSAFE, SYSENTER };

/* The last entry, and how many there were since it was waited for. */
extern struct entry last;
extern u64 entries, last_cr2, failsafe_segments[4];
extern volatile u64 resume_rip, resume_rsp;

/* What the builder passes. */
struct start {
  shared_info_t *shared;
  u64 user_root, free_mfn, free_va, kernel_only;
  u64 *l1;
  u64 l1_mfn;
  u64 *l2;
  u64 *scratch;
  u64 scratch_mfn, how;
};
extern struct start *start;
#define VCPU (start->shared->vcpu_info[0])

static inline u64 hypercall(u64 nr, u64 a, u64 b, u64 c, u64 d) {
  u64 r;
  register u64 r10 asm("r10") = d;
  asm volatile("syscall" : "=a"(r), "+D"(a), "+S"(b), "+d"(c), "+r"(r10) : "0"(nr) : "rcx", "r11", "r8", "r9", "memory");
  return r;
}
#define HC(nr, a, b, c) ((int64_t)hypercall(nr, (u64)(a), (u64)(b), (u64)(c), 0))

void say(const char *text);
void check(const char *name, u64 got, u64 wanted);
void fatal(const char *text) __attribute__((noreturn));

#define CLOBBERS "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc"
/* What instructions below find in RBX, RCX, RDX and RAX. */
extern u64 args[4];
#define ARGS(b, c, d, a) (args[0] = (u64)(b), args[1] = (u64)(c), args[2] = (u64)(d), args[3] = (u64)(a))
#define LOAD_ARGS "movq args, %%rbx\n\tmovq args + 8, %%rcx\n\tmovq args + 16, %%rdx\n\tmovq args + 24, %%rax\n\t"
/* Run instructions; when they enter the kernel, go on behind them. */
#define RUN(insns) \
  do { \
    entries = 0; \
    asm volatile("movq $9f, resume_rip\n\tmovq %%rsp, resume_rsp\n\t" LOAD_ARGS insns "\n9:\tmovq $0, resume_rip" : : : CLOBBERS); \
  } while (0)
/* One instruction that must raise `vector` with `error`, RIP pointing at it. */
#define FAULT(name, vector, err, insn) \
  do { \
    u64 at_; \
    entries = 0; \
    asm volatile("movq $9f, resume_rip\n\tpushq $8f\n\tmovq %%rsp, resume_rsp\n\t" LOAD_ARGS "\n8:\t" insn "\n9:\tmovq $0, resume_rip\n\tpopq %0" \
                 : "=m"(at_) : : CLOBBERS); \
    check(name ": entered once", entries, 1); \
    check(name ": vector", last.code, vector); \
    check(name ": error", last.error, err); \
    check(name ": rip", last.rip, at_); \
  } while (0)
#define NO_FAULT(name, insns) \
  do { \
    RUN(insns); \
    check(name, entries, 0); \
  } while (0)

/* Go to user mode at `rip`; comes back with the next entry. */
void user(void *rip, u64 cs, u64 flags);
/* The same by the system call's short way. */
void user_sysret(void *rip);
extern char user_stack_top[];

void test_traps(void);
void test_user(void);
void test_events(void);
void test_emulation(void);
void test_refusals(void);
void test_segments(void);
void test_memory(void);
void test_hot(void);
void test_pages(void);
void test_vcpus(void);
void crash(u64 how);
void hostile(u64 seed);
/* While this is not 0, system calls and #UD of programs are answered. */
extern u64 serving;
void serve(struct entry *e);
#endif
