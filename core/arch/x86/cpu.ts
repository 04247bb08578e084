// The architectural state of one x86 vCPU as the engine uses it. It lies at offset 0 of the vCPU's frames; the hypervisor's half
// (Vcpu) lies 4096 bytes further. Offsets matter: micro-ops hold byte offsets of register slots.

/** One segment register's hidden part (Intel SDM vol. 3, 3.4.3). `attr` is the high descriptor dword's bits 8..23 >> 8, Xen's layout. */
@unmanaged
export class Segment {
  selector: u16;
  /** Xen's `arbytes` layout: type 0-3, S 4, DPL 5-6, P 7, AVL 8, L 9, D/B 10, G 11. */
  attr: u16;
  limit: u32;
  /** Of FS and GS not used: see seg_base. */
  base: u64;
}

export const SEG_ES: i32 = 0;
export const SEG_CS: i32 = 1;
export const SEG_SS: i32 = 2;
export const SEG_DS: i32 = 3;
export const SEG_FS: i32 = 4;
export const SEG_GS: i32 = 5;
export const SEG_LDTR: i32 = 6;
export const SEG_TR: i32 = 7;

@unmanaged
export class Cpu {
  // Register slots, addressed by byte offset from micro-ops: rax rcx rdx rbx rsp rbp rsi rdi r8-r15.
  rax: u64;
  rcx: u64;
  rdx: u64;
  rbx: u64;
  rsp: u64;
  rbp: u64;
  rsi: u64;
  rdi: u64;
  r8: u64;
  r9: u64;
  r10: u64;
  r11: u64;
  r12: u64;
  r13: u64;
  r14: u64;
  r15: u64;
  /** Slot 16, always 0: the absent base or index. */
  zero: u64; // 128
  /** Slot 17: linear address of the code page being executed, for RIP-relative operands and precise PCs. CS base included. */
  page_va: u64; // 136
  /** Slots 18 and 19: ±2^32, an index for RIP-relative operands whose in-page displacement does not fit 32 bits. */
  plus4g: u64; // 144
  minus4g: u64; // 152
  /** Lazy flags, see docs/design/core.md. */
  lfr: u64; // 160
  lfc: u64; // 168
  /** Instruction pointer when outside the loop (offset in CS, not linear). */
  rip: u64; // 176
  /** RFLAGS without the arithmetic bits (CF PF AF ZF SF OF are 0 here, they live in lfr/lfc); bit 1 set. */
  rflags: u64; // 184
  /** Segment bases of ES CS SS DS FS GS as address generation uses them (in 64-bit mode 0 except FS and GS); slots 6 and 7 always 0. */
  base_es: u64; // 192
  base_cs: u64;
  base_ss: u64;
  base_ds: u64;
  base_fs: u64;
  base_gs: u64;
  base_none: u64;
  base_none2: u64;
  /** Host pointer to the software TLB table of the current privilege (see engine/tlb.ts). */
  tlb: u32; // 256
  /** Leave the loop when this many instructions have been retired; 0 = kicked. Written by other pCPUs. */
  limit: i32; // 260
  /** Instructions retired in the present run(), stored before a cold form or an exit. */
  n: i32; // 264
  /** Why the loop left: EXIT_*. */
  exit: i32; // 268
  /** The micro-op at which the loop left. */
  uop: u32; // 272
  /** Code page struct being executed (engine/code_cache.ts). */
  code: u32; // 276
  /** Pending exception: vector, error code (valid if exc_flags & 1); exc_flags bit 1 = soft interrupt (INT n), bit 2 = external interrupt, bit 3 = ICEBP/INT1. */
  exc_vector: u32; // 280
  exc_error: u32; // 284
  exc_flags: u32; // 288
  /** 0..3. */
  cpl: u32; // 292
  /** Bits MODE_* derived from CR0, CR4, EFER, CS, segments: see modes.ts; key of decoded code. */
  mode: u32; // 296
  /** SHADOW_*: what the next instruction runs without. */
  shadow: u32; // 300
  /** Instructions retired over the vCPU's life, excluding the present run()'s n. REP counts as one. */
  retired: u64; // 304
  /** The address that was not canonical, while EXC_NON_CANONICAL is set. */
  cr2_candidate: u64; // 312
  cr0: u64; // 320
  cr2: u64;
  cr3: u64;
  cr4: u64;
  cr8: u64;
  xcr0: u64;
  efer: u64;
  dr0: u64;
  dr1: u64;
  dr2: u64;
  dr3: u64;
  dr6: u64;
  dr7: u64;
  star: u64;
  lstar: u64;
  cstar: u64;
  sfmask: u64;
  kernel_gs_base: u64;
  sysenter_cs: u64;
  sysenter_esp: u64;
  sysenter_eip: u64;
  tsc_aux: u64;
  pat: u64;
  apic_base: u64;
  misc_enable: u64;
  spec_ctrl: u64;
  mtrr_def_type: u64;
  mtrr_cap: u64;
  tsc_offset: u64;
  gdt_base: u64;
  idt_base: u64;
  gdt_limit: u32;
  idt_limit: u32;
  mtrr_fixed0: u64; // 11 fixed-range MTRRs (250, 258, 259, 268..26F)
  mtrr_fixed1: u64;
  mtrr_fixed2: u64;
  mtrr_fixed3: u64;
  mtrr_fixed4: u64;
  mtrr_fixed5: u64;
  mtrr_fixed6: u64;
  mtrr_fixed7: u64;
  mtrr_fixed8: u64;
  mtrr_fixed9: u64;
  mtrr_fixed10: u64;
  mtrr_var0: u64; // 8 base/mask pairs follow in mtrr_var_rest (offset VAR_MTRR)
  mtrr_var1: u64;
  mtrr_var2: u64;
  mtrr_var3: u64;
  mtrr_var4: u64;
  mtrr_var5: u64;
  mtrr_var6: u64;
  mtrr_var7: u64;
  mtrr_var8: u64;
  mtrr_var9: u64;
  mtrr_var10: u64;
  mtrr_var11: u64;
  mtrr_var12: u64;
  mtrr_var13: u64;
  mtrr_var14: u64;
  mtrr_var15: u64;
  /** PAE paging outside long mode: the page-directory-pointer entries, as the processor keeps them (SDM vol. 3, 4.4.1). */
  pdpte0: u64; // 792
  pdpte1: u64;
  pdpte2: u64;
  pdpte3: u64;
  /** DR6 bits of a debug trap that is due before the next instruction. */
  hits: u32; // 824
  /** PACE_*. */
  pace: u32;
  /** The next instruction is to run alone: a breakpoint is near (breakpoints.ts). */
  alone: u32;
  /** Not 0: an interrupt may be waiting, also one that cannot be taken yet. Written by other pCPUs. */
  waits: u32;
  /** Counted for statistics: entries made in the software TLB, sets of entries forgotten as a whole, pages forgotten. */
  tlb_fills: u64; // 840
  tlb_flushes: u64;
  tlb_page_flushes: u64;
}

/** Nothing, interrupts (STI), interrupts and debug exceptions (MOV SS, POP SS: SDM vol. 3, 6.8.3). */
export const SHADOW_NONE: u32 = 0;
export const SHADOW_INTERRUPTS: u32 = 1;
export const SHADOW_ALL: u32 = 2;

/** What runs is one instruction, or an event's delivery; the loop; one instruction whose repetitions stop after each element. */
export const PACE_ALONE: u32 = 0;
export const PACE_FREE: u32 = 1;
export const PACE_STEP: u32 = 2;

/** exc_flags: an error code is pushed; INT n, INT3, INTO; an external interrupt; INT1; #GP that is #SS if the access was to the stack. */
export const EXC_ERROR: u32 = 1;
export const EXC_SOFT: u32 = 2;
export const EXC_EXTERNAL: u32 = 4;
export const EXC_INT1: u32 = 8;
export const EXC_NON_CANONICAL: u32 = 0x100;

/** Byte offset in Cpu of the segment registers' hidden parts: 8 Segments of 16 bytes (ES CS SS DS FS GS LDTR TR). */
export const CPU_SEGMENTS: usize = 1024;
/** x87: control, status (TOP inside), abridged tag (bit set = valid), opcode, instruction and operand pointers; then MXCSR. */
export const CPU_FCW: usize = 1152; // u16
export const CPU_FSW: usize = 1154; // u16
export const CPU_FTW: usize = 1156; // u8, bit i set = physical register i is not empty
export const CPU_FOP: usize = 1158; // u16
export const CPU_FIP: usize = 1160; // u64
export const CPU_FDP: usize = 1168; // u64
export const CPU_MXCSR: usize = 1176; // u32
export const CPU_FCS: usize = 1180; // u16
export const CPU_FDS: usize = 1182; // u16
/** Eight physical x87 registers, 16 bytes each: significand u64, sign and exponent u16. MMi is the significand of physical register i. */
export const CPU_FPR: usize = 1184;
/** Sixteen XMM registers, 16-byte aligned. */
export const CPU_XMM: usize = 1312;
/** Local APIC state (arch/x86/lapic.ts), up to 1 KiB. */
export const CPU_LAPIC: usize = 2048;
/** Scratch micro-ops for instructions that cross a page or run alone: 4 × 16 bytes. */
export const CPU_SCRATCH: usize = 3072;
/** The entries of the page walk in progress: 4 × {address u32, -, value u64} (mmu/paging.ts). */
export const CPU_WALK: usize = 3136;
/** NMI_* bits (interrupts.ts), u32. */
export const CPU_NMI: usize = 3200;
/** What the local APIC keeps beside its registers: see lapic.ts. */
export const CPU_APIC: usize = 3208;
/** Four u32: the answer of the CPUID instruction being executed. */
export const CPU_CPUID: usize = 3232;
/** Where a translated region's indirect branch leads (core/translator), u64. */
export const CPU_TARGET: usize = 3248;
/** As `limit`, but the interpreter may be stopped earlier by that one, to look where it stands: i32. */
export const CPU_SLICE: usize = 3256;
/** A PV vCPU's own part (pv/state.ts). */
export const CPU_PV: usize = 3264;
/** Bytes from here to 4095 are free for the arch layer. */
export const CPU_FREE: usize = 3712;
export const CPU_SIZE: usize = 4096;

/** Why cpu_run or the loop left. */
export const EXIT_NONE: i32 = 0; // look up cpu.rip and go on (mode change, far transfer, budget, kick)
export const EXIT_EXCEPTION: i32 = 1; // exc_* pending; the instruction at cpu.uop has changed nothing
export const EXIT_HALT: i32 = 2; // HLT retired, rip is after it
export const EXIT_HYPERCALL: i32 = 3; // VMCALL/VMMCALL retired, rip is after it
export const EXIT_IOREQ: i32 = 4; // waits for a device model; the instruction will be executed again from the start
export const EXIT_SHUTDOWN: i32 = 5; // triple fault
export const EXIT_RETRY: i32 = 6; // run the instruction again (a locked operation lost a race, code changed)
export const EXIT_BUDGET: i32 = 7; // budget used or kicked: the caller decides
export const EXIT_STOP: i32 = 8; // single-step scratch run ended
export const EXIT_REPEAT: i32 = 9; // a repetition stopped between two elements
export const EXIT_DEBUG: i32 = 10; // a debugger's breakpoint before, or watchpoint behind, the instruction at rip

@inline export function seg(cpu: Cpu, i: i32): Segment {
  return changetype<Segment>(changetype<usize>(cpu) + CPU_SEGMENTS + ((<usize>i) << 4));
}

function own_base(i: i32): bool {
  return i == SEG_FS || i == SEG_GS;
}

/** Base of a segment register. FS and GS have theirs where address generation and SWAPGS find it, and nowhere else. */
export function seg_base(cpu: Cpu, i: i32): u64 {
  if (own_base(i)) return load<u64>(changetype<usize>(cpu) + offsetof<Cpu>('base_es') + ((<usize>i) << 3));
  return seg(cpu, i).base;
}

export function set_seg_base(cpu: Cpu, i: i32, base: u64): void {
  if (own_base(i)) store<u64>(changetype<usize>(cpu) + offsetof<Cpu>('base_es') + ((<usize>i) << 3), base);
  else seg(cpu, i).base = base;
}

/** An interrupt may be waiting: whoever turns interrupts on has to look. To be called after it was made to wait. */
export function cpu_event(cpu: Cpu): void {
  atomic.store<u32>(changetype<usize>(cpu) + offsetof<Cpu>('waits'), 1);
}

/** Somebody wants the vCPU's attention: it leaves guest code at its next branch or round of a loop. */
export function cpu_kick(cpu: Cpu): void {
  cpu_event(cpu);
  atomic.store<i32>(changetype<usize>(cpu) + CPU_SLICE, 0);
  atomic.store<i32>(changetype<usize>(cpu) + offsetof<Cpu>('limit'), 0);
}
