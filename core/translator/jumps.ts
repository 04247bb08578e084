// Where regions lead to: by linear address, the region that begins there. A region that leaves for another one so finds it by one look at one line of the
// cache, where the way by the TLB, the code page, the micro-op, its entry and the region is one of eight; kernel code is so flat that each of them is cold.
import { JUMPS_LOG2, PCPU_JUMPS } from '../engine/layout';

/** Half a line of the cache, 32 bytes. It holds as long as its `key` is one of the present ones, for whatever makes a region useless changes those. */
@unmanaged
export class Jump {
  va: u64;
  /** The set of translations in which the region's pages are known, and how its code was decoded; 0 = nothing. */
  key: u64;
  /** Linear address of the region's first page, and in its low 12 bits the region's weight. */
  place: u64;
  /** Index in the table of functions, and above it at what entry it is to be called. */
  call: u32;
  region: u32;
}

/** Bits of Jump.call for the function: more than regions_full lets there be. */
const FUNCTION_BITS: u32 = 24;

@inline export function jump_set(jump: Jump, base: u64, weight: u32, fn: u32, entry: u32): void {
  jump.place = base | (<u64>weight);
  jump.call = fn | (entry << FUNCTION_BITS);
}
@inline export function jump_base(jump: Jump): u64 {
  return jump.place & ~0xfff;
}
@inline export function jump_weight(jump: Jump): u32 {
  return (<u32>jump.place) & 0xfff;
}
@inline export function jump_function(jump: Jump): u32 {
  return jump.call & ((1 << FUNCTION_BITS) - 1);
}
@inline export function jump_entry(jump: Jump): u32 {
  return jump.call >>> FUNCTION_BITS;
}

let table: usize = 0;

export function jumps_attach(pcpu_area: usize): void {
  table = pcpu_area + PCPU_JUMPS;
}

export function jumps_flush(): void {
  memory.fill(table, 0, offsetof<Jump>() << JUMPS_LOG2);
}

@inline export function jump_at(va: u64): Jump {
  return changetype<Jump>(table + <usize>((<u32>va * 0x9e3779b1) >>> (32 - JUMPS_LOG2)) * offsetof<Jump>());
}
