// A PV vCPU as a whole: what it begins as, struct vcpu_guest_context in (XEN_DOMCTL_setvcpucontext, VCPUOP_initialise) and out (getvcpucontext).
import {
  cpu_user_regs__cs,
  cpu_user_regs__rflags,
  cpu_user_regs__rip,
  cpu_user_regs__rsp,
  cpu_user_regs__ss,
  EFAULT,
  EINVAL,
  ENOMEM,
  ERESTART,
  CALLBACKTYPE_failsafe,
  CALLBACKTYPE_syscall,
  sizeof_cpu_user_regs,
  sizeof_trap_info,
  sizeof_vcpu_guest_context,
  trap_info__address,
  trap_info__cs,
  trap_info__vector,
  vcpu_guest_context__ctrlreg,
  vcpu_guest_context__debugreg,
  vcpu_guest_context__event_callback_eip,
  vcpu_guest_context__failsafe_callback_eip,
  vcpu_guest_context__flags,
  vcpu_guest_context__fs_base,
  vcpu_guest_context__gdt_ents,
  vcpu_guest_context__gdt_frames,
  vcpu_guest_context__gs_base_kernel,
  vcpu_guest_context__gs_base_user,
  vcpu_guest_context__kernel_sp,
  vcpu_guest_context__kernel_ss,
  vcpu_guest_context__ldt_base,
  vcpu_guest_context__ldt_ents,
  vcpu_guest_context__syscall_callback_eip,
  vcpu_guest_context__trap_ctxt,
  vcpu_guest_context__user_regs,
  vcpu_guest_context__vm_assist,
  VGCF_failsafe_disables_events,
  VGCF_i387_valid,
  VGCF_in_kernel,
  VGCF_online,
  VGCF_syscall_disables_events,
} from '../../gen/abi';
import { Cpu, SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_SS, seg } from '../../arch/x86/cpu';
import { flags_get, flags_set } from '../../arch/x86/flags';
import { canonical } from '../../arch/x86/limits';
import { CODE64, DATA, FLAT_CS64, FLAT_SS } from '../../arch/x86/pv/bounce';
import {
  CODE_RING1,
  CODE_RING3,
  DATA_RING1,
  DATA_RING3,
  FLAT_RING1_CS,
  FLAT_RING1_SS,
  ring_fixed,
} from '../../arch/x86/pv/bounce32';
import { pv_table_registers } from '../../arch/x86/pv/descriptors';
import { guest_address, PV_CR0, pv_set_cr4, pv_set_debugreg, pv_set_ts } from '../../arch/x86/pv/emulate';
import { pv_roots_changed } from '../../arch/x86/pv/roots';
import { pv_load_pair } from '../../arch/x86/pv/syscall';
import {
  cpu_pv32,
  PV_32BIT,
  PV_GUEST,
  PV_KERNEL,
  pv_gdt_frame,
  pv_kernel,
  pv_of,
  pv_trap,
  TRAP_SIZE,
} from '../../arch/x86/pv/state';
import { load_segment, mode_changed, set_flat, set_null } from '../../arch/x86/segments';
import { xenheap_alloc, xenheap_free } from '../../shared/frame_alloc';
import { host_raise_flush } from '../../shared/host';
import { Domain, domain_vcpu } from '../domain';
import { copy_from_guest, copy_to_guest } from '../guest_access';
import { cpu_of, Vcpu, vcpu_arg, vcpu_domain, VCPU_INITIALISED, vcpu_of, VCPU_UP } from '../vcpu';
import { vcpu_look, vcpu_unblock } from '../sched/core';
import { fpu_load, fpu_save } from '../vcpu_context';
import { root_type, table_get, type_begin } from './page_type';
import { context32_read, context32_write, context_event_cs, context_failsafe_cs, traps32_read } from './context32';
import { table_put } from './vcpu';
import { pv_selector_ready, pv_set_gdt, pv_set_ldt } from './tables';

const EFER: u64 = 0xd01; // SCE LME LMA NXE
/** The registers of a 32-bit guest's vCPU: its domain has just become one, or it is a new one of such. */
export function pv_vcpu_narrow(v: Vcpu): void {
  const cpu = cpu_of(v);
  pv_of(cpu).flags |= PV_32BIT;
  cpu.cpl = 1;
  pv_set_cr4(cpu, 0);
  set_flat(cpu, SEG_CS, FLAT_RING1_CS, CODE_RING1);
  set_flat(cpu, SEG_SS, FLAT_RING1_SS, DATA_RING1);
  mode_changed(cpu);
}

/** In long mode as the hypervisor has it, with nothing to run yet. False: no memory. */
export function pv_vcpu_init(v: Vcpu): bool {
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  const traps = xenheap_alloc(vcpu_domain(v).domid);
  if (!traps) return false;
  pv.traps = <u32>traps;
  pv.flags = PV_GUEST | PV_KERNEL;
  cpu.cr0 = PV_CR0;
  cpu.efer = EFER;
  cpu.cpl = 3;
  cpu.xcr0 = 3;
  pv_set_cr4(cpu, 0);
  pv_table_registers(cpu, v.id);
  set_flat(cpu, SEG_CS, FLAT_CS64, CODE64);
  set_flat(cpu, SEG_SS, FLAT_SS, DATA);
  flags_set(cpu, 0x202);
  mode_changed(cpu);
  return true;
}

/** The vCPU ends, and has let go its domain's frames (vcpu.ts). */
export function pv_vcpu_end(v: Vcpu): void {
  const pv = pv_of(cpu_of(v));
  xenheap_free(pv.traps);
  pv.traps = 0;
}

/** The domain's assists, as its vCPUs look at them. */
export function pv_assists(d: Domain): void {
  for (let i: u32 = 0; i < d.max_vcpus; i++) {
    const v = domain_vcpu(d, i);
    if (v != null) pv_of(cpu_of(v)).assists = d.vm_assist;
  }
}

// The structure passes through the second half of the argument area in parts: flags and registers, what follows the trap table, the FPU. The trap table
// goes to its page directly.
const REGS: usize = 256;
const REGS_SIZE: u32 = vcpu_guest_context__trap_ctxt - vcpu_guest_context__flags;
const TAIL: usize = REGS + <usize>REGS_SIZE;
const TAIL_SIZE: u32 = sizeof_vcpu_guest_context - vcpu_guest_context__ldt_base;
const FPU: usize = TAIL + <usize>TAIL_SIZE;

/** A field of the part behind the trap table, which begins at `tail`. */
@inline function tail<T>(t: usize, at: usize): T {
  return load<T>(t + (at - <usize>vcpu_guest_context__ldt_base));
}

function tail_canonical(t: usize, at: usize): bool {
  return canonical(tail<u64>(t, at));
}

/** What cannot be an address, or a table, is refused before anything is changed. */
function legal(cpu: Cpu, r: usize, t: usize): bool {
  const ldt = tail<u64>(t, vcpu_guest_context__ldt_base);
  const entries = tail<u64>(t, vcpu_guest_context__ldt_ents);
  return (
    canonical(load<u64>(r, cpu_user_regs__rip)) &&
    canonical(load<u64>(r, cpu_user_regs__rsp)) &&
    tail_canonical(t, vcpu_guest_context__kernel_sp) &&
    tail_canonical(t, vcpu_guest_context__fs_base) &&
    tail_canonical(t, vcpu_guest_context__gs_base_kernel) &&
    tail_canonical(t, vcpu_guest_context__gs_base_user) &&
    tail_canonical(t, vcpu_guest_context__event_callback_eip) &&
    tail_canonical(t, vcpu_guest_context__syscall_callback_eip) &&
    tail_canonical(t, vcpu_guest_context__failsafe_callback_eip) &&
    (!entries || guest_address(cpu, ldt)) &&
    !(ldt & 0xfff) &&
    entries <= 8192
  );
}

/** Hold the root that a CR3 names. */
function root_get(caller: Vcpu, d: Domain, cr3: u64): i32 {
  return cr3 >> 12 ? table_get(caller, d, cr3 >> 12, root_type(d)) : -EINVAL;
}

/** Both roots of the context at `t` for `v`, which gives up those that it had. 0, or an errno with nothing changed. */
function roots(caller: Vcpu, v: Vcpu, t: usize, kernel: bool): i32 {
  const d = vcpu_domain(v);
  const pv = pv_of(cpu_of(v));
  const cr3 = tail<u64>(t, vcpu_guest_context__ctrlreg + 24);
  const user = tail<u64>(t, vcpu_guest_context__ctrlreg + 8);
  if (!kernel && !user) return -EINVAL;
  type_begin(caller);
  let rc = root_get(caller, d, cr3);
  if (rc) return rc;
  if (user) rc = root_get(caller, d, user);
  if (rc) {
    // A root that has been looked at stays so if it is pinned; else the next try begins anew, as far as the budget goes.
    table_put(caller, <u32>(cr3 >> 12));
    return rc;
  }
  if (pv.kernel_root) table_put(caller, pv.kernel_root);
  if (pv.user_root) table_put(caller, pv.user_root);
  pv.kernel_root = <u32>(cr3 >> 12);
  pv.user_root = <u32>(user >> 12);
  return 0;
}

/** The trap table of the context at `from`: addresses are checked where they have come to lie. 0 or an errno; a bad one leaves it empty. */
function traps(caller: Vcpu, cpu: Cpu, from: u64): i32 {
  const page = pv_trap(cpu, 0);
  if (cpu_pv32(cpu)) {
    if (traps32_read(caller, vcpu_of(cpu), from)) return 0;
    memory.fill(page, 0, 256 * TRAP_SIZE);
    return -EFAULT;
  }
  const at = from + vcpu_guest_context__trap_ctxt;
  let rc = copy_from_guest(caller, page, at, 256 * TRAP_SIZE) ? 0 : -EFAULT;
  for (let i: u32 = 0; i < 256 && rc == 0; i++) {
    const p = pv_trap(cpu, i);
    if (!canonical(load<u64>(p, trap_info__address))) rc = -EINVAL;
    store<u8>(p, <u8>i, trap_info__vector);
    store<u16>(p, load<u16>(p, trap_info__cs) | 3, trap_info__cs);
  }
  if (rc) memory.fill(page, 0, 256 * TRAP_SIZE);
  return rc;
}

/** Load the context at `from` of the caller's memory into `v`, which does not run. 0, -ERESTART (come again), or another errno. */
export function pv_context_set(caller: Vcpu, v: Vcpu, from: u64): i64 {
  const a = vcpu_arg(caller);
  const r = a + REGS + (vcpu_guest_context__user_regs - vcpu_guest_context__flags);
  const t = a + TAIL;
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  const d = vcpu_domain(v);
  const narrow = cpu_pv32(cpu);
  const there = narrow
    ? context32_read(caller, v, from, a + REGS, t, a + FPU)
    : copy_from_guest(caller, a + REGS, from + vcpu_guest_context__flags, REGS_SIZE) &&
      copy_from_guest(caller, t, from + vcpu_guest_context__ldt_base, TAIL_SIZE);
  if (!there || !copy_from_guest(caller, a + FPU, from, 512)) return -EFAULT;
  if (!legal(cpu, r, t)) return -EINVAL;
  const flags = load<u32>(a + REGS);
  const kernel = narrow || (flags & VGCF_in_kernel) != 0;
  let rc: i64 = roots(caller, v, t, kernel);
  if (rc) return rc;
  rc = pv_set_gdt(
    caller,
    v,
    t + (vcpu_guest_context__gdt_frames - vcpu_guest_context__ldt_base),
    tail<u64>(t, vcpu_guest_context__gdt_ents),
  );
  if (rc == 0) rc = traps(caller, cpu, from);
  if (rc == 0 && flags & VGCF_i387_valid && !fpu_load(cpu, a + FPU)) rc = -EINVAL;
  if (rc) return rc;
  pv.flags = kernel ? pv.flags | PV_KERNEL : pv.flags & ~PV_KERNEL;
  if (v.id == 0 && !(v.flags & VCPU_INITIALISED)) {
    d.vm_assist = assists(tail<u64>(t, vcpu_guest_context__vm_assist));
    pv_assists(d);
  }
  entries(cpu, flags, t);
  pv_set_ldt(v, tail<u64>(t, vcpu_guest_context__ldt_base), tail<u32>(t, vcpu_guest_context__ldt_ents));
  registers(v, cpu, r, t, kernel);
  pv_roots_changed(v);
  host_raise_flush();
  v.flags |= VCPU_INITIALISED;
  if (flags & VGCF_online) {
    v.flags |= VCPU_UP;
    vcpu_unblock(v);
  } else {
    v.flags &= ~VCPU_UP;
    vcpu_look(v);
  }
  return 0;
}

/** Domain.vm_assist of the ABI's 64 bits: m2p_strict, bit 32, has the last place. */
function assists(v: u64): u32 {
  return ((<u32>v) & 0x3f) | (((<u32>(v >> 32)) & 1) << 31);
}

/** Where the hypervisor enters the guest. */
function entries(cpu: Cpu, flags: u32, t: usize): void {
  const pv = pv_of(cpu);
  const narrow = cpu_pv32(cpu);
  const ss = tail<u32>(t, vcpu_guest_context__kernel_ss) & 0xffff;
  pv.kernel_ss = narrow ? ring_fixed(ss) : ss | 3;
  pv.event_cs = narrow ? context_event_cs : 0;
  pv.failsafe_cs = narrow ? context_failsafe_cs : 0;
  pv.kernel_sp = tail<u64>(t, vcpu_guest_context__kernel_sp);
  pv.event = tail<u64>(t, vcpu_guest_context__event_callback_eip);
  pv.failsafe = tail<u64>(t, vcpu_guest_context__failsafe_callback_eip);
  pv.syscall = tail<u64>(t, vcpu_guest_context__syscall_callback_eip);
  pv.callback_masks = 0;
  if (flags & VGCF_failsafe_disables_events) pv.callback_masks |= 1 << CALLBACKTYPE_failsafe;
  if (flags & VGCF_syscall_disables_events) pv.callback_masks |= 1 << CALLBACKTYPE_syscall;
}

/** struct cpu_user_regs has r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi: register numbers, four bits each from the lowest. */
const ORDER: u64 = 0x7621089ab35cdef;
const ORDERED: u32 = 15;

@inline function gpr(cpu: Cpu, i: u32): usize {
  return changetype<usize>(cpu) + ((<usize>((ORDER >> (4 * i)) & 15)) << 3);
}

function selector(r: usize, i: i32): u32 {
  // ss is followed by es ds fs gs, 8 bytes each
  return load<u16>(r + cpu_user_regs__ss + ((<usize>i) << 3));
}

function registers(v: Vcpu, cpu: Cpu, r: usize, t: usize, kernel: bool): void {
  const pv = pv_of(cpu);
  for (let i: u32 = 0; i < ORDERED; i++) store<u64>(gpr(cpu, i), load<u64>(r + ((<usize>i) << 3)));
  cpu.rip = load<u64>(r, cpu_user_regs__rip);
  cpu.rsp = load<u64>(r, cpu_user_regs__rsp);
  const flags = load<u64>(r, cpu_user_regs__rflags);
  pv.iopl = (<u32>(flags >> 12)) & 3;
  flags_set(cpu, (flags & 0x254dd5) | 0x202);
  pv_set_cr4(cpu, tail<u64>(t, vcpu_guest_context__ctrlreg + 32));
  pv_set_ts(cpu, (tail<u64>(t, vcpu_guest_context__ctrlreg) & 8) != 0);
  for (let i: u32 = 0; i < 8; i++)
    if (i != 4 && i != 5) pv_set_debugreg(cpu, i, tail<u64>(t, vcpu_guest_context__debugreg + ((<usize>i) << 3)));
  const narrow = cpu_pv32(cpu);
  const cs = <u32>load<u16>(r, cpu_user_regs__cs);
  cpu.cpl = 3;
  code_and_stack(v, cpu, narrow ? ring_fixed(cs) : cs | 3, narrow ? ring_fixed(selector(r, 0)) : selector(r, 0) | 3);
  for (let i = 1; i < 5; i++) {
    const n = i == 1 ? SEG_ES : i == 2 ? SEG_DS : i == 3 ? SEG_FS : SEG_GS;
    const wanted = selector(r, i);
    if (!pv_selector_ready(v, wanted) || load_segment(cpu, n, wanted)) set_null(cpu, n, 0);
  }
  const kernel_gs = tail<u64>(t, vcpu_guest_context__gs_base_kernel);
  const user_gs = tail<u64>(t, vcpu_guest_context__gs_base_user);
  if (!narrow) {
    cpu.base_fs = tail<u64>(t, vcpu_guest_context__fs_base);
    cpu.base_gs = kernel ? kernel_gs : user_gs;
    pv.other_gs = kernel ? user_gs : kernel_gs;
  }
  cpu.zero = cpu.base_none = cpu.base_none2 = 0;
  cpu.plus4g = 0x100000000;
  cpu.minus4g = 0 - <u64>0x100000000;
  cpu.shadow = cpu.exc_flags = cpu.hits = cpu.alone = cpu.pace = 0;
  mode_changed(cpu);
}

/** From the guest's tables or the hypervisor's; what cannot be loaded is flat, with the wish in its selector. */
function code_and_stack(v: Vcpu, cpu: Cpu, cs: u32, ss: u32): void {
  if (pv_selector_ready(v, cs) && pv_selector_ready(v, ss) && pv_load_pair(cpu, cs, ss)) return;
  if (!cpu_pv32(cpu)) {
    set_flat(cpu, SEG_CS, cs, CODE64);
    set_flat(cpu, SEG_SS, ss, DATA);
    return;
  }
  cpu.cpl = (cs & 3) == 3 ? 3 : 1;
  set_flat(cpu, SEG_CS, cs, cpu.cpl == 3 ? CODE_RING3 : CODE_RING1);
  set_flat(cpu, SEG_SS, ss, cpu.cpl == 3 ? DATA_RING3 : DATA_RING1);
}

/** The context of `v`, which does not run, to the caller's memory. 0 or an errno. */
export function pv_context_get(caller: Vcpu, v: Vcpu, to: u64): i64 {
  const a = vcpu_arg(caller);
  const cpu = cpu_of(v);
  const pv = pv_of(cpu);
  const kernel = pv_kernel(cpu);
  memory.fill(a + REGS, 0, <usize>REGS_SIZE + <usize>TAIL_SIZE);
  let flags: u32 = VGCF_i387_valid;
  if (kernel) flags |= VGCF_in_kernel;
  if (v.flags & VCPU_UP) flags |= VGCF_online;
  if ((pv.callback_masks >> CALLBACKTYPE_failsafe) & 1) flags |= VGCF_failsafe_disables_events;
  if ((pv.callback_masks >> CALLBACKTYPE_syscall) & 1) flags |= VGCF_syscall_disables_events;
  store<u64>(a + REGS, flags);
  registers_get(cpu, a + REGS + (vcpu_guest_context__user_regs - vcpu_guest_context__flags));
  tail_get(v, cpu, a + TAIL, kernel);
  const narrow = cpu_pv32(cpu);
  if (narrow && !context32_write(caller, v, to, a + REGS, a + TAIL, a + FPU)) return -EFAULT;
  fpu_save(cpu, a + FPU);
  if (narrow) return copy_to_guest(caller, to, a + FPU, 512) ? 0 : -EFAULT;
  return copy_to_guest(caller, to, a + FPU, 512) &&
    copy_to_guest(caller, to + vcpu_guest_context__flags, a + REGS, REGS_SIZE) &&
    copy_to_guest(caller, to + vcpu_guest_context__trap_ctxt, pv_trap(cpu, 0), 256 * TRAP_SIZE) &&
    copy_to_guest(caller, to + vcpu_guest_context__ldt_base, a + TAIL, TAIL_SIZE)
    ? 0
    : -EFAULT;
}

function registers_get(cpu: Cpu, r: usize): void {
  for (let i: u32 = 0; i < ORDERED; i++) store<u64>(r + ((<usize>i) << 3), load<u64>(gpr(cpu, i)));
  store<u64>(r, cpu.rip, cpu_user_regs__rip);
  store<u64>(r, cpu.rsp, cpu_user_regs__rsp);
  const pv = pv_of(cpu);
  store<u64>(r, flags_get(cpu) | ((<u64>pv.iopl) << 12), cpu_user_regs__rflags);
  // A 64-bit kernel sees itself in ring 0.
  const cs = seg(cpu, SEG_CS).selector;
  store<u16>(r, pv_kernel(cpu) && !cpu_pv32(cpu) ? cs & 0xfffc : cs, cpu_user_regs__cs);
  for (let i = 0; i < 5; i++) {
    const n = i == 0 ? SEG_SS : i == 1 ? SEG_ES : i == 2 ? SEG_DS : i == 3 ? SEG_FS : SEG_GS;
    store<u16>(r + cpu_user_regs__ss + ((<usize>i) << 3), seg(cpu, n).selector);
  }
}

@inline function put(t: usize, at: usize, value: u64): void {
  store<u64>(t + (at - <usize>vcpu_guest_context__ldt_base), value);
}

function tail_get(v: Vcpu, cpu: Cpu, t: usize, kernel: bool): void {
  const pv = pv_of(cpu);
  const d = vcpu_domain(v);
  put(t, vcpu_guest_context__ldt_base, pv.ldt_base);
  put(t, vcpu_guest_context__ldt_ents, pv.ldt_entries);
  for (let i: u32 = 0; i < 16; i++)
    put(t, vcpu_guest_context__gdt_frames + ((<usize>i) << 3), load<u32>(pv_gdt_frame(cpu, i)));
  put(t, vcpu_guest_context__gdt_ents, pv.gdt_entries);
  put(t, vcpu_guest_context__kernel_ss, pv.kernel_ss);
  put(t, vcpu_guest_context__kernel_sp, pv.kernel_sp);
  put(t, vcpu_guest_context__ctrlreg, cpu.cr0);
  put(t, vcpu_guest_context__ctrlreg + 8, (<u64>pv.user_root) << 12);
  put(t, vcpu_guest_context__ctrlreg + 16, cpu.cr2);
  put(t, vcpu_guest_context__ctrlreg + 24, (<u64>pv.kernel_root) << 12);
  put(t, vcpu_guest_context__ctrlreg + 32, pv.cr4);
  for (let i: usize = 0; i < 4; i++)
    put(
      t,
      vcpu_guest_context__debugreg + (i << 3),
      load<u64>(changetype<usize>(cpu) + offsetof<Cpu>('dr0') + (i << 3)),
    );
  put(t, vcpu_guest_context__debugreg + 48, cpu.dr6);
  put(t, vcpu_guest_context__debugreg + 56, cpu.dr7);
  put(t, vcpu_guest_context__event_callback_eip, pv.event);
  put(t, vcpu_guest_context__failsafe_callback_eip, pv.failsafe);
  put(t, vcpu_guest_context__syscall_callback_eip, pv.syscall);
  put(t, vcpu_guest_context__vm_assist, (<u64>(d.vm_assist & 0x3f)) | ((<u64>(d.vm_assist >> 31)) << 32));
  put(t, vcpu_guest_context__fs_base, cpu.base_fs);
  put(t, vcpu_guest_context__gs_base_kernel, kernel ? cpu.base_gs : pv.other_gs);
  put(t, vcpu_guest_context__gs_base_user, kernel ? pv.other_gs : cpu.base_gs);
}
