// The only way hypercalls touch a domain's memory: page by page, through its page tables (a guest's vCPU) or its pseudo-physical space
// (a service, whose handles are addresses in it). Every argument is copied once and checked in the copy.
import { guest_va_to_gpa } from '../arch/x86/mmu/walk';
import { guest_address } from '../arch/x86/pv/emulate';
import { cpu_pv, cpu_pv32 } from '../arch/x86/pv/state';
import { frame_written } from '../shared/frame_table';
import { MAILBOX_DATA, MAILBOX_HEADER } from '../shared/host';
import { INVALID_MFN, mfn_to_ptr, PAGE_SIZE } from '../shared/memory';
import { Domain, DOMAIN_SERVICE, is_pv } from './domain';
import { p2m_frame, P2M_MAX_GFN, p2m_writable } from './p2m';
import { pv_reached } from './pv/frame';
import { cpu_of, Vcpu, vcpu_domain } from './vcpu';

const NOWHERE: u64 = ~0;

/** A service's mailbox data as addresses of its space, beyond every frame number: what it hands over and is given needs no page of its own. */
export const MAILBOX_GPA: u64 = P2M_MAX_GFN << 12;

/** Host address of `gpa` in the service's mailbox; 0: it is not there. A page's part lies in it wholly or not at all. */
export function mailbox_part(d: Domain, gpa: u64): usize {
  if (!(d.flags & DOMAIN_SERVICE) || gpa < MAILBOX_GPA || gpa - MAILBOX_GPA >= MAILBOX_DATA) return 0;
  return <usize>d.mailbox + MAILBOX_HEADER + <usize>(gpa - MAILBOX_GPA);
}

/** Copy between host memory and one page's part of a domain's pseudo-physical space. */
function page_part(d: Domain, gpa: u64, host_ptr: usize, len: u32, write: bool): bool {
  const box = mailbox_part(d, gpa);
  if (box) {
    if (write) memory.copy(box, host_ptr, len);
    else memory.copy(host_ptr, box, len);
    return true;
  }
  const mfn = p2m_frame(d, gpa >> 12);
  if (mfn == INVALID_MFN || (write && !p2m_writable)) return false;
  const p = mfn_to_ptr(mfn) + ((<usize>gpa) & 0xfff);
  if (write) {
    memory.copy(p, host_ptr, len);
    frame_written(p, len);
  } else memory.copy(host_ptr, p, len);
  return true;
}

/** The same at a machine address that a PV guest's page tables, which are checked when they are made, have just led to. */
function frame_part(ma: u64, host_ptr: usize, len: u32, write: bool): bool {
  const mfn = pv_reached(ma >> 12, write);
  if (mfn == INVALID_MFN) return false;
  const p = mfn_to_ptr(mfn) + ((<usize>ma) & 0xfff);
  if (write) {
    memory.copy(p, host_ptr, len);
    frame_written(p, len);
  } else memory.copy(host_ptr, p, len);
  return true;
}

@inline function part(addr: u64, len: u32): u32 {
  const left = PAGE_SIZE - ((<u32>addr) & 0xfff);
  return len < left ? len : left;
}

/** Copy to (write) or from `len` bytes at `gpa` of the domain's pseudo-physical space. */
export function access_gpa(d: Domain, gpa: u64, host_ptr: usize, len: u32, write: bool): bool {
  while (len) {
    const n = part(gpa, len);
    if (!page_part(d, gpa, host_ptr, n, write)) return false;
    gpa += n;
    host_ptr += n;
    len -= n;
  }
  return true;
}

/** Guest-physical address of one of the caller's handles; ~0 if it is not mapped. */
export function handle_to_gpa(v: Vcpu, addr: u64, write: bool): u64 {
  if (vcpu_domain(v).flags & DOMAIN_SERVICE) return addr;
  const cpu = cpu_of(v);
  // A 64-bit PV guest's kernel runs as its programs do, and the hypervisor's part of the address space is no memory of its own.
  if (cpu_pv(cpu))
    return guest_address(cpu, addr) ? guest_va_to_gpa(cpu, addr, write ? 1 : 0, !cpu_pv32(cpu)) : NOWHERE;
  return guest_va_to_gpa(cpu, addr, write ? 1 : 0, false);
}

function access(v: Vcpu, addr: u64, host_ptr: usize, len: u32, write: bool): bool {
  const d = vcpu_domain(v);
  const pv = is_pv(d);
  while (len) {
    const n = part(addr, len);
    const gpa = handle_to_gpa(v, addr, write);
    if (gpa == NOWHERE || !(pv ? frame_part(gpa, host_ptr, n, write) : page_part(d, gpa, host_ptr, n, write)))
      return false;
    addr += n;
    host_ptr += n;
    len -= n;
  }
  return true;
}

@inline export function copy_from_guest(v: Vcpu, to: usize, from: u64, len: u32): bool {
  return access(v, from, to, len, false);
}

@inline export function copy_to_guest(v: Vcpu, to: u64, from: usize, len: u32): bool {
  return access(v, to, from, len, true);
}

/** Write one word back into an argument structure. */
export function put_guest<T>(v: Vcpu, to: u64, value: T): bool {
  const p = changetype<usize>(v) + SCRATCH;
  store<T>(p, value);
  return access(v, to, p, sizeof<T>(), true);
}

/** True if the word could be read; it is in `guest_word`. */
export function get_guest<T>(v: Vcpu, from: u64): bool {
  const p = changetype<usize>(v) + SCRATCH;
  store<u64>(p, 0);
  if (!access(v, from, p, sizeof<T>(), false)) return false;
  guest_word = load<u64>(p);
  return true;
}

/** True if element `i` of an array of longs, frame numbers or pointers could be read; it is in `guest_word`. */
export function get_long(v: Vcpu, list: u64, i: u64): bool {
  return v.compat ? get_guest<u32>(v, list + (i << 2)) : get_guest<u64>(v, list + (i << 3));
}

/** Write element `i` of such an array. */
export function put_long(v: Vcpu, list: u64, i: u64, value: u64): bool {
  return v.compat ? put_guest<u32>(v, list + (i << 2), <u32>value) : put_guest<u64>(v, list + (i << 3), value);
}

export let guest_word: u64 = 0;
/** Eight bytes of the vCPU's page for single words. */
const SCRATCH: usize = 4088;
