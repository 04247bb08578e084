/* The fuzzing guest's entry, in 64-bit code or, compiled so, in the 32-bit code that a PVH guest starts in. */
#include "pvh.inc"

  PVH_NOTE _start

  .text
  .code32
  .globl _start
_start:
  cld
  movl $stack_top, %esp
#ifdef __x86_64__
  ENTER_LONG_MODE start64
  .code64
start64:
  movq $stack_top, %rsp
  movl %ebx, %edi
  call guest_main
#else
  pushl %ebx
  call guest_main
#endif
  ud2

#ifdef __x86_64__
  BOOT_TABLES
#endif

  .bss
  .balign 16
stack: .skip 16384
stack_top:
  .section .note.GNU-stack, "", @progbits
