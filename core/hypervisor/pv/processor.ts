// Hypercalls by which a PV guest sets what is a register or an instruction elsewhere.
import {
  EINVAL,
  ENODEV,
  ENOSYS,
  SEGBASE_FS,
  SEGBASE_GS_KERNEL,
  SEGBASE_GS_USER,
  SEGBASE_GS_USER_SEL,
} from '../../gen/abi';
import { Cpu, SEG_GS, seg } from '../../arch/x86/cpu';
import { canonical } from '../../arch/x86/limits';
import { pv_get_debugreg, pv_set_debugreg, pv_set_ts, pv_value } from '../../arch/x86/pv/emulate';
import { cpu_pv32, PV_32BIT, pv_of } from '../../arch/x86/pv/state';
import { ring_fixed } from '../../arch/x86/pv/bounce32';
import { load_segment } from '../../arch/x86/segments';
import { Domain } from '../domain';
import { hypercall_continue } from '../hypercall';
import { cpu_of, Vcpu } from '../vcpu';
import { pv_ldt_again, pv_selector_ready } from './tables';

export function do_stack_switch(d: Domain, v: Vcpu, ss: u64, sp: u64): i64 {
  const pv = pv_of(cpu_of(v));
  const selector = (<u32>ss) & 0xffff;
  pv.kernel_ss = pv.flags & PV_32BIT ? ring_fixed(selector) : selector | 3;
  pv.kernel_sp = sp;
  return 0;
}

export function do_fpu_taskswitch(d: Domain, v: Vcpu, set: u32): i64 {
  pv_set_ts(cpu_of(v), set != 0);
  return 0;
}

export function do_set_debugreg(d: Domain, v: Vcpu, reg: u32, value: u64): i64 {
  return pv_set_debugreg(cpu_of(v), reg, value);
}

export function do_get_debugreg(d: Domain, v: Vcpu, reg: u32): i64 {
  return pv_get_debugreg(cpu_of(v), reg) ? <i64>pv_value : -ENODEV;
}

/** The caller is the kernel, so what its programs use is the base that is not in use. */
export function do_set_segment_base(d: Domain, v: Vcpu, which: u32, base: u64): i64 {
  const cpu = cpu_of(v);
  if (cpu_pv32(cpu)) return -ENOSYS; // its segments' bases are in their descriptors
  if (which == SEGBASE_GS_USER_SEL) {
    const selector = (<u32>base) & 0xffff;
    const wanted = selector > 3 ? selector | 3 : selector;
    const ready = pv_selector_ready(v, wanted);
    return !ready && pv_ldt_again ? hypercall_continue(v, which, base, 0) : user_gs_selector(cpu, wanted, ready);
  }
  if (which > <u32>SEGBASE_GS_USER_SEL || !canonical(base)) return -EINVAL;
  if (which == SEGBASE_FS) cpu.base_fs = base;
  else if (which == SEGBASE_GS_KERNEL) cpu.base_gs = base;
  else if (which == SEGBASE_GS_USER) pv_of(cpu).other_gs = base;
  return 0;
}

/** Load GS for the programs. One that cannot be loaded becomes null: nobody is told, as in Xen. */
function user_gs_selector(cpu: Cpu, wanted: u32, ready: bool): i64 {
  const kernel_base = cpu.base_gs;
  if (!ready || load_segment(cpu, SEG_GS, wanted)) load_segment(cpu, SEG_GS, 0);
  pv_of(cpu).other_gs = cpu.base_gs;
  cpu.base_gs = kernel_base;
  return 0;
}
