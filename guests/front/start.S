/* A front end's entry. */
#include "pvh.inc"

  PVH_MAIN_64

  .bss
  .balign 16
stack: .skip 16384
stack_top:
  .section .note.GNU-stack, "", @progbits
