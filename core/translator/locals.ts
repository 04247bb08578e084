// The locals of a region's function: parameters, work, then the state slots it uses, then temporaries by type.
import * as w from './wasm';

export const CPU: u32 = 0;
/** Parameter: which entry. */
export const ENTRY: u32 = 1;
/** Parameter: linear address of the region's first page. */
export const BASE: u32 = 2;
export const TLB: u32 = 3;
/** Instructions retired, as Cpu.n. */
export const RETIRED: u32 = 4;
/** What the function returns. */
export const OUT: u32 = 5;
/** The target a dispatch is to go to. */
export const CHOSEN: u32 = 6;
/** A TLB entry. */
export const TLB_ENTRY: u32 = 7;
const WORK_I32: u32 = 5;
/** A linear address. */
export const ADDRESS: u32 = 8;
/** Where OUT_TARGET leads. */
export const TARGET: u32 = 9;
const WORK_I64: u32 = 2;
const SLOTS: u32 = 10;

let used: u64 = 0;
let written: u64 = 0;
let temps64: u32 = 0;
let temps32: u32 = 0;

export function locals_begin(): void {
  used = written = 0;
  temps64 = temps32 = 0;
}
export function locals_use(slot: u32): void {
  used |= (<u64>1) << (<u64>slot);
}
export function locals_write(slot: u32): void {
  locals_use(slot);
  written |= (<u64>1) << (<u64>slot);
}
/** The most temporaries that a block has. */
export function locals_temps(n64: u32, n32: u32): void {
  if (n64 > temps64) temps64 = n64;
  if (n32 > temps32) temps32 = n32;
}
@inline export function locals_used(): u64 {
  return used;
}
@inline export function locals_written(): u64 {
  return written;
}
/** Local of a state slot that is used. */
export function slot_local(slot: u32): u32 {
  const bit = (<u64>1) << (<u64>slot);
  return SLOTS + <u32>popcnt<u64>(used & (bit - 1));
}
export function temp32(i: u32): u32 {
  return SLOTS + <u32>popcnt<u64>(used) + i;
}
/** The last group: exits may still add to it while code is written. */
export function temp64(i: u32): u32 {
  return SLOTS + <u32>popcnt<u64>(used) + temps32 + i;
}

export function locals_declare(): void {
  w.uleb(4);
  w.uleb(WORK_I32);
  w.byte(w.I32);
  w.uleb(WORK_I64 + <u32>popcnt<u64>(used));
  w.byte(w.I64);
  w.uleb(temps32);
  w.byte(w.I32);
  w.uleb(temps64);
  w.byte(w.I64);
}
