// Hypercalls of a 32-bit PV guest's kernel come by INT 0x82 (public/arch-x86/xen-x86_32.h); one of them, HYPERVISOR_iret, is the processor's.
import { Cpu, EXIT_EXCEPTION, EXIT_HYPERCALL, EXIT_NONE, SEG_SS, seg } from '../cpu';
import { VMASST_TYPE_architectural_iopl, __HYPERVISOR_iret } from '../../../gen/abi';
import { EXC_GP } from '../exceptions';
import { flags_set, IF } from '../flags';
import { nmi_unblock } from '../interrupts';
import { ld, probe_range, st } from '../../../engine/mem';
import { CLEARED, events_mask, PV_CRASH_IRET, PV_CRASH_RING0, pv_crash, run_alone_first } from './bounce';
import { enter32 } from './bounce32';
import { IRET_FLAGS } from './syscall';
import { pv_of, pv_trap, TRAP_ADDRESS, TRAP_CS, TRAP_FLAGS, TRAP_MASKS } from './state';

export const HYPERCALL_VECTOR: u32 = 0x82;
const VM: u64 = 0x20000;

/** INT 0x82 of the kernel; `next` is the instruction behind it. Always 1, the body's "leave". */
export function pv_hypercall32(cpu: Cpu, next: u64): i32 {
  cpu.hits = 0;
  if (<u32>cpu.rax == <u32>__HYPERVISOR_iret) return pv_iret32(cpu);
  cpu.rip = next;
  cpu.exit = EXIT_HYPERCALL;
  return 1;
}

/** EAX EIP CS EFLAGS, and for an outer ring ESP SS. */
const INNER: i32 = 16;
const OUTER: i32 = 24;
/** And the segments that virtual-8086 code would have: ES DS FS GS. */
const VM86: i32 = 40;

/** Can the frame be read? If it is not there, the domain ends. */
function readable(cpu: Cpu, at: u64, size: i32): bool {
  if (probe_range(cpu, at, size, false)) return true;
  if (cpu.exit == EXIT_EXCEPTION) pv_crash(cpu, PV_CRASH_IRET, at);
  return false;
}

/** Leave the kernel, or an interruption of itself, for what the frame at ESP says. Always 1. */
export function pv_iret32(cpu: Cpu): i32 {
  if (run_alone_first(cpu)) return 1;
  const pv = pv_of(cpu);
  const at = cpu.rsp & 0xffffffff;
  if (!readable(cpu, at, INNER)) return 1;
  const cs = ld<u32>(cpu, at + 8) & 0xffff;
  const flags = <u64>ld<u32>(cpu, at + 12);
  if (flags & VM) return vm86(cpu, at, flags);
  const ring = cs & 3;
  if (ring == 0) {
    pv_crash(cpu, PV_CRASH_RING0, at);
    return 1;
  }
  if (ring > 1 && !readable(cpu, at, OUTER)) return 1;
  const rax = ld<u32>(cpu, at);
  const rip = ld<u32>(cpu, at + 4);
  const rsp = ring > 1 ? <u64>ld<u32>(cpu, at + 16) : (at + INNER) & 0xffffffff;
  const ss = ring > 1 ? ld<u32>(cpu, at + 20) & 0xffff : <u32>seg(cpu, SEG_SS).selector;
  if (pv.assists & (1 << VMASST_TYPE_architectural_iopl)) pv.iopl = (<u32>(flags >> 12)) & 3;
  flags_set(cpu, (flags & IRET_FLAGS) | (<u64>IF) | 2);
  events_mask(cpu, !(flags & (<u64>IF)));
  nmi_unblock(cpu);
  cpu.rax = rax;
  cpu.rip = rip;
  cpu.rsp = rsp;
  cpu.exit = EXIT_NONE;
  enter32(cpu, cs, ss, false);
  return 1;
}

/** There is no virtual-8086 mode: the frame goes to the kernel's stack, and its #GP handler is told of it as of the first instruction there. */
function vm86(cpu: Cpu, at: u64, flags: u64): i32 {
  const pv = pv_of(cpu);
  const to = (pv.kernel_sp - VM86) & 0xffffffff;
  if (!readable(cpu, at, VM86)) return 1;
  if (!probe_range(cpu, to, VM86, true)) {
    if (cpu.exit == EXIT_EXCEPTION) pv_crash(cpu, PV_CRASH_IRET, to);
    return 1;
  }
  const t = pv_trap(cpu, EXC_GP);
  const mask = (load<u8>(t, TRAP_FLAGS) & (<u8>TRAP_MASKS)) != 0;
  if (mask) flags &= ~(<u64>IF);
  const rax = ld<u32>(cpu, at);
  // The two may overlap.
  for (let n: u64 = 1; n < 10; n++) {
    const i = to < at ? n : 10 - n;
    st<u32>(cpu, to + 4 * i, ld<u32>(cpu, at + 4 * i));
  }
  st<u32>(cpu, to, 0); // the error code
  flags_set(cpu, (flags & IRET_FLAGS & ~CLEARED) | (<u64>IF) | 2);
  events_mask(cpu, !(flags & (<u64>IF)));
  nmi_unblock(cpu);
  cpu.rax = rax;
  cpu.rsp = to;
  cpu.rip = <u64>load<u32>(t, TRAP_ADDRESS);
  cpu.exit = EXIT_NONE;
  enter32(cpu, load<u16>(t, TRAP_CS), pv.kernel_ss, false);
  return 1;
}
