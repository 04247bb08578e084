/* Control registers, MSRs and privileged instructions: who may, and what values are accepted (SDM 2A-2C, 3A 2.5, 4 "MSRs"). */
#include "test.inc"

  .text
  .code64
  .set NONCANONICAL, 0x0000800000000000

/* A write to a control register that must be refused: the register's value with bits set and cleared. */
.macro CR_REFUSES name, reg, set, clear=0
  movq %\reg, %rax
  movq %rax, %rbx
  movabsq $(\set), %rdx
  orq %rdx, %rax
  movabsq $~(\clear), %rdx
  andq %rdx, %rax
  FAULT "\name", GP, 0, movq %rax, %\reg
  movq %\reg, %rax
  subq %rbx, %rax
  EXPECT "\name\().kept", %rax, 0
.endm

.macro MSR_REFUSES name, msr, value
  movl $\msr, %ecx
  movabsq $(\value), %rax
  movq %rax, %rdx
  shrq $32, %rdx
  FAULT "\name", GP, 0, wrmsr
.endm

.macro MSR_KEEPS name, msr, value
  RDMSR_OF \msr
  movq %rax, %r12
  movl $\msr, %ecx
  movabsq $(\value), %rax
  movq %rax, %rdx
  shrq $32, %rdx
  NO_FAULT "\name", wrmsr
  RDMSR_OF \msr
  EXPECT "\name\().value", %rax, \value
  movq %r12, %rax
  movq %r12, %rdx
  shrq $32, %rdx
  wrmsr
.endm

tests:
  call control_registers
  call msrs
  call ring3
  call extended_state
  call segments_query
  call flags_in_ring3
  call io_permission
  ret

control_registers:                      /* 2A MOV CRn "Protected Mode Exceptions", "64-Bit Mode Exceptions" */
#ifndef PORT_E9                         /* QEMU 7.2 checks none of these */
  CR_REFUSES "cr0.pg_off_in_64bit", cr0, 0, 1 << 31
  CR_REFUSES "cr0.pg_without_pe", cr0, 0, 1
  CR_REFUSES "cr0.nw_without_cd", cr0, 1 << 29, 1 << 30
  CR_REFUSES "cr0.high_bits", cr0, 1 << 32
  CR_REFUSES "cr4.pae_off", cr4, 0, 1 << 5
  CR_REFUSES "cr4.reserved_15", cr4, 1 << 15
  CR_REFUSES "cr4.high_bits", cr4, 1 << 63
  CR_REFUSES "cr3.reserved", cr3, 1 << 61
  CR_REFUSES "cr3.beyond_maxphyaddr", cr3, 1 << 51
#endif
  movl $16, %eax
  FAULT "cr8.reserved", GP, 0, movq %rax, %cr8
  movl $5, %eax
  NO_FAULT "cr8.write", movq %rax, %cr8
  movq %cr8, %rcx
  EXPECT "cr8.read", %rcx, 5
  xorl %eax, %eax
  movq %rax, %cr8
  movq %cr0, %rax
  btrq $4, %rax                         /* ET always reads 1 (3A 2.5) */
  movq %rax, %cr0
  movq %cr0, %rax
  andl $0x10, %eax
  EXPECT "cr0.et", %rax, 0x10
  movq %cr0, %rax
  movq %rax, %rbx
  orl $8, %eax
  lmsw %ax                              /* MP, EM, TS; PE cannot be cleared (2A LMSW) */
  movq %cr0, %rax
  andl $9, %eax
  EXPECT "lmsw.sets_ts", %rax, 9
  xorl %ecx, %ecx
  lmsw %cx
  movq %cr0, %rax
  andl $9, %eax
  EXPECT "lmsw.keeps_pe", %rax, 1
  movq %rbx, %cr0
  smswq %rax
  subq %rbx, %rax
  EXPECT "smsw.full", %rax, 0
  ret

msrs:
  MSR_REFUSES "msr.unknown_write", 0x12345678, 0
  movl $0x12345678, %ecx
  FAULT "msr.unknown_read", GP, 0, rdmsr
  MSR_REFUSES "msr.lstar_noncanonical", 0xc0000082, NONCANONICAL
  MSR_REFUSES "msr.fs_base_noncanonical", 0xc0000100, NONCANONICAL
  MSR_REFUSES "msr.gs_base_noncanonical", 0xc0000101, NONCANONICAL
  MSR_REFUSES "msr.kernel_gs_noncanonical", 0xc0000102, NONCANONICAL
  MSR_REFUSES "msr.sysenter_eip_noncanonical", 0x176, NONCANONICAL
  MSR_KEEPS "msr.lstar", 0xc0000082, 0xffff800012345678
  MSR_KEEPS "msr.kernel_gs", 0xc0000102, 0xffffffff81000000
  MSR_KEEPS "msr.star", 0xc0000081, 0x0023001012345678
  MSR_KEEPS "msr.sfmask", 0xc0000084, 0x47700
  MSR_KEEPS "msr.tsc_aux", 0xc0000103, 0x1234
  MSR_KEEPS "msr.sysenter_cs", 0x174, 0x10
  MSR_KEEPS "msr.pat", 0x277, 0x0007040600070406
  MSR_REFUSES "msr.pat_bad_type", 0x277, 0x0007040600070402
  MSR_REFUSES "msr.efer_reserved", 0xc0000080, 0xd02
  MSR_REFUSES "msr.efer_lme_under_paging", 0xc0000080, 0x801
  RDMSR_OF 0xc0000080
  andl $0x500, %eax
  EXPECT "msr.efer_lma", %rax, 0x500
  movl $0x33333333, %eax                /* FS and GS loads do not touch the other's base; a null load keeps or clears its own */
  WRMSR_TO 0xc0000101, 0x0000222233334444
  xorl %eax, %eax
  movl %eax, %fs
  RDMSR_OF 0xc0000101
  EXPECT "msr.gs_base_kept", %rax, 0x0000222233334444
  movl $KDATA, %eax
  movl %eax, %gs
  RDMSR_OF 0xc0000101
  EXPECT "msr.gs_base_from_descriptor", %rax, 0
  WRMSR_TO 0xc0000102, 0x5555
  WRMSR_TO 0xc0000101, 0x7777
  swapgs
  RDMSR_OF 0xc0000101
  EXPECT "swapgs.gs", %rax, 0x5555
  RDMSR_OF 0xc0000102
  EXPECT "swapgs.kernel_gs", %rax, 0x7777
  rdtsc
  shlq $32, %rdx
  orq %rax, %rdx
  movq %rdx, %rbx
  rdtsc
  shlq $32, %rdx
  orq %rax, %rdx
  cmpq %rbx, %rdx
  seta %al
  movzbl %al, %eax
  EXPECT "tsc.moves", %rax, 1
  ret

ring3:                                  /* privileged: #GP(0) at CPL 3 */
  .irp insn, "hlt", "cli", "sti", "clts", "invd", "wbinvd", "rdmsr", "wrmsr", "swapgs", "sysretq", "sysexit", "lgdt USER_STACK - 64", "lidt USER_STACK - 64", "lldt %ax", "ltr %ax", "lmsw %ax", "invlpg USER_STACK", "movq %cr0, %rax", "movq %rax, %cr0", "movq %cr2, %rax", "movq %cr3, %rax", "movq %rax, %cr4", "movq %cr8, %rax", "movq %dr0, %rax", "movq %rax, %dr7", "inb $0x80, %al", "outb %al, $0x80", "inb %dx, %al", "rep insb"
  USER_FAULT "ring3.\insn", GP, 0, \insn
  .endr
  .irp insn, "stac", "clac"
  USER_FAULT "ring3.\insn", UD, 0, \insn
  .endr
  USER_OK "ring3.smsw", smswl %eax
  USER_OK "ring3.sgdt", sgdt USER_STACK - 64
  USER_OK "ring3.sidt", sidt USER_STACK - 64
  USER_OK "ring3.str", strl %eax
  EXPECT "ring3.str.value", %rax, TSS
  USER_OK "ring3.sldt", sldtl %eax
  EXPECT "ring3.sldt.value", %rax, 0
  USER_OK "ring3.cpuid", cpuid
  USER_OK "ring3.rdtsc", rdtsc
  SET_CR cr4, 4                         /* TSD */
  USER_FAULT "tsd.rdtsc", GP, 0, rdtsc
  USER_FAULT "tsd.rdtscp", GP, 0, rdtscp
  NO_FAULT "tsd.ring0", rdtsc
  SET_CR cr4, 0, 4
  WRMSR_TO 0xc0000103, 0x4321
  USER_OK "rdtscp", rdtscp
  EXPECT "rdtscp.aux", %rcx, 0x4321
  movl $7, %eax
  xorl %ecx, %ecx
  cpuid
  btl $0, %ebx
  jnc 1f
  USER_FAULT "fsgsbase.off", UD, 0, rdfsbase %rax
  SET_CR cr4, 1 << 16
  WRMSR_TO 0xc0000100, 0xabcdef
  USER_OK "fsgsbase.on", rdfsbase %rax
  EXPECT "fsgsbase.value", %rax, 0xabcdef
  movabsq $NONCANONICAL, %rax
  USER_FAULT "fsgsbase.noncanonical", GP, 0, wrgsbase %rax
  movl $0xfffff123, %eax
  USER_OK "fsgsbase.write32", wrgsbase %eax
  RDMSR_OF 0xc0000101
  EXPECT "fsgsbase.write32_zero_extended", %rax, 0xfffff123
  SET_CR cr4, 0, 1 << 16
1: ret

extended_state:                         /* XSETBV, XGETBV, OSXSAVE (2D XSETBV; 1, 13.3) */
  movl $1, %eax
  cpuid
  btl $26, %ecx
  jnc 1f
  btl $27, %ecx
  setc %al
  movzbl %al, %eax
  EXPECT "xsave.osxsave_off", %rax, 0
  xorl %ecx, %ecx
  FAULT "xsave.xgetbv_off", UD, 0, xgetbv
  SET_CR cr4, (1 << 18) + 0x200
  movl $1, %eax
  cpuid
  btl $27, %ecx
  setc %al
  movzbl %al, %eax
  EXPECT "xsave.osxsave_on", %rax, 1
  xorl %ecx, %ecx
  xgetbv
  andl $1, %eax
  EXPECT "xsave.x87_always_on", %rax, 1
  xorl %edx, %edx
  movl $2, %eax
  FAULT "xsave.without_x87", GP, 0, xsetbv
  movl $5, %eax
  FAULT "xsave.avx_without_sse", GP, 0, xsetbv
  movl $3, %eax
  movl $1, %ecx
  FAULT "xsave.bad_index", GP, 0, xsetbv
  xorl %ecx, %ecx
  NO_FAULT "xsave.x87_sse", xsetbv
  movl $1 << 31, %edx
  FAULT "xsave.reserved", GP, 0, xsetbv
  xorl %ecx, %ecx
  USER_OK "xsave.xgetbv_user", xgetbv
  USER_FAULT "xsave.xsetbv_user", GP, 0, xsetbv
  SET_CR cr4, 0, 1 << 18
1: ret

segments_query:                         /* LAR, LSL, VERR, VERW (2A, 2B): ZF tells, no fault */
  .macro QUERY name, insn, selector, zf, value=0, mask=-1
  movl $\selector, %ecx
  xorl %eax, %eax
  \insn
  pushfq
  popq %rdx
  shrl $6, %edx
  andl $1, %edx
  EXPECT "\name\().zf", %rdx, \zf
  .if \zf && \value
  andl $\mask, %eax
  EXPECT "\name", %rax, \value
  .endif
  .endm
  QUERY "lar.code", "larl %ecx, %eax", KCODE, 1, 0x00a09b00, 0xf0ff00
  QUERY "lar.data", "larl %ecx, %eax", KDATA, 1, 0x00c09300, 0xf0ff00
  QUERY "lar.null", "larl %ecx, %eax", 0, 0
  QUERY "lar.beyond_limit", "larl %ecx, %eax", 0xfff8, 0
  QUERY "lar.empty", "larl %ecx, %eax", SPARE, 0
  QUERY "lar.tss", "larl %ecx, %eax", TSS, 1, 0x00008b00, 0xf0ff00
  QUERY "lar.local_without_ldt", "larl %ecx, %eax", 0xc, 0
  QUERY "lsl.code", "lsll %ecx, %eax", KCODE, 1, 0xffffffff
  QUERY "lsl.tss", "lsll %ecx, %eax", TSS, 1, 0x67
  QUERY "lsl.null", "lsll %ecx, %eax", 0, 0
  QUERY "verr.code", "verr %cx", KCODE, 1
  QUERY "verr.data", "verr %cx", KDATA, 1
  QUERY "verr.tss", "verr %cx", TSS, 0
  QUERY "verw.data", "verw %cx", KDATA, 1
  QUERY "verw.code", "verw %cx", KCODE, 0
  SET_GDT SPARE, 0x00cf91000000ffff     /* data, read-only */
  QUERY "verw.read_only", "verw %cx", SPARE, 0
  QUERY "verr.read_only", "verr %cx", SPARE, 1
  SET_GDT SPARE, 0x0040920000000fff     /* byte-granular limit */
  QUERY "lsl.bytes", "lsll %ecx, %eax", SPARE, 1, 0xfff
  SET_GDT SPARE, 0x00cf13000000ffff     /* not present: LAR and LSL do not care, loading does */
  QUERY "lar.not_present", "larl %ecx, %eax", SPARE, 1, 0x00c01300, 0xf0ff00
  movl $SPARE, %eax
  FAULT "load.not_present", NP, SPARE, movl %eax, %es
  FAULT "load.ss_not_present", SS, SPARE, movl %eax, %ss
  movl $KCODE, %eax
  NO_FAULT "load.readable_code", movl %eax, %es
  FAULT "load.ss_code", GP, KCODE, movl %eax, %ss
  movl $UDATA, %eax
  FAULT "load.ss_other_rpl", GP, (UDATA & ~3), movl %eax, %ss
  NO_FAULT "load.es_user_data", movl %eax, %es
  movl $0xfff8, %eax
  FAULT "load.beyond_limit", GP, 0xfff8, movl %eax, %ds
  movl $TSS, %eax
  FAULT "load.system_segment", GP, TSS, movl %eax, %fs
  movl $KDATA, %eax
  USER_FAULT "load.ring3_kernel_data", GP, KDATA, movl %eax, %ds
  xorl %eax, %eax
  NO_FAULT "load.null_ss_in_ring0", movl %eax, %ss
  USER_FAULT "load.null_ss_in_ring3", GP, 0, movl %eax, %ss
  USER_OK "load.null_ds_in_ring3", movl %eax, %ds
  movl $KDATA, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  ret

/* POPF, PUSHF, IOPL and IF in ring 3 (2B POPF, table 4-14) */
flags_in_ring3:
  .pushsection .user, "awx", @progbits
user_popf_all:
  pushq $0x47ed7
  popfq
  int $SYS
user_popf_if:
  pushq $0x202
  popfq
  int $SYS
user_sti_cli:
  sti
  cli
  int $SYS
user_popf_id:
  pushq $0x200002
  popfq
  int $SYS
  .popsection
  RUN_USER user_popf_all, UCODE
  EXPECT "popf.ring3", rec_vector, SYS
  movq rec_rflags, %rax
  andl $0x3200, %eax
  EXPECT "popf.ring3.keeps_if_iopl", %rax, 0
  movq rec_rflags, %rax
  andl $0x40cd5, %eax
  EXPECT "popf.ring3.sets_others", %rax, 0x40cd5
  orq $0x3000, user_rflags
  RUN_USER user_popf_if, UCODE
  movq rec_rflags, %rax
  andl $0x3200, %eax
  EXPECT "iopl3.popf_sets_if_keeps_iopl", %rax, 0x3200
  RUN_USER user_sti_cli, UCODE
  EXPECT "iopl3.sti_cli", rec_vector, SYS
  USER_OK "iopl3.in", inb $0x80, %al
  andq $~0x3000, user_rflags
  pushq $0x3002                         /* ring 0 may change IOPL and IF */
  popfq
  pushfq
  popq %rax
  pushq $2
  popfq
  andl $0x3000, %eax
  EXPECT "popf.ring0_iopl", %rax, 0x3000
  pushq $0x1a8002 & 0x7fffffff          /* VM, VIF, VIP are not loaded, RF reads 0 (2B POPF) */
  popfq
  pushfq
  popq %rax
  pushq $2
  popfq
  andl $0x1b0000, %eax
  EXPECT "popf.ring0_vif_vip_rf", %rax, 0
  btsq $21, user_rflags                 /* ID can be changed everywhere */
  RUN_USER user_popf_id, UCODE
  movq rec_rflags, %rax
  andl $0x200000, %eax
  EXPECT "popf.id.value", %rax, 0x200000
  btrq $21, user_rflags
  ret

/* The I/O permission bitmap of the TSS (1, 19.5.2): a byte of port bits, and one byte behind it */
io_permission:
  /* 2 bytes at 0x68, limit 0x69: ports 0..7 and the end byte */
  movb $0xfb, tss + 0x68                /* port 2 allowed */
  movb $0xff, tss + 0x69
  movw $0x69, gdt + TSS
  movb $0x89, gdt + TSS + 5             /* available again */
  movl $TSS, %eax
  ltr %ax
  movb gdt + TSS + 5, %al
  movzbl %al, %eax
  EXPECT "ltr.sets_busy", %rax, 0x8b
  movl $TSS, %eax
  FAULT "ltr.busy", GP, TSS, ltr %ax
  USER_OK "iomap.allowed", inb $2, %al
  USER_FAULT "iomap.denied", GP, 0, inb $1, %al
  USER_FAULT "iomap.word_half_denied", GP, 0, inw $2, %ax
  USER_FAULT "iomap.beyond_limit", GP, 0, inb $16, %al
  movb $0xf3, tss + 0x68
  USER_OK "iomap.word", inw $2, %ax
  movl $KDATA, %eax
  FAULT "ltr.data_segment", GP, KDATA, ltr %ax
  xorl %eax, %eax
  FAULT "ltr.null", GP, 0, ltr %ax
  NO_FAULT "lldt.null", lldt %ax
  movl $KDATA, %eax
  FAULT "lldt.data_segment", GP, KDATA, lldt %ax
  ret

#include "runtime.inc"
