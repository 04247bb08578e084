/* Exceptions of ring 0 and ring 3 code: vectors, error codes, and the address they report (SDM 3A 6.5, 6.13, 6.15). */
#include "test.inc"

  .text
  .code64
  .set NONCANONICAL, 0x0000800000000000
  .set ENGINES_OWN, 0x8000000000000001   /* FAULT_ADDRESS of core/engine/address.ts */

tests:
  /* #DE: quotient too large, or divisor zero (2A, DIV, IDIV) */
  xorl %ecx, %ecx
  movl $1, %edx
  FAULT "de.div_by_zero", DE, 0, divl %ecx
  movl $1, %ecx
  FAULT "de.div_overflow", DE, 0, divl %ecx
  movl $-1, %ecx
  movl $0x80000000, %eax
  cltd
  FAULT "de.idiv_min_by_minus_one", DE, 0, idivl %ecx
  EXPECT "de.registers_kept", %rax, 0x80000000

  /* #UD: undefined opcodes, LOCK where it may not be, what 64-bit mode took away (2B "UD"; 2A 2.2.1.2; 2A LOCK) */
  FAULT "ud.ud2", UD, 0, ud2
  FAULT "ud.ud1", UD, 0, .byte 0x0f, 0xb9, 0xc0
  movl $scratch, %esi
  FAULT "ud.lock_mov", UD, 0, .byte 0xf0, 0x89, 0x06
  FAULT "ud.lock_register", UD, 0, .byte 0xf0, 0x01, 0xc0
  FAULT "ud.lock_cmp", UD, 0, .byte 0xf0, 0x39, 0x06
  FAULT "ud.push_es", UD, 0, .byte 0x06
  FAULT "ud.daa", UD, 0, .byte 0x27
  FAULT "ud.aam", UD, 0, .byte 0xd4, 0x0a
  FAULT "ud.pusha", UD, 0, .byte 0x60
  FAULT "ud.bound_evex_form", UD, 0, .byte 0x62, 0x00, 0x00
  FAULT "ud.into", UD, 0, .byte 0xce
  FAULT "ud.les", UD, 0, .byte 0xc4, 0x00, 0x00, 0x00, 0x00, 0x00
  FAULT "ud.salc", UD, 0, .byte 0xd6
  FAULT "ud.far_call_direct", UD, 0, .byte 0x9a, 0, 0, 0, 0, 8, 0
  FAULT "ud.mov_to_cs", UD, 0, .byte 0x8e, 0xc8
  FAULT "ud.lea_register", UD, 0, .byte 0x8d, 0xc0
  FAULT "ud.mov_cr1", UD, 0, .byte 0x0f, 0x20, 0xc8
  FAULT "ud.cmpxchg8b_register", UD, 0, .byte 0x0f, 0xc7, 0xc8
  FAULT "ud.0f_0a", UD, 0, .byte 0x0f, 0x0a

  /* More than 15 bytes: #GP(0) (2A 2.3.11; 3A 6.15 #GP) */
  FAULT "gp.too_long", GP, 0, .byte 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90

  /* Non-canonical addresses: #GP(0), through RSP or RBP #SS(0) (1, 3.3.7.1) */
  movabsq $NONCANONICAL, %rcx
  FAULT "gp.noncanonical_read", GP, 0, movq (%rcx), %rax
  FAULT "gp.noncanonical_write", GP, 0, movb %al, (%rcx)
  FAULT "gp.noncanonical_rmw", GP, 0, lock incq (%rcx)
  FAULT "gp.noncanonical_push_memory", GP, 0, pushq (%rcx)
  FAULT "gp.noncanonical_ss_ignored", GP, 0, movq %ss:(%rcx), %rax
  FAULT "gp.noncanonical_indirect", GP, 0, jmp *(%rcx)
  movq %rbp, %r14
  movq %rcx, %rbp
  FAULT "ss.noncanonical_rbp", SS, 0, movq (%rbp), %rax
  FAULT "ss.noncanonical_rbp_ds_ignored", SS, 0, movq %ds:(%rbp), %rax
  FAULT "gp.noncanonical_rbp_fs", GP, 0, movq %fs:(%rbp), %rax
  movq %r14, %rbp
  movq %rsp, %r14
  RESUME_AT 1f
  SET_IST SS, 1
  leaq 4096(%rcx), %rsp                 /* a push goes below RSP: that must not be canonical either */
2: pushq %rax
1: CHECK_FAULT "ss.noncanonical_push", SS, 0, 2b
  EXPECT "ss.rsp_unchanged", rec_rsp, (NONCANONICAL + 4096)
  RESUME_AT 1f
  movq %rcx, %rsp
2: popq %rax
1: CHECK_FAULT "ss.noncanonical_pop", SS, 0, 2b
  RESUME_AT 1f
  leaq 4096(%rcx), %rsp
2: call report
1: CHECK_FAULT "ss.noncanonical_call", SS, 0, 2b
  SET_IST SS, 0
  movq %r14, %rsp
  /* The same for the address that the engine itself takes for a segment violation */
  movabsq $ENGINES_OWN, %rcx
  FAULT "gp.engines_own_read", GP, 0, movq (%rcx), %rax
  FAULT "gp.engines_own_write", GP, 0, movq %rax, (%rcx)
  FAULT "gp.engines_own_fxsave", GP, 0, fxsave (%rcx)
  SET_IST SS, 1
  RESUME_AT 1f
  movq %rcx, %rsp
2: ret
1: CHECK_FAULT "ss.engines_own_ret", SS, 0, 2b
  RESUME_AT 1f
  leaq 8(%rcx), %rsp
2: enter $16, $0
1: CHECK_FAULT "ss.engines_own_enter", SS, 0, 2b
  SET_IST SS, 0
  movq %r14, %rsp
  movabsq $NONCANONICAL, %rcx
  FAULT "gp.jump_noncanonical", GP, 0, jmp *%rcx
  FAULT "gp.call_noncanonical", GP, 0, call *%rcx
  pushq %rcx
  FAULT "gp.ret_noncanonical", GP, 0, ret
  EXPECT "gp.ret_rsp_unchanged", rec_rsp, (stack_top - 16)
  popq %rcx

  /* #NM and #UD by CR0.TS, CR0.EM, CR4.OSFXSR (3A 13.1, tables 13-1 and 2-2) */
  SET_CR cr4, 0x600                     /* OSFXSR, OSXMMEXCPT */
  SET_CR cr0, 8
  FAULT "nm.fld", NM, 0, fldz
  FAULT "nm.mmx", NM, 0, emms
  FAULT "nm.sse", NM, 0, addps %xmm0, %xmm0
  SET_CR cr0, 2                         /* MP */
  FAULT "nm.wait", NM, 0, fwait
  SET_CR cr0, 0, 2
  NO_FAULT "nm.wait_without_mp", fwait
  clts
  NO_FAULT "nm.after_clts", fldz
  fninit
  SET_CR cr0, 4                         /* EM */
  FAULT "nm.fld_em", NM, 0, fldz
  FAULT "ud.mmx_em", UD, 0, emms
  FAULT "ud.sse_em", UD, 0, addps %xmm0, %xmm0
  SET_CR cr0, 0, 4
  SET_CR cr4, 0, 0x200
  FAULT "ud.sse_without_osfxsr", UD, 0, addps %xmm0, %xmm0
  SET_CR cr4, 0x200

  /* Alignment of 16-byte operands: #GP(0) (2A "Exceptions Type 4", 3A 6.15 #GP) */
  FAULT "gp.movaps_unaligned", GP, 0, movaps scratch + 8, %xmm0
  NO_FAULT "gp.movups_unaligned", movups scratch + 8, %xmm0
  FAULT "gp.cmpxchg16b_unaligned", GP, 0, cmpxchg16b scratch + 8
  FAULT "gp.fxsave_unaligned", GP, 0, fxsave scratch + 8

  /* #MF and #XM: unmasked numeric exceptions (3A 6.15; 1, 8.7, 11.5) */
  SET_CR cr0, 0x20                      /* NE */
  fninit
  movw $0x037b, scratch                 /* zero divide unmasked */
  fldcw scratch
  fldz
  fld1
  fdiv %st(1), %st
  FAULT "mf.at_next_instruction", MF, 0, fwait
  fninit
  movl $0x1f80 & ~0x200, scratch
  ldmxcsr scratch
  xorps %xmm0, %xmm0
  movl $0x3f800000, %eax
  movd %eax, %xmm1
  FAULT "xm.divss", XM, 0, divss %xmm0, %xmm1
  SET_CR cr4, 0, 0x400
  FAULT "ud.xm_without_osxmmexcpt", UD, 0, divss %xmm0, %xmm1
  SET_CR cr4, 0x400
  movl $0x1f80, scratch
  ldmxcsr scratch

  /* INT n, INT3: traps; the gate's DPL counts in ring 3: #GP(vector * 8 + 2) (3A 6.12.1.2, 6.13) */
  TRAP "bp.int3", BP, int3
  TRAP "bp.int_3", BP, .byte 0xcd, 3
  TRAP "int.int_0x81", 0x81, int $0x81
  USER_FAULT "gp.user_int_dpl0", GP, (0x81 * 8 + 2), int $0x81
  USER_FAULT "gp.user_int_of_fault_vector", GP, (PF * 8 + 2), int $14
  movb $0x0e, idt + 16 * 0x82 + 5       /* not present */
  FAULT "np.gate", NP, (0x82 * 8 + 2), int $0x82
  movb $0x85, idt + 16 * 0x82 + 5       /* a task gate: no gate type of long mode */
  FAULT "gp.gate_type", GP, (0x82 * 8 + 2), int $0x82
  movb $0x8e, idt + 16 * 0x82 + 5
  movw $0, idt + 16 * 0x82 + 2
  FAULT "gp.gate_null_selector", GP, 0, int $0x82
  movw $KDATA, idt + 16 * 0x82 + 2
  FAULT "gp.gate_data_selector", GP, KDATA, int $0x82
  movw $KCODE32, idt + 16 * 0x82 + 2    /* must be a 64-bit code segment */
  FAULT "gp.gate_32bit_selector", GP, KCODE32, int $0x82
  movw $KCODE, idt + 16 * 0x82 + 2
  movw $0x8000, idt + 16 * 0x82 + 8
  movw $0, idt + 16 * 0x82 + 10
  FAULT "gp.gate_noncanonical", GP, 0, int $0x82
  movl $0, idt + 16 * 0x82 + 8
  movw $16 * 0x82 - 1, idtr
  lidt idtr
  FAULT "gp.beyond_idt_limit", GP, (0x82 * 8 + 2), int $0x82
  movw $4095, idtr
  lidt idtr

  /* 32-bit code: INTO, BOUND (2A); ring 3 keeps only a DS that it may have */
  movl $UDATA, %eax
  movl %eax, %ds
  movl $0x7fffffff, %eax
  COMPAT_FAULT "of.into_flag_clear", SYS, 0, into
  orq $0x800, user_rflags
  COMPAT_FAULT "of.into", OF, 0, into
  andq $~0x800, user_rflags
  movl $10, USER_STACK - 64 - PLAY + user_window
  movl $20, USER_STACK - 60 - PLAY + user_window
  movl $21, %eax
  COMPAT_FAULT "br.bound_above", BR, 0, bound %eax, USER_STACK - 64
  movl $9, %eax
  COMPAT_FAULT "br.bound_below", BR, 0, bound %eax, USER_STACK - 64
  movl $20, %eax
  COMPAT_FAULT "br.bound_inside", SYS, 0, bound %eax, USER_STACK - 64
  COMPAT_FAULT "gp.compat_user_ds", SYS, 0, movl USER_STACK - 64, %eax
  xorl %eax, %eax
  movl %eax, %ds
  COMPAT_FAULT "gp.compat_null_ds", GP, 0, movl USER_STACK - 64, %eax
  movl $KDATA, %eax
  movl %eax, %ds
  COMPAT_FAULT "gp.compat_nulled_ds", GP, 0, movl USER_STACK - 64, %eax
  COMPAT_FAULT "ud.compat_0f_0a", UD, 0, .byte 0x0f, 0x0a

  /* #AC: CR0.AM, EFLAGS.AC and ring 3 together; error 0 (3A 6.15 #AC) */
  orq $0x40000, user_rflags
  USER_OK "ac.without_am", movl USER_STACK - 63, %eax
  SET_CR cr0, 0x40000
  USER_FAULT "ac.read", AC, 0, movl USER_STACK - 63, %eax
  USER_FAULT "ac.write_word", AC, 0, movw %ax, USER_STACK - 63
  USER_FAULT "ac.qword", AC, 0, movq USER_STACK - 60, %rax
  USER_OK "ac.aligned", movl USER_STACK - 64, %eax
  USER_OK "ac.byte", movb USER_STACK - 63, %al
  andq $~0x40000, user_rflags
  USER_OK "ac.flag_clear", movl USER_STACK - 63, %eax
  pushq $0x40002
  popfq
  NO_FAULT "ac.ring0", movl scratch + 1, %eax
  pushq $2
  popfq
  SET_CR cr0, 0, 0x40000
  ret

  .set user_window, user_stack_page - (USER_STACK - PLAY - 4096)

#include "runtime.inc"
