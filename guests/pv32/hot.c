/* What goes round often enough to be translated: interrupts of programs and native returns, faults that are mended, with work between them. */
#include "pv32.h"

#define ROUNDS 4000
u32 served;

/* Answers INT 0x80 by the processor's own IRET. */
asm(".text\nanswer:\n\tincl %ss:served\n\tmovl %edi, %eax\n\timull $3, %eax\n\tiretl\n"
    "mend:\n\tincl %ss:served\n\taddl $2, %ss:(%esp)\n\tiretl");
extern char answer[], mend[];

asm(".section .user, \"awx\"\nwork:\n\txorl %esi, %esi\n\tmovl $4000, %ebx\n"
    "1:\tmovl %ebx, %edi\n\tint $0x80\n\taddl %eax, %esi\n\tmovl $40, %ecx\n"
    "2:\tleal (%esi, %esi, 2), %edx\n\txorl %edx, %ebp\n\tdecl %ecx\n\tjnz 2b\n\tdecl %ebx\n\tjnz 1b\n\tint $0x81\n"
    "faults:\n\txorl %esi, %esi\n\tmovl $2000, %ebx\n1:\tud2\n\tincl %esi\n\tdecl %ebx\n\tjnz 1b\n\tint $0x81\n.previous");
extern char work[], faults[];

void test_hot(void) {
  say("again and again\n");
  extern char trap_int80[], trap_int81[];
  extern const u32 traps[20];
  struct { uint8_t vector, flags; uint16_t cs; u32 address; } t[4] = {
    { 0x80, 3, CS1, (u32)answer }, { 0x81, 3, CS1, (u32)trap_int81 }, { UD, 0, CS1, (u32)mend }, { 0, 0, 0, 0 }
  };
  HC(set_trap_table, t, 0, 0, 0);
  u32 wanted = 0;
  for (u32 n = ROUNDS; n; n--) wanted += 3 * n;
  for (int i = 0; i < 3; i++) {
    served = 0;
    user(work, CS3, 0x202);
    check("interrupts", served, ROUNDS);
    check("their sum", last.esi, wanted);
    served = 0;
    user(faults, CS3, 0x202);
    check("faults", served, 2000);
    check("gone on behind each", last.esi, 2000);
  }
  t[0].address = (u32)trap_int80;
  t[2].address = traps[UD];
  HC(set_trap_table, t, 0, 0, 0);
}
