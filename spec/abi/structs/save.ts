/** public/hvm/save.h, public/arch-x86/hvm/save.h: the records of an HVM or PVH domain's saved state. */
import { array, bits, each, i64, structs, u16, u32, u64, u8, type Type } from '../layout.ts';

const suffixed = <P extends string, S extends string, T extends Type>(prefixes: readonly P[], suffix: S, type: T) =>
  Object.fromEntries(prefixes.map((p) => [p + suffix, type])) as Record<`${P}${S}`, T>;

const SEGMENTS = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldtr'] as const;
const TABLES = [...SEGMENTS, 'idtr', 'gdtr'] as const;

const pit = structs({
  hvm_hw_pit_channel: {
    count: u32,
    latched_count: u16,
    ...each('count_latched status_latched status read_state write_state write_latch rw_mode mode bcd gate', u8),
  },
});

const oneMsr = structs({ hvm_one_msr: { index: u32, _rsvd: u32, val: u64 } });

export const save = {
  ...pit,
  ...oneMsr,
  ...structs({
    hvm_save_descriptor: { typecode: u16, instance: u16, length: u32 },
    hvm_save_end: {},
    hvm_save_header: { magic: u32, version: u32, changeset: u64, cpuid: u32, gtsc_khz: u32 },
    hvm_hw_cpu: {
      fpu_regs: array(u8, 512),
      ...each('rax rbx rcx rdx rbp rsi rdi rsp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags', u64),
      ...each('cr0 cr2 cr3 cr4 dr0 dr1 dr2 dr3 dr6 dr7', u64),
      ...suffixed(SEGMENTS, '_sel', u32),
      ...suffixed(TABLES, '_limit', u32),
      ...suffixed(TABLES, '_base', u64),
      ...suffixed(SEGMENTS, '_arbytes', u32),
      ...each('sysenter_cs sysenter_esp sysenter_eip shadow_gs', u64),
      ...each('msr_flags msr_lstar msr_star msr_cstar msr_syscall_mask msr_efer msr_tsc_aux', u64),
      tsc: u64,
      $pending: bits(u32, {
        pending_vector: 8,
        pending_type: 3,
        pending_error_valid: 1,
        pending_reserved: 19,
        pending_valid: 1,
      }),
      error_code: u32,
      flags: u32,
      pad0: u32,
    },
    hvm_hw_lapic: { apic_base_msr: u64, disabled: u32, timer_divisor: u32, tdt_msr: u64 },
    hvm_hw_lapic_regs: { data: array(u8, 1024) },
    hvm_hw_pci_irqs: { pad: array(u64, 2) },
    hvm_hw_isa_irqs: { pad: array(u64, 1) },
    hvm_hw_pci_link: { route: array(u8, 4), pad0: array(u8, 4) },
    hvm_hw_pit: { channels: array(pit.hvm_hw_pit_channel, 3), speaker_data_on: u32, pad0: u32 },
    hvm_hw_rtc: { cmos_data: array(u8, 14), cmos_index: u8, pad0: u8, rtc_offset: i64 },
    hvm_hw_pmtimer: { tmr_val: u32, pm1a_sts: u16, pm1a_en: u16 },
    hvm_hw_mtrr: {
      msr_pat_cr: u64,
      msr_mtrr_var: array(u64, 16),
      msr_mtrr_fixed: array(u64, 11),
      msr_mtrr_cap: u64,
      msr_mtrr_def_type: u64,
    },
    hvm_vmce_vcpu: { caps: u64, mci_ctl2_bank0: u64, mci_ctl2_bank1: u64, mcg_ext_ctl: u64 },
    hvm_tsc_adjust: { tsc_adjust: u64 },
    hvm_msr: { count: u32, msr: array(oneMsr.hvm_one_msr, 0) },
  }),
};
