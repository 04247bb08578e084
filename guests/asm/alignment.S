/*
 * #AC: CR0.AM, EFLAGS.AC and ring 3 (SDM 3A 6.15, table 6-7). What the manual leaves to the processor is as an AMD EPYC has it, run
 * natively: 16-byte operands, the order among exceptions, FXSAVE.
 */
#include "test.inc"

  .text
  .code64
  .set AT, USER_STACK - 512             /* 16-byte aligned */
  .set MISSING, PLAY + 4096 * 20

/* One instruction of ring 3 with RSP at an offset from AT: #AC, and RSP as it was. */
.macro ON_STACK_AC name, offset, insn:vararg
  .pushsection .user, "awx", @progbits
on_stack\@:
  leaq \offset(%rdi), %rsp
on_stack_insn\@:
  \insn
  int $SYS
  .popsection
  RUN_USER on_stack\@, UCODE
  CHECK_FAULT "\name", AC, 0, (on_stack_insn\@ - user_start + USER)
  EXPECT "\name\().rsp", rec_rsp, (AT + \offset)
.endm

tests:
  SET_CR cr4, 0x40600                   /* OSFXSR, OSXMMEXCPT, OSXSAVE */
  SET_CR cr0, 0x40000                   /* AM */
  orq $0x40000, user_rflags
  movl $AT, %edi
  xorl %ecx, %ecx

  /* general registers */
  USER_FAULT "word", AC, 0, movw 1(%rdi), %ax
  USER_FAULT "dword_by_2", AC, 0, movl 2(%rdi), %eax
  USER_FAULT "qword_by_4", AC, 0, addq %rax, 4(%rdi)
  USER_FAULT "locked", AC, 0, lock xaddl %ecx, 1(%rdi)
  USER_FAULT "cmpxchg8b", AC, 0, cmpxchg8b 4(%rdi)
  USER_FAULT "bit_string", AC, 0, btl %ecx, 1(%rdi)
  USER_FAULT "movnti", AC, 0, movnti %ecx, 1(%rdi)
  USER_FAULT "mov_from_ds", AC, 0, movw %ds, 1(%rdi)
  USER_FAULT "verr", AC, 0, verr 1(%rdi)
  USER_OK "byte", movb 1(%rdi), %al
  USER_OK "clflush", clflush 1(%rdi)
  USER_OK "aligned_qword", movq 8(%rdi), %rax

  /* the stack */
  ON_STACK_AC "push", 4, pushq %rax
  ON_STACK_AC "push_16", 1, pushw %ax
  ON_STACK_AC "pop", 4, popq %rax
  ON_STACK_AC "call", 4, call on_stack_nowhere
  ON_STACK_AC "ret", 4, ret
  ON_STACK_AC "pushf", 4, pushfq
  ON_STACK_AC "popf", 4, popfq
  ON_STACK_AC "enter", 4, enter $0, $0
  ON_STACK_AC "enter_odd_frame", 0, enter $3, $0
  ON_STACK_AC "iret", 4, iretq

  /* strings, far pointers, images */
  leaq 1(%rdi), %rsi
  USER_FAULT "movsq_source", AC, 0, movsq
  movl $2, %ecx
  USER_FAULT "rep_lodsw", AC, 0, rep lodsw
  USER_OK "movsb", movsb
  movl $AT, %edi
  USER_FAULT "far_32", AC, 0, lgsl 2(%rdi), %eax
  movl $0, 2(%rdi)
  USER_OK "far_16_by_2", lgsw 2(%rdi), %ax
  USER_FAULT "far_16_by_1", AC, 0, lgsw 1(%rdi), %ax
  USER_FAULT "sgdt_by_2", AC, 0, sgdt 2(%rdi)
  USER_OK "sgdt_by_4", sgdt 4(%rdi)
  USER_FAULT "fnstenv_by_2", AC, 0, fnstenv 2(%rdi)
  USER_OK "fnstenv_by_4", fnstenv 4(%rdi)
  USER_OK "fnstenv_16_by_2", data16 fnstenv 2(%rdi)
  USER_FAULT "fnsave_by_2", AC, 0, fnsave 2(%rdi)
  USER_OK "fnsave_by_4", fnsave 4(%rdi)
  USER_FAULT "frstor_by_2", AC, 0, frstor 2(%rdi)
  USER_OK "fninit", fninit
  USER_FAULT "fldcw", AC, 0, fldcw 1(%rdi)
  USER_FAULT "fld_m80_by_4", AC, 0, fldt 4(%rdi)
  USER_OK "fld_m80_by_8", fldt 8(%rdi)
  USER_OK "fninit_again", fninit
  USER_FAULT "fxsave_by_1", AC, 0, fxsave 1(%rdi)
  USER_FAULT "fxsave_by_4", GP, 0, fxsave 4(%rdi)
  USER_FAULT "xsave_by_1", GP, 0, xsave 1(%rdi)

  /* vectors */
  USER_FAULT "movss", AC, 0, movss 2(%rdi), %xmm0
  USER_FAULT "movhps", AC, 0, movhps 4(%rdi), %xmm0
  USER_FAULT "movups_by_8", AC, 0, movups 8(%rdi), %xmm0
  USER_FAULT "movdqu_store", AC, 0, movdqu %xmm0, 8(%rdi)
  USER_OK "movups", movups 16(%rdi), %xmm0
  USER_FAULT "movaps_by_8", GP, 0, movaps 8(%rdi), %xmm0
  USER_FAULT "movq_mmx", AC, 0, movq 4(%rdi), %mm0
  USER_FAULT "pmovzxbd", AC, 0, pmovzxbd 1(%rdi), %xmm0
  USER_FAULT "ldmxcsr", AC, 0, ldmxcsr 1(%rdi)

  /* order: general protection, alignment, page fault */
  movl $MISSING, %edi
  USER_FAULT "before_page_fault", AC, 0, movl 1(%rdi), %eax
  USER_FAULT "aligned_page_fault", PF, 4, movl (%rdi), %eax
  movabsq $0x0000800000000001, %rdi
  USER_FAULT "behind_noncanonical", GP, 0, movl (%rdi), %eax
  movl $AT, %edi

  /* off: AC changed in ring 3 by POPF, no AC, no AM, ring 0 */
  .pushsection .user, "awx", @progbits
switch_off:
  pushq $2
  popfq
  movl 1(%rdi), %eax
  pushq $0x40002
  popfq
switch_on:
  movl 1(%rdi), %eax
  .popsection
  RUN_USER switch_off, UCODE
  CHECK_FAULT "switched_by_popf", AC, 0, (switch_on - user_start + USER)
  SET_CR cr0, 0, 0x40000
  USER_OK "without_am", movl 1(%rdi), %eax
  ret

  .pushsection .user, "awx", @progbits
on_stack_nowhere:
  int $SYS
  .popsection

#include "runtime.inc"
