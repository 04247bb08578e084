/* 32-bit exceptions and stack switches, segment limits and types, call gates with parameters (SDM 3A 3, 5, 6.12). */
#include "legacy.inc"

tests_legacy:
  call exceptions32
  call segments32
  jmp gates32

exceptions32:
  FAULT32 "legacy.ud", UD, 0, ud2
  xorl %ecx, %ecx
  FAULT32 "legacy.de", DE, 0, divl %ecx
  FAULT32 "legacy.aam_0", DE, 0, .byte 0xd4, 0
  movl $0x7fffffff, %eax
  addl $1, %eax
  RESUME32 1f
  into
1: LOG "legacy.into", vector32, OF
  movl $5, scratch
  movl $9, scratch + 4
  movl $10, %eax
  FAULT32 "legacy.bound", BR, 0, bound %eax, scratch
  movl $9, %eax
  OK32 "legacy.bound_inside", bound %eax, scratch
  movl $0xff8, %eax
  FAULT32 "legacy.load_beyond_limit", GP, 0xff8, movl %eax, %es
  /* no stack switch in ring 0: three words, or four with an error code */
  movl %esp, %ebx
  subl frame32, %ebx
  LOG "legacy.frame_with_error", %ebx, 16
  RESUME32 1f
  int $SYS
1: movl %esp, %ebx
  subl frame32, %ebx
  LOG "legacy.frame_without_error", %ebx, 12
  RUN_USER32 user_int32
  LOG "legacy.user_int", vector32, SYS
  LOG "legacy.user_int.cs", cs32, USER_CODE_32
  LOG "legacy.user_int.stack_switched", frame32, (stack32_top - 20)
  LOG "legacy.user_int.esp", esp32, user_stack32_top
  LOG "legacy.user_int.ss", ss32, USER_DATA_32
  RUN_USER32 user_privileged32
  LOG_FAULT "legacy.user_cli", GP, 0, user_privileged32
  LOG "legacy.user_cli.frame", frame32, (stack32_top - 24)
  movw $TSS_32, %cx                     /* ARPL raises the RPL (2A) */
  movw $3, %dx
  arpl %dx, %cx
  movzwl %cx, %ecx
  LOG "legacy.arpl", %ecx, (TSS_32 + 3)
  ret

user_int32: int $SYS
user_privileged32: cli

segments32:                             /* 3A 5.3, 5.4 */
  movl $LIMITED, %eax
  movl %eax, %fs
  OK32 "limit.inside", movl %fs:12, %eax
  FAULT32 "limit.across", GP, 0, movl %fs:13, %eax
  FAULT32 "limit.outside", GP, 0, movb %al, %fs:16
  FAULT32 "limit.wraps", GP, 0, movl %fs:-2, %eax
  movl $DOWN, %eax
  movl %eax, %fs
  OK32 "expand_down.above", movl %fs:0x100000, %eax
  OK32 "expand_down.first", movb %fs:0x1000, %al
  FAULT32 "expand_down.below", GP, 0, movb %fs:0xfff, %al
  FAULT32 "expand_down.across", GP, 0, movl %fs:0xffd, %eax
  movl $READ_ONLY, %eax
  movl %eax, %fs
  OK32 "read_only.read", movl %fs:scratch, %eax
  FAULT32 "read_only.write", GP, 0, movl %eax, %fs:scratch
  FAULT32 "read_only.rmw", GP, 0, incl %fs:scratch
  movl $READ_ONLY, %eax
  FAULT32 "read_only.as_stack", GP, READ_ONLY, movl %eax, %ss
  OK32 "cs.read", movl %cs:scratch, %eax
  FAULT32 "cs.write", GP, 0, movl %eax, %cs:scratch
  movl $EXECUTE_ONLY, %eax
  FAULT32 "execute_only.load", GP, EXECUTE_ONLY, movl %eax, %fs
  movl $NOT_PRESENT, %eax
  FAULT32 "not_present.load", NP, NOT_PRESENT, movl %eax, %fs
  FAULT32 "not_present.stack", SS, NOT_PRESENT, movl %eax, %ss
  xorl %eax, %eax
  movl %eax, %fs
  FAULT32 "null.use", GP, 0, movl %fs:0, %eax
  xorl %eax, %eax
  FAULT32 "null.stack", GP, 0, movl %eax, %ss
  movl gdt32 + LIMITED, %eax            /* A is set by the load */
  movl gdt32 + LIMITED + 4, %eax
  andl $0x100, %eax
  LOG "accessed_bit", %eax, 0x100
  movl $STACK_32, %eax                  /* a limit fault through SS is #SS */
  RESUME32 1f
  movl %eax, %ss
  movl $0x800, %esp
2: movl %ss:0xffd, %ecx
1: movl $DATA_32, %eax
  movl %eax, %ss
  movl resume_rsp, %esp
  LOG_FAULT "limit.stack", SS, 0, 2b
  ret

gates32:                                /* 5.8.3, 5.8.5: two parameters are copied */
  movl $gate_target32, %eax
  movw %ax, gdt32 + GATE_32
  movw $CODE_32, gdt32 + GATE_32 + 2
  movb $2, gdt32 + GATE_32 + 4
  movb $0xec, gdt32 + GATE_32 + 5
  shrl $16, %eax
  movw %ax, gdt32 + GATE_32 + 6
  RUN_USER32 user_gate32
  LOG "gate32.back", vector32, SYS
  LOG "gate32.esp0", gate_esp32, (stack32_top - 24)
  LOG "gate32.first", gate_first32, 0x2222
  LOG "gate32.second", gate_second32, 0x1111
  LOG "gate32.old_esp", gate_old_esp32, (user_stack32_top - 8)
  LOG "gate32.parameters_released", esp32, user_stack32_top
  ret

user_gate32:
  pushl $0x1111
  pushl $0x2222
  lcall $GATE_32 + 3, $0
  int $SYS

gate_target32:
  movl $DATA_32, %eax                   /* ring 3 has a null DS */
  movl %eax, %ds
  movl %esp, gate_esp32
  movl 8(%esp), %eax
  movl %eax, gate_first32
  movl 12(%esp), %eax
  movl %eax, gate_second32
  movl 16(%esp), %eax
  movl %eax, gate_old_esp32
  lretl $8

#include "runtime.inc"
