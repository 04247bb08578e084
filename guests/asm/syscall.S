/* SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and IRET in their forms (SDM 2A IRET; 2B; 3A 5.8.7, 5.8.8). */
#include "test.inc"

  .text
  .code64
  .set NONCANONICAL, 0x0000800000000000

/* Marks a place in section .user, as ring 3 sees it. */
.macro USER_ADDRESS symbol, label
  .set \symbol, \label - user_start + USER
.endm

  .pushsection .user, "awx", @progbits
user_syscall: syscall
user_after_syscall: int $SYS
user_int: int $SYS
user_int_end:
user_sysenter: sysenter
  .code32
user_syscall32: syscall
user_sysenter32: sysenter
user_int32: int $SYS
user_int32_end:
  .code64
  .popsection
  USER_ADDRESS USER_SYSCALL, user_syscall
  USER_ADDRESS USER_INT, user_int

tests:
  WRMSR_TO 0xc0000081, (0x0020 << 48) | (KCODE << 32)   /* STAR: SYSRET base 0x20, SYSCALL base KCODE */
  WRMSR_TO 0xc0000082, syscall_entry
  WRMSR_TO 0xc0000084, 0x40700
  call syscalls
  call sysrets
  call sysenters
  call irets
  ret

/* Ends the run of ring 3: the state goes to memory, then on to resume_rip. */
syscall_entry:
  movq %rcx, entry_rcx
  movq %r11, entry_r11
  movq %rsp, entry_rsp
entry_common:
  pushfq                                /* on ring 3's stack: there is no SMAP here */
  popq entry_flags
  movw %cs, entry_cs
  movw %ss, entry_ss
  movq resume_rsp, %rsp
  movq resume_rip, %rcx
  movq $0, resume_rip
  jmp *%rcx

.macro RUN_TO_ENTRY label, selector
  movq $0, entry_cs
  movq $0, entry_ss
  RUN_USER \label, \selector
  movl $KDATA, %eax
  movl %eax, %ss
.endm

syscalls:
  movq $0x40ad7, user_rflags            /* AC OF SF ZF AF PF CF, 1 */
  RUN_TO_ENTRY user_syscall, UCODE
  EXPECT "syscall.no_exception", rec_count, 0
  EXPECT "syscall.rcx", entry_rcx, (user_after_syscall - user_start + USER)
  EXPECT "syscall.r11", entry_r11, 0x40ad7
  EXPECT "syscall.rflags_masked", entry_flags, 0x8d7
  EXPECT "syscall.cs", entry_cs, KCODE
  EXPECT "syscall.ss", entry_ss, (KCODE + 8)
  EXPECT "syscall.rsp_kept", entry_rsp, USER_STACK
  movq $2, user_rflags
  RDMSR_OF 0xc0000080
  andl $~1, %eax                        /* SCE */
  xorl %edx, %edx
  wrmsr
  USER_FAULT "syscall.sce_off", UD, 0, syscall
  FAULT "sysret.sce_off", UD, 0, sysretq
  RDMSR_OF 0xc0000080
  orl $1, %eax
  xorl %edx, %edx
  wrmsr
#ifndef PORT_E9                         /* QEMU does as AMD's CPUs do */
  COMPAT_FAULT "syscall.compat_intel", UD, 0, syscall   /* Intel: 64-bit mode only */
#endif
  ret

/* SYSRET: to RCX with flags from R11; the stack is the caller's business. */
.macro SYSRET name, insn, address, flags
  movabsq $(\address), %rcx
  movl $(\flags), %r11d
  RESUME_AT sysret_end\@
  movl $USER_STACK, %esp
  \insn
sysret_end\@:
.endm

sysrets:
  SYSRET "sysret.64", sysretq, USER_INT, 0x202
  EXPECT "sysret.64.vector", rec_vector, SYS
  EXPECT "sysret.64.rip", rec_rip, (user_int_end - user_start + USER)
  EXPECT "sysret.64.cs", rec_cs, UCODE
  EXPECT "sysret.64.ss", rec_ss, UDATA
  EXPECT "sysret.64.rsp", rec_rsp, USER_STACK
  EXPECT "sysret.64.flags", rec_rflags, 0x202
  SYSRET "sysret.flags", sysretq, USER_INT, 0x3c7ed7
  movq rec_rflags, %rax
  EXPECT "sysret.flags", %rax, 0x3c7ed7
  SYSRET "sysret.32", sysretl, (user_int32 - user_start + USER), 2
  EXPECT "sysret.32.rip", rec_rip, (user_int32_end - user_start + USER)
  EXPECT "sysret.32.cs", rec_cs, UCODE32
  EXPECT "sysret.32.ss", rec_ss, UDATA
  movabsq $0x1234567800000000 + (user_int32 - user_start + USER), %rcx
  movl $2, %r11d
  RESUME_AT 1f
  movl $USER_STACK, %esp
  sysretl
1: EXPECT "sysret.32.high_half_ignored", rec_rip, (user_int32_end - user_start + USER)
  movabsq $NONCANONICAL, %rcx
  FAULT "sysret.noncanonical", GP, 0, sysretq           /* Intel: raised in ring 0 */
  EXPECT "sysret.noncanonical.cs", rec_cs, KCODE
  USER_FAULT "sysret.ring3", GP, 0, sysretq
  ret

sysenters:
  WRMSR_TO 0x174, KCODE
  WRMSR_TO 0x175, sysenter_stack_top
  WRMSR_TO 0x176, sysenter_entry
  movq $0x202, user_rflags
  RUN_TO_ENTRY user_sysenter, UCODE
  EXPECT "sysenter.cs", entry_cs, KCODE
  EXPECT "sysenter.ss", entry_ss, (KCODE + 8)
  EXPECT "sysenter.rsp", entry_rsp, sysenter_stack_top
  movq entry_flags, %rax
  andl $0x20200, %eax
  EXPECT "sysenter.if_vm_cleared", %rax, 0
  RUN_TO_ENTRY user_sysenter32, UCODE32
  EXPECT "sysenter.compat.no_exception", rec_count, 0
  EXPECT "sysenter.compat.cs", entry_cs, KCODE
  EXPECT "sysenter.compat.rsp", entry_rsp, sysenter_stack_top
  movq $2, user_rflags
  WRMSR_TO 0x174, 0x3                   /* a null selector, whatever its RPL */
  USER_FAULT "sysenter.null_cs", GP, 0, sysenter
  FAULT "sysexit.null_cs", GP, 0, sysexitq
  WRMSR_TO 0x174, KCODE
  /* SYSEXIT: CS = base + 32, SS = base + 40 in 64-bit form; the descriptors' contents are fixed (2B) */
  RESUME_AT 1f
  movl $USER_STACK, %ecx
  movl $USER_INT, %edx
  sysexitq
1: EXPECT "sysexit.64.vector", rec_vector, SYS
  EXPECT "sysexit.64.cs", rec_cs, ((KCODE + 32) | 3)
  EXPECT "sysexit.64.ss", rec_ss, ((KCODE + 40) | 3)
  EXPECT "sysexit.64.rip", rec_rip, (user_int_end - user_start + USER)
  EXPECT "sysexit.64.rsp", rec_rsp, USER_STACK
  RESUME_AT 1f
  movl $USER_STACK, %ecx
  movl $user_int32 - user_start + USER, %edx
  sysexitl
1: EXPECT "sysexit.32.cs", rec_cs, ((KCODE + 16) | 3)
  EXPECT "sysexit.32.ss", rec_ss, ((KCODE + 24) | 3)
  EXPECT "sysexit.32.rip", rec_rip, (user_int32_end - user_start + USER)
  movabsq $NONCANONICAL, %rdx
  FAULT "sysexit.noncanonical_rip", GP, 0, sysexitq
  movl $USER_INT, %edx
  movabsq $NONCANONICAL, %rcx
  FAULT "sysexit.noncanonical_rsp", GP, 0, sysexitq
  ret

sysenter_entry:
  movq %rsp, entry_rsp
  jmp entry_common

/* IRETQ from a frame of five words; a refused frame leaves RSP (2A IRET). */
.macro IRET name, vector, error, rip, cs, flags, rsp, ss
  RESUME_AT iret_end\@
  pushq $\ss
  movabsq $(\rsp), %rax
  pushq %rax
  movabsq $(\flags), %rax
  pushq %rax
  pushq $\cs
  movabsq $(\rip), %rax
  pushq %rax
  movq %rsp, %r13
iret_at\@:
  iretq
iret_end\@:
  .if \vector == SYS
  EXPECT "\name", rec_vector, SYS
  .else
  CHECK_FAULT "\name", \vector, \error, iret_at\@
  subq rec_rsp, %r13
  EXPECT "\name\().rsp_kept", %r13, 0
  .endif
.endm

irets:
  IRET "iret.user", SYS, 0, USER_INT, UCODE, 0x40cd7, USER_STACK, UDATA
  EXPECT "iret.user.flags", rec_rflags, 0x40cd7
  EXPECT "iret.user.rsp", rec_rsp, USER_STACK
  IRET "iret.compat", SYS, 0, (user_int32 - user_start + USER), UCODE32, 2, USER_STACK, UDATA
  EXPECT "iret.compat.cs", rec_cs, UCODE32
  RESUME_AT 1f                          /* ring 0: SS and RSP are popped too in 64-bit mode, SS may be null */
  pushq $0
  pushq $scratch + 4096
  pushq $2
  pushq $KCODE
  pushq $2f
  iretq
2: movq %rsp, %rbx
  int $SYS
1: EXPECT "iret.ring0.rsp", %rbx, (scratch + 4096)
  EXPECT "iret.ring0.null_ss", rec_ss, 0
  IRET "iret.noncanonical_rip", GP, 0, NONCANONICAL, UCODE, 2, USER_STACK, UDATA
  IRET "iret.null_cs", GP, 0, USER_INT, 0, 2, USER_STACK, UDATA
  IRET "iret.null_cs_rpl3", GP, 0, USER_INT, 3, 2, USER_STACK, UDATA
  IRET "iret.data_cs", GP, KDATA, USER_INT, KDATA, 2, USER_STACK, UDATA
  IRET "iret.cs_beyond_limit", GP, 0xff8, USER_INT, 0xff8, 2, USER_STACK, UDATA
  IRET "iret.cs_rpl_below_dpl", GP, KCODE, USER_INT, KCODE + 3, 2, USER_STACK, UDATA
  IRET "iret.ss_null_ring3", GP, 0, USER_INT, UCODE, 2, USER_STACK, 0
  IRET "iret.ss_code", GP, (UCODE & ~3), USER_INT, UCODE, 2, USER_STACK, UCODE
  IRET "iret.ss_rpl", GP, KDATA, USER_INT, UCODE, 2, USER_STACK, KDATA
  SET_GDT SPARE, 0x002f7b000000ffff     /* 64-bit code, DPL 3, not present */
  IRET "iret.cs_not_present", NP, SPARE, USER_INT, SPARE + 3, 2, USER_STACK, UDATA
  SET_GDT SPARE, 0x006ffb000000ffff     /* L and D together */
  IRET "iret.cs_l_and_d", GP, SPARE, USER_INT, SPARE + 3, 2, USER_STACK, UDATA
  SET_GDT SPARE, 0x00cf73000000ffff     /* data, DPL 3, not present */
  IRET "iret.ss_not_present", SS, SPARE, USER_INT, UCODE, 2, USER_STACK, SPARE + 3
  pushq $0x4002                         /* NT: #GP(0) in long mode */
  popfq
  IRET "iret.nt", GP, 0, USER_INT, UCODE, 2, USER_STACK, UDATA
  pushq $2
  popfq
  /* a data segment that ring 3 may not have becomes null on the way out (2A IRET, "RETURN-TO-OUTER-PRIVILEGE-LEVEL") */
  movl $KDATA, %eax
  movl %eax, %ds
  movl $UDATA, %eax
  movl %eax, %es
  .pushsection .user, "awx", @progbits
user_read_segments:
  movl %ds, %eax
  movl %es, %ecx
  int $SYS
  .popsection
  RUN_USER user_read_segments, UCODE
  EXPECT "iret.ds_nulled", %rax, 0
  EXPECT "iret.es_kept", %rcx, UDATA
  movl $KDATA, %eax
  movl %eax, %ds
  movl %eax, %es
  /* IRETL: 32-bit frame; in 64-bit mode SS:ESP is popped always */
  RESUME_AT 1f
  subq $20, %rsp
  movl $USER_INT, (%rsp)
  movl $UCODE, 4(%rsp)
  movl $2, 8(%rsp)
  movl $USER_STACK, 12(%rsp)
  movl $UDATA, 16(%rsp)
  iretl
1: EXPECT "iretl.rip", rec_rip, (user_int_end - user_start + USER)
  EXPECT "iretl.rsp", rec_rsp, USER_STACK
  /* IF and IOPL: ring 3's IRET may change neither at IOPL 0 */
  .pushsection .user, "awx", @progbits
user_iret:
  pushq $UDATA
  pushq $USER_STACK
  pushq $0x3202
  pushq $UCODE
  pushq $USER_INT
  iretq
  .popsection
  RUN_USER user_iret, UCODE
  EXPECT "iret.ring3_flags", rec_rflags, 2
  ret

  .data
  .balign 8
entry_rcx: .quad 0
entry_r11: .quad 0
entry_rsp: .quad 0
entry_flags: .quad 0
entry_cs: .quad 0
entry_ss: .quad 0
  .skip 1024
sysenter_stack_top:

#include "runtime.inc"
