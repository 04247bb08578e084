/* Delivery through the 64-bit IDT, IST and TSS; the local APIC: self-IPI, priorities, EOI, NMI (SDM 3A 6.12-6.14, 10.6-10.8, 10.12). */
#include "test.inc"

  .text
  .code64
  .set X2APIC, 0x800
  .set ID, 0x20
  .set VERSION, 0x30
  .set TPR, 0x80
  .set PPR, 0xa0
  .set EOI, 0xb0
  .set SVR, 0xf0
  .set ISR, 0x100
  .set IRR, 0x200
  .set ICR, 0x300
  .set LVT_TIMER, 0x320
  .set INITIAL_COUNT, 0x380
  .set DIVIDE, 0x3e0
  .set SELF, 1 << 18

/* Both forms of the APIC by one pair: register in ECX, value in EAX. */
apic_write:
  cmpb $0, x2apic_on
  jne 1f
  movl $0xfee00000, %edx
  movl %eax, (%rdx, %rcx)
  ret
1: shrl $4, %ecx
  addl $X2APIC, %ecx
  xorl %edx, %edx
  wrmsr
  ret

apic_read:
  cmpb $0, x2apic_on
  jne 1f
  movl $0xfee00000, %edx
  movl (%rdx, %rcx), %eax
  ret
1: shrl $4, %ecx
  addl $X2APIC, %ecx
  rdmsr
  ret

.macro APIC_WRITE reg, value
  movl $\reg, %ecx
  movl $(\value), %eax
  call apic_write
.endm

.macro EXPECT_APIC name, reg, mask, wanted
  movl $\reg, %ecx
  call apic_read
  andl $\mask, %eax
  EXPECT "\name", %rax, \wanted
.endm

.macro SEND vector
  APIC_WRITE ICR, SELF + \vector
.endm

/* Lets interrupts in for a moment. */
.macro WINDOW
  sti
  nop
  nop
  cli
.endm

.macro FORGET
  movq $0, irq_length
  movq $0, irq_order
.endm

eoi_hook:
  movl $EOI, %ecx
  xorl %eax, %eax
  jmp apic_write

/* Stack: return, RDX, RCX, RAX, vector, error, RIP. */
rep_hook:
  movq 16(%rsp), %rax
  movq %rax, rep_rcx
  movq 48(%rsp), %rax
  movq %rax, rep_rip
  jmp eoi_hook

/* An interrupt does not wait for the end of a long repetition: it finds RIP on the instruction, and RCX says what is left (2B, REP). */
repetition:
  FORGET
  pushq irq_hook
  movq $rep_hook, irq_hook
  APIC_WRITE DIVIDE, 0xb                /* by 1 */
  APIC_WRITE LVT_TIMER, 0x57
  APIC_WRITE INITIAL_COUNT, 100000
  movl $0x1000000, %esi
  movl $0x400000, %ecx
  sti
1: rep lodsb
  cli
  EXPECT "rep.goes_on", %rcx, 0
  EXPECT "rep.all_of_it", %rsi, 0x1400000
  EXPECT "rep.interrupted", irq_order, 0x57
  EXPECT "rep.rip", rep_rip, 1b
  movq rep_rcx, %rax
  decq %rax
  shrq $22, %rax
  EXPECT "rep.rcx", %rax, 0
  popq irq_hook
  ret

held_hook:
  cmpq $held_behind, 48(%rsp)
  jne eoi_hook
  incq held_right
  jmp eoi_hook

/* What CLI has held comes behind the instruction after STI, every time: often enough that the loop is translated (2B, STI). */
held:
  FORGET
  pushq irq_hook
  movq $held_hook, irq_hook
  xorl %r13d, %r13d
  movl $30000, %r14d
1: cli
  SEND 0x58
  incl %r13d
  sti
  incl %r13d
held_behind:
  decl %r14d
  jnz 1b
  cli
  EXPECT "held.delivered", held_right, 30000
  EXPECT "held.instructions", %r13, 60000
  movq $0, held_right
  popq irq_hook
  ret

tests:
  call idt_delivery
  call double_fault
  STRING xapic_text, "xAPIC\n"
  pushq $xapic_text
  call print
  call apic_tests
  call held
  call repetition
  movl $1, %eax
  cpuid
  btl $21, %ecx
  jc 1f
  ret
1: movl $0x1b, %ecx
  rdmsr
  orl $0x400, %eax                      /* EXTD */
  wrmsr
  movb $1, x2apic_on
  STRING x2apic_text, "x2APIC\n"
  pushq $x2apic_text
  call print
  call apic_tests
  call x2apic_tests
  ret

idt_delivery:
  /* ring 0: the frame is aligned to 16 bytes whatever RSP was; SS:RSP are pushed always (6.14.2) */
  movq %rsp, %r14
  movq %rsp, resume_rsp
  movq $1f, resume_rip
  leaq -3(%rsp), %rsp
  movq %rsp, %r13
  int $SYS
1: movq rec_frame, %rax
  andl $15, %eax
  EXPECT "frame.aligned", %rax, 8       /* five words below a 16-byte boundary */
  subq rec_rsp, %r13
  EXPECT "frame.rsp_saved", %r13, 0
  EXPECT "frame.ss_saved", rec_ss, KDATA
  /* ring 3: RSP0, SS becomes null */
  movq $user_rflags, %rbx
  .pushsection .user, "awx", @progbits
user_plain: int $SYS
  .popsection
  RUN_USER user_plain, UCODE
  EXPECT "frame.rsp0", rec_frame, (stack_top_exception - 40)
  EXPECT "frame.user_cs", rec_cs, UCODE
  /* IST: its top in every case, from ring 0 too (6.14.5) */
  SET_IST SYS, 2
  RESUME_AT 1f
  int $SYS
1: EXPECT "ist.ring0", rec_frame, (ist2_top - 40)
  RUN_USER user_plain, UCODE
  EXPECT "ist.ring3", rec_frame, (ist2_top - 40)
  SET_IST SYS, 0
  /* interrupt gates clear IF, trap gates keep it; both clear TF and NT (6.12.1.2) */
  movq $entry_flags_gate, %rax
  movw %ax, idt + 16 * 0x90
  shrl $16, %eax
  movw %ax, idt + 16 * 0x90 + 6
  sti
  int $0x90
  cli
  movq gate_flags, %rax
  andl $0x200, %eax
  EXPECT "gate.interrupt_clears_if", %rax, 0
  movb $0x8f, idt + 16 * 0x90 + 5
  sti
  int $0x90
  cli
  movq gate_flags, %rax
  andl $0x200, %eax
  EXPECT "gate.trap_keeps_if", %rax, 0x200
  pushq $0x4002
  popfq
  int $0x90
  pushfq
  popq %rax
  pushq $2
  popfq
  andl $0x4000, %eax
  EXPECT "gate.nt_in_saved_flags", gate_saved_flags, 0x4002
  movq gate_flags, %rax
  andl $0x4000, %eax
  EXPECT "gate.nt_cleared", %rax, 0
  ret

/* NT must go before IRETQ, which refuses it in long mode only when it is set now: it is clear after delivery. */
entry_flags_gate:
  pushfq
  popq gate_flags
  pushq 16(%rsp)
  popq gate_saved_flags
  andq $~0x4000, 16(%rsp)
  iretq

double_fault:
  /* a contributory exception while delivering another: #DF, error 0, here on IST1 (6.15, table 6-5) */
  movb $0x0e, idt + 16 * GP + 5         /* #GP's gate not present: #NP while delivering #GP */
  movabsq $0x0000800000000000, %rcx
  RESUME_AT 1f
2: movq (%rcx), %rax
1: movb $0x8e, idt + 16 * GP + 5
  CHECK_FAULT "df.gp_then_np", DF, 0, 2b
  EXPECT "df.ist", rec_frame, (ist1_top - 40)
  /* #PF while delivering #PF: the handler's stack is missing */
  MAP 0, 0, 0
  movq $PLAY + 4096, tss + 0x2c
  SET_IST PF, 2
  movl $PLAY, %ecx
  RESUME_AT 1f
2: movq (%rcx), %rax
1: movq $ist2_top, tss + 0x2c
  SET_IST PF, 0
  CHECK_FAULT "df.pf_then_pf", DF, 0, 2b
  /* a benign exception first: handled one after the other, no #DF. #UD whose stack is missing gives #PF. */
  movq $PLAY + 4096, tss + 0x2c
  SET_IST UD, 2
  RESUME_AT 1f
2: ud2
1: movq $ist2_top, tss + 0x2c
  SET_IST UD, 0
  CHECK_FAULT "df.not_after_ud", PF, 2, 2b
  movq rec_cr2, %rax
  andl $~0xfff, %eax                    /* which word of the frame comes first is the CPU's choice */
  EXPECT "df.not_after_ud.cr2", %rax, PLAY
  ret

apic_tests:
  movq $eoi_hook, irq_hook
  APIC_WRITE SVR, 0x1ff
  APIC_WRITE TPR, 0
  FORGET
  movl $VERSION, %ecx
  call apic_read
  andl $0xf0, %eax
  EXPECT "apic.version", %rax, 0x10     /* an integrated APIC: 10H-15H */
  /* pending while IF is 0; delivered once; IRR and ISR */
  SEND 0x51
  SEND 0x51
  EXPECT_APIC "apic.irr_set", (IRR + 0x20), (1 << 17), (1 << 17)
  EXPECT "apic.not_with_if_clear", irq_length, 0
  WINDOW
  EXPECT "apic.delivered_once", irq_length, 1
  EXPECT_APIC "apic.irr_clear", (IRR + 0x20), (1 << 17), 0
  EXPECT_APIC "apic.isr_clear_after_eoi", (ISR + 0x20), (1 << 17), 0
  /* order by priority */
  FORGET
  SEND 0x52
  SEND 0x71
  SEND 0x63
  WINDOW
  EXPECT "apic.priority_order", irq_order, 0x526371
  /* TPR holds back classes up to its own; CR8 is its upper half (10.8.6) */
  FORGET
  APIC_WRITE TPR, 0x60
  movq %cr8, %rax
  EXPECT "apic.cr8_reads_tpr", %rax, 6
  SEND 0x5f
  SEND 0x6f
  SEND 0x70
  WINDOW
  EXPECT "apic.tpr_holds_back", irq_order, 0x70
  EXPECT_APIC "apic.ppr", PPR, 0xff, 0x60
  movl $5, %eax
  movq %rax, %cr8
  EXPECT_APIC "apic.tpr_from_cr8", TPR, 0xff, 0x50
  WINDOW
  EXPECT "apic.lower_tpr_lets_in", irq_order, 0x6f70
  xorl %eax, %eax
  movq %rax, %cr8
  WINDOW
  EXPECT "apic.all_in", irq_order, 0x5f6f70
  /* in service: equal and lower classes wait for EOI */
  FORGET
  movq $0, irq_hook
  SEND 0x61
  WINDOW
  EXPECT_APIC "apic.in_service", (ISR + 0x30), 2, 2
  EXPECT_APIC "apic.ppr_in_service", PPR, 0xf0, 0x60
  SEND 0x52
  SEND 0x6f
  WINDOW
  EXPECT "apic.lower_waits", irq_order, 0x61
  SEND 0x71
  WINDOW
  EXPECT "apic.higher_nests", irq_order, 0x7161
  call eoi_hook                         /* ends 0x71, the highest in service */
  WINDOW
  EXPECT "apic.eoi_ends_highest", irq_order, 0x7161
  movq $eoi_hook, irq_hook
  call eoi_hook                         /* ends 0x61 */
  WINDOW
  EXPECT "apic.then_the_rest", irq_order, 0x526f7161
  /* STI holds back one instruction; HLT wakes */
  FORGET
  SEND 0x51
  sti
  cli
  EXPECT "apic.sti_shadow", irq_length, 0
  sti
  hlt
  cli
  EXPECT "apic.hlt_wakes", irq_length, 1
  /* NMI by IPI: not masked by IF, blocked until IRET (6.7.1) */
  SET_IST 2, 2
  RESUME_AT 1f
  APIC_WRITE ICR, (SELF + 0x400)
  .rept 8
  nop
  .endr
1: EXPECT "nmi.vector", rec_vector, 2
  /* the recorder left by IRETQ, so NMIs are open again */
  movq $0, rec_vector
  RESUME_AT 1f
  APIC_WRITE ICR, (SELF + 0x400)
  .rept 8
  nop
  .endr
1: EXPECT "nmi.again", rec_vector, 2
  movq $0, resume_rip
  SET_IST 2, 0
  /* destination by id, physical */
  FORGET
  cmpb $0, x2apic_on
  jne 2f
  movl $ID, %ecx
  call apic_read
  movl %eax, %ebx
  movl $0xfee00310, %edx
  movl %ebx, (%rdx)
  APIC_WRITE ICR, 0x53
  jmp 3f
2: movl $0x802, %ecx
  rdmsr
  movl %eax, %edx
  movl $0x53, %eax
  movl $0x830, %ecx
  wrmsr
3: WINDOW
  EXPECT "apic.ipi_by_id", irq_order, 0x53
  FORGET
  APIC_WRITE ICR, ((2 << 18) + 0x54)    /* all including self */
  WINDOW
  EXPECT "apic.ipi_all_including_self", irq_order, 0x54
  FORGET
  APIC_WRITE ICR, ((3 << 18) + 0x55)    /* all but self: nobody */
  WINDOW
  EXPECT "apic.ipi_all_but_self", irq_length, 0
  ret

x2apic_tests:                           /* 10.12 */
  call held
  FORGET
  movl $0x83f, %ecx                     /* SELF IPI */
  movl $0x56, %eax
  xorl %edx, %edx
  wrmsr
  WINDOW
  EXPECT "x2apic.self_ipi", irq_order, 0x56
  movl $0x80b, %ecx
  movl $1, %eax
  xorl %edx, %edx
  FAULT "x2apic.eoi_not_zero", GP, 0, wrmsr
  movl $0x802, %ecx
  FAULT "x2apic.id_read_only", GP, 0, wrmsr
  movl $0x80e, %ecx
  FAULT "x2apic.no_dfr", GP, 0, rdmsr
  movl $0x831, %ecx
  FAULT "x2apic.no_high_icr", GP, 0, rdmsr
  movl $0x83f, %ecx
  FAULT "x2apic.self_ipi_write_only", GP, 0, rdmsr
  movl $0x808, %ecx
  movl $0x100, %eax
  FAULT "x2apic.tpr_reserved", GP, 0, wrmsr
  movl $0x1b, %ecx
  rdmsr
  andl $~0x400, %eax
  FAULT "x2apic.back_to_xapic", GP, 0, wrmsr
  ret

  .data
  .balign 8
gate_flags: .quad 0
gate_saved_flags: .quad 0
held_right: .quad 0
rep_rcx: .quad 0
rep_rip: .quad 0
x2apic_on: .byte 0

#include "runtime.inc"
