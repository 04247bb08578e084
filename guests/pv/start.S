/* Start of the PV test guest: its notes, and the ways into its kernel: traps and callbacks (public/arch-x86/xen-x86_64.h). */

/* Notes by number (Xen's elfnote.h): ENTRY 1, XEN_VERSION 5, GUEST_OS 6, GUEST_VERSION 7, LOADER 8, VIRT_BASE 3, PADDR_OFFSET 4, FEATURES 10 */
.macro NOTE type, value:vararg
  .pushsection .note.xen, "a", @note
  .balign 4
  .long 4, 2f - 1f, \type
  .asciz "Xen"
1: \value
2: .balign 4
  .popsection
.endm
  NOTE 1, .quad _start
  NOTE 3, .quad 0
  NOTE 4, .quad 0
  NOTE 5, .asciz "xen-3.0"
  NOTE 6, .asciz "xenolith-pv"
  NOTE 8, .asciz "generic"

  .text
  .globl _start
_start:
  cld
  movq %rsp, boot_rsp
  movq $stack_top, %rsp
  movq %rsi, %rdi
  call guest_main
  ud2

/* HYPERVISOR_iret: the frame from RIP on is there; RCX and R11 come back from the rest. */
  .globl back
back:
  pushq $0
  pushq %rcx
  pushq %r11
  pushq %rax
  movl $23, %eax
  syscall

/* Everything that enters the kernel ends up here, with a code and an error code pushed: see struct entry. */
common:
  pushq %r15
  pushq %r14
  pushq %r13
  pushq %r12
  pushq %rbp
  pushq %rbx
  pushq %r11
  pushq %r10
  pushq %r9
  pushq %r8
  pushq %rax
  pushq %rcx
  pushq %rdx
  pushq %rsi
  pushq %rdi
  movq %rsp, %rdi
  cld
  call entered
  popq %rdi
  popq %rsi
  popq %rdx
  popq %rcx
  popq %rax
  popq %r8
  popq %r9
  popq %r10
  popq %r11
  popq %rbx
  popq %rbp
  popq %r12
  popq %r13
  popq %r14
  popq %r15
  addq $16, %rsp
  jmp back

.macro ENTRY name, code, has_error=0
  .globl \name
\name:
  popq %rcx
  popq %r11
  .if !\has_error
  pushq $0
  .endif
  pushq $\code
  jmp common
.endm

  .globl traps
  .pushsection .rodata
  .balign 8
traps:
  .popsection
.macro TRAP vector, has_error=0
  ENTRY trap_\vector, \vector, \has_error
  .pushsection .rodata
  .quad trap_\vector
  .popsection
.endm
  TRAP 0
  TRAP 1
  TRAP 2
  TRAP 3
  TRAP 4
  TRAP 5
  TRAP 6
  TRAP 7
  TRAP 8, 1
  TRAP 9
  TRAP 10, 1
  TRAP 11, 1
  TRAP 12, 1
  TRAP 13, 1
  TRAP 14, 1
  TRAP 15
  TRAP 16
  TRAP 17, 1
  TRAP 18
  TRAP 19
  ENTRY trap_int80, 0x80
  ENTRY trap_int81, 0x81
  ENTRY trap_int82, 0x82
  ENTRY on_syscall, 0x100
  ENTRY on_event, 0x101
  ENTRY on_sysenter, 0x103

/* RCX R11 DS ES FS GS, then as the others. */
  .globl on_failsafe
on_failsafe:
  popq %rcx
  popq %r11
  popq failsafe_segments
  popq failsafe_segments + 8
  popq failsafe_segments + 16
  popq failsafe_segments + 24
  pushq $0
  pushq $0x102
  jmp common

  .bss
  .balign 4096
  .skip 16384
  .globl stack_top, trap_stack_top, boot_rsp
stack_top:
  .skip 16384
trap_stack_top:
boot_rsp: .skip 8
