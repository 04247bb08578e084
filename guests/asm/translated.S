/*
 * Code that has run so often that it is translated, and then changes: its bytes, where it is mapped, who runs it, in which mode (SDM 3A 4.10.4,
 * 8.1.3; 3B 18.2). The loops are long enough for a translator to see them; without one the checks hold all the same.
 */
#include "test.inc"

  .text
  .code64
  .set ROUNDS, 200000
  .set A_PAGE, 20                       /* the loop, and behind it what it calls */
  .set B_PAGE, 21
  .set CODE_A, PLAY + 4096 * A_PAGE
  .set CODE_B, PLAY + 4096 * B_PAGE
  .set X0, 0x402                        /* DR7: DR0, execute */
  .set W1, 0x00d00408                   /* DR1, write, 4 bytes */

/* Runs the loop at `address`; R13 is what it has added up. */
.macro ROUND count, address=CODE_A
  movl $\count, %r14d
  xorl %r13d, %r13d
  movl $\address, %eax
  call *%rax
.endm

tests:
  SET_CR cr4, 0x600
  call remapped
  call large
  call privilege
  call written
  call border
  call modes
  call debugged
  ret

map_code:
  MAP A_PAGE, loop_page, (P + W + U)
  MAP B_PAGE, one_page, (P + W + U)
  ret

remapped:
  call map_code
  ROUND ROUNDS
  EXPECT "remapped.before", %r13, ROUNDS
  MAP B_PAGE, thousand_page, (P + W + U)
  ROUND 10
  EXPECT "remapped.invlpg", %r13, 10000
  ROUND ROUNDS
  movq $one_page + P + W + U, play_pt + 8 * B_PAGE
  movq %cr3, %rax
  movq %rax, %cr3
  ROUND 10
  EXPECT "remapped.cr3", %r13, 10
  ROUND ROUNDS
  MAP B_PAGE, 0, 0
  movl $10, %r14d
  movl $CODE_A, %eax
  RESUME_AT 1f
  call *%rax
1: CHECK_FAULT "remapped.missing", PF, 0x10, CODE_B
  MAP B_PAGE, one_page, (P + W + U + NX)
  RESUME_AT 1f
  call *%rax
1: CHECK_FAULT "remapped.nx", PF, 0x11, CODE_B
  MAP B_PAGE, one_page, (P + W + U)
  ROUND 10
  EXPECT "remapped.again", %r13, 10
  ret

/* A page of 2 MiB is one translation: INVLPG of any address in it drops all of it (4.10.4.1). */
large:
  .set LARGE_ENTRY, boot_pml4 + 0x2000 + 3 * 0x1000
  .set LARGE, 0xc0000000
  .set FRAME0, 0x1000000
  .set FRAME1, 0x1200000
  cld
  .irp frame, FRAME0, FRAME1
  movl $loop_page, %esi
  movl $\frame + 0x5000, %edi
  movl $8192, %ecx
  rep movsb
  .endr
  movl $thousand_page, %esi
  movl $FRAME1 + 0x6000, %edi
  movl $4096, %ecx
  rep movsb
  movl $0xaaaa, FRAME0 + 0x7000
  movl $0xbbbb, FRAME1 + 0x7000
  movq $FRAME0 + P + W + PS, LARGE_ENTRY
  movq %cr3, %rax
  movq %rax, %cr3
  movl $LARGE + 0x7000, %ebx
  movl (%rbx), %ecx
  EXPECT "large.before", %rcx, 0xaaaa
  ROUND ROUNDS, (LARGE + 0x5000)
  EXPECT "large.code_before", %r13, ROUNDS
  movq $FRAME1 + P + W + PS, LARGE_ENTRY
  movl $LARGE + 0x100000, %edx
  invlpg (%rdx)
  movl (%rbx), %ecx
  EXPECT "large.data", %rcx, 0xbbbb
  ROUND 10, (LARGE + 0x5000)
  EXPECT "large.code", %r13, 10000
  ret

/* What ring 0 may execute ring 3 may not. */
privilege:
  call map_code
  MAP B_PAGE, one_page, (P + W)
  ROUND ROUNDS
  EXPECT "privilege.ring0", %r13, ROUNDS
  movl $10, %r14d
  RUN_USER_AT CODE_A, UCODE
  CHECK_FAULT "privilege.ring3", PF, 0x15, CODE_B
  ROUND 10
  EXPECT "privilege.ring0_again", %r13, 10
  ret

written:
  /* a program that makes code, runs it and makes it anew */
  call map_code
  ROUND ROUNDS
  movl $1, %r15d
  xorl %r12d, %r12d
1: movl %r15d, one_page + 1
  ROUND 3
  addq %r13, %r12
  incl %r15d
  cmpl $4000, %r15d
  jbe 1b
  EXPECT "written.rewritten", %r12, (3 * 4000 * 4001 / 2)
  movl $1, one_page + 1
  /* the loop rewrites what it calls */
  MAP A_PAGE, writer_page, (P + W + U)
  ROUND 4000
  EXPECT "written.by_itself", %r13, (4000 * 4001 / 2)
  movl $1, one_page + 1
  /* data in the page of its code */
  MAP A_PAGE, counting_page, (P + W + U)
  movq $0, counting_page + 2048
  ROUND 4000
  movq counting_page + 2048, %rax
  EXPECT "written.counter_beside", %rax, 4000
  /* written by a hypercall: XENVER_get_features puts a word behind a number */
  MAP A_PAGE, loop_page, (P + W + U)
  MAP B_PAGE, feature_page, (P + W + U)
  ROUND ROUNDS
  EXPECT "written.feature_before", %r13, 0
#ifndef PORT_E9
  movl $17, %eax
  movl $6, %edi
  movl $CODE_B + 2, %esi
  vmcall
  ROUND 1
  movl feature_page + 6, %eax
  subq %rax, %r13
  EXPECT "written.by_hypercall", %r13, 0
  testl %eax, %eax
  setnz %al
  movzbl %al, %eax
  EXPECT "written.feature", %rax, 1
#endif
  ret

/* An instruction on two pages, of which the second changes. */
border:
  MAP A_PAGE, border_page, (P + W + U)
  MAP B_PAGE, border_one, (P + W + U)
  ROUND ROUNDS, (CODE_A + 4094)
  EXPECT "border.before", %r13, ROUNDS
  MAP B_PAGE, border_two, (P + W + U)
  ROUND 10, (CODE_A + 4094)
  EXPECT "border.remapped", %r13, (10 * 0x10001)
  ROUND ROUNDS, (CODE_A + 4094)
  movb $2, border_page + 4095
  ROUND 10, (CODE_A + 4094)
  EXPECT "border.written", %r13, (10 * 0x10002)
  movb $1, border_page + 4095
  ret

/* The same bytes in 64-bit and in compatibility mode: 48 is a prefix or DEC EAX. */
modes:
  MAP A_PAGE, modes_page, (P + W + U)
  movl $2, %r15d
1: xorl %eax, %eax
  movl $ROUNDS, %ecx
  RUN_USER_AT CODE_A, UCODE
  EXPECT "modes.64", %rax, ROUNDS
  xorl %eax, %eax
  movl $ROUNDS, %ecx
  RUN_USER_AT CODE_A, UCODE32
  EXPECT "modes.32", %rax, 0
  decl %r15d
  jnz 1b
  ret

debugged:
  call map_code
  CLEAR_DR6
  ROUND ROUNDS
  ARM 0, CODE_B, X0
  movl $10, %r14d
  movl $CODE_A, %eax
  RESUME_AT 1f
  call *%rax
1: CHECK_FAULT "debugged.breakpoint", DB, 0, CODE_B
  DISARM
  CLEAR_DR6
  movl $10, %r14d
  RESUME_AT 1f
  SET_TF
  call *%rax
1: CHECK_FAULT "debugged.step", DB, 0, CODE_A
  CLEAR_DR6
  MAP A_PAGE, storing_page, (P + W + U)
  ROUND ROUNDS
  ARM 1, watched, W1
  movl $10, %r14d
  movl $CODE_A, %eax
  RESUME_AT 1f
  call *%rax
1: CHECK_FAULT "debugged.watch", DB, 0, (CODE_A + storing_next - storing_page)
  DISARM
  CLEAR_DR6
  ROUND 10
  movl watched, %eax
  EXPECT "debugged.after", %rax, 1
  ret

  .data
  .balign 4096
loop_page:
1: .rept 5                             /* most places where it may be found running lie on this page */
  jmp 2f
2:
  .endr
  call loop_page + 4096
  decl %r14d
  jnz 1b
  ret
  .balign 4096
one_page:
  movl $1, %eax
  addq %rax, %r13
  ret
  .balign 4096
thousand_page:
  movl $1000, %eax
  addq %rax, %r13
  ret
  .balign 4096
writer_page:
1: movl %r14d, CODE_B + 1
  call writer_page + 4096
  decl %r14d
  jnz 1b
  ret
  .balign 4096
counting_page:
1: incq CODE_A + 2048
  decl %r14d
  jnz 1b
  ret
  .balign 4096
feature_page:
  movabsq $0, %rax
  shrq $32, %rax
  addq %rax, %r13
  ret
  .balign 4096
border_page:
  .skip 4094
  .byte 0xb8, 1                         /* movl $.., %eax */
border_one:
  .byte 0, 0, 0
  addq %rax, %r13
  decl %r14d
  .byte 0x0f, 0x85
  .long -2 - (. + 4 - border_one)
  ret
  .balign 4096
border_two:
  .byte 0, 1, 0
  addq %rax, %r13
  decl %r14d
  .byte 0x0f, 0x85
  .long -2 - (. + 4 - border_two)
  ret
  .balign 4096
modes_page:
1: .byte 0x48, 0xff, 0xc0
  decl %ecx
  jnz 1b
  int $SYS
  .balign 4096
storing_page:
1: movl %r14d, watched
storing_next:
  decl %r14d
  jnz 1b
  ret
  .balign 4096
watched: .quad 0

#include "runtime.inc"
