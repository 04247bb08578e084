// What pCPUs and the translator share: request slots in machine memory, and the limits of a region. docs/design/translator.md.
import { host } from '../shared/host';

/** Pages a region spans, blocks, entries and micro-ops it has, at most. */
export const MAX_PAGES: u32 = 16;
export const MAX_BLOCKS: u32 = 160;
export const MAX_ENTRIES: u32 = 24;
export const MAX_WEIGHT: u32 = 150;
/** With so many micro-ops a region does not follow calls of functions that others have. */
export const SMALL_REGION: u32 = 128;

/** A page of a region: `delta` in pages from the first one; `code` is the requesting pCPU's code page. */
@unmanaged
export class RegionPage {
  mfn: u32;
  /** CodePage.edition when its bytes were read. */
  edition: u32;
  delta: i32;
  code: u32;
}
export const REGION_PAGE_SIZE: usize = 16;

/** FREE → (pCPU) WRITING → READY → (translator) DONE, or FREE if there is nothing to translate → (pCPU) FREE. */
export const SLOT_FREE: u32 = 0;
export const SLOT_WRITING: u32 = 1;
export const SLOT_READY: u32 = 2;
export const SLOT_DONE: u32 = 3;

/** One request for a region and what became of it. */
@unmanaged
export class Request {
  state: u32;
  pcpu: u32;
  /** MODE_CODE_KEY bits. */
  mode: u32;
  /** The TLB table in which to find the other pages: read while its pCPU runs, so only a hint. */
  tlb: u32;
  /** Code page and offset of the wanted entry, and the page's linear address. */
  code: u32;
  offset: u32;
  page_va: u64;
  /** What the pCPU compares when the answer comes: decoded code may have been forgotten meanwhile. */
  epoch: u32;
  // the answer
  weight: u32;
  pages: u32;
  entries: u32;
  blocks: u32;
  bytes: u32;
  /** How far from its first page direct branches lead out of the region, in pages. */
  reach: u32;
  // RegionPage[MAX_PAGES] at REQUEST_PAGES, u32[MAX_ENTRIES] (page << 12 | offset) at REQUEST_ENTRIES
}
export const REQUEST_PAGES: usize = 64;
export const REQUEST_ENTRIES: usize = REQUEST_PAGES + <usize>MAX_PAGES * REGION_PAGE_SIZE;
export const REQUEST_SIZE: usize = 512;
export const REQUEST_SLOTS: u32 = 32;

/** The translator's area: counters, request slots, then its own working memory. */
export const AREA_POSTED: usize = 0; // requests ever posted, a futex
export const AREA_EMPTY: usize = 4; // those in which there was nothing to translate
export const AREA_FAILED: usize = 8; // and those that failed by a mistake of ours
export const AREA_READY: usize = 64; // u32 for each pCPU: answers ever given
export const AREA_SLOTS: usize = 0x1000;
export const AREA_WORK: usize = AREA_SLOTS + <usize>REQUEST_SLOTS * REQUEST_SIZE;

@inline export function translator_area(): usize {
  return <usize>host().translator;
}
@inline export function request_slot(i: u32): Request {
  return changetype<Request>(translator_area() + AREA_SLOTS + <usize>i * REQUEST_SIZE);
}
@inline export function request_page(r: Request, i: u32): RegionPage {
  return changetype<RegionPage>(changetype<usize>(r) + REQUEST_PAGES + <usize>i * REGION_PAGE_SIZE);
}
@inline export function request_entry(r: Request, i: u32): usize {
  return changetype<usize>(r) + REQUEST_ENTRIES + ((<usize>i) << 2);
}

/** What a region's function returns: where the guest goes on and how. A place is page << 12 | offset. */
export const OUT_PLACE: u32 = 0xfffff;
export const OUT_KIND: u32 = 20;
/** Go on at the place. */
export const OUT_GO: u32 = 0;
/** The interpreter runs the instruction at the place: it misses the TLB, faults, or is rare. */
export const OUT_INTERPRET: u32 = 1;
/** Go on at the address in Cpu.target; the place is the branch's. */
export const OUT_TARGET: u32 = 2;
