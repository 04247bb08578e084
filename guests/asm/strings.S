/*
 * Restartable and all-or-nothing instructions that fault in the middle: string instructions keep what they have done in
 * RCX, RSI and RDI (SDM 2B, REP), every other instruction leaves registers and memory unchanged (3A 6.5 "Faults").
 */
#include "test.inc"

  .text
  .code64
  .set PAGE0, PLAY
  .set PAGE1, PLAY + 4096               /* not mapped, unless a test says so */
  .set PAGE2, PLAY + 8192
  .set DATA_PAGE, P + W + A + D

.macro SET_STRING count, source, destination
  movl $\count, %ecx
  movl $\source, %esi
  movl $\destination, %edi
.endm

.macro EXPECT_STRING name, count, source, destination
  EXPECT "\name\().rcx", %rcx, \count
  EXPECT "\name\().rsi", %rsi, \source
  EXPECT "\name\().rdi", %rdi, \destination
.endm

tests:
  MAP 0, scratch, DATA_PAGE
  MAP 1, 0, 0
  MAP 2, scratch + 4096, DATA_PAGE
  movl $4096, %ecx
  movl $scratch, %edi
  movl $0x5a, %eax
  rep stosb

  /* REP MOVS: the source or the destination runs into the missing page */
  SET_STRING 100, (scratch + 4096), (PAGE1 - 40)
  FAULT "movsb.destination", PF, 2, rep movsb
  EXPECT "movsb.destination.cr2", rec_cr2, PAGE1
  EXPECT_STRING "movsb.destination", 60, (scratch + 4096 + 40), PAGE1
  EXPECT "movsb.destination.done", scratch + 4088, 0
  MAP 1, scratch + 8192, DATA_PAGE
  NO_FAULT "movsb.restarted", rep movsb
  EXPECT_STRING "movsb.restarted", 0, (scratch + 4096 + 100), (PAGE1 + 60)
  MAP 1, 0, 0
  SET_STRING 100, (PAGE1 - 24), (scratch + 8192)
  FAULT "movsq.source", PF, 0, rep movsq
  EXPECT_STRING "movsq.source", 97, PAGE1, (scratch + 8192 + 24)
  SET_STRING 10, (PAGE1 - 20), (scratch + 8192)
  FAULT "movsq.source_crossing", PF, 0, rep movsq
  EXPECT_STRING "movsq.source_crossing", 8, (PAGE1 - 4), (scratch + 8192 + 16)
  SET_STRING 10, scratch, (PAGE1 - 12)
  movl $-1, scratch + 4092
  FAULT "movsq.destination_crossing", PF, 2, rep movsq
  EXPECT_STRING "movsq.destination_crossing", 9, (scratch + 8), (PAGE1 - 4)
  movl scratch + 4092, %eax
  EXPECT "movsq.destination_crossing.untouched", %rax, 0xffffffff
  std
  SET_STRING 10, (scratch + 64), (PAGE2 + 16)
  FAULT "movsq.backwards", PF, 2, rep movsq
  cld
  EXPECT_STRING "movsq.backwards", 7, (scratch + 40), (PAGE2 - 8)
  movq rec_rflags, %rax
  andl $0x10400, %eax
  EXPECT "movsq.backwards.rf_df", %rax, 0x10400
  SET_STRING 0, PAGE1, PAGE1
  NO_FAULT "movsb.count_0", rep movsb
  SET_STRING 0, 0, (scratch + 100)
  movabsq $0x100000003, %rcx            /* 67h: ECX, ESI and EDI count, results are zero-extended (2A 3.6.1) */
  movabsq $0xffff000000000000 + scratch, %rsi
  NO_FAULT "movsb.addr32", .byte 0x67, 0xf3, 0xa4
  EXPECT_STRING "movsb.addr32", 0, (scratch + 3), (scratch + 103)

  /* REP STOS, LODS, SCAS, CMPS */
  SET_STRING 50, 0, (PAGE1 - 30)
  movl $0x77, %eax
  FAULT "stosw", PF, 2, rep stosw
  EXPECT_STRING "stosw", 35, 0, PAGE1
  SET_STRING 50, (PAGE1 - 8), 0
  FAULT "lodsb", PF, 0, rep lodsb
  EXPECT_STRING "lodsb", 42, PAGE1, 0
  movb $0x33, scratch + 4090
  SET_STRING 50, 0, (PAGE1 - 6)
  movl $0x44, %eax
  cmpl %eax, %eax
  FAULT "scasb", PF, 0, repne scasb
  EXPECT_STRING "scasb", 44, 0, PAGE1
  movq $0, scratch + 4088
  movq $0, scratch + 4096
  SET_STRING 20, (PAGE1 - 8), (scratch + 4096)
  FAULT "cmpsd.source", PF, 0, repe cmpsl
  EXPECT_STRING "cmpsd.source", 18, PAGE1, (scratch + 4104)
  SET_STRING 20, (scratch + 4096), (PAGE1 - 4)
  FAULT "cmpsd.destination", PF, 0, repe cmpsl
  EXPECT_STRING "cmpsd.destination", 19, (scratch + 4100), PAGE1
  movl $0xffff, scratch + 4092          /* unequal before the missing page: ends there */
  SET_STRING 20, (PAGE1 - 8), (scratch + 4096)
  NO_FAULT "cmpsd.ends_before", repe cmpsl
  EXPECT_STRING "cmpsd.ends_before", 18, PAGE1, (scratch + 4104)
  movl $0, scratch + 4100
  SET_STRING 1, scratch, PAGE1
  FAULT "movsb.single", PF, 2, movsb
  EXPECT_STRING "movsb.single", 1, scratch, PAGE1

  /* INS, OUTS (2A, 2B) */
  movl $0x80, %edx
  SET_STRING 4, 0, (PAGE1 - 2)
  FAULT "insb", PF, 2, rep insb
  EXPECT_STRING "insb", 2, 0, PAGE1
  SET_STRING 4, (PAGE1 - 2), 0
  FAULT "outsb", PF, 0, rep outsb
  EXPECT_STRING "outsb", 2, PAGE1, 0

  call code_tests
  call stack_tests
  call rmw_tests
  ret

/* Repetitions over code that has run: the new bytes are what runs next (3A 11.6), whether they come by MOVS or by STOS. */
code_tests:
  xorl %eax, %eax
  call code
  EXPECT "code.before", %rax, 1
  movl $(code_end - code), %ecx
  movl $other_code, %esi
  movl $code, %edi
  rep movsb
  call code
  EXPECT "code.moved", %rax, 2
  movl $8, %ecx
  movl $code, %edi
  movl $0xc3, %eax                      /* RET */
  rep stosb
  call code
  EXPECT "code.stored", %rax, 0xc3
  ret

code:
  movl $1, %eax
  .skip 32, 0x90
  ret
code_end:
other_code:
  movl $2, %eax
  .skip 32, 0x90
  ret

/* Stack instructions: RSP is unchanged by a fault (3A 6.5; 2A and 2B, their "Operation") */
/* As FAULT, on a stack at `top`; #PF is taken on IST2. */
.macro STACK_FAULT name, error, top, insn:vararg
  RESUME_AT stack_end\@
  movl $\top, %esp
stack_at\@:
  \insn
stack_end\@:
  CHECK_FAULT "\name", PF, \error, stack_at\@
  EXPECT "\name\().rsp", rec_rsp, \top
.endm

stack_tests:
  SET_IST PF, 2
  STACK_FAULT "push", 2, PAGE2, pushq %rax
  EXPECT "push.cr2", rec_cr2, (PAGE2 - 8)
  STACK_FAULT "push_word", 2, PAGE2, pushw %ax
  STACK_FAULT "push_memory", 2, PAGE2, pushq scratch
  STACK_FAULT "pushf", 2, PAGE2, pushfq
  STACK_FAULT "push_crossing", 2, (PAGE2 + 4), pushq %rax
  movl $0x1234, %eax
  STACK_FAULT "pop", 0, PAGE1, popq %rax
  EXPECT "pop.register_kept", %rax, 0x1234
  movq $scratch, PAGE1 - 8
  STACK_FAULT "pop_memory_destination", 2, (PAGE1 - 8), popq PAGE1
  STACK_FAULT "popf", 0, PAGE1, popfq
  STACK_FAULT "call", 2, PAGE2, call nowhere
  movl $nowhere, %eax
  STACK_FAULT "call_register", 2, PAGE2, call *%rax
  STACK_FAULT "ret", 0, PAGE1, ret
  STACK_FAULT "ret_imm", 0, PAGE1, ret $16
  STACK_FAULT "iret", 0, PAGE1, iretq
  STACK_FAULT "iret_crossing", 0, (PAGE1 - 16), iretq
  STACK_FAULT "lret", 0, PAGE1, lretq
  movq %rbp, %r12
  xorl %ebp, %ebp
  STACK_FAULT "enter", 2, PAGE2, enter $16, $0
  EXPECT "enter.rbp", %rbp, 0
  movl $PAGE1, %ebp
  RESUME_AT 1f
2: leave
1: CHECK_FAULT "leave", PF, 0, 2b
  EXPECT "leave.rbp", %rbp, PAGE1
  movq rec_rsp, %rax
  subq %rsp, %rax
  EXPECT "leave.rsp_kept", %rax, 0
  movq %r12, %rbp
  SET_IST PF, 0
  ret

nowhere: ud2

/* Read-modify-write on a page that may only be read: registers, flags and memory stay. */
.macro RMW name, insn:vararg
  movl $0x11111111, %eax
  movl $3, %ecx
  movl $0x22222222, %edx
  pushq $0x8d7                          /* all arithmetic flags */
  popfq
  FAULT "rmw.\name", PF, 3, \insn
  EXPECT "rmw.\name\().rax", %rax, 0x11111111
  EXPECT "rmw.\name\().rcx", %rcx, 3
  EXPECT "rmw.\name\().flags", rec_rflags, 0x108d7
  EXPECT "rmw.\name\().memory", scratch, 0x5a5a5a5a5a5a5a5a
.endm

rmw_tests:
  SET_CR cr0, 0x10000                   /* WP */
  movabsq $0x5a5a5a5a5a5a5a5a, %rax
  movq %rax, scratch
  MAP 0, scratch, (P + A)
  RMW "add", addl %ecx, PAGE0
  RMW "lock_add", lock addl %ecx, PAGE0
  RMW "adc", adcl %ecx, PAGE0
  RMW "inc", incl PAGE0
  RMW "neg", negl PAGE0
  RMW "not", notl PAGE0
  RMW "shl", shll %cl, PAGE0
  RMW "rcr", rcrl $1, PAGE0
  RMW "shld", shldl %cl, %eax, PAGE0
  RMW "xchg", xchgl %eax, PAGE0
  RMW "xadd", lock xaddl %eax, PAGE0
  RMW "cmpxchg", lock cmpxchgl %ecx, PAGE0
  RMW "cmpxchg8b", lock cmpxchg8b PAGE0
  RMW "cmpxchg16b", lock cmpxchg16b PAGE0
  RMW "bts", lock btsl %ecx, PAGE0
  RMW "setc", setc PAGE0
  ret

#include "runtime.inc"
