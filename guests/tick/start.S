/* The ticking guest's entry: long mode, a stack, and main. It takes no interrupts, so it needs no IDT. */
#include "pvh.inc"

  PVH_MAIN_64

  .bss
  .balign 4096
stack: .skip 4096
stack_top:
  .section .note.GNU-stack, "", @progbits
