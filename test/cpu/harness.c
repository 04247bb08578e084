// Executes single instructions on the real CPU: reads cases from stdin, writes what each left behind to stdout. x86-64 Linux, gcc.
//
// One signal handler does both halves: it saves the state that the last instruction left in the signal frame, writes the next case's state into
// the same frame and returns, so that the kernel loads all registers and jumps to the instruction. Every byte of the code region but
// the instruction is INT3, so control comes back wherever the instruction goes. A 32-bit case is a return to selector 0x23.
// The layouts of `struct in` and `struct out`, and the addresses, are those of machine.ts.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define WINDOW 0x10000000ul
#define WINDOW_SIZE 0x4000ul
#define CODE 0x30000000ul
#define CODE_SIZE 0x10000ul
#define EFLAGS_SEEN 0x244cd5ul // CF PF AF ZF SF DF OF NT AC ID
#define EFLAGS_SET 0x40cd5ul   // what a signal frame can set of these: CF PF AF ZF SF DF OF AC
#define XMM_X87 3ul

struct in {
  uint64_t rip, gpr[16], rflags, fsbase, gsbase;
  uint8_t fx[512];
  uint8_t mode32, length, code[16];
  uint16_t patches;
  uint32_t unused; // followed by patches of { uint16_t offset, length; uint8_t bytes[] }
};
struct out {
  uint64_t rip, gpr[16], rflags, fsbase, gsbase, cr2;
  uint8_t fx[512];
  uint32_t trap, error; // trap: vector, or 255
  uint32_t changed, unused; // bytes of the window; followed by as many { uint16_t offset; uint8_t byte; }
};

static uint8_t *input, *next_case, *output, *out_end;
static uint32_t left;
static uint8_t before[WINDOW_SIZE];
static struct in current; // copied: cases are packed without alignment
static const uint8_t *background;
static int running;

// ucontext's order of registers: r8..r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp
static const uint8_t greg_of[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                    REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void finish(void) {
  // FS base belongs to the last case, so no libc here
  for (uint8_t *p = output; p < out_end;) {
    long n;
    __asm__ volatile("syscall" : "=a"(n) : "a"(SYS_write), "D"(1), "S"(p), "d"(out_end - p) : "rcx", "r11", "memory");
    if (n <= 0) break;
    p += n;
  }
  __asm__ volatile("syscall" ::"a"(SYS_exit_group), "D"(0) : "rcx", "r11", "memory");
}

static void save(ucontext_t *uc) {
  struct out o;
  memset(&o, 0, sizeof o);
  greg_t *g = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) o.gpr[i] = g[greg_of[i]];
  o.rip = g[REG_RIP];
  o.rflags = g[REG_EFL] & EFLAGS_SEEN;
  o.trap = g[REG_TRAPNO];
  o.error = g[REG_ERR];
  o.cr2 = o.trap == 14 ? g[REG_CR2] : 0;
  __asm__ volatile("rdfsbase %0" : "=r"(o.fsbase));
  __asm__ volatile("rdgsbase %0" : "=r"(o.gsbase));
  uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(o.fx, fp, 512);
  // a component that XSAVE found in its initial configuration reads as that
  uint64_t present;
  memcpy(&present, fp + 512, 8);
  if (!(present & 1)) {
    memset(o.fx, 0, 24);
    memset(o.fx + 32, 0, 128);
    o.fx[0] = 0x7f;
    o.fx[1] = 0x03;
  }
  if (!(present & 2)) memset(o.fx + 160, 0, 256);
  uint8_t *list = out_end + sizeof o;
  const uint8_t *now = (const uint8_t *)WINDOW;
  for (uint32_t i = 0; i < WINDOW_SIZE; i += 64) {
    if (!memcmp(now + i, before + i, 64)) continue;
    for (uint32_t j = i; j < i + 64; j++) {
      if (now[j] == before[j]) continue;
      *list++ = j;
      *list++ = j >> 8;
      *list++ = now[j];
      o.changed++;
    }
  }
  memcpy(out_end, &o, sizeof o);
  out_end = list;
}

static void load(ucontext_t *uc) {
  memset((void *)(current.rip & ~15ul), 0xcc, 48); // the previous instruction
  memcpy(&current, next_case, sizeof current);
  next_case += sizeof current;
  memcpy((void *)WINDOW, background, WINDOW_SIZE);
  for (int i = 0; i < current.patches; i++) {
    uint16_t at[2];
    memcpy(at, next_case, 4);
    memcpy((uint8_t *)WINDOW + at[0], next_case + 4, at[1]);
    next_case += 4 + at[1];
  }
  memcpy(before, (void *)WINDOW, WINDOW_SIZE);
  memcpy((void *)current.rip, current.code, current.length);
  greg_t *g = uc->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) g[greg_of[i]] = current.gpr[i];
  g[REG_RIP] = current.rip;
  g[REG_EFL] = (g[REG_EFL] & ~EFLAGS_SEEN) | (current.rflags & EFLAGS_SET);
  ((uint16_t *)&g[REG_CSGSFS])[0] = current.mode32 ? 0x23 : 0x33;
  ((uint16_t *)&g[REG_CSGSFS])[3] = 0x2b;
  uint8_t *fp = (uint8_t *)uc->uc_mcontext.fpregs;
  memcpy(fp, current.fx, 416); // the rest is the kernel's description of the frame
  uint64_t present;
  memcpy(&present, fp + 512, 8);
  present |= XMM_X87;
  memcpy(fp + 512, &present, 8);
  __asm__ volatile("wrfsbase %0" ::"r"(current.fsbase));
  __asm__ volatile("wrgsbase %0" ::"r"(current.gsbase));
}

static void on_signal(int sig, siginfo_t *info, void *context) {
  (void)sig;
  (void)info;
  // the instruction's AC, NT and ID are still set
  __asm__ volatile("pushq $0x202\n\tpopfq" ::: "memory", "cc");
  if (running) save(context);
  running = 1;
  if (!left--) finish();
  load(context);
}

static void *map(uint64_t at, uint64_t size, int prot) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED_NOREPLACE | MAP_POPULATE : 0);
  void *p = mmap((void *)at, size, prot, flags, -1, 0);
  if (p == MAP_FAILED || (at && p != (void *)at)) _exit(2);
  return p;
}

int main(void) {
  uint64_t size = 0;
  uint32_t head[2]; // number of cases, bytes of them
  if (read(0, head, 8) != 8) return 3;
  uint64_t total = WINDOW_SIZE + head[1];
  input = map(0, total + 4096, PROT_READ | PROT_WRITE);
  while (size < total) {
    ssize_t n = read(0, input + size, total - size);
    if (n <= 0) return 3;
    size += n;
  }
  background = input;
  next_case = input + WINDOW_SIZE;
  left = head[0];
  uint64_t room = (uint64_t)head[0] * (sizeof(struct out) + 3 * WINDOW_SIZE);
  out_end = output = map(0, room, PROT_READ | PROT_WRITE);
  map(WINDOW, WINDOW_SIZE, PROT_READ | PROT_WRITE);
  memset(map(CODE, CODE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC), 0xcc, CODE_SIZE);
  current.rip = CODE;
  stack_t stack = {.ss_sp = map(0, 1 << 16, PROT_READ | PROT_WRITE), .ss_size = 1 << 16};
  sigaltstack(&stack, 0);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigfillset(&action.sa_mask);
  const int caught[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP};
  for (unsigned i = 0; i < sizeof caught / sizeof *caught; i++) sigaction(caught[i], &action, 0);
  // 32-bit code needs data segments, which 64-bit programs leave null
  __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" ::"r"(0x2b));
  __asm__ volatile("int3");
  return 4;
}
