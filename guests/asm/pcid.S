/*
 * What must be forgotten, by PCID (SDM 3A 4.10.1, 4.10.2.4, 4.10.4.1; 2A INVPCID, MOV CRn). A translation that may be kept may also be
 * forgotten, so nothing here expects an old one.
 */
#include "test.inc"

  .text
  .code64
  .set PAGE0, PLAY
  .set PAGE1, PLAY + 4096
  .set LEAF, P + W + A + D
  .set LARGE, 0x80000000                /* linear 2 GiB: boot_pml4's third directory, one-GiB and two-MiB pages */
  .set PDPT, boot_pml4 + 0x1000
  .set PD2, boot_pml4 + 0x4000

/* The present space becomes PCID `pcid`; its translations are kept, or forgotten. Uses RAX. */
.macro KEEP pcid
  movabsq $boot_pml4 + \pcid + (1 << 63), %rax
  movq %rax, %cr3
.endm
.macro LOSE pcid
  movl $boot_pml4 + \pcid, %eax
  movq %rax, %cr3
.endm

/* The window's entry leads to frame `symbol`, nobody is told. */
.macro LEAD page, symbol, flags=0
  movq $\symbol + LEAF + \flags, play_pt + 8 * \page
.endm

.macro READS name, address, wanted
  movl \address, %eax
  EXPECT "\name", %rax, \wanted
.endm

.macro FORGET type, pcid, address=0
  movq $\pcid, descriptor
  movabsq $(\address), %rcx
  movq %rcx, descriptor + 8
  movl $\type, %ecx
  invpcid descriptor, %rcx
.endm

  .set FIRST, scratch
  .set SECOND, scratch + 4096

/* Both pages are known in PCIDs 1 to 3 as FIRST, then lead to SECOND. Page 1 is global. Ends in PCID 1. */
cached:
  LEAD 0, FIRST
  LEAD 1, FIRST, G
  FORGET 2, 0
  .irp pcid, 3, 2, 1
  KEEP \pcid
  movl PAGE0, %eax
  movl PAGE1, %eax
  .endr
  LEAD 0, SECOND
  LEAD 1, SECOND, G
  ret

tests:
  movl $0xaaaa, FIRST
  movl $0xbbbb, SECOND
  SET_CR cr4, 0x80                      /* PGE */
  movabsq $boot_pml4 + (1 << 63), %rax
  FAULT "cr3.bit_63_without_pcide", GP, 0, movq %rax, %cr3
  SET_CR cr4, (1 << 17)                 /* PCIDE */
  KEEP 5
  movq %cr3, %rax
  EXPECT "cr3.bit_63_reads_0", %rax, (boot_pml4 + 5)
  movabsq $boot_pml4 + (1 << 62), %rax
  FAULT "cr3.bit_62", GP, 0, movq %rax, %cr3

  /* MOV CR3 with bit 63 clear: the new PCID's */
  call cached
  LOSE 2
  READS "cr3.forgets_new_pcid", PAGE0, 0xbbbb
  call cached
  LOSE 1
  READS "cr3.forgets_same_pcid", PAGE0, 0xbbbb

  /* INVLPG: the present PCID, and global translations of all */
  call cached
  invlpg PAGE0 + 0x123
  READS "invlpg.present", PAGE0, 0xbbbb
  invlpg PAGE1
  READS "invlpg.global", PAGE1, 0xbbbb
  KEEP 2
  READS "invlpg.global_elsewhere", PAGE1, 0xbbbb

  /* INVPCID */
  call cached
  FORGET 0, 2, PAGE0
  KEEP 2
  READS "invpcid.address_elsewhere", PAGE0, 0xbbbb
  call cached
  FORGET 0, 1, PAGE0
  READS "invpcid.address_here", PAGE0, 0xbbbb
  call cached
  FORGET 1, 2
  KEEP 2
  READS "invpcid.context_elsewhere", PAGE0, 0xbbbb
  call cached
  FORGET 1, 1
  READS "invpcid.context_here", PAGE0, 0xbbbb
  call cached
  FORGET 3, 0
  READS "invpcid.all_local", PAGE0, 0xbbbb
  KEEP 2
  READS "invpcid.all_local_elsewhere", PAGE0, 0xbbbb
  call cached
  FORGET 2, 0
  READS "invpcid.all_global", PAGE1, 0xbbbb
  KEEP 3
  READS "invpcid.all_global_elsewhere", PAGE1, 0xbbbb
  READS "invpcid.all_elsewhere", PAGE0, 0xbbbb

  /* Control registers */
  call cached
  SET_CR cr4, 0, 0x80
  READS "pge.global", PAGE1, 0xbbbb
  KEEP 2
  READS "pge.global_elsewhere", PAGE1, 0xbbbb
  READS "pge.elsewhere", PAGE0, 0xbbbb
  SET_CR cr4, 0x80
  call cached
  LOSE 0
  SET_CR cr4, 0, (1 << 17)              /* PCIDE 1 -> 0 forgets everything */
  READS "pcide.global", PAGE1, 0xbbbb
  SET_CR cr4, (1 << 17)
  KEEP 2
  READS "pcide.elsewhere", PAGE0, 0xbbbb

  /* More PCIDs than anybody keeps sets for: each finds what its tables say */
  LEAD 0, FIRST
  FORGET 2, 0
  .set pcid, 1
  .rept 20
  KEEP pcid
  movl PAGE0, %eax
  .set pcid, pcid + 1
  .endr
  LEAD 0, SECOND
  .set pcid, 1
  .rept 20
  FORGET 0, pcid, PAGE0
  KEEP pcid
  movl PAGE0, %eax
  cmpl $0xbbbb, %eax
  jne 1f
  .set pcid, pcid + 1
  .endr
1: EXPECT "many", %rax, 0xbbbb

  /* Ring 3's translations */
  LEAD 0, FIRST, U
  FORGET 2, 0
  KEEP 1
  USER_OK "user.first", movl PAGE0, %ebx
  LEAD 0, SECOND, U
  invlpg PAGE0
  USER_OK "user.invlpg", movl PAGE0, %ebx
  EXPECT "user.invlpg.value", %rbx, 0xbbbb
  LEAD 0, FIRST, U
  FORGET 1, 1
  USER_OK "user.context", movl PAGE0, %ebx
  EXPECT "user.context.value", %rbx, 0xaaaa
  movq $0, play_pt
  LOSE 1
  USER_FAULT "user.gone", PF, 4, movl PAGE0, %ebx

  /* Code: what runs at an address follows its translation */
  movl $3, %ecx
  LEAD 0, snippet_a
1: call *page0
  loop 1b
  LEAD 0, snippet_b
  invlpg PAGE0
  call *page0
  EXPECT "code.invlpg", %rbx, 0xb
  KEEP 2
  call *page0
  LEAD 0, snippet_a
  FORGET 0, 1, PAGE0
  KEEP 1
  call *page0
  EXPECT "code.invpcid", %rbx, 0xa
  FORGET 2, 0

  /* A large page is forgotten whole, whatever address names it (4.10.4.1, 4.10.2.3) */
  movl $LARGE, %ebp
  movl $0xcccc, 0x400000
  movl $0xdddd, 0x401000
  movl $0xeeee, 0x5ff000
  movl $0x1111, 0x600000
  movl $0x2222, 0x601000
  movl $0x3333, 0x7ff000
  movq $0x400000 + LEAF + PS + G, PD2
  FORGET 2, 0
  KEEP 2
  movl 0x1000(%rbp), %eax
  KEEP 1
  READS "large.first", (%rbp), 0xcccc
  READS "large.second", 0x1000(%rbp), 0xdddd
  READS "large.last", 0x1ff000(%rbp), 0xeeee
  movq $0x600000 + LEAF + PS + G, PD2
  invlpg 0x3000(%rbp)
  READS "large.first_moved", (%rbp), 0x1111
  READS "large.second_moved", 0x1000(%rbp), 0x2222
  READS "large.last_moved", 0x1ff000(%rbp), 0x3333
  KEEP 2
  READS "large.global_elsewhere", 0x1000(%rbp), 0x2222
  movq $0x400000 + LEAF + PS, PD2
  FORGET 0, 2, (LARGE + 0x5000)
  READS "large.invpcid", 0x1000(%rbp), 0xdddd

  /* 1 GiB */
  movq PDPT + 16, %r12
  movq $LEAF + PS, PDPT + 16
  FORGET 2, 0
  KEEP 1
  READS "huge.first", 0x400000(%rbp), 0xcccc
  READS "huge.second", 0x7ff000(%rbp), 0x3333
  movq %r12, PDPT + 16
  movq $0x600000 + LEAF + PS, PD2 + 16
  movq $0x400000 + LEAF + PS, PD2 + 24
  invlpg 0x3fffffff(%rbp)
  READS "huge.first_moved", 0x400000(%rbp), 0x1111
  READS "huge.second_moved", 0x7ff000(%rbp), 0xeeee
  LOSE 0
  SET_CR cr4, 0, (1 << 17)
  ret

  .data
  .balign 16
descriptor: .quad 0, 0
page0: .quad PAGE0

  .section .user, "awx", @progbits
  .balign 4096
snippet_a:
  movl $0xa, %ebx
  ret
  .balign 4096
snippet_b:
  movl $0xb, %ebx
  ret
  .text

#include "runtime.inc"
