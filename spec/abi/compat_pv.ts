/** Structures of 32-bit PV guests (public/arch-x86/xen-x86_32.h, xen.h): what differs from a 64-bit one's by more than the width of its longs. */
import { array, compat, each, struct, structs, u16, u32, u8, xen_ulong_t, type Struct } from './layout.ts';
import { xen } from './structs/xen.ts';

const long = compat(xen_ulong_t) as typeof u32;

const parts = structs({
  trap_info: { vector: u8, flags: u8, cs: u16, address: long },
  cpu_user_regs: {
    ...each('ebx ecx edx esi edi ebp eax', u32),
    error_code: u16,
    entry_vector: u16,
    eip: u32,
    cs: u16,
    saved_upcall_mask: u8,
    _pad0: u8,
    ...each('eflags esp', u32),
    ...each('ss _pad1 es _pad2 ds _pad3 fs _pad4 gs _pad5', u16),
  },
});

export const pv32 = {
  ...parts,
  ...structs({
    callback_register: { type: u16, flags: u16, address: struct({ cs: long, eip: long }) },
    vcpu_guest_context: {
      fpu_ctxt: array(u8, 512),
      flags: long,
      user_regs: parts.cpu_user_regs,
      trap_ctxt: array(parts.trap_info, 256),
      ...each('ldt_base ldt_ents', long),
      gdt_frames: array(long, 16),
      ...each('gdt_ents kernel_ss kernel_sp', long),
      ctrlreg: array(long, 8),
      debugreg: array(long, 8),
      ...each('event_callback_cs event_callback_eip failsafe_callback_cs failsafe_callback_eip vm_assist', long),
    },
  }),
  start_info: compat(xen.start_info) as Struct<typeof xen.start_info.fields>,
};
