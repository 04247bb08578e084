/* The unikernel's entry, hypercall gates and interrupt stubs. */
#include "pvh.inc"

  PVH_MAIN_64

/* long hypercall(nr, a1, a2, a3): number in EAX, arguments in RDI, RSI, RDX, result in RAX */
  .globl hypercall
hypercall:
  movl %edi, %eax
  movq %rsi, %rdi
  movq %rdx, %rsi
  movq %rcx, %rdx
  cmpl $1, hypercall_form
  je 1f
  ja 2f
  movl %eax, %ecx
  shll $5, %ecx
  addq $hypercall_page, %rcx
  jmp *%rcx
1: vmcall
  ret
2: vmmcall
  ret

/* One stub of 16 bytes a vector; those without an error code push 0 (SDM 3A 6.15). */
  .balign 16
  .globl interrupt_stubs
interrupt_stubs:
  .set vector, 0
  .rept 256
  .balign 16
  .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
  pushq $0
  .endif
  pushq $vector
  jmp interrupt_common
  .set vector, vector + 1
  .endr

interrupt_common:
  .irp reg, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
  pushq %\reg
  .endr
  movq %rsp, %rdi
  cld
  call interrupt
  .irp reg, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
  popq %\reg
  .endr
  addq $16, %rsp
  iretq

  .bss
  .balign 4096
  .globl hypercall_page
hypercall_page: .skip 4096
stack: .skip 16384
stack_top:
  .section .note.GNU-stack, "", @progbits
