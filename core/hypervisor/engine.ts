// The seam to the CPU engine: what it asks the hypervisor while guest code runs. Called without the host's lock.
import { lapic_mmio, lapic_raise } from '../arch/x86/lapic';
import { Cpu, EXIT_IOREQ, EXIT_RETRY, cpu_event } from '../arch/x86/cpu';
import {
  ERESTART,
  HVM_PARAM_CALLBACK_IRQ,
  HVM_PARAM_CALLBACK_TYPE_VECTOR,
  IOREQ_TYPE_COPY,
  IOREQ_TYPE_PIO,
  XEN_HVM_DEBUGCONS_IOPORT,
} from '../gen/abi';
import { frame } from '../shared/frame_table';
import { host_lock, host_unlock } from '../shared/host';
import { guest_va_to_gpa } from '../arch/x86/mmu/walk';
import { pv_upcall_due } from '../arch/x86/pv/bounce';
import { cpu_pv, cpu_pv32, pv_of } from '../arch/x86/pv/state';
import { INVALID_MFN, Mfn, mfn_to_ptr } from '../shared/memory';
import { Pcpu } from '../shared/pcpu';
import { DEBUG_HELD } from './debug';
import { domain_param, is_pv } from './domain';
import { io_access, io_data } from './ioreq';
import { log_console } from './log';
import { p2m_frame, p2m_writable } from './p2m';
import { pv_frame, pv_is_table, pv_leaf_frame } from './pv/frame';
import { m2p_compat_frame, m2p_frame } from './pv/m2p';
import { old_finish, type_begin } from './pv/page_type';
import { ptwr_write } from './pv/ptwr';
import { pv_ldt_again, pv_ldt_map } from './pv/tables';
import { table_walked } from './pv/translations';
import { root_set } from './pv/vcpu';
import { vcpu_tsc } from './time';
import { trace_interrupt, tracing_runs } from './trace';
import { Vcpu, vcpu_arg, vcpu_domain, vcpu_of, vcpu_pcpu } from './vcpu';

/** How often is tried to make a page one of the LDT, two milliseconds each. */
const LDT_TRIES: i32 = 16;

export let engine_frame_writable: bool = false;
export let engine_port_value: u32 = 0;

/** The frame behind a guest-physical frame number; INVALID_MFN if there is no RAM, or none that may be written for a write. */
export function engine_gfn_frame(cpu: Cpu, gfn: u64, write: bool): Mfn {
  const d = vcpu_domain(vcpu_of(cpu));
  if (cpu_pv(cpu)) {
    const own = pv_leaf_frame(cpu, gfn, write);
    engine_frame_writable = write || pv_frame(d, gfn, true) != INVALID_MFN;
    return own;
  }
  const mfn = p2m_frame(d, gfn);
  engine_frame_writable = p2m_writable;
  return write && !p2m_writable ? <Mfn>0xffffffff : mfn;
}

/** A PV vCPU's TLB is about to have a translation of `va` by an entry of table `mfn`. */
export function engine_table_walked(cpu: Cpu, mfn: Mfn, va: u64): void {
  table_walked(cpu, vcpu_domain(vcpu_of(cpu)), mfn, va);
}

/** Is this frame of a PV domain's in use as a page table of the level? */
export function engine_is_table(cpu: Cpu, mfn: u64, level: i32): bool {
  return pv_is_table(vcpu_domain(vcpu_of(cpu)), mfn, level);
}

/**
 * A PV guest's kernel stores `value` over the bits `mask` of the L1 entry at machine address `ma`, where it has read `old`. 0 done; 1: the entry
 * has changed since; -1: it may not be so.
 */
export function engine_store_entry(cpu: Cpu, ma: u64, mask: u64, old: u64, value: u64): i32 {
  host_lock();
  const r = ptwr_write(vcpu_of(cpu), ma, mask, old, value);
  host_unlock();
  return r;
}

/** Page `index` of the M2P, INVALID_MFN behind its end. */
export function engine_m2p_frame(index: u64): Mfn {
  return m2p_frame(index);
}

/** The same of the one that 32-bit guests see. */
export function engine_m2p_compat_frame(index: u64): Mfn {
  return m2p_compat_frame(index);
}

/** A PV vCPU needs page `i` of its LDT. Its frame, 0 if it cannot have it. */
export function engine_ldt_page(cpu: Cpu, i: u32): Mfn {
  let mfn: Mfn = 0;
  // Whoever is waited for may wait for the lock itself.
  for (let n = 0; n < LDT_TRIES; n++) {
    host_lock();
    mfn = pv_ldt_map(vcpu_of(cpu), i);
    host_unlock();
    if (!pv_ldt_again) break;
  }
  return mfn;
}

/** MOV to CR3 by a PV guest's kernel. 0 done, negative: it may not, EXIT_RETRY: it takes longer and is to be executed again. */
export function engine_new_root(cpu: Cpu, mfn: u64): i32 {
  const v = vcpu_of(cpu);
  host_lock();
  type_begin(v);
  let rc = old_finish(v);
  if (rc == 0) rc = root_set(v, v, mfn);
  host_unlock();
  return rc == -ERESTART ? EXIT_RETRY : rc;
}

/** 16 bits of a PV guest's I/O permission map, in its kernel's address space; all ones where it cannot be read. */
export function engine_io_bitmap(cpu: Cpu, va: u64): u32 {
  const cr3 = cpu.cr3;
  cpu.cr3 = (<u64>pv_of(cpu).kernel_root) << 12;
  let bits: u32 = 0;
  for (let i = 0; i < 2; i++) {
    const ma = guest_va_to_gpa(cpu, va + i, 0, !cpu_pv32(cpu));
    const mfn = ma == ~(<u64>0) ? INVALID_MFN : pv_frame(vcpu_domain(vcpu_of(cpu)), ma >> 12, false);
    const byte: u32 = mfn == INVALID_MFN ? 0xff : load<u8>(mfn_to_ptr(mfn) + ((<usize>ma) & 0xfff));
    bits |= byte << (8 * i);
  }
  cpu.cr3 = cr3;
  return bits;
}

const APIC_BASE_MASK: u64 = 0xffffff000;
const APIC_GLOBAL_ENABLE: u64 = 0x800;
const APIC_X2: u64 = 0x400;

/** An access to no RAM. 0 done, EXIT_IOREQ: a device model has it, execute the instruction again later. */
export function engine_mmio(cpu: Cpu, gpa: u64, size: i32, write: bool, data: usize): i32 {
  const base = cpu.apic_base;
  if ((gpa & ~0xfff) == (base & APIC_BASE_MASK) && (base & (APIC_GLOBAL_ENABLE | APIC_X2)) == APIC_GLOBAL_ENABLE)
    return lapic_mmio(cpu, (<u32>gpa) & 0xfff, size, write, data);
  let done = 0;
  // A request carries at most eight bytes (public/hvm/ioreq.h); a longer access is several.
  for (let at = 0; at < size; at += 8) {
    const n = size - at < 8 ? size - at : 8;
    done = io_locked(cpu, <u32>IOREQ_TYPE_COPY, gpa + at, n, write, write ? read_bytes(data + at, n) : 0);
    if (done) return done;
    if (!write) write_bytes(data + at, n, io_data);
  }
  return 0;
}

function read_bytes(p: usize, n: i32): u64 {
  let v: u64 = 0;
  for (let i = n; i-- > 0; ) v = (v << 8) | load<u8>(p + i);
  return v;
}

function write_bytes(p: usize, n: i32, v: u64): void {
  for (let i = 0; i < n; i++, v >>= 8) store<u8>(p + i, <u8>v);
}

function io_locked(cpu: Cpu, type: u32, addr: u64, size: i32, write: bool, value: u64): i32 {
  host_lock();
  const r = io_access(vcpu_of(cpu), type, addr, size, write, value);
  host_unlock();
  return r ? EXIT_IOREQ : 0;
}

/** IN or OUT. 0 done with the value in engine_port_value, else EXIT_IOREQ. */
export function engine_port(cpu: Cpu, port: u32, size: i32, write: bool, value: u32): i32 {
  // A PV domain without devices is nevertheless let at ports by its own I/O privilege level: nothing is there.
  if (cpu_pv(cpu)) {
    engine_port_value = 0xffffffff;
    return 0;
  }
  if (port == XEN_HVM_DEBUGCONS_IOPORT && size == 1) {
    const v = vcpu_of(cpu);
    const a = vcpu_arg(v);
    store<u8>(a, <u8>value);
    if (write) log_console(vcpu_domain(v).domid, a, 1);
    engine_port_value = 0xe9;
    return 0;
  }
  const r = io_locked(cpu, <u32>IOREQ_TYPE_PIO, port, size, write, value);
  engine_port_value = <u32>io_data;
  return r;
}

export function engine_tsc(cpu: Cpu): u64 {
  return vcpu_tsc(vcpu_of(cpu));
}

/**
 * The vector of the domain's event callback if it is to be taken now, else -1. With a vector of its own (HVMOP_set_evtchn_upcall_vector)
 * the vCPU's upcall goes through its local APIC instead, which only the pCPU that runs it touches.
 */
export function engine_upcall_vector(cpu: Cpu): i32 {
  // A PV vCPU has a callback, no vector.
  if (cpu_pv(cpu)) return pv_upcall_due(cpu) ? 0 : -1;
  const v = vcpu_of(cpu);
  if (v.upcall_vector) {
    // An APIC that is still disabled takes it later: the upcall's pending flag is an edge that does not come again.
    const raised = changetype<usize>(v) + offsetof<Vcpu>('upcall_raise');
    if (atomic.load<u32>(raised)) {
      atomic.store<u32>(raised, 0);
      if (!lapic_raise(cpu, v.upcall_vector)) {
        atomic.store<u32>(raised, 1);
        cpu_event(cpu);
      }
    }
    return -1;
  }
  if (!atomic.load<u8>(<usize>v.info)) return -1; // evtchn_upcall_pending
  const via = domain_param(vcpu_domain(v), HVM_PARAM_CALLBACK_IRQ);
  return <u32>(via >> 56) == HVM_PARAM_CALLBACK_TYPE_VECTOR ? <i32>(via & 0xff) : -1;
}

/** The vCPU takes an interrupt now, between two instructions. */
export function engine_interrupt_taken(cpu: Cpu, vector: i32): void {
  const v = vcpu_of(cpu);
  const via = domain_param(vcpu_domain(v), HVM_PARAM_CALLBACK_IRQ);
  const upcall = vector == <i32>v.upcall_vector || (!v.upcall_vector && vector == <i32>(via & 0xff));
  if (upcall) v.upcalls++;
  else v.interrupts++;
  if (tracing_runs()) trace_interrupt(v, vector, upcall);
}

/** Has the vCPU to leave guest code before its slice is used: for another vCPU, for a sample, or because a debugger holds it? */
export function engine_wanted(cpu: Cpu): bool {
  const v = vcpu_of(cpu);
  const p = changetype<usize>(vcpu_pcpu(v));
  const wanted = atomic.load<u32>(p + offsetof<Pcpu>('look')) | atomic.load<u32>(p + offsetof<Pcpu>('sample_guest'));
  return wanted != 0 || (v.debug & DEBUG_HELD) != 0;
}

/** The number of the domain that the vCPU belongs to. */
export function engine_domain(cpu: Cpu): u32 {
  return vcpu_domain(vcpu_of(cpu)).domid;
}
