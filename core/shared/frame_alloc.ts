// The frame allocator: freed frames first, then never-touched ones. A frame that was mapped anywhere passes through limbo until every
// pCPU has flushed, and is scrubbed before it serves somebody else; a never-touched one reads as zero already.
import { HOST_BASE } from '../engine/layout';
import { frame, FRAME_FREE, FRAME_LIMBO, frame_written, FRAME_XENHEAP } from './frame_table';
import { host, Host, HOST_BASE_FLUSH, host_raise_flush } from './host';
import { lock_acquire, lock_release } from './lock';
import { INVALID_MFN, Mfn, mfn_to_ptr, PAGE_SIZE, ptr_to_mfn } from './memory';
import { pcpus_passed } from './pcpu';

const ALLOC_LOCK: usize = HOST_BASE + offsetof<Host>('alloc_lock');
/** How long is waited for a pCPU, and how often: seconds, as it may have lost its place on the machine below. */
const WAIT_NS: i64 = 100000;
const WAITS: i32 = 50000;

/** Frames that could be handed out now or after a flush. */
export function frames_free(): u32 {
  const h = host();
  return h.memory_frames - h.next_fresh + h.free_count + h.limbo_count + 2 * h.pair_count;
}

/** Enter the free list, which is linked both ways: refcount is the frame before. */
function release(h: Host, mfn: Mfn): void {
  const f = frame(mfn);
  f.type = FRAME_FREE;
  f.refcount = INVALID_MFN;
  f.link = h.free_head;
  if (h.free_head != INVALID_MFN) frame(h.free_head).refcount = mfn;
  h.free_head = mfn;
  h.free_count++;
}

/** Leave it. */
function unlink(h: Host, mfn: Mfn): void {
  const f = frame(mfn);
  if (f.refcount == INVALID_MFN) h.free_head = f.link;
  else frame(f.refcount).link = f.link;
  if (f.link != INVALID_MFN) frame(f.link).refcount = f.refcount;
  h.free_count--;
}

function setup(mfn: Mfn, owner: u16, type: u8): void {
  const f = frame(mfn);
  f.owner = owner;
  f.type = type;
  frame_written(mfn_to_ptr(mfn), PAGE_SIZE);
  f.refcount = 1;
  f.link = INVALID_MFN;
  f.pt_type = f.pt_flags = 0;
  f.partial = 0;
  f.pt_count = 0;
}

/** Frames that leave limbo at once. */
const RECLAIM_STEP: u32 = 64;

/** Move the limbo frames that every pCPU has forgotten to the free list; the list is in the order of its epochs. */
function reclaim(h: Host): void {
  for (let n: u32 = 0; n < RECLAIM_STEP && h.limbo_head != INVALID_MFN; n++) {
    const mfn = h.limbo_head;
    const f = frame(mfn);
    if (!pcpus_passed(f.refcount)) return;
    h.limbo_head = f.link;
    if (h.limbo_head == INVALID_MFN) h.limbo_tail = INVALID_MFN;
    h.limbo_count--;
    release(h, mfn);
  }
}

/**
 * The same where nothing else is left: wait for the pCPUs to leave guest code, which none runs for longer than a stretch. They need no
 * lock for that. False if there is nothing to wait for, or in vain: a pCPU is gone.
 */
function reclaim_wait(h: Host): bool {
  const before = h.limbo_count;
  for (let n = 0; n < WAITS && h.limbo_head != INVALID_MFN; n++) {
    reclaim(h);
    if (h.limbo_count != before) return true;
    atomic.wait<u32>(HOST_BASE_FLUSH, atomic.load<u32>(HOST_BASE_FLUSH), WAIT_NS);
  }
  return false;
}

function take(h: Host): Mfn {
  if (h.free_head == INVALID_MFN) reclaim(h);
  if (h.free_head == INVALID_MFN && h.next_fresh < h.memory_frames) return h.next_fresh++;
  if (h.free_head == INVALID_MFN && h.pair_head != INVALID_MFN) {
    const pair = take_pair(h);
    release(h, pair + 1);
    release(h, pair);
  }
  if (h.free_head == INVALID_MFN) reclaim_wait(h);
  const mfn = h.free_head;
  if (mfn == INVALID_MFN) return mfn;
  unlink(h, mfn);
  memory.fill(mfn_to_ptr(mfn), 0, PAGE_SIZE);
  return mfn;
}

function take_pair(h: Host): Mfn {
  const mfn = h.pair_head;
  h.pair_head = frame(mfn).link;
  h.pair_count--;
  return mfn;
}

/** Where the last two neighbours were found, a hint. */
let rover: Mfn = 0;

/** Two free frames that are neighbours, once all memory has been touched: a look at the table from where the last ones were. */
function neighbours(h: Host): Mfn {
  while (reclaim_wait(h)) {}
  if (h.free_count < 2) return INVALID_MFN;
  const first = h.first_frame;
  const count = h.next_fresh - first - 1;
  for (let n: u32 = 0; n < count; n++) {
    if (rover < first || rover + 1 >= h.next_fresh) rover = first;
    const mfn = rover++;
    if (frame(mfn).type != FRAME_FREE || frame(mfn + 1).type != FRAME_FREE) continue;
    unlink(h, mfn);
    unlink(h, mfn + 1);
    return mfn;
  }
  return INVALID_MFN;
}

/** A zeroed frame with one hold, or INVALID_MFN. */
export function frame_alloc(owner: u16, type: u8): Mfn {
  lock_acquire(ALLOC_LOCK);
  const mfn = take(host());
  if (mfn != INVALID_MFN) setup(mfn, owner, type);
  lock_release(ALLOC_LOCK);
  return mfn;
}

/** Frames that are looked at for some in a row, at least; and that leave limbo before. */
const RUN_LOOKS: u32 = 65536;

/**
 * 2^order zeroed frames in a row, aligned to their number, each with one hold: freed ones first, as for a single frame. INVALID_MFN if
 * they are not found at once.
 */
export function frames_alloc(owner: u16, type: u8, order: u32): Mfn {
  if (order == 0) return frame_alloc(owner, type);
  lock_acquire(ALLOC_LOCK);
  const h = host();
  const n: u32 = 1 << order;
  for (let i: u32 = 0; i < RUN_LOOKS && h.limbo_count; i += RECLAIM_STEP) reclaim(h);
  let mfn = run_freed(h, n);
  if (mfn == INVALID_MFN) mfn = run_fresh(h, n);
  if (mfn == INVALID_MFN && h.limbo_count) {
    while (reclaim_wait(h)) {}
    mfn = run_freed(h, n);
  }
  if (mfn != INVALID_MFN) for (let i: u32 = 0; i < n; i++) setup(mfn + i, owner, type);
  lock_release(ALLOC_LOCK);
  return mfn;
}

/** From what was never used; the frames before the first aligned one are free like others from then on. */
function run_fresh(h: Host, n: u32): Mfn {
  const first = (h.next_fresh + n - 1) & ~(n - 1);
  if (first >= h.memory_frames || n > h.memory_frames - first) return INVALID_MFN;
  while (h.next_fresh < first) release(h, h.next_fresh++);
  h.next_fresh = first + n;
  return first;
}

/** From what is free again: places are looked at from where the last look ended, each once at most. */
function run_freed(h: Host, n: u32): Mfn {
  let looks = max(RUN_LOOKS, 2 * n);
  for (let places = h.next_fresh / n; places > 0 && looks > 0 && h.free_count >= n; places--) {
    let mfn = (rover + n - 1) & ~(n - 1);
    if (mfn < h.first_frame || mfn + n > h.next_fresh) mfn = (h.first_frame + n - 1) & ~(n - 1);
    if (mfn + n > h.next_fresh) return INVALID_MFN;
    rover = mfn + n;
    let i: u32 = 0;
    while (i < n && frame(mfn + i).type == FRAME_FREE) i++;
    looks -= min(looks, i + 1);
    if (i < n) continue;
    for (i = 0; i < n; i++) unlink(h, mfn + i);
    memory.fill(mfn_to_ptr(mfn), 0, (<usize>n) << 12);
    return mfn;
  }
  return INVALID_MFN;
}

/** A frame that a guest may have mapped: reusable once every pCPU has flushed. */
export function frame_free(mfn: Mfn): void {
  const epoch = host_raise_flush();
  lock_acquire(ALLOC_LOCK);
  const h = host();
  const f = frame(mfn);
  f.type = FRAME_LIMBO;
  frame_written(mfn_to_ptr(mfn), PAGE_SIZE);
  f.refcount = epoch;
  f.link = INVALID_MFN;
  if (h.limbo_tail == INVALID_MFN) h.limbo_head = mfn;
  else frame(h.limbo_tail).link = mfn;
  h.limbo_tail = mfn;
  h.limbo_count++;
  lock_release(ALLOC_LOCK);
}

/** A page of the hypervisor's own, zeroed; 0 = out of memory. */
export function xenheap_alloc(owner: u16): usize {
  const mfn = frame_alloc(owner, FRAME_XENHEAP);
  return mfn == INVALID_MFN ? 0 : mfn_to_ptr(mfn);
}

/** Such a page was never in a guest's TLB: it is free at once. */
export function xenheap_free(p: usize): void {
  if (!p) return;
  lock_acquire(ALLOC_LOCK);
  release(host(), ptr_to_mfn(p));
  lock_release(ALLOC_LOCK);
}

/** Two contiguous pages for a vCPU; freed pairs stay pairs as long as nobody needs them singly. */
export function xenheap_alloc_pair(owner: u16): usize {
  lock_acquire(ALLOC_LOCK);
  const h = host();
  let mfn = INVALID_MFN;
  if (h.pair_head == INVALID_MFN && h.next_fresh + 1 < h.memory_frames) {
    mfn = h.next_fresh;
    h.next_fresh += 2;
  } else {
    mfn = h.pair_head != INVALID_MFN ? take_pair(h) : neighbours(h);
    if (mfn != INVALID_MFN) memory.fill(mfn_to_ptr(mfn), 0, 2 * PAGE_SIZE);
  }
  if (mfn != INVALID_MFN) {
    setup(mfn, owner, FRAME_XENHEAP);
    setup(mfn + 1, owner, FRAME_XENHEAP);
  }
  lock_release(ALLOC_LOCK);
  return mfn == INVALID_MFN ? 0 : mfn_to_ptr(mfn);
}

export function xenheap_free_pair(p: usize): void {
  lock_acquire(ALLOC_LOCK);
  const h = host();
  const mfn = ptr_to_mfn(p);
  frame(mfn).link = h.pair_head;
  h.pair_head = mfn;
  h.pair_count++;
  lock_release(ALLOC_LOCK);
}
