// The pages of the region in work. Where a linear page lies is read from the TLB of the pCPU that asks, while it runs: what comes of it
// is a guess that the pCPU checks before it uses the region.
import { MODE_CS64 } from '../arch/x86/modes';
import { target_known } from '../engine/branch_targets';
import { CodePage, PAGE_OFFSETS } from '../engine/code_cache';
import { TLB_ADDEND, TLB_CODE, TLB_X, tlb_exec_entry } from '../engine/tlb';
import { uop_form } from '../engine/uop';
import { FORM_REGION } from '../gen/forms';
import { host } from '../shared/host';
import { ptr_to_mfn } from '../shared/memory';
import { pcpu_area } from '../shared/pcpu';
import { MAX_PAGES, RegionPage, Request, request_page } from './layout';
import { work_clear_page } from './work';

let request: Request = changetype<Request>(0);

/** Start with the page of the wanted entry. False: it is no more. */
export function pages_begin(r: Request): bool {
  request = r;
  r.pages = 0;
  const code = changetype<CodePage>(<usize>r.code);
  return code.mode == r.mode && add(code, 0);
}

function add(code: CodePage, delta: i32): bool {
  const mfn = code.mfn;
  if (mfn < host().first_frame || mfn >= host().memory_frames) return false;
  const i = request.pages++;
  const p = request_page(request, i);
  p.mfn = mfn;
  p.edition = code.edition;
  p.delta = delta;
  p.code = <u32>changetype<usize>(code);
  work_clear_page(i);
  return true;
}

@inline export function page_delta(i: u32): i32 {
  return request_page(request, i).delta;
}
@inline export function page_mfn(i: u32): u32 {
  return request_page(request, i).mfn;
}
@inline export function page_bytes(i: u32): usize {
  return (<usize>page_mfn(i)) << 12;
}

/** Number of the page `delta` pages from the first, known or taken in now; -1 = not to be had. */
export function page_find(delta: i32): i32 {
  for (let i: u32 = 0; i < request.pages; i++) if (page_delta(i) == delta) return <i32>i;
  if (request.pages == MAX_PAGES) return -1;
  let va = request.page_va + <u64>((<i64>delta) << 12);
  if (!(request.mode & MODE_CS64)) va &= 0xffffffff;
  const e = tlb_exec_entry(<usize>request.tlb, va);
  if (load<u64>(e, TLB_X) != va) return -1;
  const c = <usize>load<u32>(e, TLB_CODE);
  if (c == 0) return -1;
  const code = changetype<CodePage>(c);
  if (code.mode != request.mode || code.mfn != ptr_to_mfn(<usize>(<u32>va + load<u32>(e, TLB_ADDEND)))) return -1;
  return add(code, delta) ? <i32>request.pages - 1 : -1;
}

/** Number of the page if it is in the region. */
export function page_known(delta: i32): i32 {
  for (let i: u32 = 0; i < request.pages; i++) if (page_delta(i) == delta) return <i32>i;
  return -1;
}

/** Has the interpreter decoded what lies at this offset? Then it is told of writes to it. */
export function page_visited(i: u32, off: u32): bool {
  return load<u32>(<usize>request_page(request, i).code + PAGE_OFFSETS + ((<usize>off) << 2)) != 0;
}

/** The interpreter's micro-op at an offset, 0 = none; an entry's is kept elsewhere. */
function interpreted(i: u32, off: u32): usize {
  const u = <usize>load<u32>(<usize>request_page(request, i).code + PAGE_OFFSETS + ((<usize>off) << 2));
  return u && uop_form(u) == FORM_REGION ? <usize>load<u32>(u, 8) : u;
}

/** Where the indirect branch at an offset led when it was interpreted last, from the start of its page; 0 = not known. */
export function page_last_target(i: u32, off: u32): i64 {
  const u = interpreted(i, off);
  return u ? <i64>load<i32>(u, 12) : 0;
}

/** The same of whatever it led to before, the `k`-th; 0 = there are no more. */
export function page_target(i: u32, off: u32, k: u32): i64 {
  return <i64>target_known(pcpu_area(request.pcpu), interpreted(i, off), k);
}

/** Are so many bytes at the page's beginning known to be the end of an instruction of the page before? */
export function page_head(i: u32, bytes: u32): bool {
  return changetype<CodePage>(<usize>request_page(request, i).code).head >= bytes;
}
