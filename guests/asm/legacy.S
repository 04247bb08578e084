/*
 * 32-bit protected mode, before long mode: 32-bit IDT and TSS, segment limits, call gates with parameters, and the page
 * walkers without PAE and with it (SDM 3A 3, 4.3, 4.4, 5, 6.12). Results are kept in memory and printed later.
 */
#define START32
#include "test.inc"

  .set CODE_32, 0x08
  .set DATA_32, 0x10
  .set USER_CODE_32, 0x1b
  .set USER_DATA_32, 0x23
  .set TSS_32, 0x28
  .set GATE_32, 0x30
  .set LIMITED, 0x38                    /* data at scratch, limit 0x0f */
  .set DOWN, 0x40                       /* expand-down, offsets above 0xfff */
  .set READ_ONLY, 0x48
  .set EXECUTE_ONLY, 0x50
  .set NOT_PRESENT, 0x58
  .set STACK_32, 0x60                   /* data at scratch, limit 0xfff: exceptions can be pushed there */

  .text
  .code32

.macro LOG name, actual, wanted
  STRING log_name\@, "\name"
  pushfl
  pushl %eax
  pushl %edi
  movl \actual, %eax
  movl log32_end, %edi
  movl $log_name\@, (%edi)
  movl %eax, 4(%edi)
  movl $\wanted, 8(%edi)
  addl $12, log32_end
  popl %edi
  popl %eax
  popfl
.endm

.macro RESUME32 label
  movl $-1, vector32
  movl $-1, outcome32
  movl $\label, resume_rip
  movl %esp, resume_rsp
.endm

/* Vector and error in one number, and the address. */
.macro LOG_FAULT name, vector, error, at
  LOG "\name", outcome32, (\vector << 16) + \error
  LOG "\name\().eip", eip32, \at
.endm

.macro FAULT32 name, vector, error, insn:vararg
  RESUME32 end\@
at\@:
  \insn
end\@:
  LOG_FAULT "\name", \vector, \error, at\@
.endm

.macro OK32 name, insn:vararg
  RESUME32 end\@
  \insn
end\@:
  LOG "\name", vector32, 0xffffffff
.endm

/* Code of ring 3, ended by INT 0x80. */
.macro RUN_USER32 label
  RESUME32 back\@
  pushl $USER_DATA_32
  pushl $user_stack32_top
  pushl $2
  pushl $USER_CODE_32
  pushl $\label
  iretl
back\@:
.endm

tests32:
  movl %ebx, saved_ebx
  lgdt gdtr32
  ljmp $CODE_32, $1f
1: movl $DATA_32, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  xorl %eax, %eax
  movl %eax, %fs
  movl %eax, %gs
  movl $idt32, %edi
  movl $stubs32, %esi
  movl $129, %ecx
2: movw %si, (%edi)
  movw $CODE_32, 2(%edi)
  movw $0x8e00, 4(%edi)
  movl %esi, %eax
  shrl $16, %eax
  movw %ax, 6(%edi)
  addl $8, %edi
  addl $16, %esi
  loop 2b
  movb $0xee, idt32 + 8 * SYS + 5
  movb $0xee, idt32 + 8 * OF + 5
  lidt idtr32
  movl $tss32, %eax
  movw %ax, gdt32 + TSS_32 + 2
  shrl $16, %eax
  movb %al, gdt32 + TSS_32 + 4
  movl $scratch, %eax
  movw %ax, gdt32 + LIMITED + 2
  movw %ax, gdt32 + STACK_32 + 2
  shrl $16, %eax
  movb %al, gdt32 + LIMITED + 4
  movb %al, gdt32 + STACK_32 + 4
  movl $stack32_top, tss32 + 4
  movl $DATA_32, tss32 + 8
  movl $TSS_32, %eax
  ltr %ax

  call exceptions32
  call segments32
  call gates32
  call paging32
  call paging_pae
  movl saved_ebx, %ebx
  ret

exceptions32:
  FAULT32 "legacy.ud", UD, 0, ud2
  xorl %ecx, %ecx
  FAULT32 "legacy.de", DE, 0, divl %ecx
  FAULT32 "legacy.aam_0", DE, 0, .byte 0xd4, 0
  movl $0x7fffffff, %eax
  addl $1, %eax
  RESUME32 1f
  into
1: LOG "legacy.into", vector32, OF
  movl $5, scratch
  movl $9, scratch + 4
  movl $10, %eax
  FAULT32 "legacy.bound", BR, 0, bound %eax, scratch
  movl $9, %eax
  OK32 "legacy.bound_inside", bound %eax, scratch
  movl $0xff8, %eax
  FAULT32 "legacy.load_beyond_limit", GP, 0xff8, movl %eax, %es
  /* no stack switch in ring 0: three words, or four with an error code */
  movl %esp, %ebx
  subl frame32, %ebx
  LOG "legacy.frame_with_error", %ebx, 16
  RESUME32 1f
  int $SYS
1: movl %esp, %ebx
  subl frame32, %ebx
  LOG "legacy.frame_without_error", %ebx, 12
  RUN_USER32 user_int32
  LOG "legacy.user_int", vector32, SYS
  LOG "legacy.user_int.cs", cs32, USER_CODE_32
  LOG "legacy.user_int.stack_switched", frame32, (stack32_top - 20)
  LOG "legacy.user_int.esp", esp32, user_stack32_top
  LOG "legacy.user_int.ss", ss32, USER_DATA_32
  RUN_USER32 user_privileged32
  LOG_FAULT "legacy.user_cli", GP, 0, user_privileged32
  LOG "legacy.user_cli.frame", frame32, (stack32_top - 24)
  movw $TSS_32, %cx                     /* ARPL raises the RPL (2A) */
  movw $3, %dx
  arpl %dx, %cx
  movzwl %cx, %ecx
  LOG "legacy.arpl", %ecx, (TSS_32 + 3)
  ret

user_int32: int $SYS
user_privileged32: cli

segments32:                             /* 3A 5.3, 5.4 */
  movl $LIMITED, %eax
  movl %eax, %fs
  OK32 "limit.inside", movl %fs:12, %eax
  FAULT32 "limit.across", GP, 0, movl %fs:13, %eax
  FAULT32 "limit.outside", GP, 0, movb %al, %fs:16
  FAULT32 "limit.wraps", GP, 0, movl %fs:-2, %eax
  movl $DOWN, %eax
  movl %eax, %fs
  OK32 "expand_down.above", movl %fs:0x100000, %eax
  OK32 "expand_down.first", movb %fs:0x1000, %al
  FAULT32 "expand_down.below", GP, 0, movb %fs:0xfff, %al
  FAULT32 "expand_down.across", GP, 0, movl %fs:0xffd, %eax
  movl $READ_ONLY, %eax
  movl %eax, %fs
  OK32 "read_only.read", movl %fs:scratch, %eax
  FAULT32 "read_only.write", GP, 0, movl %eax, %fs:scratch
  FAULT32 "read_only.rmw", GP, 0, incl %fs:scratch
  movl $READ_ONLY, %eax
  FAULT32 "read_only.as_stack", GP, READ_ONLY, movl %eax, %ss
  OK32 "cs.read", movl %cs:scratch, %eax
  FAULT32 "cs.write", GP, 0, movl %eax, %cs:scratch
  movl $EXECUTE_ONLY, %eax
  FAULT32 "execute_only.load", GP, EXECUTE_ONLY, movl %eax, %fs
  movl $NOT_PRESENT, %eax
  FAULT32 "not_present.load", NP, NOT_PRESENT, movl %eax, %fs
  FAULT32 "not_present.stack", SS, NOT_PRESENT, movl %eax, %ss
  xorl %eax, %eax
  movl %eax, %fs
  FAULT32 "null.use", GP, 0, movl %fs:0, %eax
  xorl %eax, %eax
  FAULT32 "null.stack", GP, 0, movl %eax, %ss
  movl gdt32 + LIMITED, %eax            /* A is set by the load */
  movl gdt32 + LIMITED + 4, %eax
  andl $0x100, %eax
  LOG "accessed_bit", %eax, 0x100
  movl $STACK_32, %eax                  /* a limit fault through SS is #SS */
  RESUME32 1f
  movl %eax, %ss
  movl $0x800, %esp
2: movl %ss:0xffd, %ecx
1: movl $DATA_32, %eax
  movl %eax, %ss
  movl resume_rsp, %esp
  LOG_FAULT "limit.stack", SS, 0, 2b
  ret

gates32:                                /* 5.8.3, 5.8.5: two parameters are copied */
  movl $gate_target32, %eax
  movw %ax, gdt32 + GATE_32
  movw $CODE_32, gdt32 + GATE_32 + 2
  movb $2, gdt32 + GATE_32 + 4
  movb $0xec, gdt32 + GATE_32 + 5
  shrl $16, %eax
  movw %ax, gdt32 + GATE_32 + 6
  RUN_USER32 user_gate32
  LOG "gate32.back", vector32, SYS
  LOG "gate32.esp0", gate_esp32, (stack32_top - 24)
  LOG "gate32.first", gate_first32, 0x2222
  LOG "gate32.second", gate_second32, 0x1111
  LOG "gate32.old_esp", gate_old_esp32, (user_stack32_top - 8)
  LOG "gate32.parameters_released", esp32, user_stack32_top
  ret

user_gate32:
  pushl $0x1111
  pushl $0x2222
  lcall $GATE_32 + 3, $0
  int $SYS

gate_target32:
  movl $DATA_32, %eax                   /* ring 3 has a null DS */
  movl %eax, %ds
  movl %esp, gate_esp32
  movl 8(%esp), %eax
  movl %eax, gate_first32
  movl 12(%esp), %eax
  movl %eax, gate_second32
  movl 16(%esp), %eax
  movl %eax, gate_old_esp32
  lretl $8

/* Two levels; linear 0..4 MiB 1:1 through a table, and 4 MiB pages (4.3). TEST32 is a window of one page. */
  .set TEST32, 0x3ff000
paging32:
  movl $table32, %edi
  movl $P + W, %eax
  movl $1024, %ecx
1: movl %eax, (%edi)
  addl $0x1000, %eax
  addl $4, %edi
  loop 1b
  movl $table32 + P + W + U, directory32
  movl $directory32, %eax
  movl %eax, %cr3
  movl %cr4, %eax
  orl $0x10, %eax                       /* PSE */
  movl %eax, %cr4
  movl %cr0, %eax
  orl $0x80010000, %eax                 /* PG, WP */
  movl %eax, %cr0
  movl $0, table32 + 4 * 0x3ff
  invlpg TEST32
  FAULT32 "pf32.missing", PF, 0, movl TEST32 + 4, %eax
  LOG "pf32.cr2", cr2_32, (TEST32 + 4)
  FAULT32 "pf32.missing_directory", PF, 2, movl %eax, 0x10000000
  movl $scratch + P, table32 + 4 * 0x3ff
  FAULT32 "pf32.read_only", PF, 3, movl %eax, TEST32
  movl $scratch + P + W, table32 + 4 * 0x3ff
  invlpg TEST32
  OK32 "pf32.write", movl $0x77, TEST32
  LOG "pf32.frame", scratch, 0x77
  movl table32 + 4 * 0x3ff, %eax
  andl $0xfff, %eax
  LOG "pf32.a_d", %eax, (P + W + A + D)
  movl directory32, %eax
  andl $0xfff, %eax
  LOG "pf32.directory_a", %eax, (P + W + U + A)
  movl $P + W + PS, directory32 + 4 * 1 /* linear 4 MiB -> 0, in one 4 MiB page */
  OK32 "pse.read", movl 0x400000 + scratch, %eax
  LOG "pse.value", %eax, 0x77
  movl $P + W + PS + 0x200000, directory32 + 4 * 2   /* bit 21 is reserved (4.3, table 4-4) */
  FAULT32 "pse.reserved", PF, 9, movl 0x800000, %eax
  movl %cr4, %eax
  andl $~0x10, %eax
  movl %eax, %cr4
  movl $0, directory32 + 4 * 1
  jmp leave_paging

/* Three levels of 8-byte entries; the PDPTEs are loaded with CR3 (4.4.1). */
paging_pae:
  movl $pae_table, %edi
  movl $P + W, %eax
  movl $512, %ecx
1: movl %eax, (%edi)
  movl $0, 4(%edi)
  addl $0x1000, %eax
  addl $8, %edi
  loop 1b
  movl $pae_table + P + W, pae_directory
  movl $0x200000 + P + W + PS, pae_directory + 8
  movl $pae_directory + P, pae_pointers
  movl %cr4, %eax
  orl $0x20, %eax
  movl %eax, %cr4
  movl $pae_pointers, %eax
  movl %eax, %cr3
  movl %cr0, %eax
  orl $0x80010000, %eax
  movl %eax, %cr0
  OK32 "pae.large_page", movl $0x99, 0x200000 + 0x10
  LOG "pae.large_page.value", 0x200010, 0x99
  movl pae_directory + 8, %eax
  andl $0xfff, %eax
  LOG "pae.large_page.a_d", %eax, (P + W + PS + A + D)
  FAULT32 "pae.missing_pdpte", PF, 0, movl 0x40000000, %eax
  movl $pae_directory + P, pae_pointers + 8
  FAULT32 "pae.pdptes_are_cached", PF, 0, movl 0x40000000, %eax
  movl %cr3, %eax
  movl %eax, %cr3
  OK32 "pae.pdptes_reloaded", movl 0x40200010, %eax
  LOG "pae.pdptes_reloaded.value", %eax, 0x99
  movl $pae_directory + P + W, pae_pointers + 16     /* bit 1 of a PDPTE is reserved */
  movl %cr3, %eax
  FAULT32 "pae.pdpte_reserved", GP, 0, movl %eax, %cr3
  movl $0, pae_pointers + 16
  movl $0x80000000, pae_directory + 12  /* NX, while EFER.NXE is 0 */
  invlpg 0x200000
  FAULT32 "pae.nx_reserved", PF, 9, movl 0x200010, %eax
  movl $0, pae_directory + 12
  call leave_paging
  movl %cr4, %eax
  andl $~0x20, %eax
  movl %eax, %cr4
  ret

leave_paging:
  movl %cr0, %eax
  andl $~0x80010000, %eax
  movl %eax, %cr0
  ret

/* The recorder: as in long mode, with a frame of 4-byte words. */
  .balign 16
stubs32:
  .set vector, 0
  .rept 129
  .balign 16
  .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17)
  pushl $0
  .endif
  pushl $vector
  jmp common32
  .set vector, vector + 1
  .endr

common32:
  pushl %eax
  movl $DATA_32, %eax                   /* SS may be a test's */
  movl %eax, %ds
  movl 4(%esp), %eax
  movl %eax, vector32
  shll $16, %eax
  orl 8(%esp), %eax
  movl %eax, outcome32
  movl 12(%esp), %eax
  movl %eax, eip32
  movl 16(%esp), %eax
  movl %eax, cs32
  leal 12(%esp), %eax                   /* where the frame begins: with the error code if there is one */
  pushl %ecx
  movl vector32, %ecx
  pushl $0x27d00                        /* vectors 8, 10-14, 17 push one */
  btl %ecx, (%esp)
  leal 4(%esp), %esp
  popl %ecx
  jnc 1f
  subl $4, %eax
1: movl %eax, frame32
  testl $3, cs32
  jz 2f
  movl 24(%esp), %eax
  movl %eax, esp32
  movl 28(%esp), %eax
  movl %eax, ss32
2: movl %cr2, %eax
  movl %eax, cr2_32
  popl saved_eax
  movl $DATA_32, %eax
  movl %eax, %ss
  movl %eax, %es
  movl saved_eax, %eax
  movl resume_rsp, %esp
  pushl $2
  popfl
  jmp *resume_rip

/* Long mode has nothing to add. */
  .code64
tests: ret

  .data
  .balign 8
gdt32:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
  .quad 0x00cffb000000ffff
  .quad 0x00cff3000000ffff
  .quad 0x0000890000000067              /* TSS_32 */
  .quad 0                               /* GATE_32 */
  .quad 0x004092000000000f              /* LIMITED */
  .quad 0x0040960000000fff              /* DOWN */
  .quad 0x00cf91000000ffff              /* READ_ONLY */
  .quad 0x00cf99000000ffff              /* EXECUTE_ONLY */
  .quad 0x00cf13000000ffff              /* NOT_PRESENT */
  .quad 0x0040920000000fff              /* STACK_32 */
gdt32_end:
gdtr32: .word gdt32_end - gdt32 - 1
  .long gdt32
idtr32: .word 129 * 8 - 1
  .long idt32
  .balign 8
  .irp variable, vector32, outcome32, eip32, cs32, esp32, ss32, frame32, cr2_32, saved_ebx, saved_eax, gate_esp32, gate_first32, gate_second32, gate_old_esp32
  \variable: .long 0
  .endr

  .bss
  .balign 4096
directory32: .skip 4096
table32: .skip 4096
pae_pointers: .skip 4096
pae_directory: .skip 4096
pae_table: .skip 4096
idt32: .skip 129 * 8
tss32: .skip 0x68
  .balign 16
  .skip 1024
stack32_top: .skip 1024
user_stack32_top:

#include "runtime.inc"
