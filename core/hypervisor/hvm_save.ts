// An HVM domain's state as Xen's stream of save records: gethvmcontext and sethvmcontext.
import { Cpu } from '../arch/x86/cpu';
import { lapic_restore, lapic_restore_regs, lapic_save, lapic_save_regs } from '../arch/x86/lapic';
import {
  EINVAL,
  ENOENT,
  ENOSPC,
  HVM_FILE_MAGIC,
  HVM_FILE_VERSION,
  HVM_SAVE_CODE_CPU,
  HVM_SAVE_CODE_END,
  HVM_SAVE_CODE_HEADER,
  HVM_SAVE_CODE_LAPIC,
  HVM_SAVE_CODE_LAPIC_REGS,
  HVM_SAVE_CODE_MTRR,
  hvm_hw_mtrr__msr_mtrr_cap,
  hvm_hw_mtrr__msr_mtrr_def_type,
  hvm_hw_mtrr__msr_mtrr_fixed,
  hvm_hw_mtrr__msr_mtrr_var,
  hvm_hw_mtrr__msr_pat_cr,
  hvm_save_descriptor__instance,
  hvm_save_descriptor__length,
  hvm_save_descriptor__typecode,
  hvm_save_header__gtsc_khz,
  hvm_save_header__magic,
  hvm_save_header__version,
  sizeof_hvm_hw_cpu,
  sizeof_hvm_hw_lapic,
  sizeof_hvm_hw_lapic_regs,
  sizeof_hvm_hw_mtrr,
  sizeof_hvm_save_descriptor,
  sizeof_hvm_save_header,
} from '../gen/abi';
import { Domain, domain_vcpu } from './domain';
import { cpu_record_load, cpu_record_save } from './vcpu_context';
import { vcpu_unblock } from './sched/core';
import { cpu_of, Vcpu, VCPU_INITIALISED, VCPU_UP } from './vcpu';

/** Body size of a record type; 0 for one that is not kept here. */
export function record_size(code: u32): u32 {
  switch (code) {
    case HVM_SAVE_CODE_HEADER:
      return sizeof_hvm_save_header;
    case HVM_SAVE_CODE_CPU:
      return sizeof_hvm_hw_cpu;
    case HVM_SAVE_CODE_LAPIC:
      return sizeof_hvm_hw_lapic;
    case HVM_SAVE_CODE_LAPIC_REGS:
      return sizeof_hvm_hw_lapic_regs;
    case HVM_SAVE_CODE_MTRR:
      return sizeof_hvm_hw_mtrr;
    default:
      return 0;
  }
}

/** Bytes of a whole stream. */
export function context_size(d: Domain): u32 {
  let per_vcpu: u32 = 0;
  for (let c: u32 = 2; c < 20; c++) if (record_size(c)) per_vcpu += record_size(c) + sizeof_hvm_save_descriptor;
  let n: u32 = 0;
  for (let i: u32 = 0; i < d.max_vcpus; i++) if (domain_vcpu(d, i) != null) n++;
  return sizeof_hvm_save_header + 2 * sizeof_hvm_save_descriptor + n * per_vcpu;
}

function mtrr_copy(cpu: Cpu, p: usize, save: bool): void {
  const var_at = changetype<usize>(cpu) + offsetof<Cpu>('mtrr_var0');
  const fixed_at = changetype<usize>(cpu) + offsetof<Cpu>('mtrr_fixed0');
  if (save) {
    store<u64>(p, cpu.pat, hvm_hw_mtrr__msr_pat_cr);
    memory.copy(p + hvm_hw_mtrr__msr_mtrr_var, var_at, 128);
    memory.copy(p + hvm_hw_mtrr__msr_mtrr_fixed, fixed_at, 88);
    store<u64>(p, cpu.mtrr_cap, hvm_hw_mtrr__msr_mtrr_cap);
    store<u64>(p, cpu.mtrr_def_type, hvm_hw_mtrr__msr_mtrr_def_type);
    return;
  }
  cpu.pat = load<u64>(p, hvm_hw_mtrr__msr_pat_cr);
  memory.copy(var_at, p + hvm_hw_mtrr__msr_mtrr_var, 128);
  memory.copy(fixed_at, p + hvm_hw_mtrr__msr_mtrr_fixed, 88);
  cpu.mtrr_def_type = load<u64>(p, hvm_hw_mtrr__msr_mtrr_def_type);
}

/** Body of one record at `p`. 0 or an errno. */
export function record_save(d: Domain, code: u32, instance: u32, p: usize): i32 {
  if (code == HVM_SAVE_CODE_HEADER) {
    memory.fill(p, 0, sizeof_hvm_save_header);
    store<u32>(p, HVM_FILE_MAGIC, hvm_save_header__magic);
    store<u32>(p, HVM_FILE_VERSION, hvm_save_header__version);
    store<u32>(p, d.tsc_khz, hvm_save_header__gtsc_khz);
    return 0;
  }
  const found = domain_vcpu(d, instance);
  if (found == null) return -ENOENT;
  const v = found;
  switch (code) {
    case HVM_SAVE_CODE_CPU:
      cpu_record_save(v, p);
      return 0;
    case HVM_SAVE_CODE_LAPIC:
      lapic_save(cpu_of(v), p);
      return 0;
    case HVM_SAVE_CODE_LAPIC_REGS:
      lapic_save_regs(cpu_of(v), p);
      return 0;
    case HVM_SAVE_CODE_MTRR:
      mtrr_copy(cpu_of(v), p, true);
      return 0;
    default:
      return -EINVAL;
  }
}

function record_load(d: Domain, code: u32, instance: u32, p: usize): i32 {
  if (code == HVM_SAVE_CODE_HEADER)
    return load<u32>(p, hvm_save_header__magic) == HVM_FILE_MAGIC &&
      load<u32>(p, hvm_save_header__version) == HVM_FILE_VERSION
      ? 0
      : -EINVAL;
  const found = domain_vcpu(d, instance);
  if (found == null) return -EINVAL;
  const v = found;
  switch (code) {
    case HVM_SAVE_CODE_CPU: {
      const rc = cpu_record_load(v, p);
      if (rc) return rc;
      v.flags |= VCPU_INITIALISED | VCPU_UP;
      vcpu_unblock(v);
      return 0;
    }
    case HVM_SAVE_CODE_LAPIC:
      return lapic_restore(cpu_of(v), p) ? 0 : -EINVAL;
    case HVM_SAVE_CODE_LAPIC_REGS:
      lapic_restore_regs(cpu_of(v), p);
      return 0;
    case HVM_SAVE_CODE_MTRR:
      mtrr_copy(cpu_of(v), p, false);
      return 0;
    default:
      return -EINVAL;
  }
}

// Streams are walked record by record so that no buffer of the whole is needed: the callers copy each through the vCPU's argument area.

/** How many records a stream has, header and end included, and which they are: the i-th one's code and instance. */
export let next_code: u32 = 0;
export let next_instance: u32 = 0;

/** The record after (code, instance) in a saved stream; false after the end. */
export function record_next(d: Domain, code: u32, instance: u32): bool {
  if (code == HVM_SAVE_CODE_END) return false;
  let i = instance + 1;
  let c = code;
  while (true) {
    if (c == HVM_SAVE_CODE_HEADER || i >= d.max_vcpus) {
      i = 0;
      do c++;
      while (c < 20 && !record_size(c));
      if (c >= 20) {
        next_code = HVM_SAVE_CODE_END;
        next_instance = 0;
        return true;
      }
    }
    if (domain_vcpu(d, i) != null) {
      next_code = c;
      next_instance = i;
      return true;
    }
    i++;
  }
}

/** Check a descriptor against the body size we know, then load the body. `p` points at the descriptor. */
export function descriptor_size(p: usize): i32 {
  const code = <u32>load<u16>(p, hvm_save_descriptor__typecode);
  const length = load<u32>(p, hvm_save_descriptor__length);
  if (code == HVM_SAVE_CODE_END) return length == 0 ? 0 : -EINVAL;
  const size = record_size(code);
  return size && length == size ? <i32>size : -EINVAL;
}

export function descriptor_write(p: usize, code: u32, instance: u32): void {
  store<u16>(p, <u16>code, hvm_save_descriptor__typecode);
  store<u16>(p, <u16>instance, hvm_save_descriptor__instance);
  store<u32>(p, record_size(code), hvm_save_descriptor__length);
}

export function descriptor_load(d: Domain, p: usize): i32 {
  return record_load(
    d,
    load<u16>(p, hvm_save_descriptor__typecode),
    load<u16>(p, hvm_save_descriptor__instance),
    p + sizeof_hvm_save_descriptor,
  );
}
