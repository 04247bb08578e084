// Where indirect jumps have led while the interpreter ran them: what the translator compares them with. A hint: entries are found by the
// micro-op's address, which may have served another jump before.
import { PCPU_TARGETS, TARGET_SITES } from './layout';

/** Targets that are remembered of a jump. */
export const SITE_TARGETS: u32 = 15;
const SITE_SIZE: usize = 4 + 4 * <usize>SITE_TARGETS; // {micro-op, targets as distances from its page, 0 = none}

let sites: usize = 0;

export function targets_attach(pcpu_area: usize): void {
  sites = pcpu_area + PCPU_TARGETS;
}

@inline function site(all: usize, u: usize): usize {
  return all + ((u >>> 4) & (TARGET_SITES - 1)) * SITE_SIZE;
}

/** The jump at `u` leads `distance` bytes from its page's beginning. */
export function target_seen(u: usize, distance: i32): void {
  const s = site(sites, u);
  if (load<u32>(s) != <u32>u) {
    memory.fill(s, 0, SITE_SIZE);
    store<u32>(s, <u32>u);
  }
  for (let i: usize = 4; i < SITE_SIZE; i += 4) {
    const known = load<i32>(s + i);
    if (known == distance) return;
    if (known == 0) return store<i32>(s + i, distance);
  }
}

/** Target `i` of the jump at `u` on the pCPU whose private area is at `area`; 0 = there are no more. */
export function target_known(area: usize, u: usize, i: u32): i32 {
  const s = site(area + PCPU_TARGETS, u);
  return load<u32>(s) == <u32>u && i < SITE_TARGETS ? load<i32>(s + 4 + ((<usize>i) << 2)) : 0;
}
