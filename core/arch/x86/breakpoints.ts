// Breakpoints of DR0-DR3 (SDM vol. 3, 18.2). Nothing is compared while none is armed. An armed one costs on its own page only: the TLB
// gives no tag there for what it watches (watch_perms), so such an access or fetch comes to the slow path; inside the loop that makes
// the instruction run again alone (watch_pass), and alone it notes in cpu.hits what it matched, which is a trap behind it.
import { Cpu, EXIT_RETRY, PACE_FREE } from './cpu';
import { MODE_BREAK, MODE_WATCH } from './modes';

const EXECUTE: u32 = 0;
const WRITE: u32 = 1;
const IO: u32 = 2;
const CR4_DE: u64 = 8;

/** Condition of breakpoint `i`, R/W in DR7. I/O needs CR4.DE and is no condition without it. */
@inline function condition(cpu: Cpu, i: u32): u32 {
  return (<u32>(cpu.dr7 >> (16 + 4 * i))) & 3;
}

/** Bytes watched: LEN in DR7; 2 means 8. */
@inline function length(cpu: Cpu, i: u32): u64 {
  const len = (cpu.dr7 >> (18 + 4 * i)) & 3;
  return len == 2 ? 8 : len + 1;
}

/** Its first byte: the bits that the length makes an offset are ignored. */
@inline function address(cpu: Cpu, i: u32): u64 {
  const at = load<u64>(changetype<usize>(cpu) + offsetof<Cpu>('dr0') + ((<usize>i) << 3));
  return at & ~(length(cpu, i) - 1);
}

/** L or G is set. */
@inline function enabled(cpu: Cpu, i: u32): bool {
  return ((<u32>cpu.dr7) & (3 << (2 * i))) != 0;
}

/** MODE_BREAK and MODE_WATCH as DR7 and CR4 say. */
export function watch_mode(cpu: Cpu): u32 {
  if (!(cpu.dr7 & 0xff)) return 0;
  let m: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    if (!enabled(cpu, i)) continue;
    const c = condition(cpu, i);
    if (c == EXECUTE) m |= MODE_BREAK;
    else if (c != IO || cpu.cr4 & CR4_DE) m |= MODE_WATCH;
  }
  return m;
}

/** Is breakpoint `i` armed on the page of `va`, for fetches or for data? Addresses of instruction breakpoints have length 1. */
@inline function on_page(cpu: Cpu, i: u32, va: u64): bool {
  return enabled(cpu, i) && (address(cpu, i) ^ va) >> 12 == 0;
}

/** A TLB entry's permissions (PERM_* of mmu/paging.ts) less those that would let a watched access through. */
export function watch_perms(cpu: Cpu, va: u64, perms: i32): i32 {
  for (let i: u32 = 0; i < 4; i++) {
    if (!on_page(cpu, i, va)) continue;
    const c = condition(cpu, i);
    if (c == EXECUTE) perms &= ~4;
    else if (c == WRITE) perms &= ~2;
    else if (c != IO) perms &= ~3;
  }
  return perms;
}

/** Is an instruction breakpoint on the page of `va`? */
export function break_page(cpu: Cpu, va: u64): bool {
  for (let i: u32 = 0; i < 4; i++) if (on_page(cpu, i, va) && condition(cpu, i) == EXECUTE) return true;
  return false;
}

/** DR6 bits of the instruction breakpoints at `va`. */
export function break_hits(cpu: Cpu, va: u64): u32 {
  let hits: u32 = 0;
  for (let i: u32 = 0; i < 4; i++)
    if (enabled(cpu, i) && condition(cpu, i) == EXECUTE && address(cpu, i) == va) hits |= 1 << i;
  return hits;
}

/** Make the present instruction run again, alone. Always false. */
export function run_alone(cpu: Cpu): bool {
  cpu.alone = 1;
  cpu.exit = EXIT_RETRY;
  return false;
}

/** May an access on the page of `va` go on? False: the instruction is to run again alone. Only under MODE_WATCH. */
export function watch_pass(cpu: Cpu, va: u64, write: bool): bool {
  if (cpu.pace != PACE_FREE || watch_perms(cpu, va, 3) & (write ? 2 : 1)) return true;
  return run_alone(cpu);
}

/** Note what a data access of `size` bytes matches. Only under MODE_WATCH. */
export function watch_note(cpu: Cpu, va: u64, size: i32, write: bool): void {
  for (let i: u32 = 0; i < 4; i++) {
    const c = condition(cpu, i);
    if (!enabled(cpu, i) || c == EXECUTE || c == IO || (c == WRITE && !write)) continue;
    const at = address(cpu, i);
    if (va < at + length(cpu, i) && at < va + <u64>size) cpu.hits |= 1 << i;
  }
}

/** The same for ports; false: the instruction is to run again alone. */
export function watch_port(cpu: Cpu, port: u32, size: i32): bool {
  if (!(cpu.cr4 & CR4_DE)) return true;
  let hits: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    if (!enabled(cpu, i) || condition(cpu, i) != IO) continue;
    const at = address(cpu, i);
    if (port < at + length(cpu, i) && at < <u64>(port + size)) hits |= 1 << i;
  }
  if (!hits) return true;
  if (cpu.pace == PACE_FREE) return run_alone(cpu);
  cpu.hits |= hits;
  return true;
}
