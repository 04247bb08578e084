// LOCK: compare-and-swap on guest memory. Wasm's atomics trap on misaligned addresses; those, and bounce buffers, are done under a
// lock of the host, as a bus lock would.
import { Cpu } from '../arch/x86/cpu';
import { BOUNCE_LIMIT } from './layout';
import { commit_slow } from './mem';

/** If T at host pointer p holds x (zero-extended) put v there and say true. */
@inline export function cas_locked<T>(cpu: Cpu, p: usize, x: i64, v: i64): bool {
  if (p < BOUNCE_LIMIT || p & (sizeof<T>() - 1)) return cas_slow(cpu, p, sizeof<T>(), x, v);
  if (sizeof<T>() == 1) return atomic.cmpxchg<u8>(p, <u8>x, <u8>v) == <u8>x;
  if (sizeof<T>() == 2) return atomic.cmpxchg<u16>(p, <u16>x, <u16>v) == <u16>x;
  if (sizeof<T>() == 4) return atomic.cmpxchg<u32>(p, <u32>x, <u32>v) == <u32>x;
  return atomic.cmpxchg<i64>(p, x, v) == x;
}

function cas_slow(cpu: Cpu, p: usize, size: i32, x: i64, v: i64): bool {
  bus_lock();
  let old: i64;
  if (size == 2) old = load<u16>(p);
  else if (size == 4) old = load<u32>(p);
  else if (size == 8) old = load<i64>(p);
  else old = load<u8>(p);
  const same = old == x;
  if (same) {
    if (size == 2) store<u16>(p, <u16>v);
    else if (size == 4) store<u32>(p, <u32>v);
    else if (size == 8) store<i64>(p, v);
    else store<u8>(p, <u8>v);
    if (p < BOUNCE_LIMIT) commit_slow(cpu, p);
  }
  bus_unlock();
  return same;
}

/** CMPXCHG16B's exchange. Wasm has no 16-byte compare-and-swap: the bus lock keeps other vCPUs' out. Gives 1 or 0. */
export function cas16_locked(cpu: Cpu, p: usize): i64 {
  bus_lock();
  const lo = load<u64>(p);
  const hi = load<u64>(p, 8);
  const same = lo == cpu.rax && hi == cpu.rdx;
  if (same) {
    store<u64>(p, cpu.rbx);
    store<u64>(p, cpu.rcx, 8);
    if (p < BOUNCE_LIMIT) commit_slow(cpu, p);
  } else {
    cpu.rax = lo;
    cpu.rdx = hi;
  }
  bus_unlock();
  return <i64>same;
}

/** The word of the bus lock, below the Host structure. */
import { BUS_LOCK } from './layout';

export function bus_lock(): void {
  while (atomic.cmpxchg<u32>(BUS_LOCK, 0, 1) != 0) {}
}

export function bus_unlock(): void {
  atomic.store<u32>(BUS_LOCK, 0);
}
