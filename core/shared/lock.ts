// Mutual exclusion between pCPU instances: a word of shared memory, 0 free, 1 held, 2 held and somebody sleeps on it.

const SPINS: i32 = 200;
const SLEEP_NS: i64 = 1000000;

export function lock_acquire(p: usize): void {
  for (let i = 0; i < SPINS; i++) {
    if (atomic.load<i32>(p) == 0 && atomic.cmpxchg<i32>(p, 0, 1) == 0) return;
  }
  while (atomic.xchg<i32>(p, 2) != 0) atomic.wait<i32>(p, 2, SLEEP_NS);
}

export function lock_release(p: usize): void {
  if (atomic.xchg<i32>(p, 0) == 2) atomic.notify(p, 1);
}
