// What the core's invariant walker (core/hypervisor/invariants.ts) finds, in words.

/** By INVARIANT_*; %a and %b are the two numbers that say where. */
const TEXTS = [
  '',
  'frame %a is held but is none of the allocator (type %b expected)',
  'frame %a has %b holds more than there are reasons for',
  'frame %a is held by something that its type %b cannot be',
  'frame %a belongs to domain %b, which does not exist',
  "domain %a's account is off by %b frames",
  'the free list ends at or has %a frames, %b are free',
  'the limbo list ends at or has %a frames, %b are in limbo',
  'the list of domains and their directory differ (%a, %b)',
  "domain %a's p2m has a wrong entry at frame %b",
  "domain %a's p2m has %b tables, more than it accounts for",
  "domain %a's grant %b is counted as in use, and nobody maps it",
  "domain %a's mapping %b does not fit the grant that it is of",
  "domain %a's port %b does not fit its other end",
  "domain %a's VIRQ %b names a port that is not bound to it",
  'domains claim %a frames, the host counts %b',
  'frame %a is used as writable memory, and its type is %b',
  'frame %a has %b uses of its type more than there are reasons for',
  'page table %a has a wrong entry %b: what it names is not of the type that it needs',
  'page table %a maps by entry %b a frame that nobody has granted to its domain',
  'descriptor page %a has a descriptor %b that its guest must not have',
  "a TLB of domain %a's has a translation of page %b that its page tables do not have",
] as const;

interface Walker {
  invariants_check(): number;
  invariants_a(): number;
  invariants_b(): number;
}

/** Walks a host's frames, mappings, grants and ports: null if all is as it must be, else what is wrong first. */
export function invariants(core: Walker): string | null {
  const code = core.invariants_check();
  if (code === 0) return null;
  const [a, b] = [core.invariants_a() >>> 0, core.invariants_b() >>> 0];
  return (TEXTS[code] ?? `invariant ${code}: %a, %b`).replace('%a', String(a)).replace('%b', String(b | 0));
}
