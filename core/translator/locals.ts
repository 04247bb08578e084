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
/** The target a dispatch is to go to. */
export const CHOSEN: u32 = 5;
/** A TLB entry. */
export const TLB_ENTRY: u32 = 6;
const WORK_I32: u32 = 4;
/** A linear address. */
export const ADDRESS: u32 = 7;
/** Where OUT_TARGET leads. */
export const TARGET: u32 = 8;
const WORK_I64: u32 = 2;
/** A vector of magnitudes in a check. */
export const MAGNITUDE: u32 = 9;
const WORK_V128: u32 = 1;
const FIRST: u32 = 10;

/** Slots by kind: general ones by number (offset / 8), vector ones too (ir.ts, vector_slot). */
let used: u64 = 0;
let vectors_used: u64 = 0;
let temps64: u32 = 0;
let temps32: u32 = 0;
let temps_vector: u32 = 0;

@inline function bit(slot: u32): u64 {
  return (<u64>1) << (<u64>slot);
}
@inline function rank(mask: u64, slot: u32): u32 {
  return <u32>popcnt<u64>(mask & (bit(slot) - 1));
}
@inline function count(mask: u64): u32 {
  return <u32>popcnt<u64>(mask);
}

export function locals_begin(): void {
  used = vectors_used = 0;
  temps64 = temps32 = temps_vector = 0;
}
export function locals_use(slot: u32): void {
  used |= bit(slot);
}
export function locals_use_vector(slot: u32): void {
  vectors_used |= bit(slot);
}
/** The most temporaries that a block has. */
export function locals_temps(n64: u32, n32: u32, vectors: u32): void {
  if (n64 > temps64) temps64 = n64;
  if (n32 > temps32) temps32 = n32;
  if (vectors > temps_vector) temps_vector = vectors;
}
/** An exit needs so many i64 temporaries. */
export function locals_temps64(n: u32): void {
  if (n > temps64) temps64 = n;
}
@inline export function locals_used(): u64 {
  return used;
}
@inline export function locals_vectors_used(): u64 {
  return vectors_used;
}
/** Local of a state slot that is used. */
export function slot_local(slot: u32): u32 {
  return FIRST + rank(used, slot);
}
export function vector_local(slot: u32): u32 {
  return FIRST + count(used) + rank(vectors_used, slot);
}
export function temp32(i: u32): u32 {
  return FIRST + count(used) + count(vectors_used) + i;
}
export function temp_vector(i: u32): u32 {
  return temp32(temps32) + i;
}
/** The last group: exits may still add to it while code is written. */
export function temp64(i: u32): u32 {
  return temp_vector(temps_vector) + i;
}

function group(n: u32, type: u32): void {
  w.uleb(n);
  w.byte(type);
}

export function locals_declare(): void {
  w.uleb(8);
  group(WORK_I32, w.I32);
  group(WORK_I64, w.I64);
  group(WORK_V128, w.V128);
  group(count(used), w.I64);
  group(count(vectors_used), w.V128);
  group(temps32, w.I32);
  group(temps_vector, w.V128);
  group(temps64, w.I64);
}
