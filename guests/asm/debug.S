/* #DB: single steps, breakpoints, DR6 and DR7, INT1, RF, the shadow behind MOV SS (SDM 3B 18.2, 18.3; 3A 6.8.3). */
#include "test.inc"

  .text
  .code64
/* Runs an instruction with TF set: #DB behind it. */
.macro STEP name, insn:vararg
  RESUME_AT step_end\@
  pushfq
  orq $TF, (%rsp)
  popfq
  \insn
step_at\@:
step_end\@:
  CHECK_FAULT "\name", DB, 0, step_at\@
  EXPECT_DR6 "\name\().dr6", 0x4000
.endm

/* An instruction of ring 3 with #DB behind it. */
.macro USER_STEP name, insn:vararg
  .pushsection .user, "awx", @progbits
user_step\@:
  \insn
user_step_end\@:
  int $SYS
  .popsection
  RUN_USER user_step\@, UCODE
  CHECK_FAULT "\name", DB, 0, (user_step_end\@ - user_start + USER)
.endm

tests:
  CLEAR_DR6
  xorl %ecx, %ecx
  STEP "step.nop", nop
  STEP "step.mov", movl %ecx, %edx
  movq rec_rflags, %rax
  andl $(TF + RF), %eax
  EXPECT "step.saved_flags", %rax, TF   /* TF is saved as it was; RF is 0 for a trap */
  pushfq
  popq %rax
  andl $TF, %eax
  EXPECT "step.tf_cleared_on_entry", %rax, 0
  movl $3, %ecx
  movl $scratch, %esi
  movl $scratch + 64, %edi
  RESUME_AT 1f
  pushfq
  orq $TF, (%rsp)
  popfq
2: rep movsb                            /* one iteration a step; RIP stays while RCX is not 0 */
  nop
1: CHECK_FAULT "step.rep", DB, 0, 2b
  EXPECT "step.rep.rcx", %rcx, 2
  CLEAR_DR6
  movl $KDATA, %ecx
  RESUME_AT 1f
  pushfq
  orq $TF, (%rsp)
  popfq
  movl %ecx, %ss                        /* no trap between this and the next instruction */
  nop
2: nop
1: CHECK_FAULT "step.mov_ss_shadow", DB, 0, 2b
  CLEAR_DR6
  RESUME_AT 1f
  pushfq
  orq $TF, (%rsp)
  popfq
  pushfq                                /* pushes TF as 1 */
1: movq -8(%rsp), %rax
  andl $TF, %eax
  EXPECT "step.pushf_sees_tf", %rax, TF
  CLEAR_DR6
  orq $TF, user_rflags
  USER_STEP "step.user", nop
  andq $~TF, user_rflags
  CLEAR_DR6
  RESUME_AT 1f                          /* an exception comes before the trap of its own instruction */
  pushfq
  orq $TF, (%rsp)
  popfq
2: ud2
1: CHECK_FAULT "step.fault_first", UD, 0, 2b
  EXPECT_DR6 "step.fault_first.dr6", 0

  /* INT1: a trap, DPL is not checked, no bit in DR6 (2A INT n) */
  TRAP "int1", DB, .byte 0xf1
  EXPECT_DR6 "int1.dr6", 0
  .pushsection .user, "awx", @progbits
user_int1:
  .byte 0xf1
user_int1_end:
  .popsection
  RUN_USER user_int1, UCODE
  CHECK_FAULT "int1.ring3", DB, 0, (user_int1_end - user_start + USER)
  USER_FAULT "int.1_ring3_checks_dpl", GP, (DB * 8 + 2), .byte 0xcd, 1

  call breakpoints
  call registers
  ret

breakpoints:
  /* instruction breakpoint: a fault; RF set in the saved flags of no other instruction, honoured by IRET (18.3.1.1) */
  movl $break_here, %eax
  movq %rax, %dr0
  movl $0x402, %eax                     /* G0; condition execute, length 1 */
  movq %rax, %dr7
  RESUME_AT 1f
break_here:
  nop
1: CHECK_FAULT "break.execute", DB, 0, break_here
  EXPECT_DR6 "break.execute.dr6", 1
  RESUME_AT 1f
  pushq $KDATA
  pushq %rsp
  addq $8, (%rsp)
  pushq $RF + 2
  pushq $KCODE
  pushq $break_here_2
  movl $break_here_2, %eax
  movq %rax, %dr0
  iretq
break_here_2:
  movl $77, %ecx
  int $SYS
1: EXPECT "break.rf_suppresses", rec_vector, SYS
  EXPECT "break.rf_executed", %rcx, 77
  movq rec_rflags, %rax
  andl $RF, %eax
  EXPECT "break.rf_cleared_after_one", %rax, 0
  CLEAR_DR6

  /* data breakpoints: traps behind the access */
  movl $scratch + 4, %eax
  movq %rax, %dr1
  movl $0x00d00408, %eax                /* G1; R/W1 = 1 (write), LEN1 = 3 (4 bytes) */
  movq %rax, %dr7
  TRAP "break.write", DB, movl %ecx, scratch + 4
  EXPECT_DR6 "break.write.dr6", 2
  TRAP "break.write_byte_inside", DB, movb %cl, scratch + 7
  CLEAR_DR6
  TRAP "break.write_overlapping", DB, movq %rcx, scratch
  CLEAR_DR6
  NO_FAULT "break.read_does_not_match", movl scratch + 4, %ecx
  NO_FAULT "break.write_beside", movl %ecx, scratch + 8
  TRAP "break.rmw", DB, incl scratch + 4
  CLEAR_DR6
  movl $0x00f00408, %eax                /* R/W1 = 3: reads and writes */
  movq %rax, %dr7
  TRAP "break.read", DB, movl scratch + 4, %ecx
  EXPECT_DR6 "break.read.dr6", 2
  movl $0x00f00400, %eax                /* not enabled: DR6 may show it, no exception */
  movq %rax, %dr7
  NO_FAULT "break.disabled", movl scratch + 4, %ecx
  movl $0x00f00404, %eax                /* L1 enables as well as G1 */
  movq %rax, %dr7
  TRAP "break.local", DB, movl scratch + 4, %ecx
  CLEAR_DR6
  movl $0x400, %eax
  movq %rax, %dr7
  CLEAR_DR6
  ret

registers:                              /* 18.2.2, 18.2.4, 2A MOV DRn */
  movq %dr7, %rax
  EXPECT "dr7.bit_10_is_1", %rax, 0x400
  movl $0x2400, %eax                    /* GD: the next access to a debug register is refused */
  movq %rax, %dr7
  FAULT "gd.read", DB, 0, movq %dr0, %rax
  EXPECT_DR6 "gd.dr6", 0x2000
  movq %dr7, %rax
  EXPECT "gd.cleared_by_delivery", %rax, 0x400
  movq $1 << 32, %rax
  FAULT "dr7.high_bits", GP, 0, movq %rax, %dr7
  FAULT "dr6.high_bits", GP, 0, movq %rax, %dr6
  SET_CR cr4, 8                         /* DE */
  FAULT "dr4.with_de", UD, 0, .byte 0x0f, 0x21, 0xe0
  SET_CR cr4, 0, 8
  NO_FAULT "dr4.is_dr6", .byte 0x0f, 0x21, 0xe0
  andl $0xff0, %eax
  EXPECT "dr4.is_dr6.value", %rax, 0xff0
  movq $-1, %rax
  movl %eax, %eax
  movq %rax, %dr6
  movq %dr6, %rax
  andl $0xffff1ff0, %eax                /* bit 12 is 0, 4-11 and 16-31 are 1 (without RTM and bus lock traps) */
  EXPECT "dr6.fixed_bits", %rax, 0xffff0ff0
  CLEAR_DR6
  movabsq $0x123456789abc, %rax
  movq %rax, %dr3
  movq %dr3, %rcx
  EXPECT "dr3.full_width", %rcx, 0x123456789abc
  USER_FAULT "dr.ring3", GP, 0, movq %dr0, %rax
  ret

#include "runtime.inc"
