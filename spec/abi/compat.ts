/**
 * The ABI as 32-bit code sees it (public/arch-x86/xen-x86_32.h). Structures made of fixed-width members are the same there; the others are
 * converted on their way in and out of the hypervisor, by code made from these two tables (`tools/generate/compat.ts`).
 */
import { array, compat, each, structs, u32, u8, xen_pfn_t, xen_ulong_t, type Struct } from './layout.ts';
import { argo } from './structs/argo.ts';
import { dmOp, hvm } from './structs/hvm.ts';
import { eventChannel } from './structs/event_channel.ts';
import { grantTable } from './structs/grant_table.ts';
import { memory } from './structs/memory.ts';
import { sched, vcpu } from './structs/sched_vcpu.ts';
import { version } from './structs/version.ts';
import { xen } from './structs/xen.ts';

const long = compat(xen_ulong_t);

/** Structures with other members there. */
const parts = structs({
  arch_vcpu_info: { cr2: long, pad: array(long, 5) },
  arch_shared_info: {
    max_pfn: long,
    pfn_to_mfn_frame_list_list: compat(xen_pfn_t),
    ...each('nmi_reason p2m_cr3 p2m_vaddr p2m_generation', long),
    wc_sec_hi: u32,
  },
});
const { vcpu_info } = structs({
  vcpu_info: {
    evtchn_upcall_pending: u8,
    evtchn_upcall_mask: u8,
    evtchn_pending_sel: long,
    arch: parts.arch_vcpu_info,
    time: compat(xen.vcpu_time_info),
  },
});
const { shared_info } = structs({
  shared_info: {
    vcpu_info: array(vcpu_info, 32),
    evtchn_pending: array(long, 32),
    evtchn_mask: array(long, 32),
    wc_version: u32,
    wc_sec: u32,
    wc_nsec: u32,
    arch: parts.arch_shared_info,
  },
});
const OTHER: Record<string, Struct> = { ...parts, vcpu_info, shared_info } as Record<string, Struct>;

/**
 * What a guest hands over. The control interfaces (domctl, sysctl, device model operations) are not among them: their structures
 * align 64-bit members to eight bytes everywhere, so that both kinds of caller have the same.
 */
const GUESTS: Record<string, Struct> = {
  ...(xen as Record<string, Struct>),
  ...eventChannel,
  ...grantTable,
  ...memory,
  ...sched,
  ...vcpu,
  ...version,
  xen_argo_iov: argo.xen_argo_iov,
  xen_hvm_param: hvm.xen_hvm_param,
  xen_hvm_evtchn_upcall_vector: hvm.xen_hvm_evtchn_upcall_vector,
  xen_dm_op_buf: dmOp.xen_dm_op_buf,
};

/** What is the same everywhere, PV's of other members (compat_pv.ts), and what only a tool of the host's reads: nobody converts them. */
const NOT_CONVERTED =
  /^(trap_info|cpu_user_regs|mmu_update|xenctl_bitmap|callback_\w+|iret_context|vcpu_guest_context|start_info|xen_cpuid_leaf|xen_msr_entry|xen_mem_access_op|vcpu_hvm_x86_\w+|xen_vnuma_topology_info|xen_build_id)$/;

/** Every structure of a 32-bit guest by its tag, as laid out there. */
export const COMPAT_STRUCTS: Record<string, Struct> = Object.fromEntries(
  Object.entries(GUESTS)
    .filter(([name]) => !NOT_CONVERTED.test(name))
    .map(([name, s]) => [name, compat(s, OTHER) as Struct]),
);
