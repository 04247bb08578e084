/* Page faults, access rights, accessed and dirty bits, the TLB (SDM 3A chapter 4). */
#include "test.inc"

  .text
  .code64
  .set PAGE0, PLAY
  .set PAGE1, PLAY + 4096
  .set KERNEL_PAGE, P + W + A + D       /* a supervisor's page, bits set so that nothing is written to the entry */
  .set CODE_PAGE, 10                    /* maps `snippet` */

/* The entry of a page, without the frame. */
.macro EXPECT_ENTRY name, page, wanted
  movq play_pt + 8 * \page, %r8
  movabsq $0xfff0000000000fff, %r9
  andq %r9, %r8
  EXPECT "\name", %r8, \wanted
.endm

tests:
  SET_CR cr0, 0x10000                   /* WP */

  /* Error codes: P, W/R, U/S, RSVD, I/D; CR2 (4.7) */
  MAP 0, 0, 0
  FAULT "pf.read_missing", PF, 0, movl PAGE0 + 8, %eax
  EXPECT "pf.cr2", rec_cr2, (PAGE0 + 8)
  FAULT "pf.write_missing", PF, 2, movl %eax, PAGE0 + 8
  FAULT "pf.rmw_missing", PF, 2, incl PAGE0 + 8
  FAULT "pf.locked_missing", PF, 2, lock incl PAGE0 + 8
  FAULT "pf.cmpxchg_missing", PF, 2, lock cmpxchgl %ecx, PAGE0 + 8
  FAULT "pf.xchg_missing", PF, 2, xchgl %ecx, PAGE0 + 8
  FAULT "pf.shift_by_0_missing", PF, 2, .byte 0xc1, 0x24, 0x25, 0, 0, 0, 0x40, 0
  FAULT "pf.bt_missing", PF, 0, btl $1, PAGE0 + 8
  FAULT "pf.bts_missing", PF, 2, btsl $1, PAGE0 + 8
  FAULT "pf.test_missing", PF, 0, testl $1, PAGE0 + 8
  USER_FAULT "pf.user_read_missing", PF, 4, movl PAGE0, %eax
  USER_FAULT "pf.user_write_missing", PF, 6, movl %eax, PAGE0
  MAP 0, scratch, P
  NO_FAULT "pf.read_read_only", movl PAGE0, %eax
  FAULT "pf.write_read_only", PF, 3, movl %eax, PAGE0
  FAULT "pf.rmw_read_only", PF, 3, orl $0, PAGE0
  FAULT "pf.cmpxchg_read_only_unequal", PF, 3, lock cmpxchgl %ecx, PAGE0
  USER_FAULT "pf.user_read_supervisor", PF, 5, movl PAGE0, %eax
  MAP 0, scratch, (P + U)
  USER_OK "pf.user_read_user", movl PAGE0, %eax
  USER_FAULT "pf.user_write_read_only", PF, 7, movl %eax, PAGE0
  MAP 0, scratch, (P + W + U + (1 << 51))
  FAULT "pf.reserved_bit", PF, 9, movl PAGE0, %eax
  FAULT "pf.reserved_bit_write", PF, 0xb, movl %eax, PAGE0
  MAP 0, scratch, (P + W + U)
  USER_OK "pf.user_write", movl %eax, PAGE0

  /* WP: ring 0 may write to read-only pages without it (4.6.1) */
  MAP 0, scratch, P
  SET_CR cr0, 0, 0x10000
  NO_FAULT "wp.clear_ring0_writes", movl $0x1234, PAGE0
  EXPECT_ENTRY "wp.clear_sets_dirty", 0, (P + A + D)
  MAP 0, scratch, (P + U)
  USER_FAULT "wp.clear_ring3_may_not", PF, 7, movl %eax, PAGE0
  SET_CR cr0, 0x10000
  FAULT "wp.set_again", PF, 3, movl %eax, PAGE0

  /* NX: instruction fetches, bit I/D (4.6.2, 4.7) */
  MAP CODE_PAGE, snippet, (P + NX)
  movl $PLAY + 4096 * CODE_PAGE, %ebx
  RESUME_AT 1f
  call *%rbx
1: CHECK_FAULT "nx.fetch", PF, 0x11, (PLAY + 4096 * CODE_PAGE)
  NO_FAULT "nx.read", movl (%rbx), %eax
  MAP CODE_PAGE, snippet, P
  NO_FAULT "nx.clear", call *%rbx
  MAP CODE_PAGE, 0, 0
  RESUME_AT 1f
  call *%rbx
1: CHECK_FAULT "pf.fetch_missing", PF, 0x10, (PLAY + 4096 * CODE_PAGE)
  MAP CODE_PAGE, snippet, P
  RUN_USER_AT (PLAY + 4096 * CODE_PAGE), UCODE
  CHECK_FAULT "pf.user_fetch_supervisor", PF, 0x15, (PLAY + 4096 * CODE_PAGE)
  movl $0xc0000080, %ecx
  rdmsr
  andl $~0x800, %eax                    /* NXE off: bit 63 becomes reserved (4.4.2 "IA32_EFER.NXE") */
  wrmsr
  MAP 0, scratch, (P + NX)
  FAULT "nx.reserved_without_nxe", PF, 9, movl PAGE0, %eax
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x800, %eax
  wrmsr

  /* A and D bits (4.8) */
  MAP 0, scratch, (P + W)
  EXPECT_ENTRY "ad.none", 0, (P + W)
  movl PAGE0, %eax
  EXPECT_ENTRY "ad.read_sets_a", 0, (P + W + A)
  movl %eax, PAGE0
  EXPECT_ENTRY "ad.write_sets_d", 0, (P + W + A + D)
  MAP 0, scratch, (P + W)
  movl %eax, PAGE0
  EXPECT_ENTRY "ad.write_sets_both", 0, (P + W + A + D)
  MAP 0, scratch, P
  FAULT "ad.faulting_write", PF, 3, movl %eax, PAGE0
  movq play_pt, %rax
  andl $D, %eax
  EXPECT "ad.faulting_write_leaves_d", %rax, 0
  MAP CODE_PAGE, snippet, P
  call *%rbx
  EXPECT_ENTRY "ad.fetch_sets_a", CODE_PAGE, (P + A)
  andq $~A, boot_pml4 + 0x1000 + 8      /* the PDPT entry over the window: no dirty bit there */
  movq %cr3, %rax
  movq %rax, %cr3
  MAP 0, scratch, (P + W)
  movl %eax, PAGE0
  movq boot_pml4 + 0x1000 + 8, %rax
  andl $(A + D), %eax
  EXPECT "ad.upper_level", %rax, A
  movq $0, scratch + 4096
  MAP 0, scratch, (P + W)
  movl $1, %ecx
  movl $0, %eax
  movl $5, PAGE0
  MAP 0, scratch, (P + W)
  lock cmpxchgl %ecx, PAGE0             /* unequal: the old value is written back, the page becomes dirty (2A CMPXCHG) */
  EXPECT_ENTRY "ad.cmpxchg_unequal_sets_d", 0, (P + W + A + D)

  /* SMEP, SMAP (4.6.1) */
  SET_CR cr4, (1 << 20)
  MAP CODE_PAGE, snippet, (P + U)
  RESUME_AT 1f
  call *%rbx
1: CHECK_FAULT "smep.fetch", PF, 0x11, (PLAY + 4096 * CODE_PAGE)
  NO_FAULT "smep.read", movl (%rbx), %eax
  SET_CR cr4, 0, (1 << 20)
  NO_FAULT "smep.off", call *%rbx
  SET_CR cr4, (1 << 21)
  MAP 0, scratch, (P + W + U)
  FAULT "smap.read", PF, 1, movl PAGE0, %eax
  FAULT "smap.write", PF, 3, movl %eax, PAGE0
  stac
  NO_FAULT "smap.stac", movl PAGE0, %eax
  clac
  FAULT "smap.clac", PF, 1, movl PAGE0, %eax
  NO_FAULT "smap.fetch_unaffected", call *%rbx
  USER_OK "smap.user", movl PAGE0, %eax
  SET_CR cr4, 0, (1 << 21)
  NO_FAULT "smap.off", movl PAGE0, %eax

  /* The TLB: INVLPG, CR3, global pages, CR4.PGE (4.10.2.4, 4.10.4.1) */
  movl $0xaaaa, scratch
  movl $0xbbbb, scratch + 4096
  MAP 0, scratch, KERNEL_PAGE
  movl PAGE0, %eax
  movq $scratch + 4096 + KERNEL_PAGE, play_pt
  invlpg PAGE0 + 123
  movl PAGE0, %eax
  EXPECT "tlb.invlpg", %rax, 0xbbbb
  movq $scratch + KERNEL_PAGE, play_pt
  movq %cr3, %rax
  movq %rax, %cr3
  movl PAGE0, %eax
  EXPECT "tlb.cr3", %rax, 0xaaaa
  SET_CR cr4, 0x80                      /* PGE */
  movq $scratch + KERNEL_PAGE + G, play_pt
  SET_CR cr4, 0, 0x80
  SET_CR cr4, 0x80
  movl PAGE0, %eax
  movq $scratch + 4096 + KERNEL_PAGE + G, play_pt
  invlpg PAGE0                          /* drops global entries too */
  movl PAGE0, %eax
  EXPECT "tlb.invlpg_global", %rax, 0xbbbb
  movq $scratch + KERNEL_PAGE + G, play_pt
  SET_CR cr4, 0, 0x80                   /* a change of PGE drops everything */
  movl PAGE0, %eax
  EXPECT "tlb.pge_change", %rax, 0xaaaa
  movq $0, play_pt
  movq %cr3, %rax
  movq %rax, %cr3
  FAULT "tlb.cr3_drops_without_pge", PF, 0, movl PAGE0, %eax

  call pcid_tests
  call crossing_tests
  call large_tests
  ret

/* PCID and INVPCID (4.10.1, 2A INVPCID) */
pcid_tests:
  movl $7, %eax
  xorl %ecx, %ecx
  cpuid
  btl $10, %ebx                         /* INVPCID; a CPU that has it has PCID */
  jc 1f
  ret
1:
  movq %cr3, %rcx                       /* PCIDE may be set only while CR3[11:0] is 0 */
  movq %rcx, %rax
  orq $8, %rax
  movq %rax, %cr3
  movq %cr4, %rax
  orq $(1 << 17), %rax
  FAULT "pcid.enable_with_low_cr3", GP, 0, movq %rax, %cr4
  movq %rcx, %cr3
  SET_CR cr4, (1 << 17)
  MAP 0, scratch, KERNEL_PAGE
  movl PAGE0, %eax
  movq %cr3, %rax
  orq $1, %rax
  movq %rax, %cr3                       /* PCID 1 */
  movl PAGE0, %eax
  EXPECT "pcid.other_space_same_tables", %rax, 0xaaaa
  movq $scratch + 4096 + KERNEL_PAGE, play_pt
  movq $0, invpcid_descriptor + 8
  movq $1, invpcid_descriptor
  movl $1, %ecx
  invpcid invpcid_descriptor, %rcx      /* single context 1 */
  movl PAGE0, %eax
  EXPECT "pcid.invpcid_single", %rax, 0xbbbb
  movq $scratch + KERNEL_PAGE, play_pt
  movl $2, %ecx
  invpcid invpcid_descriptor, %rcx      /* all, globals too */
  movl PAGE0, %eax
  EXPECT "pcid.invpcid_all", %rax, 0xaaaa
  movq $scratch + 4096 + KERNEL_PAGE, play_pt
  movq $PAGE0, invpcid_descriptor + 8
  xorl %ecx, %ecx
  invpcid invpcid_descriptor, %rcx      /* one address of context 1 */
  movl PAGE0, %eax
  EXPECT "pcid.invpcid_address", %rax, 0xbbbb
  movl $4, %ecx
  FAULT "pcid.invpcid_bad_type", GP, 0, invpcid invpcid_descriptor, %rcx
  xorl %ecx, %ecx
  movq $0x1001, invpcid_descriptor
  FAULT "pcid.invpcid_reserved", GP, 0, invpcid invpcid_descriptor, %rcx
  movq $1, invpcid_descriptor
  movabsq $0x0000800000000000, %rax
  movq %rax, invpcid_descriptor + 8
  FAULT "pcid.invpcid_noncanonical", GP, 0, invpcid invpcid_descriptor, %rcx
  USER_FAULT "pcid.invpcid_user", GP, 0, invpcid USER_STACK - 64, %rcx
  movq %cr3, %rax
  andq $~0xfff, %rax
  movq %rax, %cr3
  SET_CR cr4, 0, (1 << 17)
  ret

/* Accesses over a page's end: nothing is written if either page may not be (3A 6.5 "faults"; 8.1.1) */
crossing_tests:
  MAP 0, scratch, KERNEL_PAGE
  MAP 1, 0, 0
  movq $-1, scratch + 4088
  xorl %ecx, %ecx
  FAULT "cross.write_second_missing", PF, 2, movq %rcx, PAGE1 - 4
  EXPECT "cross.cr2", rec_cr2, PAGE1
  EXPECT "cross.nothing_written", (scratch + 4088), 0xffffffffffffffff
  FAULT "cross.read_second_missing", PF, 0, movq PAGE1 - 1, %rax
  EXPECT "cross.read_cr2", rec_cr2, PAGE1
  FAULT "cross.locked_second_missing", PF, 2, lock incq PAGE1 - 4
  EXPECT "cross.locked_nothing_written", (scratch + 4088), 0xffffffffffffffff
  SET_CR cr4, 0x200
  xorps %xmm0, %xmm0
  FAULT "cross.movups_second_missing", PF, 2, movups %xmm0, PAGE1 - 8
  EXPECT "cross.movups_nothing_written", (scratch + 4088), 0xffffffffffffffff
  movq $-1, scratch + 4088
  MAP 1, scratch + 4096, (P + A)
  FAULT "cross.write_second_read_only", PF, 3, movq %rcx, PAGE1 - 4
  EXPECT "cross.read_only_nothing_written", (scratch + 4088), 0xffffffffffffffff
  MAP 0, 0, 0
  MAP 1, scratch + 4096, KERNEL_PAGE
  FAULT "cross.write_first_missing", PF, 2, movq %rcx, PAGE1 - 4
  EXPECT "cross.first_cr2", rec_cr2, (PAGE1 - 4)
  MAP 0, scratch + 8192, KERNEL_PAGE    /* frames that are no neighbours */
  movabsq $0x1122334455667788, %rax
  movq %rax, PAGE1 - 3
  EXPECT "cross.read_back", (PAGE1 - 3), 0x1122334455667788
  movl scratch + 8192 + 4092, %ecx
  EXPECT "cross.first_frame", %rcx, 0x66778800
  lock addq %rax, PAGE1 - 3
  EXPECT "cross.locked", (PAGE1 - 3), 0x22446688aaccef10
  movl $0x88888888, scratch + 8192 + 4092
  xorl %eax, %eax
  lock cmpxchgl %eax, PAGE1 - 2
  EXPECT "cross.cmpxchg_unequal", %rax, 0x88aa8888
  xchgw %cx, PAGE1 - 1
  movzwl %cx, %ecx
  EXPECT "cross.xchg", %rcx, 0xaa88
  ret

/* Pages of 2 MiB and 1 GiB: PS, A and D in the upper entry (4.5.4) */
large_tests:
  .set LARGE_ENTRY, boot_pml4 + 0x2000 + 3 * 0x1000
  movq $P + W + PS + 0x200000 * 0, LARGE_ENTRY
  movq %cr3, %rax
  movq %rax, %cr3
  movl $0xcafe, scratch
  movl $0xc0000000 + scratch, %ebx
  movl (%rbx), %eax
  EXPECT "large.read", %rax, 0xcafe
  movq LARGE_ENTRY, %rax
  EXPECT "large.a", %rax, (P + W + PS + A)
  movl $0xbeef, (%rbx)
  movq LARGE_ENTRY, %rax
  EXPECT "large.d", %rax, (P + W + PS + A + D)
  movl scratch, %ecx
  EXPECT "large.written", %rcx, 0xbeef
  orq $0x2000, LARGE_ENTRY              /* bit 13 is reserved in a 2 MiB entry (bit 12 is PAT) */
  movq %cr3, %rax
  movq %rax, %cr3
  FAULT "large.reserved", PF, 9, movl (%rbx), %eax
  movq %rbx, %r13
  movl $0x80000001, %eax
  cpuid
  btl $26, %edx
  jnc 1f
  movq boot_pml4 + 0x1000 + 3 * 8, %r12
  movq $P + W + PS, boot_pml4 + 0x1000 + 3 * 8
  movq %cr3, %rax
  movq %rax, %cr3
  NO_FAULT "large.gigabyte", movl (%r13), %ecx
  EXPECT "large.gigabyte_value", %rcx, 0xbeef
  movq %r12, boot_pml4 + 0x1000 + 3 * 8
1: movq $P + W + PS, LARGE_ENTRY
  movq %cr3, %rax
  movq %rax, %cr3
  ret

  .data
  .balign 4096
snippet: ret
  .balign 4096
invpcid_descriptor: .quad 0, 0

#include "runtime.inc"
