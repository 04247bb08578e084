/**
 * The model-specific registers a guest sees, as data (Intel SDM vol. 4, table 2-2; Xen public/arch-x86/cpuid.h for 0x40000000).
 * A register that is not here raises #GP on reads and writes.
 *
 * Linux 6.1 reads or writes some without a guard on this processor model: 0x1a0 (before it has an IDT), 0x8b, 0x10a, 0x48, 0xfe, 0x2ff,
 * 0x200-0x20f, 0x250-0x26f, 0x277, 0x1b, the SYSCALL and SYSENTER registers. All others it probes with a fault handler.
 */
import { PHYS_BITS, XEN_MSR_BASE } from './cpuid.ts';

/** What a written value must satisfy besides the mask. */
export type ValueCheck = 'canonical' | 'pat' | 'mtrr_types' | 'mtrr_type';

/** Where the value lives: */
export type Source =
  /** a 64-bit field of the vCPU; in a list of registers, the field of `first`, the others follow at 8 bytes a number */
  | { state: string; first?: number }
  | { constant: bigint }
  /** `msr_read_<name>(cpu, nr): bool` of core/arch/x86/msr_special.ts leaves the value in `special_value`; false raises #GP */
  | { read: string };

export type Sink =
  /** into the field: bits outside `mask` must be 0 (#GP), or with `keep` stay as they are */
  | { mask: bigint; keep?: true; check?: ValueCheck }
  /** accepted and forgotten; bits outside `mask` raise #GP */
  | { ignore: bigint }
  /** `msr_write_<name>(cpu, nr, value): bool` of core/arch/x86/msr_special.ts; false raises #GP */
  | { write: string }
  /** read-only */
  | 'fault';

export interface Msr {
  name: string;
  numbers: readonly number[];
  source: Source | 'fault';
  sink: Sink;
  /** The field's value at power-up, if not 0. */
  reset?: bigint;
}

const ALL = (1n << 64n) - 1n;
const LOW32 = (1n << 32n) - 1n;
const FRAME = (1n << BigInt(PHYS_BITS)) - 4096n;
const span = (from: number, to: number, step = 1) =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);

/** IA32_ARCH_CAPABILITIES: why each is true and what it saves is told in `cpuid.ts`. */
export const ARCH_CAPABILITIES = {
  RDCL_NO: 0, IBRS_ALL: 1, SKIP_L1DFL_VMENTRY: 3, SSB_NO: 4, MDS_NO: 5, PSCHANGE_MC_NO: 6, TAA_NO: 8, SBDR_SSDP_NO: 13, FBSDP_NO: 14,
  PSDP_NO: 15, BHI_NO: 20, PBRSB_NO: 24, GDS_NO: 26, RFDS_NO: 27, ITS_NO: 62,
} as const; // prettier-ignore
const archCapabilities = Object.values(ARCH_CAPABILITIES).reduce((w, bit) => w | (1n << BigInt(bit)), 0n);

/** VCNT 8, fixed ranges (bit 8), write-combining (bit 10). */
export const MTRR_CAP = 0x508n;
/** Enabled, default type write-back, no fixed ranges: how the toolstack starts an HVM or PVH domain. */
export const MTRR_DEF_TYPE = 0x806n;

const canonical = { mask: ALL, check: 'canonical' } as const;
const one = (nr: number, name: string, source: Msr['source'], sink: Sink, reset?: bigint): Msr => ({
  name,
  numbers: [nr],
  source,
  sink,
  reset,
});

export const MSRS: readonly Msr[] = [
  one(0x10, 'IA32_TIME_STAMP_COUNTER', { read: 'tsc' }, { write: 'tsc' }),
  one(0x17, 'IA32_PLATFORM_ID', { constant: 0n }, 'fault'),
  one(0x1b, 'IA32_APIC_BASE', { state: 'apic_base' }, { write: 'apic_base' }),
  // Locked with nothing enabled: no VMX, no SGX.
  one(0x3a, 'IA32_FEATURE_CONTROL', { constant: 1n }, 'fault'),
  // IBRS, STIBP and BHI_DIS_S; a processor with IBRS accepts STIBP (SDM vol. 4).
  one(0x48, 'IA32_SPEC_CTRL', { state: 'spec_ctrl' }, { mask: 0x403n }),
  one(0x49, 'IA32_PRED_CMD', 'fault', { ignore: 1n }),
  // Linux writes 0, executes CPUID and reads the revision in bits 63:32.
  one(0x8b, 'IA32_BIOS_SIGN_ID', { constant: 1n << 32n }, { ignore: ALL }),
  one(0xce, 'MSR_PLATFORM_INFO', { constant: 0n }, 'fault'),
  one(0xfe, 'IA32_MTRRCAP', { constant: MTRR_CAP }, 'fault'),
  one(0x10a, 'IA32_ARCH_CAPABILITIES', { constant: archCapabilities }, 'fault'),
  one(0x140, 'MISC_FEATURE_ENABLES', { constant: 0n }, { ignore: 0n }),
  one(0x174, 'IA32_SYSENTER_CS', { state: 'sysenter_cs' }, { mask: LOW32 }),
  one(0x175, 'IA32_SYSENTER_ESP', { state: 'sysenter_esp' }, canonical),
  one(0x176, 'IA32_SYSENTER_EIP', { state: 'sysenter_eip' }, canonical),
  // Fast strings can be switched; no branch trace store, no PEBS (read-only 1).
  one(0x1a0, 'IA32_MISC_ENABLE', { state: 'misc_enable' }, { mask: 1n, keep: true }, 0x1801n),
  one(0x1d9, 'IA32_DEBUGCTL', { constant: 0n }, { ignore: 0n }),
  {
    name: 'IA32_MTRR_PHYSBASE',
    numbers: span(0x200, 0x20e, 2),
    source: { state: 'mtrr_var0', first: 0x200 },
    sink: { mask: FRAME | 0xffn, check: 'mtrr_type' },
  },
  {
    name: 'IA32_MTRR_PHYSMASK',
    numbers: span(0x201, 0x20f, 2),
    source: { state: 'mtrr_var0', first: 0x200 },
    sink: { mask: FRAME | 0x800n },
  },
  one(0x250, 'IA32_MTRR_FIX64K', { state: 'mtrr_fixed0' }, { mask: ALL, check: 'mtrr_types' }),
  {
    name: 'IA32_MTRR_FIX16K',
    numbers: span(0x258, 0x259),
    source: { state: 'mtrr_fixed1', first: 0x258 },
    sink: { mask: ALL, check: 'mtrr_types' },
  },
  {
    name: 'IA32_MTRR_FIX4K',
    numbers: span(0x268, 0x26f),
    source: { state: 'mtrr_fixed3', first: 0x268 },
    sink: { mask: ALL, check: 'mtrr_types' },
  },
  one(0x277, 'IA32_PAT', { state: 'pat' }, { mask: ALL, check: 'pat' }, 0x0007040600070406n),
  one(0x2ff, 'IA32_MTRR_DEF_TYPE', { state: 'mtrr_def_type' }, { mask: 0xcffn, check: 'mtrr_type' }, MTRR_DEF_TYPE),
  // Faults unless x2APIC mode is on.
  { name: 'x2APIC', numbers: span(0x800, 0x83f), source: { read: 'x2apic' }, sink: { write: 'x2apic' } },
  one(XEN_MSR_BASE, 'Xen hypercall page', { constant: 0n }, { write: 'hypercall_page' }),
  one(0xc0000080, 'IA32_EFER', { state: 'efer' }, { write: 'efer' }),
  one(0xc0000081, 'IA32_STAR', { state: 'star' }, { mask: ALL }),
  one(0xc0000082, 'IA32_LSTAR', { state: 'lstar' }, canonical),
  one(0xc0000083, 'IA32_CSTAR', { state: 'cstar' }, canonical),
  one(0xc0000084, 'IA32_FMASK', { state: 'sfmask' }, { mask: LOW32 }),
  one(0xc0000100, 'IA32_FS_BASE', { read: 'fs_base' }, { write: 'fs_base' }),
  one(0xc0000101, 'IA32_GS_BASE', { read: 'gs_base' }, { write: 'gs_base' }),
  one(0xc0000102, 'IA32_KERNEL_GS_BASE', { state: 'kernel_gs_base' }, canonical),
  one(0xc0000103, 'IA32_TSC_AUX', { state: 'tsc_aux' }, { mask: LOW32 }),
];

const msr = (nr: number): Msr => MSRS.find((m) => m.numbers.includes(nr))!;
const readOnly = (nr: number): Msr => ({ ...msr(nr), sink: 'fault' });

/** What Xen programs IA32_PAT with: a PV guest's page tables name its entries. */
export const XEN_PAT = 0x050100070406n;

/**
 * What the kernel of a PV guest sees: RDMSR and WRMSR are emulated. System calls and memory types are the hypervisor's, so those registers are not there
 * (a PV guest's SYSCALL entry is a callback). What may only be written back as it was is `ignore`d or `efer_pv`.
 */
export const MSRS_PV: readonly Msr[] = [
  readOnly(0x10),
  msr(0x17),
  readOnly(0x1b),
  msr(0x3a),
  msr(0x48),
  msr(0x49),
  msr(0x8b),
  msr(0xce),
  msr(0x10a),
  msr(0x140),
  { ...msr(0x1a0), sink: { ignore: ALL } },
  one(0x277, 'IA32_PAT', { constant: XEN_PAT }, 'fault'),
  msr(XEN_MSR_BASE),
  { ...msr(0xc0000080), sink: { write: 'efer_pv' } },
  msr(0xc0000100),
  msr(0xc0000101),
  one(0xc0000102, 'IA32_KERNEL_GS_BASE', { read: 'other_gs' }, { write: 'other_gs' }),
  msr(0xc0000103),
];
