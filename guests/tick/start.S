/* The ticking guest's entry: long mode, a stack, and main. It takes no interrupts, so it needs no IDT. */
#include "pvh.inc"

  PVH_NOTE _start
  BOOT_TABLES

  .text
  .code32
  .globl _start
_start:
  cld
  movl $stack_top, %esp
  ENTER_LONG_MODE start64

  .code64
start64:
  movq $stack_top, %rsp
  movl %ebx, %edi
  call guest_main
  ud2

  .bss
  .balign 4096
stack: .skip 4096
stack_top:
  .section .note.GNU-stack, "", @progbits
