/* The page walkers without PAE and with it, in 32-bit protected mode (SDM 3A 4.3, 4.4). */
#include "legacy.inc"

tests_legacy:
  call paging32
  jmp paging_pae

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

  .bss
  .balign 4096
directory32: .skip 4096
table32: .skip 4096
pae_pointers: .skip 4096
pae_directory: .skip 4096
pae_table: .skip 4096

#include "runtime.inc"
