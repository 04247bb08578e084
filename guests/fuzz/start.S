/* The fuzzing guest's entry, in 64-bit code or, compiled so, in the 32-bit code that a PVH guest starts in. */
#include "pvh.inc"

#ifdef __x86_64__
  PVH_MAIN_64
#else
  PVH_NOTE _start

  .text
  .code32
  .globl _start
_start:
  cld
  movl $stack_top, %esp
  pushl %ebx
  call guest_main
  ud2
#endif

  .bss
  .balign 16
stack: .skip 16384
stack_top:
  .section .note.GNU-stack, "", @progbits
