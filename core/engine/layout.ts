// Fixed places in machine memory and sizes that the engine and the hypervisor share. docs/design/core.md has the whole map.

/** Bounce buffers, one area a pCPU. They lie below everything else so that one comparison tells a bounce pointer from a frame's. */
export const BOUNCE_BASE: usize = 0x10000;
export const BOUNCE_AREA: usize = 256;
export const MAX_PCPUS: i32 = 64;
/** Host pointers below this are bounce buffers: a store through one has to be committed. */
export const BOUNCE_LIMIT: usize = 0x14000;
/** The longest instruction, in bytes. */
export const MAX_LENGTH: u32 = 15;
/** One word: held while a misaligned or 16-byte locked operation runs. */
export const BUS_LOCK: usize = 0x13ff0;
/** The Host structure. */
export const HOST_BASE: usize = 0x14000;

/** A pCPU's own area: TLB sets (three tables and a byte an entry), code-page hash, micro-op arena. */
export const TLB_ENTRIES: u32 = 4096;
/** Entries for execution lie behind: a stack page does not push out the code that uses it. As many as hold most of a kernel's image. */
export const TLB_EXEC_ENTRIES: u32 = 2048;
export const TLB_ENTRY_SIZE: usize = 32;
export const TLB_TABLE_SIZE: usize = <usize>(TLB_ENTRIES + TLB_EXEC_ENTRIES) * TLB_ENTRY_SIZE;
export const TLB_TABLES: i32 = 3;
/** What a TLB entry remembers of its leaf: global; a piece of a page of 2 MiB; of one that is larger. */
export const ENTRY_GLOBAL: u32 = 1;
export const ENTRY_LARGE: u32 = 2;
export const ENTRY_HUGE: u32 = 4;
export const TLB_SETS: i32 = 8;
/** Which entries of a table have been made since it was cleared: their number, then as many as fit. */
export const TLB_LOG_MAX: u32 = 510;
export const TLB_LOG_SIZE: usize = 4 + 2 * <usize>TLB_LOG_MAX;
export const TLB_SET_SIZE: usize = 3 * (TLB_TABLE_SIZE + <usize>(TLB_ENTRIES + TLB_EXEC_ENTRIES) + TLB_LOG_SIZE);
export const PCPU_TLB: usize = 0;
export const PCPU_TLB_SETS: usize = 8 * TLB_SET_SIZE; // what each is bound to
/** Scratch: 32 code bytes of an instruction that crosses a page, then its micro-op and the one after it. */
export const PCPU_SCRATCH: usize = (PCPU_TLB_SETS + 0x1fff) & ~0xfff;
/** A TLB table that never holds anything: under alignment checking every access takes the slow path. */
export const PCPU_TLB_NONE: usize = PCPU_SCRATCH + 0x1000;
export const PCPU_CODE_HASH: usize = (PCPU_TLB_NONE + TLB_TABLE_SIZE + 0xfff) & ~0xfff; // 4096 u32: code pages by frame and mode
/** Samples of hot code, and the regions that were translated (core/translator). */
export const PCPU_SAMPLES: usize = PCPU_CODE_HASH + 0x4000;
export const PCPU_REGIONS: usize = PCPU_SAMPLES + 0x4000;
export const PCPU_REGIONS_SIZE: usize = 0x400000;
/** A bit a frame: some TLB entry may let it be written. */
export const PCPU_WRITABLE: usize = PCPU_REGIONS + PCPU_REGIONS_SIZE;
/** The same, checked writes to decoded code included: who takes the right to write a frame has to look for it. */
export const PCPU_STORED: usize = PCPU_WRITABLE + 0x20000;
/** Where to look: by a frame's low bits, {the entry u32, the frame u32}. */
export const PCPU_STORED_AT: usize = PCPU_STORED + 0x20000;
export const STORED_AT_SLOTS: u32 = 8192;
/** What it has counted (core/translator/counters.ts). */
export const PCPU_COUNTERS: usize = PCPU_STORED_AT + 8 * <usize>STORED_AT_SLOTS;
/** Where indirect jumps have led (branch_targets.ts). */
export const PCPU_TARGETS: usize = PCPU_COUNTERS + 0x1000;
export const TARGET_SITES: usize = 2048; // of 64 bytes
/** Which regions begin where (core/translator/jumps.ts): 2 to the power of so many, of 32 bytes. */
export const JUMPS_LOG2: u32 = 13;
export const PCPU_JUMPS: usize = PCPU_TARGETS + TARGET_SITES * 64;
/** Decoded code, to the area's end: an eighth of the host's memory within these bounds, for many guests have much code. */
export const PCPU_CODE_ARENA: usize = PCPU_JUMPS + ((<usize>32) << JUMPS_LOG2);
export const CODE_ARENA_MIN: u32 = 0x2000000; // 32 MiB
export const CODE_ARENA_MAX: u32 = 0x8000000; // 128 MiB
