/* Start of the 32-bit PV test guest: its notes, and the ways into its kernel: traps and callbacks (public/arch-x86/xen-x86_32.h). */

/* Notes by number (Xen's elfnote.h): ENTRY 1, HYPERCALL_PAGE 2, VIRT_BASE 3, XEN_VERSION 5, GUEST_OS 6, LOADER 8, PAE_MODE 9 */
.macro NOTE type, value:vararg
  .pushsection .note.xen, "a", @note
  .balign 4
  .long 4, 2f - 1f, \type
  .asciz "Xen"
1: \value
2: .balign 4
  .popsection
.endm
  NOTE 1, .long _start
  NOTE 2, .long hypercall_page
  NOTE 3, .long 0
  NOTE 5, .asciz "xen-3.0"
  NOTE 6, .asciz "xenolith-pv32"
  NOTE 8, .asciz "generic"
  NOTE 9, .asciz "yes"

  .text
  .globl _start, hypercall_page, HYPERCALL_iret
_start:
  cld
  movl $stack_top, %esp
  pushl %esi
  call guest_main
  ud2

  .balign 4096
hypercall_page: .skip 4096, 0xcc
HYPERCALL_iret = hypercall_page + 23 * 32

/* Everything that enters the kernel ends up here, with a code and an error code pushed: see struct entry. */
common:
  pushal
  /* flat, and of ring 3: they are the program's, too */
  movl $0xe033, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %esp, %eax
  cld
  pushl %eax
  call entered
  addl $4, %esp
  popal
  addl $8, %esp
  jmp HYPERCALL_iret

/* Leave an entry for where the test wants to go on: in the kernel, events let in. */
  .globl resume
resume:
  movl resume_esp, %esp
  pushl $0x202
  pushl $0xe019
  pushl resume_eip
  jmp HYPERCALL_iret

.macro ENTRY name, code, has_error=0
  .globl \name
\name:
  .if !\has_error
  pushl $0
  .endif
  pushl $\code
  jmp common
.endm

  .globl traps
  .pushsection .rodata
  .balign 4
traps:
  .popsection
.macro TRAP vector, has_error=0
  ENTRY trap_\vector, \vector, \has_error
  .pushsection .rodata
  .long trap_\vector
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
  ENTRY on_event, 0x101
  ENTRY on_sysenter, 0x103

/* DS ES FS GS, then as the others. */
  .globl on_failsafe
on_failsafe:
  popl %ss:failsafe_segments
  popl %ss:failsafe_segments + 4
  popl %ss:failsafe_segments + 8
  popl %ss:failsafe_segments + 12
  pushl $0
  pushl $0x102
  jmp common

  .section .user, "awx"
  .balign 16
  .globl user_stack_top
  .skip 2048
user_stack_top:

  .bss
  .balign 4096
  .skip 16384
  .globl stack_top, trap_stack_top
stack_top:
  .skip 16384
trap_stack_top:
