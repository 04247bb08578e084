// Division of RDX:RAX and its parts (SDM vol. 2, DIV, IDIV). False = #DE is pending and nothing has changed.
import { Cpu } from './cpu';
import { raise } from './exceptions';

const EXC_DE: i32 = 0;

function divide_error(cpu: Cpu): bool {
  raise(cpu, EXC_DE, 0);
  return false;
}

@inline function low<T>(v: u64): u64 {
  return sizeof<T>() == 1 ? v & 0xff : sizeof<T>() == 2 ? v & 0xffff : sizeof<T>() == 4 ? v & 0xffffffff : v;
}
@inline function sign<T>(v: u64): i64 {
  return sizeof<T>() == 1 ? <i64>(<i8>v) : sizeof<T>() == 2 ? <i64>(<i16>v) : sizeof<T>() == 4 ? <i64>(<i32>v) : <i64>v;
}

/** 128 / 64 → 64 bits, unsigned; the caller has checked hi < d. Remainder in rem64. Knuth's algorithm D with 32-bit digits. */
let rem64: u64 = 0;

function div128(hi: u64, lo: u64, d: u64): u64 {
  if (hi == 0) {
    rem64 = lo % d;
    return lo / d;
  }
  const s = clz<u64>(d);
  const v = d << s;
  const vn1 = v >> 32;
  const vn0 = v & 0xffffffff;
  const un32 = s ? (hi << s) | (lo >> (64 - s)) : hi;
  const un10 = lo << s;
  const un1 = un10 >> 32;
  const un0 = un10 & 0xffffffff;
  const q1 = digit(un32, un1, vn1, vn0);
  const un21 = (un32 << 32) + un1 - q1 * v;
  const q0 = digit(un21, un0, vn1, vn0);
  rem64 = ((un21 << 32) + un0 - q0 * v) >> s;
  return (q1 << 32) + q0;
}

/** One quotient digit: at most two corrections. */
function digit(n: u64, next: u64, vn1: u64, vn0: u64): u64 {
  let q = n / vn1;
  let r = n - q * vn1;
  while (q >> 32 || q * vn0 > ((r << 32) | next)) {
    q--;
    r += vn1;
    if (r >> 32) break;
  }
  return q;
}

/** `d` is zero-extended. */
export function divide<T>(cpu: Cpu, d: u64): bool {
  if (sizeof<T>() == 8) {
    if (cpu.rdx >= d) return divide_error(cpu);
    cpu.rax = div128(cpu.rdx, cpu.rax, d);
    cpu.rdx = rem64;
    return true;
  }
  const w: u64 = 8 * sizeof<T>();
  const n = sizeof<T>() == 1 ? cpu.rax & 0xffff : (low<T>(cpu.rdx) << w) | low<T>(cpu.rax);
  if (n >> w >= d) return divide_error(cpu); // a zero divisor too
  put<T>(cpu, n / d, n % d);
  return true;
}

@inline function put<T>(cpu: Cpu, q: u64, r: u64): void {
  const p = changetype<usize>(cpu);
  if (sizeof<T>() == 1) store<u16>(p, <u16>((r << 8) | (q & 0xff)));
  else if (sizeof<T>() == 2) {
    store<u16>(p, <u16>q);
    store<u16>(p, <u16>r, 16);
  } else {
    cpu.rax = low<T>(q);
    cpu.rdx = low<T>(r);
  }
}

/** `d` is sign-extended. */
export function divide_signed<T>(cpu: Cpu, d: i64): bool {
  if (sizeof<T>() == 8) return divide_signed128(cpu, d);
  const w: u64 = 8 * sizeof<T>();
  const n: i64 = sizeof<T>() == 1 ? <i64>(<i16>cpu.rax) : (sign<T>(cpu.rdx) << (<i64>w)) | (<i64>low<T>(cpu.rax));
  if (d == 0 || (n == i64.MIN_VALUE && d == -1)) return divide_error(cpu);
  const q = n / d;
  if (sign<T>(<u64>q) != q) return divide_error(cpu);
  put<T>(cpu, <u64>q, <u64>(n % d));
  return true;
}

function divide_signed128(cpu: Cpu, d: i64): bool {
  const negative = <i64>cpu.rdx < 0;
  let lo = cpu.rax;
  let hi = cpu.rdx;
  if (negative) {
    hi = ~hi + (lo == 0 ? 1 : 0);
    lo = 0 - lo;
  }
  const a: u64 = d < 0 ? <u64>(0 - d) : <u64>d;
  if (hi >= a) return divide_error(cpu);
  const q = div128(hi, lo, a);
  const minus = negative != d < 0;
  if (q > (minus ? <u64>0x8000000000000000 : <u64>i64.MAX_VALUE)) return divide_error(cpu);
  cpu.rax = minus ? 0 - q : q;
  cpu.rdx = negative ? 0 - rem64 : rem64;
  return true;
}
