/**
 * The CPU that a guest sees, as data. It belongs to the domain, not to the host.
 *
 * What it offers: x86-64-v2 without AVX, plus ERMS, FSRM, FSGSBASE, PCID, INVPCID, SMEP, SMAP, NX, 1 GiB pages, RDTSCP, invariant TSC, ARAT,
 * x2APIC and XSAVE for x87 and SSE state. No MCE/MCA, PMU, MONITOR, RDRAND, TSC deadline timer: nothing that would only be read back as zero.
 *
 * Why it calls itself a GenuineIntel family 6, model 0x7a (Goldmont Plus):
 * - It is the real processor closest to the list above: all of v2, SMEP, SMAP, ERMS and no AVX.
 * - Linux compiles its Spectre, Meltdown and MDS mitigations in or out by vendor, model and IA32_ARCH_CAPABILITIES. On Intel one
 *   capability word answers all of them: RDCL_NO keeps page-table isolation off (each entry would write CR3 twice); IBRS_ALL with BHI_NO makes
 *   Linux choose enhanced IBRS, one WRMSR at boot, instead of retpolines, which would turn each indirect call into a call, a rewritten
 *   return address and a RET that no translator can predict; SSB_NO, MDS_NO, TAA_NO and their like remove VERW and MSR writes on the way to user
 *   mode. Linux takes BHI_NO for user mode's word only and would clear the branch history by a loop of some 110 instructions at every
 *   system call; BHI_CTRL gives it a bit of IA32_SPEC_CTRL to set once instead. An AMD identity gets no such word before automatic IBRS, so it would pay for retpolines, and Linux reads HWCR, PATCH_LEVEL, LS_CFG and
 *   the PMU's registers there.
 * - This model is on Linux's lists of processors without the SWAPGS, L1TF, MDS and post-barrier RSB issues, so no LFENCE follows SWAPGS.
 * - Not a model with a PCID, INVLPG or MONITOR erratum, nor one with a clock frequency that Linux takes from platform MSRs.
 * - The claims are true: the engine does not speculate on the guest's behalf. What the host's processor does is the host's to mitigate.
 * An Intel identity means VMCALL as the hypercall instruction and SYSENTER (not SYSCALL) from compatibility mode.
 *
 * References: Intel SDM vol. 2A, CPUID, tables 3-8 to 3-17; Xen public/arch-x86/cpuid.h.
 *
 * A PV guest sees less: nothing of what its page tables and its ring cannot have (PV_HIDES), as with Xen.
 */

/** Values known only at run time; `core/arch/x86/cpuid_values.ts` has a function `cpuid_<name>(cpu): u32` for each. */
export const DYNAMIC = {
  apic_id: "the vCPU's x2APIC id (vCPU number times two)",
  nr_vcpus: 'vCPUs of the domain',
  apic_enabled: 'IA32_APIC_BASE bit 11',
  osxsave: 'CR4.OSXSAVE',
  vcpu_id: 'vCPU number',
  domid: 'domain number',
  tsc_khz: "the guest's TSC frequency",
  tsc_incarnation: 'how often the domain has been restored or migrated',
  tsc_offset_low: 'what the hypervisor adds to its own TSC for this guest',
  tsc_offset_high: 'upper half of it',
  tsc_mul: 'pvclock multiplier of the TSC',
  tsc_shift: 'pvclock shift of the TSC',
  host_tsc_khz: "the hypervisor's TSC frequency",
} as const;
export type Dynamic = keyof typeof DYNAMIC;

/** A register: constant bits, or constant bits with run-time values shifted in. `subleaf` puts ECX's low byte into bits 7:0. */
export interface Mixed {
  base: number;
  add: readonly { value: Dynamic | 'subleaf'; shift: number }[];
}
export type Register = number | Mixed;
export interface Leaf {
  leaf: number;
  /** `any`: the leaf has no sub-leaves, or this row answers all that no other row names. */
  subleaf: number | 'any';
  /** EAX, EBX, ECX, EDX. */
  regs: readonly [Register, Register, Register, Register];
}

const or = (base: number, ...add: [Dynamic | 'subleaf', number][]): Mixed => ({
  base: base >>> 0,
  add: add.map(([value, shift]) => ({ value, shift })),
});
const bits = (set: Record<string, number>) => Object.values(set).reduce((word, bit) => (word | (1 << bit)) >>> 0, 0);
const text = (s: string, at = 0) =>
  [0, 1, 2, 3].reduce((w, i) => w | ((s.charCodeAt(at + i) || 0) << (8 * i)), 0) >>> 0;
const row = (leaf: number, subleaf: number | 'any', a: Register, b: Register, c: Register, d: Register): Leaf => ({
  leaf,
  subleaf,
  regs: [a, b, c, d],
});

/** The offered features by register: name and bit. */
export const FEATURES = {
  '1.ecx': {
    SSE3: 0,
    SSSE3: 9,
    CX16: 13,
    PCID: 17,
    SSE4_1: 19,
    SSE4_2: 20,
    X2APIC: 21,
    POPCNT: 23,
    XSAVE: 26,
    HYPERVISOR: 31,
  },
  // APIC (9) follows IA32_APIC_BASE.
  '1.edx': {
    FPU: 0, DE: 2, PSE: 3, TSC: 4, MSR: 5, PAE: 6, CX8: 8, SEP: 11, MTRR: 12, PGE: 13, CMOV: 15, PAT: 16, PSE36: 17, CLFLUSH: 19,
    MMX: 23, FXSR: 24, SSE: 25, SSE2: 26, HTT: 28,
  }, // prettier-ignore
  '6.eax': { ARAT: 2 },
  '7.ebx': { FSGSBASE: 0, SMEP: 7, ERMS: 9, INVPCID: 10, SMAP: 20 },
  '7.edx': { FSRM: 4, SPEC_CTRL: 26, ARCH_CAPABILITIES: 29 },
  '7.2.edx': { BHI_CTRL: 4 },
  '80000001.ecx': { LAHF_LM: 0, PREFETCHW: 8 },
  '80000001.edx': { SYSCALL: 11, NX: 20, PAGE1GB: 26, RDTSCP: 27, LM: 29 },
  '80000007.edx': { INVARIANT_TSC: 8 },
} as const;

/** What is not there for a PV guest: it has no large or global pages, no PCIDs, no rings to be kept apart, no x2APIC and no MTRRs of its own. */
export const PV_HIDES = {
  '1.ecx': ['PCID', 'X2APIC'],
  '1.edx': ['PSE', 'MTRR', 'PGE', 'PSE36'],
  '6.eax': [],
  '7.ebx': ['SMEP', 'INVPCID', 'SMAP'],
  '7.edx': [],
  '7.2.edx': [],
  '80000001.ecx': [],
  '80000001.edx': ['PAGE1GB'],
  '80000007.edx': [],
} as const satisfies { [K in keyof typeof FEATURES]: readonly (keyof (typeof FEATURES)[K])[] };

type CpuidGuest = 'hvm' | 'pv';

/** The word of the features that a kind of guest is offered. */
function features(word: keyof typeof FEATURES, guest: CpuidGuest): number {
  const hidden: readonly string[] = guest === 'pv' ? PV_HIDES[word] : [];
  return bits(Object.fromEntries(Object.entries(FEATURES[word]).filter(([name]) => !hidden.includes(name))));
}

export const VENDOR = 'GenuineIntel';
export const FAMILY_MODEL_STEPPING = 0x000706a8;
export const BRAND = 'Xenolith Virtual CPU';
/** Widths of guest-physical and linear addresses. At most 46 keeps every frame number of a grant in 32 bits. */
export const PHYS_BITS = 46;
export const LINEAR_BITS = 48;
/** Legacy area and header: what XSAVE needs for x87 and SSE state (SDM vol. 1, 13.4). */
export const XSAVE_SIZE = 576;
export const XCR0_ALLOWED = 3;
export const XEN_VERSION = { major: 4, minor: 17 } as const;
/** Bits of a machine address: what a PV guest's frame numbers may have (a grant entry of version 1 has room for more). */
export const MACHINE_ADDRESS_BITS = 32;
/** XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD. */
const XEN_PRESERVES_AD = 1;
/** The MSR that a guest writes to get its hypercall page. */
export const XEN_MSR_BASE = 0x40000000;

/** Leaf 4: a cache whose `sharing` is the number of APIC ids that share it. */
function cache(subleaf: number, type: 1 | 2 | 3, level: number, sharing: number, ways: number, sets: number): Leaf {
  const selfInitialising = 1 << 8;
  const coreIds = 63;
  const eax = type | (level << 5) | selfInitialising | ((sharing - 1) << 14) | (coreIds << 26);
  return row(4, subleaf, eax >>> 0, (((ways - 1) << 22) | 63) >>> 0, sets - 1, 0);
}

/** A package has room for 256 APIC ids; a core has two, the second unused: one thread a core. */
const PACKAGE_SHIFT = 8;
const CORE_SHIFT = 1;
/** 4 MiB, 16 ways (code 8), lines of 64 bytes. */
const L2_LEGACY = (4096 << 16) | (8 << 12) | 64;
const XEN_FEATURES = /* VCPU_ID_PRESENT */ 0x08 | /* DOMID_PRESENT */ 0x10 | /* UPCALL_VECTOR */ 0x40;

const leaves = (guest: CpuidGuest): readonly Leaf[] => [
  row(0, 'any', 0xd, text(VENDOR, 0), text(VENDOR, 8), text(VENDOR, 4)),
  row(
    1, 'any', FAMILY_MODEL_STEPPING, or((255 << 16) | ((64 / 8) << 8), ...(guest === 'hvm' ? [['apic_id', 24] as [Dynamic, number]] : [])),
    or(features('1.ecx', guest), ['osxsave', 27]), or(features('1.edx', guest), ['apic_enabled', 9]),
  ), // prettier-ignore
  // Descriptors: 0xff caches are in leaf 4, 0xfe no TLB data.
  row(2, 'any', 0x00feff01, 0, 0, 0),
  cache(0, 1, 1, 2, 8, 64),
  cache(1, 2, 1, 2, 8, 64),
  cache(2, 3, 2, 256, 16, 4096),
  row(6, 'any', features('6.eax', guest), 0, 0, 0),
  row(7, 0, 2, features('7.ebx', guest), 0, features('7.edx', guest)),
  row(7, 2, 0, 0, 0, features('7.2.edx', guest)),
  row(0xb, 0, CORE_SHIFT, 1, 0x100, or(0, ['apic_id', 0])),
  row(0xb, 1, PACKAGE_SHIFT, or(0, ['nr_vcpus', 0]), 0x201, or(0, ['apic_id', 0])),
  row(0xb, 'any', 0, 0, or(0, ['subleaf', 0]), or(0, ['apic_id', 0])),
  row(0xd, 0, XCR0_ALLOWED, XSAVE_SIZE, XSAVE_SIZE, 0),
  row(0x80000000, 'any', 0x80000008, 0, 0, 0),
  row(0x80000001, 'any', 0, 0, features('80000001.ecx', guest), features('80000001.edx', guest)),
  ...[0, 16, 32].map((at) => {
    return row(
      0x80000002 + at / 16,
      'any',
      text(BRAND, at),
      text(BRAND, at + 4),
      text(BRAND, at + 8),
      text(BRAND, at + 12),
    );
  }),
  row(0x80000006, 'any', 0, 0, L2_LEGACY, 0),
  row(0x80000007, 'any', 0, 0, 0, features('80000007.edx', guest)),
  row(0x80000008, 'any', PHYS_BITS | (LINEAR_BITS << 8), 0, 0, 0),
  row(0x40000000, 'any', 0x40000005, text('XenVMMXenVMM', 0), text('XenVMMXenVMM', 4), text('XenVMMXenVMM', 8)),
  row(0x40000001, 'any', (XEN_VERSION.major << 16) | XEN_VERSION.minor, 0, 0, 0),
  row(0x40000002, 'any', 1, XEN_MSR_BASE, guest === 'pv' ? XEN_PRESERVES_AD : 0, 0),
  // The TSC is the hypervisor's own in each mode (bit 0: emulated), steady (bit 1), and RDTSCP exists (bit 2).
  row(0x40000003, 0, 7, 0, or(0, ['tsc_khz', 0]), or(0, ['tsc_incarnation', 0])),
  row(
    0x40000003, 1, or(0, ['tsc_offset_low', 0]), or(0, ['tsc_offset_high', 0]), or(0, ['tsc_mul', 0]), or(0, ['tsc_shift', 0]),
  ), // prettier-ignore
  row(0x40000003, 2, or(0, ['host_tsc_khz', 0]), 0, 0, 0),
  guest === 'pv'
    ? row(0x40000005, 0, 0, MACHINE_ADDRESS_BITS, 0, 0)
    : row(0x40000004, 0, XEN_FEATURES, or(0, ['vcpu_id', 0]), or(0, ['domid', 0]), 0),
];
export const CPUID = leaves('hvm');
export const CPUID_PV = leaves('pv');

/** The four registers of a leaf; zeros where there is none (out-of-range leaves too, as Xen answers). */
export function cpuid(
  leaf: number,
  subleaf: number,
  dynamic: (value: Dynamic) => number,
  policy: readonly Leaf[] = CPUID,
): [number, number, number, number] {
  const rows = policy.filter((r) => r.leaf === leaf >>> 0);
  const found = rows.find((r) => r.subleaf === subleaf) ?? rows.find((r) => r.subleaf === 'any');
  const value = (r: Register) => {
    if (typeof r === 'number') return r;
    const parts = r.add.map((p) => (p.value === 'subleaf' ? subleaf & 0xff : dynamic(p.value)) << p.shift);
    return parts.reduce((w, p) => w | p, r.base) >>> 0;
  };
  return found ? (found.regs.map(value) as [number, number, number, number]) : [0, 0, 0, 0];
}
