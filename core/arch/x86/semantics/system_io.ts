// Port input and output (SDM vol. 1, chapter 18).
import { watch_port } from '../breakpoints';
import { Cpu } from '../cpu';
import { MODE_WATCH } from '../modes';
import { io_check } from '../tss';
import { reg_set, uop_b, uop_imm, uop_r } from '../../../engine/uop';
import { engine_port, engine_port_value } from '../../../hypervisor/engine';

const SLOT_RDX: u32 = 16;

/** DX, which the decoder leaves as a register of the micro-op, or the immediate byte. */
@inline function port(cpu: Cpu, u: usize): u32 {
  return uop_r(u) == SLOT_RDX || uop_b(u) == SLOT_RDX ? (<u32>cpu.rdx) & 0xffff : (<u32>uop_imm(u)) & 0xff;
}

/** One transfer, checked: 0, or 1 with an exception pending or a device model to wait for. Input is in engine_port_value. */
export function port_access(cpu: Cpu, nr: u32, size: i32, write: bool, value: u32): i32 {
  if (!io_check(cpu, nr, size)) return 1;
  if (cpu.mode & MODE_WATCH && !watch_port(cpu, nr, size)) return 1;
  const r = engine_port(cpu, nr, size, write, value);
  if (r == 0) return 0;
  cpu.exit = r;
  return 1;
}

export function IN<T = u8>(cpu: Cpu, u: usize): i32 {
  if (port_access(cpu, port(cpu, u), sizeof<T>(), false, 0)) return 1;
  reg_set<T>(cpu, 0, <T>engine_port_value);
  return 0;
}

export function OUT<T = u8>(cpu: Cpu, u: usize): i32 {
  return port_access(cpu, port(cpu, u), sizeof<T>(), true, <u32>(<T>cpu.rax));
}
