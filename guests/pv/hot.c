/* What goes round often enough to be translated: system calls, faults that are mended, events, all with work between them. */
#include "pv.h"

#define USER(name, insns) \
  asm(".section .user, \"awx\"\n" #name ":\n\t" insns "\n.previous"); \
  extern char name[];

#define ROUNDS 6000
USER(u_work,
     "xorl %r12d, %r12d\n\tmovl $6000, %ebx\n"
     "1: movl %ebx, %edi\n\tmovl $1, %eax\n\tsyscall\n\taddq %rax, %r12\n\tmovl $40, %ecx\n"
     "2: leaq (%r12, %r12, 2), %rdx\n\txorq %rdx, %r13\n\tdecl %ecx\n\tjnz 2b\n\tdecl %ebx\n\tjnz 1b\n\tint $0x80")
USER(u_faults, "xorl %r12d, %r12d\n\tmovl $3000, %ebx\n1: ud2\n\tincl %r12d\n\tdecl %ebx\n\tjnz 1b\n\tint $0x80")

u64 serving, served;

/* An entry that is answered: the program goes on. */
void serve(struct entry *e) {
  served++;
  u64 sum = 0;
  for (u64 i = 0; i < 20; i++) sum += e->rdi ^ i;
  if (e->code == SYSCALL) e->rax = sum;
  if (e->code == UD) e->rip += 2;
}

void test_hot(void) {
  say("again and again\n");
  u64 wanted = 0;
  for (u64 n = ROUNDS; n; n--)
    for (u64 i = 0; i < 20; i++) wanted += n ^ i;
  for (serving = 1; serving < 4; serving++) {
    served = 0;
    user(u_work, 0xe033, 0x202);
    check("system calls", served, ROUNDS);
    check("their sum", last.r12, wanted);
    served = 0;
    user(u_faults, 0xe033, 0x202);
    check("faults", served, 3000);
    check("gone on behind each", last.r12, 3000);
  }
  serving = 0;
}
