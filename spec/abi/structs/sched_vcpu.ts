/** public/sched.h, public/vcpu.h, public/hvm/hvm_vcpu.h */
import { array, domid_t, each, handle, i32, structs, u16, u32, u64, union } from '../layout.ts';

export const sched = structs({
  sched_shutdown: { reason: u32 },
  sched_poll: { ports: handle, nr_ports: u32, timeout: u64 },
  sched_remote_shutdown: { domain_id: domid_t, reason: u32 },
  sched_watchdog: { id: u32, timeout: u32 },
  sched_pin_override: { pcpu: i32 },
});

const area = union({ h: handle, v: handle, p: u64 });
const registers = structs({
  vcpu_hvm_x86_32: {
    ...each('eax ecx edx ebx esp ebp esi edi eip eflags cr0 cr3 cr4 pad1', u32),
    efer: u64,
    ...each('cs_base ds_base ss_base es_base tr_base cs_limit ds_limit ss_limit es_limit tr_limit', u32),
    ...each('cs_ar ds_ar ss_ar es_ar tr_ar', u16),
    pad2: array(u16, 3),
  },
  vcpu_hvm_x86_64: each('rax rcx rdx rbx rsp rbp rsi rdi rip rflags cr0 cr3 cr4 efer', u64),
});

export const vcpu = {
  ...registers,
  ...structs({
    vcpu_runstate_info: { state: i32, state_entry_time: u64, time: array(u64, 4) },
    vcpu_register_runstate_memory_area: { addr: area },
    vcpu_set_periodic_timer: { period_ns: u64 },
    vcpu_set_singleshot_timer: { timeout_abs_ns: u64, flags: u32 },
    vcpu_register_vcpu_info: { mfn: u64, offset: u32, rsvd: u32 },
    vcpu_get_physid: { phys_id: u64 },
    vcpu_register_time_memory_area: { addr: area },
    vcpu_hvm_context: {
      mode: u32,
      pad: u32,
      cpu_regs: union({ x86_32: registers.vcpu_hvm_x86_32, x86_64: registers.vcpu_hvm_x86_64 }),
    },
  }),
};
