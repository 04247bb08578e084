// The hypercall page that a guest asks for by WRMSR 0x40000000, or its builder by XEN_DOMCTL_hypercall_init: 128 stubs of 32 bytes.
import { __HYPERVISOR_iret } from '../gen/abi';
import { Cpu } from '../arch/x86/cpu';
import { frame_written } from '../shared/frame_table';
import { INVALID_MFN, mfn_to_ptr } from '../shared/memory';
import { p2m_frame, p2m_writable } from './p2m';
import { shared_info_latch } from './shared_info';
import { Domain, is_pv, is_pv32 } from './domain';
import { vcpu_domain, vcpu_of } from './vcpu';

const STUBS: u32 = 128;

/** The MSR's value: guest-physical page address, low 12 bits the page's index (there is one). False: the write gets #GP. */
export function hypercall_page_write(cpu: Cpu, value: u64): bool {
  if (value & 0xfff) return false;
  const d = vcpu_domain(vcpu_of(cpu));
  const mfn = p2m_frame(d, value >> 12);
  if (mfn == INVALID_MFN || !p2m_writable) return false;
  const page = mfn_to_ptr(mfn);
  hypercall_page_fill(page, d);
  if (!is_pv(d)) shared_info_latch(d, vcpu_of(cpu));
  return true;
}

/** The stubs of the domain's kind, at the host address of a page. */
export function hypercall_page_fill(page: usize, d: Domain): void {
  memory.fill(page, 0xcc, 4096);
  for (let nr: u32 = 0; nr < STUBS; nr++) {
    const p = page + ((<usize>nr) << 5);
    if (is_pv32(d)) fill_pv32(p, nr);
    else if (is_pv(d)) fill_pv(p, nr);
    else if (nr == __HYPERVISOR_iret)
      store<u16>(p, 0x0b0f); // UD2: iret is for PV
    else {
      store<u8>(p, 0xb8); // MOV EAX, nr
      store<u32>(p, nr, 1);
      store<u32>(p, 0xc3d9010f, 5); // VMMCALL; RET
    }
  }
  frame_written(page, 4096);
}

/** INT 0x82 leaves all registers; iret expects EAX in its frame, and does not come back. */
function fill_pv32(p: usize, nr: u32): void {
  const iret = nr == __HYPERVISOR_iret;
  if (iret) store<u8>(p, 0x50); // PUSH EAX
  const q = iret ? p + 1 : p;
  store<u8>(q, 0xb8); // MOV EAX, nr
  store<u32>(q, nr, 1);
  store<u16>(q, 0x82cd, 5); // INT 0x82
  if (!iret) store<u8>(q, 0xc3, 7); // RET
}

/** SYSCALL changes RCX and R11, and iret expects them, and RAX, in its frame. */
function fill_pv(p: usize, nr: u32): void {
  if (nr == __HYPERVISOR_iret) {
    store<u32>(p, 0x50534151); // PUSH RCX; PUSH R11; PUSH RAX
    store<u8>(p, 0xb8, 4);
    store<u32>(p, nr, 5);
    store<u16>(p, 0x050f, 9);
    return;
  }
  store<u16>(p, 0x4151); // PUSH RCX; PUSH R11
  store<u8>(p, 0x53, 2);
  store<u8>(p, 0xb8, 3);
  store<u32>(p, nr, 4);
  store<u32>(p, 0x5b41050f, 8); // SYSCALL; POP R11
  store<u16>(p, 0xc359, 12); // POP RCX; RET
}
