// The task state segment: stacks of inner privilege, interrupt stacks, the I/O permission map (Intel SDM vol. 3, chapter 7; vol. 1,
// 18.5.2). Task switches are not supported: whatever would make one raises #GP.
import { Cpu, SEG_TR, seg } from './cpu';
import { MODE_PE } from './modes';
import { raise, EXC_GP, EXC_SS, EXC_TS } from './exceptions';
import { canonical } from './limits';
import { pv_io_check } from './pv/emulate';
import { cpu_pv, cpu_pv32, pv_of } from './pv/state';
import { sys_ld, sys_probe } from '../../engine/mem';

/** The stack that tss_stack or tss_ist found. */
export let tss_sp: u64 = 0;
export let tss_ss: u32 = 0;

const IO_MAP_BASE: u32 = 102;
const IOPL: u64 = 0x3000;

/** `size` bytes at `offset` of the TSS can be read; otherwise #TS(TR) is pending. */
function tss_has(cpu: Cpu, offset: u32, size: u32, ext: u32): bool {
  const tr = seg(cpu, SEG_TR);
  if (offset + size - 1 > tr.limit) {
    raise(cpu, EXC_TS, (tr.selector & 0xfffc) | ext);
    return false;
  }
  return sys_probe(cpu, tr.base + offset, size, false);
}

function long_stack(cpu: Cpu, offset: u32, ext: u32): bool {
  if (!tss_has(cpu, offset, 8, ext)) return false;
  tss_sp = sys_ld<u64>(cpu, seg(cpu, SEG_TR).base + offset);
  if (canonical(tss_sp)) return true;
  raise(cpu, EXC_SS, ext);
  return false;
}

/** Stack of privilege `cpl`: tss_sp, and outside long mode tss_ss. A 32-bit PV guest's kernel has said where its own is; other rings have none. */
export function tss_stack(cpu: Cpu, cpl: u32, ext: u32): bool {
  if (cpu_pv32(cpu)) {
    tss_sp = pv_of(cpu).kernel_sp & 0xffffffff;
    tss_ss = pv_of(cpu).kernel_ss;
    if (cpl == 1) return true;
    raise(cpu, EXC_GP, ext);
    return false;
  }
  if (cpu.efer & 0x400) return long_stack(cpu, 4 + 8 * cpl, ext);
  const tr = seg(cpu, SEG_TR);
  const wide = (tr.attr & 8) != 0;
  const offset: u32 = wide ? 4 + 8 * cpl : 2 + 4 * cpl;
  if (!tss_has(cpu, offset, wide ? 6 : 4, ext)) return false;
  const va = tr.base + offset;
  tss_sp = wide ? <u64>sys_ld<u32>(cpu, va) : <u64>sys_ld<u16>(cpu, va);
  tss_ss = sys_ld<u16>(cpu, va + (wide ? 4 : 2));
  return true;
}

/** Interrupt stack 1..7. */
export function tss_ist(cpu: Cpu, ist: u32, ext: u32): bool {
  return long_stack(cpu, 28 + 8 * ist, ext);
}

/** May the present code access `size` ports from `port`? False = an exception is pending. */
export function io_check(cpu: Cpu, port: u32, size: i32): bool {
  if (cpu_pv(cpu)) return pv_io_check(cpu, port, size);
  const vm86 = (cpu.rflags & 0x20000) != 0;
  if (!(cpu.mode & MODE_PE) || (!vm86 && cpu.cpl <= (<u32>(cpu.rflags & IOPL)) >> 12)) return true;
  const tr = seg(cpu, SEG_TR);
  // A 16-bit TSS has no map. Two bytes of it are read whatever the port; both have to lie inside the limit.
  let allowed = (tr.attr & 8) != 0 && IO_MAP_BASE + 1 <= tr.limit;
  if (allowed) {
    if (!sys_probe(cpu, tr.base + IO_MAP_BASE, 2, false)) return false;
    const at = <u32>sys_ld<u16>(cpu, tr.base + IO_MAP_BASE) + (port >> 3);
    allowed = at + 1 <= tr.limit;
    if (allowed) {
      if (!sys_probe(cpu, tr.base + at, 2, false)) return false;
      const bits = (<u32>sys_ld<u16>(cpu, tr.base + at)) >> (port & 7);
      allowed = (bits & ((1 << size) - 1)) == 0;
    }
  }
  if (!allowed) raise(cpu, EXC_GP, 0);
  return allowed;
}
