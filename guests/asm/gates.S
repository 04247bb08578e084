/* Far transfers, call gates, conforming code, the LDT, and stack switches in IA-32e mode (SDM 3A 5.8, 5.8.3.1; 2A CALL, JMP; 2B RET). */
#include "test.inc"

  .text
  .code64
  .set NONCANONICAL, 0x0000800000000000
  .set GATE, SPARE + 0x10               /* 16 bytes */
  .set CONFORMING, SPARE + 0x20
  .set LDT, SPARE + 0x30                /* 16 bytes */

/* A 64-bit call gate at GATE: target, selector, type and DPL. */
.macro SET_GATE target, selector, access
  movq $\target, %rax
  movw %ax, gdt + GATE
  movw $\selector, gdt + GATE + 2
  movb $0, gdt + GATE + 4
  movb $\access, gdt + GATE + 5
  shrq $16, %rax
  movw %ax, gdt + GATE + 6
  shrq $16, %rax
  movl %eax, gdt + GATE + 8
  movl $0, gdt + GATE + 12
.endm

/* A far pointer of 10 bytes (REX.W) in memory, also read as 6 bytes by the 32-bit form. */
.macro SET_POINTER offset, selector
  movq $\offset, %rax
  movq %rax, far_pointer
  movw $\selector, far_pointer + 8
.endm

.macro SET_POINTER32 offset, selector
  movl $\offset, far_pointer
  movw $\selector, far_pointer + 4
.endm

tests:
  SET_GDT CONFORMING, 0x00af9f000000ffff        /* conforming 64-bit code, DPL 0 */
  call same_level
  call far_returns
  call call_gates
  call local_table
  ret

same_level:
  SET_POINTER32 1f, KCODE
  NO_FAULT "jmp.m16_32", ljmpl *far_pointer
1: SET_POINTER32 2f, KCODE
  xorl %ecx, %ecx
  jmp 3f
2: popq %rax                            /* a far call of 32-bit operands pushes two words of 4 bytes */
  movl %eax, %ecx
  shrq $32, %rax
  jmp 4f
3: lcalll *far_pointer
after_lcall:
4: EXPECT "call.m16_32.return_ip", %rcx, after_lcall
  EXPECT "call.m16_32.return_cs", %rax, KCODE
  SET_POINTER lret_here, KCODE
  movq %rsp, %rbx
  rex.W lcall *far_pointer
  subq %rsp, %rbx
  EXPECT "call.m16_64.balanced", %rbx, 0
  SET_POINTER32 nowhere, 0
  FAULT "jmp.null", GP, 0, ljmpl *far_pointer
  SET_POINTER32 nowhere, KDATA
  FAULT "jmp.data", GP, KDATA, ljmpl *far_pointer
  SET_POINTER32 nowhere, 0xff8
  FAULT "jmp.beyond_limit", GP, 0xff8, ljmpl *far_pointer
  SET_POINTER32 nowhere, (UCODE)
  FAULT "jmp.outward", GP, (UCODE & ~3), ljmpl *far_pointer
  SET_POINTER32 nowhere, TSS
  FAULT "jmp.tss", GP, TSS, ljmpl *far_pointer  /* no task switches in IA-32e mode (7.2.3) */
  FAULT "call.tss", GP, TSS, lcalll *far_pointer
  SET_GDT SPARE, 0x002f1b000000ffff     /* 64-bit code, not present */
  SET_POINTER32 nowhere, SPARE
  FAULT "jmp.not_present", NP, SPARE, ljmpl *far_pointer
  SET_GDT SPARE, 0x006f9b000000ffff     /* L and D */
  FAULT "jmp.l_and_d", GP, SPARE, ljmpl *far_pointer
  SET_POINTER32 1f, CONFORMING
  ljmpl *far_pointer
1: movl %cs, %eax
  EXPECT "jmp.conforming.cs", %rax, CONFORMING
  SET_POINTER32 1f, KCODE
  ljmpl *far_pointer
1: .pushsection .user, "awx", @progbits
user_to_conforming:
  ljmpl *user_far - user_start + USER
user_conforming_arrived:
  movl %cs, %eax
  int $SYS
user_far: .long user_conforming_arrived - user_start + USER
  .word CONFORMING
  .popsection
  RUN_USER user_to_conforming, UCODE
  EXPECT "jmp.conforming_from_ring3", rec_vector, SYS
  EXPECT "jmp.conforming_keeps_cpl", %rax, (CONFORMING + 3)
  /* compatibility mode in ring 0 and back */
  SET_POINTER32 compat0, KCODE32
  movq $0, compat_seen
  movl $KDATA, %eax                     /* 32-bit code needs a DS; ring 3 left it null */
  movl %eax, %ds
  ljmpl *far_pointer
compat_back:
  EXPECT "jmp.compat_ring0", compat_seen, 0x32
  ret

  .code32
compat0:
  movl $0x32, compat_seen
  .byte 0x40                            /* INC EAX here, a REX prefix in 64-bit code */
  ljmp $KCODE, $compat_back
  .code64

lret_here:
  rex.W lret

nowhere: ud2

far_returns:
  pushq $KCODE
  pushq $1f
  rex.W lret
1: .pushsection .user, "awx", @progbits
user_lret_arrived: int $SYS
  .popsection
  RESUME_AT 1f
  pushq $UDATA
  pushq $USER_STACK
  pushq $0x1111                         /* parameters to be skipped by RET imm */
  pushq $UCODE
  pushq $user_lret_arrived - user_start + USER
  movq $0, -8(%rsp)
  rex.W lret $8
1: EXPECT "lret.outward", rec_vector, SYS
  EXPECT "lret.outward.cs", rec_cs, UCODE
  EXPECT "lret.outward.ss", rec_ss, UDATA
  EXPECT "lret.outward.rsp", rec_rsp, (USER_STACK + 8)  /* imm16 is released on both stacks */
  RESUME_AT 1f
  pushq $0
  pushq $nowhere
2: rex.W lret
1: CHECK_FAULT "lret.null", GP, 0, 2b
  RESUME_AT 1f
  pushq $KDATA
  pushq $nowhere
2: rex.W lret
1: CHECK_FAULT "lret.data", GP, KDATA, 2b
  RESUME_AT 1f
  movabsq $NONCANONICAL, %rax
  pushq $KCODE
  pushq %rax
2: rex.W lret
1: CHECK_FAULT "lret.noncanonical", GP, 0, 2b
  .pushsection .user, "awx", @progbits
user_lret_inward:
  pushq $KCODE
  pushq $0
user_lret_fault:
  rex.W lret
  .popsection
  RUN_USER user_lret_inward, UCODE
  CHECK_FAULT "lret.inward", GP, KCODE, (user_lret_fault - user_start + USER)
  ret

/* Ring 3 calls through a gate; the target notes what it sees and returns. */
gate_target:
  movl %cs, %eax
  movq %rax, gate_cs
  movl %ss, %eax
  movq %rax, gate_ss
  movq %rsp, gate_rsp
  movq (%rsp), %rax
  movq %rax, gate_frame
  movq 8(%rsp), %rax
  movq %rax, gate_frame + 8
  movq 16(%rsp), %rax
  movq %rax, gate_frame + 16
  movq 24(%rsp), %rax
  movq %rax, gate_frame + 24
  rex.W lret

call_gates:
  SET_GATE gate_target, KCODE, 0xec     /* present, DPL 3, 64-bit call gate */
  .pushsection .user, "awx", @progbits
user_gate_pointer: .long 0
  .word GATE + 3
user_gate_call:
  lcalll *user_gate_pointer - user_start + USER
user_gate_return:
  movl %cs, %ebx
  int $SYS
user_gate_jump:
  ljmpl *user_gate_pointer - user_start + USER
  .popsection
  .set USER_GATE_CALL, user_gate_call - user_start + USER
  RUN_USER user_gate_call, UCODE
  EXPECT "gate.came_back", rec_vector, SYS
  EXPECT "gate.came_back_cs", %rbx, UCODE
  EXPECT "gate.cs", gate_cs, KCODE
  EXPECT "gate.ss_null", gate_ss, 0     /* null with the new RPL (5.8.3.1) */
  EXPECT "gate.rsp0", gate_rsp, (stack_top_exception - 32)
  EXPECT "gate.frame.rip", gate_frame, (user_gate_return - user_start + USER)
  EXPECT "gate.frame.cs", (gate_frame + 8), UCODE
  EXPECT "gate.frame.rsp", (gate_frame + 16), USER_STACK
  EXPECT "gate.frame.ss", (gate_frame + 24), UDATA
  RUN_USER user_gate_jump, UCODE        /* JMP may not change the level */
  CHECK_FAULT "gate.jump", GP, KCODE, (user_gate_jump - user_start + USER)
  SET_GATE gate_target, KCODE, 0x8c     /* DPL 0 */
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.dpl", GP, GATE, USER_GATE_CALL
  SET_GATE gate_target, KCODE, 0x6c     /* not present */
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.not_present", NP, GATE, USER_GATE_CALL
  SET_GATE gate_target, KCODE32, 0xec   /* must be 64-bit code */
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.32bit_target", GP, KCODE32, USER_GATE_CALL
  SET_GATE gate_target, 0, 0xec
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.null_target", GP, 0, USER_GATE_CALL
  SET_GATE gate_target, KDATA, 0xec
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.data_target", GP, KDATA, USER_GATE_CALL
  SET_GATE gate_target, KCODE, 0xec
  movl $0x00000100, gdt + GATE + 12     /* the upper half's type bits must be 0 */
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.upper_type", GP, GATE, USER_GATE_CALL
  SET_GATE gate_target, KCODE, 0xec
  movl $0x8000, gdt + GATE + 8
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.noncanonical", GP, 0, USER_GATE_CALL
  SET_GATE gate_target, KCODE, 0xe4     /* a 16-bit gate: no type of IA-32e mode */
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.16bit_type", GP, GATE, USER_GATE_CALL
  SET_GATE gate_target, KCODE, 0xec
  movabsq $NONCANONICAL, %rax
  movq %rax, tss + 4
  SET_IST SS, 2                         /* the exception's own delivery must not use RSP0 */
  RUN_USER user_gate_call, UCODE
  CHECK_FAULT "gate.noncanonical_rsp0", SS, 0, USER_GATE_CALL
  SET_IST SS, 0
  movq $stack_top_exception, tss + 4
  ret

/* LLDT, and loads through the LDT (3.5.1, 2A LLDT) */
local_table:
  movq $local, %rax
  movw $15, gdt + LDT
  movw %ax, gdt + LDT + 2
  shrq $16, %rax
  movb %al, gdt + LDT + 4
  movb $0x82, gdt + LDT + 5
  movb $0, gdt + LDT + 6
  movb %ah, gdt + LDT + 7
  movl $LDT, %eax
  NO_FAULT "lldt", lldt %ax
  sldt %ecx
  EXPECT "sldt", %rcx, LDT
  movl $0x0c, %eax
  NO_FAULT "ldt.load", movl %eax, %fs
  RDMSR_OF 0xc0000100
  EXPECT "ldt.base", %rax, 0x12345678
  movl $0x14, %eax
  FAULT "ldt.beyond_limit", GP, 0x14, movl %eax, %fs
  movb $0x02, gdt + LDT + 5
  movl $LDT, %eax
  FAULT "lldt.not_present", NP, LDT, lldt %ax
  movl $LDT + 4, %eax
  FAULT "lldt.local_selector", GP, (LDT + 4), lldt %ax
  movl $0, %eax
  movl %eax, %fs
  lldt %ax
  movl $0x0c, %eax
  FAULT "ldt.none", GP, 0x0c, movl %eax, %fs
  ret

  .data
  .balign 8
far_pointer: .quad 0, 0
compat_seen: .quad 0
gate_cs: .quad 0
gate_ss: .quad 0
gate_rsp: .quad 0
gate_frame: .quad 0, 0, 0, 0
local: .quad 0, 0x12cf93345678ffff

#include "runtime.inc"
