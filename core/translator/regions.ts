// Translated regions of this pCPU: installing, entering, leaving and forgetting them. A region's entries are micro-ops whose form has
// been replaced by FORM_REGION; what they were is kept beside, for when the region cannot be entered.
import { CPU_SLICE, CPU_TARGET, Cpu } from '../arch/x86/cpu';
import { MODE_ALIGN, MODE_BREAK, MODE_CODE_KEY, MODE_CS64 } from '../arch/x86/modes';
import { walk_flags, walk_table_mfn } from '../arch/x86/mmu/paging';
import { guest_va_to_gpa } from '../arch/x86/mmu/walk';
import { lookup } from '../engine/branch';
import { CodePage, PAGE_OFFSETS, code_slot, pseudo } from '../engine/code_cache';
import { canonical } from '../engine/mem';
import { ENTRY_GLOBAL, PCPU_REGIONS, PCPU_REGIONS_SIZE } from '../engine/layout';
import { TLB_CODE, TLB_X, tlb_exec_entry, tlb_table } from '../engine/tlb';
import { set_current, set_flags_at, set_inserted } from '../engine/tlb_sets';
import { UOP_SIZE, uop_form, uop_len, uop_pos } from '../engine/uop';
import { FORM_BRK, FORM_GOTO, FORM_REGION, FORM_RESYNC } from '../gen/forms';
import { engine_gfn_frame, engine_table_walked } from '../hypervisor/engine';
import { Frame, frame } from '../shared/frame_table';
import { INVALID_MFN } from '../shared/memory';
import {
  OUT_INTERPRET,
  OUT_KIND,
  OUT_PLACE,
  OUT_TARGET,
  REGION_PAGE_SIZE,
  RegionPage,
  Request,
  SLOT_DONE,
  SLOT_FREE,
  request_entry,
  request_page,
  request_slot,
} from './layout';
import { RegionCounters, region_counters } from './counters';
import {
  Jump,
  jump_at,
  jump_base,
  jump_entry,
  jump_function,
  jump_set,
  jump_weight,
  jumps_attach,
  jumps_flush,
} from './jumps';
import { sample_forget } from './sampler';

/** Sets of translations in which a region's pages are known to be mapped as it expects. */
const SPACES: u32 = 8;
/** 2^15 bits. */
const FILTER_SIZE: usize = 4096;
const HASH_A: u64 = 0x9e3779b97f4a7c15;
const HASH_B: u64 = 0xc2b2ae3d27d4eb4f;

@unmanaged
class Region {
  /** Index in the table of functions; 0 = dead: bytes of it have changed. */
  fn: u32;
  weight: u32;
  pages: u32;
  /** Where the next number goes. */
  turn: u32;
  /** The number under which it was entered last, and where its first page was then. */
  last: u64;
  base: u64;
  /** The set of translations in which it was last found not to be mapped so. */
  not_in: u64;
  /** Of a dead one: its function's place in the table, and the next that died. */
  place: u32;
  next_dead: u32;
  /** How far from its first page direct branches lead out of it, in bytes. */
  reach: u64;
  // {number, base}[SPACES] at REGION_SPACES: sets of translations, and where its first page is there; then pages: RegionPage, the code page's
  // next Node, the Region
}
const REGION_SPACES: usize = 56;
const SPACE_SIZE: usize = 16;
const SPACES_SIZE: usize = <usize>SPACES * SPACE_SIZE;
const REGION_HEADER: usize = REGION_SPACES + SPACES_SIZE;
/** A page of a region is on the list of its code page: whoever changes that one's bytes finds what relies on them. */
const NODE_NEXT: usize = REGION_PAGE_SIZE;
const NODE_REGION: usize = REGION_PAGE_SIZE + 4;
const NODE_SIZE: usize = REGION_PAGE_SIZE + 8;

/** An entry: the micro-op that stood there, one behind it that leads on, and which region it enters where. */
@unmanaged
class Entry {
  uop0: u64;
  uop1: u64;
  goto0: u64;
  goto1: u64;
  region: u32;
  index: u32;
  page: u32;
  at: u32;
}
const ENTRY_SIZE: usize = 48;

let area: usize = 0;
let bump: usize = 0;
// Numbers of sets of translations, from one sequence: that of the present address space, and that of the vCPU's global translations,
// which outlive a change of address space. Those below `oldest` are void.
let space: u64 = 1;
let globals: u64 = 2;
let numbers: u64 = 2;
let oldest: u64 = 1;
/** Raised when all regions are forgotten. */
let epoch: u32 = 0;
/** The region that died last and whose function's place has not been given back; 0 = none. */
let first_dead: usize = 0;
/** Set when there is no room for another region: then all decoded code has to be forgotten. */
export let regions_full: bool = false;
/** Instructions that regions have retired since region_begin(). */
export let region_run: i32 = 0;
/** Set when a region_enter() since then would not, because the slice is nearly used. */
export let region_near_limit: bool = false;
/** For tests: what runs behind a region ends its slice at the next place where a slice may end. */
let one_region: bool = false;
export function regions_one_by_one(on: i32): void {
  one_region = on != 0;
}
/** Set when a slice is to end for that. */
export let region_ends_slice: bool = false;
/** Has the last slice ended for that? */
export function regions_ended_slice(): i32 {
  return region_ends_slice ? 1 : 0;
}
/** Set when a region has left because somebody wants the vCPU's attention. */
export let region_kicked: bool = false;

// Where the interpreter has taken over from a region last: micro-op, its code page and that one's linear address.
export let landed: usize = 0;
export let landed_code: u32 = 0;
export let landed_page: u64 = 0;
/** What the vCPU had retired by then. */
export let landed_retired: u64 = 0;

let counters: RegionCounters = changetype<RegionCounters>(0);

export function regions_attach(pcpu_area: usize): void {
  area = pcpu_area + PCPU_REGIONS;
  bump = area + FILTER_SIZE;
  jumps_attach(pcpu_area);
  counters = region_counters(pcpu_area);
}

@inline export function region_epoch(): u32 {
  return epoch;
}
export function region_begin(): void {
  region_run = 0;
  region_near_limit = region_kicked = region_ends_slice = false;
}

/** All decoded code goes, and the entries in it. */
export function regions_flush(): void {
  bump = area + FILTER_SIZE;
  regions_full = false;
  first_dead = 0;
  landed = 0;
  memory.fill(area, 0, FILTER_SIZE);
  jumps_flush();
  epoch++;
  regions_changed();
}

/** Translations or decoded code changed: every region looks at its pages again before it runs, in whatever address space. */
export function regions_changed(): void {
  space = oldest = ++numbers;
  globals = ++numbers;
}

/** Numbers of the present translations for regions_enter, which hold until regions_changed. */
export function regions_space(): u64 {
  return space;
}
export function regions_globals(): u64 {
  return globals;
}

/** Another address space, or another set of translations; 0 = one that has not been before. */
export function regions_enter(known: u64): void {
  space = known >= oldest ? known : ++numbers;
}
/** The same for the global translations: another vCPU's. */
export function regions_enter_globals(known: u64): void {
  globals = known >= oldest ? known : ++numbers;
}

/**
 * Pages of regions by two hashes of their linear address, two bits for each: a page of which one is not set may be unmapped without more ado.
 * By one hash and a byte each, a loop of page faults met some region's page by chance again and again.
 */
@inline function filter_hash(va: u64, k: u64): u32 {
  return <u32>(((va >>> 12) * k) >>> 49);
}
function filter_add(va: u64): void {
  filter_set(filter_hash(va, HASH_A));
  filter_set(filter_hash(va, HASH_B));
}
@inline function filter_set(bit: u32): void {
  const at = area + <usize>(bit >>> 3);
  store<u8>(at, load<u8>(at) | (<u8>((<u32>1) << (bit & 7))));
}
@inline function filter_has(bit: u32): bool {
  return ((<u32>load<u8>(area + <usize>(bit >>> 3))) >>> (bit & 7)) & 1 ? true : false;
}

/** The translation of one linear page is gone. */
export function regions_unmapped(va: u64): void {
  if (filter_has(filter_hash(va, HASH_A)) && filter_has(filter_hash(va, HASH_B))) regions_changed();
}

@inline function region_page(r: Region, i: u32): RegionPage {
  return changetype<RegionPage>(changetype<usize>(r) + REGION_HEADER + <usize>i * NODE_SIZE);
}

/** Linear address of a page of a region whose first page is at `base`. */
@inline function page_address(cpu: Cpu, base: u64, delta: i32): u64 {
  const va = base + <u64>((<i64>delta) << 12);
  return cpu.mode & MODE_CS64 ? va : va & 0xffffffff;
}

/**
 * From the run loop, at micro-op `u` whose form is FORM_REGION: run the region, and those that follow it at once. Returns the micro-op to go
 * on with, 0 = left (see branch.ts); the number of retired instructions is in cpu.n.
 */
export function region_enter(cpu: Cpu, u: usize): usize {
  const before = cpu.n;
  const left = cpu.limit - before;
  // A region passes from page to page unseen, and under alignment checking its accesses find no translation.
  if (left <= 0 || cpu.mode & (MODE_BREAK | MODE_ALIGN)) return <usize>load<u32>(u, 8);
  let t = u;
  do t = pass(cpu, t);
  while (t && uop_form(t) == FORM_REGION && !one_region);
  landed = t;
  landed_code = cpu.code;
  landed_page = cpu.page_va;
  landed_retired = cpu.retired + <u64>cpu.n;
  region_run += cpu.n - before;
  counters.retired += cpu.n - before;
  // what they retired does not bring the next sample nearer
  const slice = atomic.load<i32>(changetype<usize>(cpu) + CPU_SLICE);
  cpu.limit = cpu.n + left < slice ? cpu.n + left : slice;
  region_kicked = slice == 0;
  if (one_region && cpu.limit > cpu.n) {
    // at least one instruction more, or it would begin with the same region again
    cpu.limit = cpu.n + 1;
    region_ends_slice = true;
    if (t && uop_form(t) == FORM_REGION) t = <usize>load<u32>(t, 8);
  }
  return t;
}

/** Run the region that `u` enters, and those that its function and theirs lead to: the micro-op to go on with, which is the entry's own if the region cannot be entered. */
@inline function pass(cpu: Cpu, u: usize): usize {
  const e = changetype<Entry>(<usize>load<u32>(u, 8));
  const r = changetype<Region>(<usize>e.region);
  if (!fits(cpu, r.weight)) {
    region_near_limit = true;
    counters.limits++;
    return changetype<usize>(e);
  }
  const base = cpu.page_va - <u64>((<i64>region_page(r, e.page).delta) << 12);
  const entered = r.base == base && (r.last == number(cpu, globals) || r.last == number(cpu, space));
  if (!entered && !known(cpu, r, base)) {
    if (r.fn == 0) return region_remove(u, e);
    if (!check(cpu, r, base)) {
      counters.declines++;
      return changetype<usize>(e);
    }
  }
  const jump = jump_at(cpu.page_va + uop_pos(u));
  jump.va = cpu.page_va + uop_pos(u);
  jump.key = key(cpu, r.last);
  jump_set(jump, base, r.weight, r.fn, e.index);
  jump.region = <u32>changetype<usize>(r);
  return follow(cpu, jump);
}

/** Run a region that may be entered, and those behind it as long as each leaves for an address at which one is known to begin. */
function follow(cpu: Cpu, jump: Jump): usize {
  let r: Region;
  let base: u64;
  let out: u32;
  // No region changes these: what does is the interpreter's.
  const everywhere = key(cpu, number(cpu, globals));
  const here = key(cpu, number(cpu, space));
  do {
    r = changetype<Region>(<usize>jump.region);
    base = jump_base(jump);
    counters.entries++;
    out = call_indirect<u32>(jump_function(jump), cpu, jump_entry(jump), base);
    if (out >>> OUT_KIND != OUT_TARGET || one_region) break;
    counters.targets++;
    const target = load<u64>(changetype<usize>(cpu) + CPU_TARGET);
    jump = jump_at(target);
    if (jump.va != target) break;
  } while ((jump.key == everywhere || jump.key == here) && fits(cpu, jump_weight(jump)));
  return behind(cpu, r, base, out);
}

/** Is enough of the slice left? */
@inline function fits(cpu: Cpu, weight: u32): bool {
  return cpu.n + <i32>weight < load<i32>(changetype<usize>(cpu) + CPU_SLICE);
}

/** The micro-op behind a region that was at `base` and has returned `out`; 0 = left. */
function behind(cpu: Cpu, r: Region, base: u64, out: u32): usize {
  const page = region_page(r, (out & OUT_PLACE) >>> 12);
  cpu.page_va = page_address(cpu, base, page.delta);
  cpu.code = page.code;
  const kind = out >>> OUT_KIND;
  if (kind == OUT_TARGET) return lookup(cpu, load<u64>(changetype<usize>(cpu) + CPU_TARGET));
  const off = out & 0xfff;
  const t = <usize>load<u32>(<usize>page.code + PAGE_OFFSETS + (off << 2));
  if (t == 0) return lookup(cpu, cpu.page_va + off);
  if (kind == OUT_INTERPRET) {
    counters.interprets++;
    if (uop_form(t) == FORM_REGION) return <usize>load<u32>(t, 8);
  }
  return t;
}

/** What stood at a micro-op before it became an entry. */
export function region_original(u: usize): usize {
  return <usize>load<u32>(u, 8);
}

/** A number as regions keep it: user and supervisor differ in what they may execute. */
@inline function number(cpu: Cpu, n: u64): u64 {
  return (n << 1) | (<u64>(cpu.cpl == 3));
}

/** What a Jump keeps of a number: how code is decoded belongs to it. */
@inline function key(cpu: Cpu, n: u64): u64 {
  return n | ((<u64>(cpu.mode & MODE_CODE_KEY)) << 48);
}

/** Has the region been looked at under the present translations, there? */
function known(cpu: Cpu, r: Region, base: u64): bool {
  const here = number(cpu, space);
  const everywhere = number(cpu, globals);
  const list = changetype<usize>(r) + REGION_SPACES;
  for (let i: usize = 0; i < SPACES_SIZE; i += SPACE_SIZE) {
    const n = load<u64>(list + i);
    if ((n != everywhere && n != here) || load<u64>(list + i, 8) != base) continue;
    r.last = n;
    r.base = base;
    return true;
  }
  return false;
}

/** Look at the region's pages: is each mapped to the frame that was translated, with the same bytes? */
function check(cpu: Cpu, r: Region, base: u64): bool {
  if (r.not_in == number(cpu, space)) return false;
  counters.checks++;
  let global = true;
  // No direct branch of the region may reach an address that is not canonical: those are the interpreter's.
  if (cpu.mode & MODE_CS64 && !(canonical(base + r.reach) && canonical(base - r.reach))) return false;
  for (let i: u32 = 0; i < r.pages; i++) {
    const p = region_page(r, i);
    const code = changetype<CodePage>(<usize>p.code);
    if (code.mode != (cpu.mode & MODE_CODE_KEY) || !current(p)) return dead(r);
    const va = page_address(cpu, base, p.delta);
    if (!mapped(cpu, va, p)) {
      r.not_in = number(cpu, space);
      return false;
    }
    if (!(mapped_flags & ENTRY_GLOBAL)) global = false;
    filter_add(va);
  }
  const at = changetype<usize>(r) + REGION_SPACES + <usize>r.turn * SPACE_SIZE;
  store<u64>(at, number(cpu, global ? globals : space));
  store<u64>(at, base, 8);
  r.turn = (r.turn + 1) & (SPACES - 1);
  return true;
}

/** Are the bytes of a page those that were decoded and translated? */
function current(p: RegionPage): bool {
  const code = changetype<CodePage>(<usize>p.code);
  const generation = atomic.load<u32>(changetype<usize>(frame(p.mfn)) + offsetof<Frame>('code_generation'));
  return code.mfn == p.mfn && code.edition == p.edition && code.generation == generation;
}

/** The region will not be right again, and whoever leads to it looks again. */
function dead(r: Region): bool {
  if (r.fn == 0) return false;
  regions_changed();
  counters.dead++;
  r.place = r.fn;
  r.next_dead = <u32>first_dead;
  first_dead = changetype<usize>(r);
  r.fn = 0;
  r.last = 0;
  memory.fill(changetype<usize>(r) + REGION_SPACES, 0, SPACES_SIZE);
  return false;
}

/** Decoded bytes of a code page have changed: `list` is its CodePage.regions. */
export function regions_dead(list: usize): void {
  for (let n = list; n; n = <usize>load<u32>(n, NODE_NEXT)) dead(changetype<Region>(<usize>load<u32>(n, NODE_REGION)));
}

/** A place in the table of functions that a dead region had, once; 0 = there is none. */
export function region_vacant(): u32 {
  const r = changetype<Region>(first_dead);
  if (!first_dead) return 0;
  first_dead = r.next_dead;
  return r.place;
}

/** An entry of a dead region becomes again what it was. */
function region_remove(u: usize, e: Entry): usize {
  if (<usize>e.at == u) {
    memory.copy(u, changetype<usize>(e), UOP_SIZE);
    sample_forget(u);
  }
  return changetype<usize>(e);
}

/** ENTRY_* of the translation that mapped() has found. */
let mapped_flags: u32 = 0;

/** Is the frame of `p` what executes at `va`? */
function mapped(cpu: Cpu, va: u64, p: RegionPage): bool {
  const e = tlb_exec_entry(<usize>cpu.tlb, va);
  if (load<u64>(e, TLB_X) == va && load<u32>(e, TLB_CODE) == p.code) {
    mapped_flags = load<u8>(set_flags_at(set_current, e));
    return true;
  }
  const gpa = guest_va_to_gpa(cpu, va, 2, cpu.cpl == 3, true);
  // as if it were in the TLB: forgetting a large page by another of its addresses then forgets this one
  set_inserted(tlb_table(cpu), va, walk_flags);
  mapped_flags = walk_flags;
  if (gpa != ~0 && walk_table_mfn != INVALID_MFN) engine_table_walked(cpu, walk_table_mfn, va);
  return gpa != ~0 && engine_gfn_frame(cpu, gpa >> 12, false) == p.mfn;
}

/** The answer to this pCPU's request in slot `i`, function number `fn` (0 = none). Frees the slot. 1 = the region is in use. */
export function region_install(i: u32, fn: u32): i32 {
  const q = request_slot(i);
  const r = fn && q.state == SLOT_DONE && q.epoch == epoch ? place(q, fn) : null;
  if (r != null) counters.installed++;
  else {
    counters.rejected++;
    if (q.epoch == epoch) sample_forget(load<u32>(code_slot(changetype<CodePage>(<usize>q.code), q.offset)));
  }
  atomic.store<u32>(changetype<usize>(q), SLOT_FREE);
  return r != null ? 1 : 0;
}

function place(q: Request, fn: u32): Region | null {
  const size = REGION_HEADER + <usize>q.pages * NODE_SIZE;
  if (bump + size + <usize>q.entries * ENTRY_SIZE > area + PCPU_REGIONS_SIZE) {
    regions_full = true;
    return null;
  }
  for (let i: u32 = 0; i < q.pages; i++) {
    const p = request_page(q, i);
    const code = changetype<CodePage>(<usize>p.code);
    if (code.mode != q.mode || !current(p)) return null;
  }
  const r = changetype<Region>(bump);
  bump += size;
  memory.fill(changetype<usize>(r), 0, REGION_HEADER);
  r.fn = fn;
  r.weight = q.weight;
  r.reach = (<u64>q.reach) << 12;
  r.pages = q.pages;
  for (let i: u32 = 0; i < q.pages; i++) {
    const n = changetype<usize>(region_page(r, i));
    memory.copy(n, changetype<usize>(request_page(q, i)), REGION_PAGE_SIZE);
    const code = changetype<CodePage>(<usize>request_page(q, i).code);
    store<u32>(n, code.regions, NODE_NEXT);
    store<u32>(n, <u32>changetype<usize>(r), NODE_REGION);
    code.regions = <u32>n;
  }
  for (let i: u32 = 0; i < q.entries; i++) enter_at(q, r, i);
  return r;
}

/** Turn the micro-op at entry `i` into the way into the region. */
function enter_at(q: Request, r: Region, i: u32): void {
  const place = load<u32>(request_entry(q, i));
  const page = region_page(r, place >>> 12);
  const u = <usize>load<u32>(<usize>page.code + PAGE_OFFSETS + ((<usize>(place & 0xfff)) << 2));
  if (u == 0) return;
  const form = uop_form(u);
  // An older region keeps its entries; code that goes away needs none; a breakpoint stops before what it stands for.
  if (form == FORM_REGION || form == FORM_RESYNC || form == FORM_BRK) return;
  const e = changetype<Entry>(bump);
  bump += ENTRY_SIZE;
  memory.copy(changetype<usize>(e), u, UOP_SIZE);
  const behind = u + UOP_SIZE;
  const next = uop_pos(u) + uop_len(u);
  pseudo(changetype<usize>(e) + UOP_SIZE, FORM_GOTO, next & 0xfff, next);
  store<u32>(changetype<usize>(e) + UOP_SIZE, <u32>behind, 12);
  e.region = <u32>changetype<usize>(r);
  e.index = i;
  e.page = place >>> 12;
  e.at = <u32>u;
  store<u16>(u, <u16>FORM_REGION);
  store<u32>(u, <u32>changetype<usize>(e), 8);
}
