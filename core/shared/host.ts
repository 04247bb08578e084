// The one shared structure of a host. Every instance of the core finds it at HOST_BASE; it is initialised once, by host_init.
import { CODE_ARENA_MAX, CODE_ARENA_MIN, HOST_BASE, MAX_PCPUS, PCPU_CODE_ARENA } from '../engine/layout';
import { lock_acquire, lock_release } from './lock';
import { INVALID_MFN, PAGE_SHIFT, PAGE_SIZE } from './memory';

@unmanaged
export class Host {
  magic: u32;
  /** Frames of machine memory below the unused last 64 KiB. */
  memory_frames: u32;
  /** First frame that the allocator hands out. */
  first_frame: u32;
  /** First frame that has never been handed out. */
  next_fresh: u32;
  free_head: u32;
  free_count: u32;
  /** Freed pairs of frames (vCPUs), kept apart so that they stay contiguous. */
  pair_head: u32;
  pair_count: u32;
  /** Frames freed but perhaps still in some pCPU's TLB, oldest first. */
  limbo_head: u32;
  limbo_tail: u32;
  limbo_count: u32;
  frame_table: u32;
  tables: u32;
  tables_size: u32;
  pcpu_areas: u32;
  pcpu_count: u32;
  /** The translator's area: requests and its working memory. */
  translator: u32;
  log_ring: u32;
  mailboxes: u32;
  /** One lock for the hypervisor's state: whoever runs a hypercall or an exit handler holds it. */
  lock: u32;
  alloc_lock: u32;
  log_lock: u32;
  /** Raised whenever a translation is taken away: a pCPU that has not seen it flushes before it enters a guest. */
  flush_epoch: u32;
  /** Raised whenever somebody but the engine's own stores changes a frame that holds decoded code. */
  smc_seq: u32;
  /** HOST_* flags. */
  flags: u32;
  domain_list: u32;
  domain_count: u32;
  next_domid: u32;
  /** Which XSM module decides (xsm/xsm.ts). */
  xsm_module: u32;
  xsm_rules: u32;
  /** Bytes ever written to the log ring. */
  log_head: u32;
  log_read: u32;
  /** Raised when the platform should look at services' events. */
  service_bell: u32;
  /** Deterministic mode: nanoseconds of virtual time at the last slice's end. */
  virtual_ns: u64;
  /** Clock value (clock_ns) at host_init. */
  clock_base: u64;
  /** Nanoseconds since 1970 at system time 0. */
  wallclock: u64;
  /** Memory the guests' vCPUs have retired, all domains, for statistics. */
  slices: u64;
  /** System time stands at this while a debugger has stopped a domain; 0 = it runs. */
  frozen_at: u64;
  /** Bytes of the log ring, a power of two. */
  log_size: u32;
  /** Breakpoints and watchpoints (engine/debug.ts), 0 = there have never been any; raised with every change. */
  debug_table: u32;
  debug_seq: u32;
  /** Debuggers' buffer for guest memory, one page. */
  debug_buffer: u32;
  /** The console's ring: text, and bytes ever written to it and cleared from it. */
  con_ring: u32;
  con_prod: u32;
  con_cons: u32;
  /** 0 at the beginning of a line, else 1 + whose line it is: a domain's number, or CON_OWN. */
  con_line: u32;
  /** Take a sample of a vCPU each time it has retired this many instructions; 0 = only when asked (profile_tick). */
  sample_period: u32;
  /** Frames set aside for domains (XENMEM_claim_pages). */
  claimed: u32;
  /** Bytes of a pCPU's arena of decoded code. */
  code_arena: u32;
  /** The directory of the M2P's pages (hypervisor/pv/m2p.ts), 0 = no PV domain has been made yet. */
  m2p: u32;
  /** The same of the M2P that 32-bit PV guests see, 0 = there has been none. */
  m2p_compat: u32;
}

/** Time comes from the instruction count. */
export const HOST_DETERMINISTIC: u32 = 1;
/** The log ring records hypercalls. */
export const HOST_TRACE_HYPERCALLS: u32 = 2;
export const HOST_TRACE_EVENTS: u32 = 4;
/** Run states, stretches of guest code with the exit that ended them, interrupts. */
export const HOST_TRACE_RUNS: u32 = 8;
const HOST_TRACE: u32 = HOST_TRACE_HYPERCALLS | HOST_TRACE_EVENTS | HOST_TRACE_RUNS;

/** In the host's first pages after the structure: the domain directory, pCPU structures, texts that the platform writes. */
export const HOST_DOMAINS: usize = HOST_BASE + 0x800; // 32 pages' addresses, each of 1024 domains' addresses
export const HOST_PCPUS: usize = HOST_BASE + 0x1000;
export const HOST_TEXT: usize = HOST_BASE + 0x3000;
export const HOST_TEXT_SIZE: usize = 0x2000;
const HOST_END: usize = HOST_TEXT + HOST_TEXT_SIZE;
/** The log's ring; larger when it has to hold a trace until the platform's next look. */
const LOG_RING_SIZE: u32 = 0x20000;
const TRACE_RING_SIZE: u32 = 0x1000000;
export const CON_RING_SIZE: u32 = 0x10000;
/** core/translator/layout.ts divides it. */
export const TRANSLATOR_AREA_SIZE: usize = 0x1000000;
export const MAILBOX_SLOTS: i32 = 16;
export const MAILBOX_HEADER: u32 = 0x1000;
export const MAILBOX_DATA: u32 = 0x40000;
export const MAILBOX_SIZE: u32 = MAILBOX_HEADER + MAILBOX_DATA;

/** Address of the flush epoch, which pCPUs read without the lock. */
export const HOST_BASE_FLUSH: usize = HOST_BASE + offsetof<Host>('flush_epoch');

const HOST_MAGIC: u32 = 0x6e6f6c78;
export const FRAME_ENTRY_SIZE: u32 = 32;
const PAGES_PER_WASM_PAGE: u32 = 16;

@inline export function host(): Host {
  return changetype<Host>(HOST_BASE);
}

@inline function align(p: usize): usize {
  return (p + PAGE_SIZE - 1) & ~(<usize>PAGE_SIZE - 1);
}

/**
 * Lay machine memory out. Called once, before any pCPU starts, on memory that has never been used (it reads as zero).
 * Returns 0, or -1 if the memory is too small for its own tables.
 */
export function host_init(
  wasm_pages: u32,
  tables_size: u32,
  pcpus: u32,
  flags: u32,
  clock_base: f64,
  wallclock: f64,
): i32 {
  const h = host();
  if (h.magic == HOST_MAGIC || pcpus == 0 || pcpus > <u32>MAX_PCPUS || wasm_pages < 2 || wasm_pages > 0x10000)
    return -1;
  // The last 64 KiB stay unused, so no mfn << 12 or address sum of a frame wraps.
  const frames = (wasm_pages - 1) * PAGES_PER_WASM_PAGE;
  const log_size = flags & HOST_TRACE ? TRACE_RING_SIZE : LOG_RING_SIZE;
  const eighth = frames << (PAGE_SHIFT - 3);
  const code_arena = eighth < CODE_ARENA_MIN ? CODE_ARENA_MIN : eighth > CODE_ARENA_MAX ? CODE_ARENA_MAX : eighth;
  const pcpu_area = PCPU_CODE_ARENA + code_arena;
  const need =
    <u64>HOST_END +
    log_size +
    CON_RING_SIZE +
    <u64>MAILBOX_SLOTS * MAILBOX_SIZE +
    tables_size +
    <u64>frames * FRAME_ENTRY_SIZE +
    <u64>pcpus * pcpu_area +
    TRANSLATOR_AREA_SIZE +
    4 * PAGE_SIZE;
  if (need >= (<u64>frames) << PAGE_SHIFT) return -1;
  let p: usize = align(HOST_END);
  h.log_ring = <u32>p;
  h.log_size = log_size;
  p += log_size;
  h.con_ring = <u32>p;
  p += CON_RING_SIZE;
  h.mailboxes = <u32>p;
  p += MAILBOX_SLOTS * MAILBOX_SIZE;
  h.tables = <u32>p;
  h.tables_size = tables_size;
  p = align(p + tables_size);
  h.frame_table = <u32>p;
  p = align(p + frames * FRAME_ENTRY_SIZE);
  h.pcpu_areas = <u32>p;
  h.pcpu_count = pcpus;
  h.code_arena = code_arena;
  p = align(p + <usize>pcpus * pcpu_area);
  h.translator = <u32>p;
  p = align(p + TRANSLATOR_AREA_SIZE);
  h.memory_frames = frames;
  h.first_frame = h.next_fresh = <u32>(p >>> PAGE_SHIFT);
  h.free_head = h.pair_head = h.limbo_head = h.limbo_tail = INVALID_MFN;
  h.next_domid = 1;
  h.flags = flags;
  h.clock_base = <u64>clock_base;
  h.wallclock = <u64>wallclock;
  h.magic = HOST_MAGIC;
  return 0;
}

/** Where the platform copies the table blob to. */
export function host_tables(): usize {
  return host().tables;
}

/** Where the platform writes the version texts (version_text.ts). */
export function host_text(): usize {
  return HOST_TEXT;
}

@inline export function host_lock(): void {
  lock_acquire(HOST_BASE + offsetof<Host>('lock'));
}

@inline export function host_unlock(): void {
  lock_release(HOST_BASE + offsetof<Host>('lock'));
}

/** Whoever waits for services' events, or for domains to stop, looks again. */
export function host_ring(): void {
  const bell = HOST_BASE + offsetof<Host>('service_bell');
  atomic.add<u32>(bell, 1);
  atomic.notify(bell);
}

/** Translations were taken away: no pCPU enters a guest again without forgetting what it has cached. */
export function host_raise_flush(): u32 {
  return atomic.add<u32>(HOST_BASE + offsetof<Host>('flush_epoch'), 1) + 1;
}

export function host_set_flags(flags: u32): void {
  host().flags = flags;
}
