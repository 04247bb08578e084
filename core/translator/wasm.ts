// Writing WebAssembly: bytes and LEB128 into a buffer of the translator's area.
// Numbers from the WebAssembly core specification, "Binary Format", and its threads and SIMD extensions.

let start: usize = 0;
let limit: usize = 0;
let out: usize = 0;
/** The buffer was too small: what is in it is worthless. */
export let wasm_overflow: bool = false;

export function wasm_begin(buffer: usize, bytes: usize): void {
  start = out = buffer;
  limit = buffer + bytes - 16;
  wasm_overflow = false;
}
@inline export function wasm_at(): usize {
  return out;
}
@inline export function wasm_length(): u32 {
  return <u32>(out - start);
}

@inline export function byte(v: u32): void {
  if (out >= limit) {
    wasm_overflow = true;
    out = start;
  }
  store<u8>(out++, <u8>v);
}
export function uleb(v: u32): void {
  while (v >= 0x80) {
    byte((v & 0x7f) | 0x80);
    v >>>= 7;
  }
  byte(v);
}
export function sleb(v: i64): void {
  while (v < -64 || v > 63) {
    byte((<u32>(v & 0x7f)) | 0x80);
    v >>= 7;
  }
  byte((<u32>v) & 0x7f);
}
/** Eight characters, the first one lowest: a string would need a data segment. */
export function text(v: u64): void {
  for (let i: u64 = 0; i < 64; i += 8) byte((<u32>(v >>> i)) & 0xff);
}
export function copy(from: usize, bytes: u32): void {
  if (out + bytes >= limit) {
    wasm_overflow = true;
    return;
  }
  memory.copy(out, from, bytes);
  out += bytes;
}
/** A length that is known later: five bytes of LEB128. */
export function reserve(): usize {
  const p = out;
  for (let i = 0; i < 5; i++) byte(0);
  return p;
}
export function patch(p: usize): void {
  let v = <u32>(out - p - 5);
  for (let i: usize = 0; i < 4; i++, v >>>= 7) store<u8>(p + i, <u8>((v & 0x7f) | 0x80));
  store<u8>(p + 4, <u8>v);
}

export const I32: u32 = 0x7f;
export const I64: u32 = 0x7e;
export const V128: u32 = 0x7b;

export function i32_const(v: i32): void {
  byte(0x41);
  sleb(v);
}
export function i64_const(v: i64): void {
  byte(0x42);
  sleb(v);
}
export function local_get(i: u32): void {
  byte(0x20);
  uleb(i);
}
export function local_set(i: u32): void {
  byte(0x21);
  uleb(i);
}
export function local_tee(i: u32): void {
  byte(0x22);
  uleb(i);
}
/** A load or store without alignment hint (for SIMD behind its prefix). Who uses it says where the pointer comes from. */
export function access(op: u32, offset: u32): void {
  byte(op);
  byte(0);
  uleb(offset);
}
export function block(): void {
  byte(0x02);
  byte(0x40);
}
export function loop(): void {
  byte(0x03);
  byte(0x40);
}
export function if_(): void {
  byte(0x04);
  byte(0x40);
}
export function else_(): void {
  byte(0x05);
}
export function end(): void {
  byte(0x0b);
}
export function br(depth: u32): void {
  byte(0x0c);
  uleb(depth);
}
export function br_if(depth: u32): void {
  byte(0x0d);
  uleb(depth);
}

export const I32_LOAD: u32 = 0x28;
export const I64_LOAD: u32 = 0x29;
export const I64_LOAD8_U: u32 = 0x31;
export const I64_LOAD16_U: u32 = 0x33;
export const I64_LOAD32_U: u32 = 0x35;
export const I32_STORE: u32 = 0x36;
export const I64_STORE: u32 = 0x37;
export const I64_STORE8: u32 = 0x3c;
export const I64_STORE16: u32 = 0x3d;
export const I64_STORE32: u32 = 0x3e;
export const I32_EQZ: u32 = 0x45;
export const I32_GT_S: u32 = 0x4a;
export const I32_GT_U: u32 = 0x4b;
export const I32_GE_S: u32 = 0x4e;
export const I32_GE_U: u32 = 0x4f;
export const I64_EQZ: u32 = 0x50;
export const I64_EQ: u32 = 0x51;
export const I64_NE: u32 = 0x52;
export const I64_LT_S: u32 = 0x53;
export const I64_LT_U: u32 = 0x54;
export const I32_ADD: u32 = 0x6a;
export const I32_AND: u32 = 0x71;
export const I32_OR: u32 = 0x72;
export const I64_CLZ: u32 = 0x79;
export const I64_CTZ: u32 = 0x7a;
export const I64_POPCNT: u32 = 0x7b;
export const I64_ADD: u32 = 0x7c;
export const I64_SUB: u32 = 0x7d;
export const I64_MUL: u32 = 0x7e;
export const I64_DIV_S: u32 = 0x7f;
export const I64_DIV_U: u32 = 0x80;
export const I64_REM_S: u32 = 0x81;
export const I64_REM_U: u32 = 0x82;
export const I64_AND: u32 = 0x83;
export const I64_OR: u32 = 0x84;
export const I64_XOR: u32 = 0x85;
export const I64_SHL: u32 = 0x86;
export const I64_SHR_S: u32 = 0x87;
export const I64_SHR_U: u32 = 0x88;
export const I32_WRAP_I64: u32 = 0xa7;
export const I64_EXTEND_I32_U: u32 = 0xad;
export const I64_EXTEND8_S: u32 = 0xc2;
export const I64_EXTEND16_S: u32 = 0xc3;
export const I64_EXTEND32_S: u32 = 0xc4;
export const SELECT: u32 = 0x1b;
export const DROP: u32 = 0x1a;
export const RETURN: u32 = 0x0f;
export const CALL: u32 = 0x10;
export const BR_TABLE: u32 = 0x0e;
export const I64_GE_U: u32 = 0x5a;
export const SIMD: u32 = 0xfd;
// behind the SIMD prefix
export const V128_LOAD: u32 = 0x00;
export const V128_STORE: u32 = 0x0b;
export const V128_LOAD32_ZERO: u32 = 0x5c;
export const V128_LOAD64_ZERO: u32 = 0x5d;
export const ATOMIC: u32 = 0xfe;

/** A SIMD operation. */
export function simd(op: u32): void {
  byte(SIMD);
  uleb(op);
}
export function v128_const(low: i64, high: i64): void {
  simd(0x0c);
  bytes8(low);
  bytes8(high);
}
export function bytes8(v: i64): void {
  for (let i: i64 = 0; i < 64; i += 8) byte(<u32>(v >>> i));
}
