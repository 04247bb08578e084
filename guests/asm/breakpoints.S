/* Breakpoints where they meet other things: code already run, pages, repetitions, ports, MOV SS, steps (SDM 3B 18.2, 18.3; 3A 6.8.3). */
#include "test.inc"

  .text
  .code64
  .set CODE_PAGE, 10                    /* maps `snippet` */
  .set CODE, PLAY + 4096 * CODE_PAGE
  .set X0, 0x402                        /* DR7: DR0, execute */
  .set W1, 0x00100408                   /* DR1, write; the length is in bits 22, 23 */
  .set RW1, 0x00300408
  .set IO1, 0x00200408
  .set LEN2, 0x00400000
  .set LEN4, 0x00c00000
  .set LEN8, 0x00800000

tests:
  CLEAR_DR6
  SET_CR cr4, 0x600
  call execute
  call data
  call repeated
  call ports
  call steps
  DISARM
  ret

execute:
  /* code that has run before, entered by call, jump and by running into it */
  movl $3, %ecx
1: call warm
  loop 1b
  ARM 0, warm_break, X0
  RESUME_AT 1f
  call warm
1: CHECK_FAULT "execute.inside_warm_code", DB, 0, warm_break
  EXPECT "execute.before_it_runs", %rdx, 1
  movq rec_rflags, %rax
  andl $RF, %eax
  EXPECT "execute.rf_saved_clear", %rax, 0
  CLEAR_DR6
  MAP CODE_PAGE, snippet, (P + W + U)
  ARM 0, CODE, X0
  movl $CODE, %eax
  RESUME_AT 1f
  jmp *%rax
1: CHECK_FAULT "execute.jump_to_page", DB, 0, CODE
  RESUME_AT 1f
  call *%rax
1: CHECK_FAULT "execute.call_to_page", DB, 0, CODE
  RESUME_AT 1f
  pushq %rax
  ret
1: CHECK_FAULT "execute.return_to_page", DB, 0, CODE
  ARM 0, (CODE + 1), X0
  RESUME_AT 1f
  call *%rax
1: CHECK_FAULT "execute.second_instruction", DB, 0, (CODE + 1)
  ARM 0, (CODE + 3), X0                 /* inside the second instruction: no first byte */
  NO_FAULT "execute.not_a_first_byte", call *%rax
  ARM 0, (CODE + 8), X0                 /* another instruction of the page, which is not reached */
  NO_FAULT "execute.beside", call *%rax
  MAP (CODE_PAGE - 1), (snippet - 4096), (P + W)
  ARM 0, CODE, X0
  movl $CODE - 1, %eax
  RESUME_AT 1f
  jmp *%rax
1: CHECK_FAULT "execute.run_into_page", DB, 0, CODE
  MAP CODE_PAGE, 0, 0                   /* before the fetch: table 6-2 */
  movl $CODE, %eax
  RESUME_AT 1f
  jmp *%rax
1: CHECK_FAULT "execute.before_page_fault", DB, 0, CODE
  CLEAR_DR6
  MAP CODE_PAGE, snippet, (P + W + U)
  RUN_USER_AT CODE, UCODE
  CHECK_FAULT "execute.ring3", DB, 0, CODE
  EXPECT "execute.ring3.cs", rec_cs, UCODE
  CLEAR_DR6
  MAP (CODE_PAGE + 1), snippet, (P + W) /* the same frame elsewhere */
  movl $CODE + 4096, %eax
  NO_FAULT "execute.other_linear_address", call *%rax
  movl $KDATA, %ecx
  ARM 0, execute_after_ss, X0
  RESUME_AT 1f
  movl %ecx, %ss
execute_after_ss: nop
  int $SYS
1: EXPECT "execute.not_behind_mov_ss", rec_vector, SYS
  ARM 0, execute_after_fault, X0
  RESUME_AT 1f
execute_fault: ud2
1: CHECK_FAULT "execute.fault_saves", UD, 0, execute_fault
  movq rec_rflags, %rax
  andl $RF, %eax
  EXPECT "execute.fault_saves_rf", %rax, RF
  RESUME_AT 1f
execute_after_fault: nop
1: CHECK_FAULT "execute.after_fault", DB, 0, execute_after_fault
  movl $0x2400, %eax
  movq %rax, %dr7
  FAULT "gd.fault", DB, 0, movq %dr0, %rax
  movq rec_rflags, %rax
  andl $RF, %eax
  EXPECT "gd.fault_saves_rf", %rax, RF
  DISARM
  NO_FAULT "execute.disarmed", call warm
  CLEAR_DR6
  ret

warm:
  movl $1, %edx
  jmp warm_break
  nop
warm_break:
  movl $2, %edx
  ret

data:
  ARM 1, (scratch + 13), W1 + LEN8      /* the length's low address bits do not count */
  TRAP "data.length_8", DB, movb %cl, scratch + 8
  TRAP "data.length_8_end", DB, movb %cl, scratch + 15
  NO_FAULT "data.length_8_beside", movb %cl, scratch + 16
  ARM 1, (scratch + 0x1000), W1
  TRAP "data.crossing", DB, movl %ecx, scratch + 0xffd
  NO_FAULT "data.crossing_beside", movl %ecx, scratch + 0xffc
  ARM 1, (scratch + 8), W1 + LEN2
  TRAP "data.locked", DB, lock incl scratch + 8
  TRAP "data.cmpxchg_unequal", DB, lock cmpxchgl %ecx, scratch + 8
  TRAP "data.vector", DB, movups %xmm0, scratch + 1
  TRAP "data.fxsave", DB, fxsave scratch
  TRAP "data.x87", DB, fnstenv scratch
  CLEAR_DR6
  RESUME_AT 1f
  movl $scratch + 17, %esp
  pushq %rax
2: nop
1: CHECK_FAULT "data.push", DB, 0, 2b
  EXPECT_DR6 "data.push.dr6", 2
  MAP 0, scratch, (P + W)
  NO_FAULT "data.other_linear_address", movl %ecx, PLAY + 8
  MAP 1, 0, 0
  DISARM
  movl $KDATA, scratch + 8
  CLEAR_DR6
  ARM 1, (scratch + 8), RW1
  movl $scratch + 8, %esi
  movl $PLAY + 4096, %edi
  FAULT "data.fault_first", PF, 2, movsb
  EXPECT_DR6 "data.fault_first.dr6", 0
  RESUME_AT 1f
  movw scratch + 8, %ss                 /* held off until behind the next instruction */
  nop
2: nop
1: CHECK_FAULT "data.mov_ss", DB, 0, 2b
  EXPECT_DR6 "data.mov_ss.dr6", 2
  DISARM
  NO_FAULT "data.disarmed", movl %ecx, scratch + 8
  ret

repeated:                               /* reported behind the element that hit; RF is saved as 1 unless it was the last */
  ARM 1, (scratch + 4), W1
  movl $16, %ecx
  movl $scratch, %edi
  RESUME_AT 1f
2: rep stosb
1: CHECK_FAULT "rep.stosb", DB, 0, 2b
  EXPECT "rep.stosb.rcx", %rcx, 11
  EXPECT "rep.stosb.rdi", %rdi, (scratch + 5)
  EXPECT_DR6 "rep.stosb.dr6", 2
  movq rec_rflags, %rax
  andl $RF, %eax
  EXPECT "rep.stosb.rf", %rax, RF
  movl $5, %ecx
  movl $scratch, %edi
  TRAP "rep.last", DB, rep stosb
  movq rec_rflags, %rax
  andl $RF, %eax
  EXPECT "rep.last.rf", %rax, 0
  movl $4, %ecx
  movl $scratch, %edi
  NO_FAULT "rep.short_of_it", rep stosb
  DISARM
  CLEAR_DR6
  movl $2, %ecx
  movl $scratch, %edi
  RESUME_AT 1f
  SET_TF
2: rep stosb
1: CHECK_FAULT "rep.step", DB, 0, 2b
  movq rec_rflags, %rax
  andl $RF, %eax
  EXPECT "rep.step.rf", %rax, RF
  EXPECT "rep.step.rcx", %rcx, 1
  RESUME_AT 1f
  SET_TF
  rep stosb
2: nop
1: CHECK_FAULT "rep.step_last", DB, 0, 2b
  CLEAR_DR6
  ret

ports:                                  /* R/W = 2, with CR4.DE only (18.2.4) */
  SET_CR cr4, 8
  ARM 1, 0x80, IO1 + LEN2
  TRAP "io.out", DB, outb %al, $0x80
  EXPECT_DR6 "io.out.dr6", 2
  TRAP "io.in", DB, inb $0x81, %al
  TRAP "io.overlap", DB, outl %eax, $0x7e
  NO_FAULT "io.beside", outb %al, $0x82
  NO_FAULT "io.no_memory_access", movb 0x80, %al
  CLEAR_DR6
  movl $3, %ecx
  movl $scratch, %esi
  movl $0x80, %edx
  RESUME_AT 1f
2: rep outsb
1: CHECK_FAULT "io.rep", DB, 0, 2b
  EXPECT "io.rep.rcx", %rcx, 2
  SET_CR cr4, 0, 8
  NO_FAULT "io.without_de", outb %al, $0x80
  DISARM
  CLEAR_DR6
  ret

steps:
  ARM 1, scratch, W1
  RESUME_AT 1f
  SET_TF
  movb %al, scratch
2: nop
1: CHECK_FAULT "step.and_data", DB, 0, 2b
  EXPECT_DR6 "step.and_data.dr6", 0x4002
  DISARM
  RESUME_AT 1f
  SET_TF
  sti                                   /* holds interrupts off, not traps */
2: cli
1: CHECK_FAULT "step.sti", DB, 0, 2b
  cli
  MAP 1, 0, 0
  movl $PLAY + 4096, %eax
  RESUME_AT 1f
  SET_TF
  jmp *%rax                             /* the step is over before the target is fetched */
1: CHECK_FAULT "step.before_fetch_fault", DB, 0, (PLAY + 4096)
  RESUME_AT 1f
  SET_TF
  hlt                                   /* the trap ends it */
2: nop
1: CHECK_FAULT "step.hlt", DB, 0, 2b
  CLEAR_DR6
  ret

/* A page of its own, with an instruction right before it. */
  .section .user, "awx", @progbits
  .balign 4096
  .skip 4095, 0x90
  nop
snippet:
  nop
  movl $5, %ebx
  ret
  .skip 4
  .text

#include "runtime.inc"
