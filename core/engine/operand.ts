// Operand kinds: where an operand of a form lives. They are types, so that one body is instantiated per combination; each has its own
// size, and offsetof<K>() is the static tag by which the builders choose.

/** General register named by the micro-op's `r`. */
@unmanaged export class G {
  a: u8;
}
/** General register named by `b`. */
@unmanaged export class R {
  a: u8;
  b: u8;
}
/** Memory: base + index × scale + disp + segment base, flat. */
@unmanaged export class M {
  a: u8;
  b: u8;
  c: u8;
}
/** Memory: base + disp, flat. */
@unmanaged export class D {
  a: u8;
  b: u8;
  c: u8;
  d: u8;
}
/** Register or memory, locked or not, any addressing: decided from the micro-op at run time. */
@unmanaged export class E {
  a: u8;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
}
/** Immediate, sign-extended from 32 bits. */
@unmanaged export class I {
  a: u8;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
  f: u8;
}
/** Register CL. */
@unmanaged export class CL {
  a: u8;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
  f: u8;
  g: u8;
}
/** 64-bit immediate in bytes 8..15. */
@unmanaged export class I64 {
  a: u8;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
  f: u8;
  g: u8;
  h: u8;
}
/** Memory at the absolute offset in bytes 8..15 (MOV's moffs forms). */
@unmanaged export class O {
  a: u64;
  b: u64;
}
/** XMM register in `r`. */
@unmanaged export class Xg {
  a: u64;
  b: u8;
}
/** XMM register in `b`. */
@unmanaged export class Xr {
  a: u64;
  b: u8;
  c: u8;
}
/** XMM register in `b`, or memory with any addressing. */
@unmanaged export class Xe {
  a: u64;
  b: u8;
  c: u8;
  d: u8;
}
/** As Xe; a memory operand must be 16-byte aligned. */
@unmanaged export class Xa {
  a: u64;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
}
/** MMX register in `r`, in `b`, and MMX register or memory. */
@unmanaged export class Pg {
  a: u64;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
  f: u8;
}
@unmanaged export class Pr {
  a: u64;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
  f: u8;
  g: u8;
}
@unmanaged export class Pe {
  a: u64;
  b: u8;
  c: u8;
  d: u8;
  e: u8;
  f: u8;
  g: u8;
  h: u8;
}

@inline export function isG<K>(): bool {
  return offsetof<K>() == 1;
}
@inline export function isR<K>(): bool {
  return offsetof<K>() == 2;
}
@inline export function isM<K>(): bool {
  return offsetof<K>() == 3;
}
@inline export function isD<K>(): bool {
  return offsetof<K>() == 4;
}
@inline export function isE<K>(): bool {
  return offsetof<K>() == 5;
}
@inline export function isI<K>(): bool {
  return offsetof<K>() == 6;
}
@inline export function isCL<K>(): bool {
  return offsetof<K>() == 7;
}
@inline export function isI64<K>(): bool {
  return offsetof<K>() == 8;
}
@inline export function isXg<K>(): bool {
  return offsetof<K>() == 9;
}
@inline export function isXr<K>(): bool {
  return offsetof<K>() == 10;
}
@inline export function isXe<K>(): bool {
  return offsetof<K>() == 11;
}
@inline export function isPg<K>(): bool {
  return offsetof<K>() == 13;
}
@inline export function isPr<K>(): bool {
  return offsetof<K>() == 14;
}
@inline export function isPe<K>(): bool {
  return offsetof<K>() == 15;
}
@inline export function isO<K>(): bool {
  return offsetof<K>() == 16;
}
@inline export function isXa<K>(): bool {
  return offsetof<K>() == 12;
}
