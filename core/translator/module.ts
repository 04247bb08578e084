// The module around a region's function. It imports machine memory and exports `f(cpu, entry, base) → where`.
import { CPU_XMM } from '../arch/x86/cpu';
import { vector_slot } from '../engine/ir';
import {
  CPU,
  RETIRED,
  TLB,
  locals_declare,
  locals_used,
  locals_vectors_used,
  slot_local,
  vector_local,
} from './locals';
import { hints_begin, write_hints } from './hints';
import { uses_mulh } from './lower';
import { write_structure } from './structure';
import * as w from './wasm';
import { BODY_SIZE, MODULE_SIZE, PREFIX_SIZE, work_body, work_module, work_prefix } from './work';

const CPU_TLB: u32 = 256;
const CPU_N: u32 = 264;

/** Load what the region uses of the state. */
function enter(): void {
  w.local_get(CPU);
  w.access(w.I32_LOAD, CPU_TLB);
  w.local_set(TLB);
  w.local_get(CPU);
  w.access(w.I32_LOAD, CPU_N);
  w.local_set(RETIRED);
  for (let m = locals_used(); m; m &= m - 1) {
    const slot = <u32>ctz<u64>(m);
    w.local_get(CPU);
    w.access(w.I64_LOAD, slot << 3);
    w.local_set(slot_local(slot));
  }
  for (let m = locals_vectors_used(); m; m &= m - 1) {
    const slot = <u32>ctz<u64>(m);
    w.local_get(CPU);
    w.byte(w.SIMD);
    w.access(w.V128_LOAD, vector_offset(slot));
    w.local_set(vector_local(slot));
  }
}

/** Vector slots have the numbers of ir.ts: offset / 16, within 512 bytes. */
function vector_offset(slot: u32): u32 {
  const first = vector_slot(<u32>CPU_XMM);
  return <u32>CPU_XMM + (((slot - first) & 31) << 4);
}

/** High half of an unsigned product: (a, b) → i64, from 32-bit halves. */
function mulh(): void {
  const size = w.reserve();
  w.uleb(1);
  w.uleb(2); // locals 2, 3
  w.byte(w.I64);
  // 2: (a >> 32) * low(b) + (low(a) * low(b) >> 32)
  half(0, true);
  half(1, false);
  w.byte(w.I64_MUL);
  half(0, false);
  half(1, false);
  w.byte(w.I64_MUL);
  high();
  w.byte(w.I64_ADD);
  w.local_set(2);
  // 3: low(a) * (b >> 32) + low(2)
  half(0, false);
  half(1, true);
  w.byte(w.I64_MUL);
  half(2, false);
  w.byte(w.I64_ADD);
  w.local_set(3);
  half(0, true);
  half(1, true);
  w.byte(w.I64_MUL);
  half(2, true);
  w.byte(w.I64_ADD);
  half(3, true);
  w.byte(w.I64_ADD);
  w.end();
  w.patch(size);
}
function high(): void {
  w.i64_const(32);
  w.byte(w.I64_SHR_U);
}
function half(local: u32, upper: bool): void {
  w.local_get(local);
  if (upper) return high();
  w.i64_const(0xffffffff);
  w.byte(w.I64_AND);
}

function name(c0: u32, c1: u32, c2: u32): void {
  w.uleb(3);
  w.byte(c0);
  w.byte(c1);
  w.byte(c2);
}

function header(): void {
  w.byte(0);
  w.byte(0x61);
  w.byte(0x73);
  w.byte(0x6d);
  w.byte(1);
  w.byte(0);
  w.byte(0);
  w.byte(0);
  // types: (i32, i32, i64) → i32 and (i64, i64) → i64
  w.byte(1);
  let size = w.reserve();
  w.uleb(2);
  w.byte(0x60);
  w.uleb(3);
  w.byte(w.I32);
  w.byte(w.I32);
  w.byte(w.I64);
  w.uleb(1);
  w.byte(w.I32);
  w.byte(0x60);
  w.uleb(2);
  w.byte(w.I64);
  w.byte(w.I64);
  w.uleb(1);
  w.byte(w.I64);
  w.patch(size);
  // import "env" "mem": shared, up to 4 GiB
  w.byte(2);
  size = w.reserve();
  w.uleb(1);
  name(0x65, 0x6e, 0x76);
  name(0x6d, 0x65, 0x6d);
  w.byte(2);
  w.byte(3);
  w.uleb(1);
  w.uleb(0x10000);
  w.patch(size);
  w.byte(3);
  size = w.reserve();
  w.uleb(uses_mulh ? 2 : 1);
  w.uleb(0);
  if (uses_mulh) w.uleb(1);
  w.patch(size);
  // export "f"
  w.byte(7);
  size = w.reserve();
  w.uleb(1);
  w.uleb(1);
  w.byte(0x66);
  w.byte(0);
  w.uleb(0);
  w.patch(size);
}

/** Write the module of the region in work; its length, or 0 if it is too large or too irregular. */
export function write_module(): u32 {
  hints_begin();
  w.wasm_begin(work_body(), BODY_SIZE);
  const ok = write_structure();
  w.byte(0x00);
  if (!ok || w.wasm_overflow) return 0;
  const body = w.wasm_length();
  w.wasm_begin(work_prefix(), PREFIX_SIZE);
  locals_declare();
  enter();
  if (w.wasm_overflow) return 0;
  const prefix = w.wasm_length();
  w.wasm_begin(work_module(), MODULE_SIZE);
  header();
  write_hints(prefix);
  w.byte(10);
  const section = w.reserve();
  w.uleb(uses_mulh ? 2 : 1);
  const size = w.reserve();
  w.copy(work_prefix(), prefix);
  w.copy(work_body(), body);
  w.end();
  w.patch(size);
  if (uses_mulh) mulh();
  w.patch(section);
  return w.wasm_overflow ? 0 : w.wasm_length();
}
