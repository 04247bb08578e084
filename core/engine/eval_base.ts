// What an evaluating builder does whatever the architecture: V = i64, arithmetic, slots of the vCPU's state (`this` is its base), plain
// memory behind a probed pointer.

@unmanaged
export class EvalBase {
  // ---- constants and arithmetic: 64-bit, operands zero-extended to their type unless a name says otherwise
  @inline k(v: i64): i64 {
    return v;
  }
  @inline add(x: i64, y: i64): i64 {
    return x + y;
  }
  @inline sub(x: i64, y: i64): i64 {
    return x - y;
  }
  @inline mul(x: i64, y: i64): i64 {
    return x * y;
  }
  @inline and(x: i64, y: i64): i64 {
    return x & y;
  }
  @inline or(x: i64, y: i64): i64 {
    return x | y;
  }
  @inline xor(x: i64, y: i64): i64 {
    return x ^ y;
  }
  @inline not(x: i64): i64 {
    return ~x;
  }
  @inline neg(x: i64): i64 {
    return -x;
  }
  /** Shifts; the count is taken modulo 64. */
  @inline shl(x: i64, n: i64): i64 {
    return x << n;
  }
  @inline shr(x: i64, n: i64): i64 {
    return <i64>((<u64>x) >> (<u64>n));
  }
  @inline sar(x: i64, n: i64): i64 {
    return x >> n;
  }
  /** Comparisons give 0 or 1. */
  @inline eq(x: i64, y: i64): i64 {
    return <i64>(x == y);
  }
  @inline ltu(x: i64, y: i64): i64 {
    return <i64>(<u64>x < <u64>y);
  }
  @inline lts(x: i64, y: i64): i64 {
    return <i64>(x < y);
  }
  @inline eqz(x: i64): i64 {
    return <i64>(x == 0);
  }
  /** `c` ≠ 0 ? x : y, both evaluated. */
  @inline sel(c: i64, x: i64, y: i64): i64 {
    return select<i64>(x, y, c != 0);
  }
  @inline popcnt(x: i64): i64 {
    return popcnt<i64>(x);
  }
  @inline clz(x: i64): i64 {
    return clz<i64>(x);
  }
  @inline ctz(x: i64): i64 {
    return ctz<i64>(x);
  }
  /** High halves of the 128-bit products. */
  @inline umulh(x: i64, y: i64): i64 {
    return mulh_u(x, y);
  }
  @inline smulh(x: i64, y: i64): i64 {
    return mulh_u(x, y) - ((x >> 63) & y) - ((y >> 63) & x);
  }
  /** Zero- and sign-extension from type T. */
  @inline zx<T>(x: i64): i64 {
    if (sizeof<T>() == 1) return x & 0xff;
    if (sizeof<T>() == 2) return x & 0xffff;
    if (sizeof<T>() == 4) return x & 0xffffffff;
    return x;
  }
  @inline sx<T>(x: i64): i64 {
    if (sizeof<T>() == 1) return <i64>(<i8>x);
    if (sizeof<T>() == 2) return <i64>(<i16>x);
    if (sizeof<T>() == 4) return <i64>(<i32>x);
    return x;
  }

  // ---- state
  /** A register slot at byte offset `o`, zero-extended from T. */
  @inline getr<T>(o: u32): i64 {
    if (sizeof<T>() == 1) return <i64>load<u8>(changetype<usize>(this) + o);
    if (sizeof<T>() == 2) return <i64>load<u16>(changetype<usize>(this) + o);
    if (sizeof<T>() == 4) return <i64>load<u32>(changetype<usize>(this) + o);
    return load<i64>(changetype<usize>(this) + o);
  }
  /** Write a register slot as x86 does: 8 and 16 bits leave the rest, 32 bits clear the upper half. */
  @inline setr<T>(o: u32, v: i64): void {
    if (sizeof<T>() == 1) store<u8>(changetype<usize>(this) + o, <u8>v);
    else if (sizeof<T>() == 2) store<u16>(changetype<usize>(this) + o, <u16>v);
    else if (sizeof<T>() == 4) store<u64>(changetype<usize>(this) + o, <u64>(<u32>v));
    else store<i64>(changetype<usize>(this) + o, v);
  }

  /** State that is no register slot, zero-extended from T. */
  @inline state<T>(o: u32): i64 {
    return this.getr<T>(o);
  }

  // ---- memory
  @inline bad(p: i64): bool {
    return p == 0;
  }
  @inline ldp<T>(p: i64): i64 {
    if (sizeof<T>() == 1) return <i64>load<u8>(<usize>p);
    if (sizeof<T>() == 2) return <i64>load<u16>(<usize>p);
    if (sizeof<T>() == 4) return <i64>load<u32>(<usize>p);
    return load<i64>(<usize>p);
  }
}

function mulh_u(x: i64, y: i64): i64 {
  const x0 = (<u64>x) & 0xffffffff;
  const x1 = (<u64>x) >> 32;
  const y0 = (<u64>y) & 0xffffffff;
  const y1 = (<u64>y) >> 32;
  const t = x1 * y0 + ((x0 * y0) >> 32);
  const w = x0 * y1 + (t & 0xffffffff);
  return <i64>(x1 * y1 + (t >> 32) + (w >> 32));
}
