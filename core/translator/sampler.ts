// Finding hot code: the interpreter is stopped every few thousand instructions, and where it stands then is counted. What is seen
// again is asked for. A sample falls on a block with the probability of the time that is spent there, and costs the loop nothing.
import { Cpu } from '../arch/x86/cpu';
import { MODE_CODE_KEY, MODE_CS64, MODE_FLAT } from '../arch/x86/modes';
import { PCPU_SAMPLES } from '../engine/layout';
import { CodePage } from '../engine/code_cache';
import { uop_form, uop_pos } from '../engine/uop';
import { FORM_CROSS, FORM_GOTO, FORM_PSEUDO_FIRST, FORM_PSEUDO_LAST, FORM_REGION } from '../gen/forms';
import {
  AREA_POSTED,
  AREA_READY,
  REQUEST_SLOTS,
  Request,
  SLOT_FREE,
  SLOT_READY,
  SLOT_WRITING,
  request_slot,
  translator_area,
} from './layout';
import { landed, landed_code, landed_page, landed_retired, region_epoch } from './regions';

/** Interpreted instructions between two samples: at least, and how many more by chance. A fixed number would fall into step with a loop. */
const INTERVAL: u32 = 1000;
const SPREAD: u32 = 2048;
/** Samples at a place before it is translated: it has then cost about as much as its translation will. */
const HOT: u32 = 64;
/** Instructions within which what the interpreter runs would lie in a region from where it took over. */
const PIECE: u64 = 200;
const ASKED: u32 = 0x80000000;
const ENTRIES: u32 = 2048;

let seed: u32 = 1;
/** Instructions to be interpreted until the next sample. */
let until: i32 = <i32>INTERVAL;

/** How long the interpreter may run before it is looked at. */
export function sample_wait(): i32 {
  return until;
}
/** So many instructions have been interpreted: true = look where it stands. */
export function sample_due(interpreted: i32): bool {
  until -= interpreted;
  if (until > 0) return false;
  seed = seed * 1664525 + 1013904223;
  until = <i32>(INTERVAL + ((seed >>> 21) % SPREAD));
  return true;
}

let table: usize = 0;
let pcpu: u32 = 0;
let enabled: bool = false;

export function sampler_attach(area: usize, id: i32): void {
  table = area + PCPU_SAMPLES;
  pcpu = id;
}

/** Whether hot code is translated at all. */
export function translator_enable(on: i32): void {
  enabled = on != 0;
}
@inline export function sampling(): bool {
  return enabled;
}

export function samples_flush(): void {
  memory.fill(table, 0, ENTRIES << 3);
}

@inline function sample_of(u: usize): usize {
  return table + ((((u >>> 4) * 0x9e3779b1) >>> 21) << 3);
}

/** What was translated at micro-op `u` is of no use any more: it may be asked for again. */
export function sample_forget(u: usize): void {
  const e = sample_of(u);
  if (load<u32>(e) == <u32>u) store<u64>(e, 0);
}

/**
 * The interpreter stands at micro-op `u` of the present code page. Soon behind a region the place is the one where it took over, for a region that begins
 * there holds what was run since: flat code is hundreds of such pieces, each run once in a round, and no place within them is met twice in a while.
 */
export function sample(cpu: Cpu, u: usize): void {
  const piece = cpu.retired - landed_retired;
  if (landed && piece < PIECE && count(cpu, landed, landed_code, landed_page)) return;
  if (uop_form(u) != FORM_REGION) count(cpu, u, cpu.code, cpu.page_va);
}

/** False = no region is to be had there, or one has been asked for. */
function count(cpu: Cpu, u: usize, code: u32, page_va: u64): bool {
  if (!translatable(cpu, u)) return false;
  // what is written again and again is not worth it
  const page = changetype<CodePage>(<usize>code);
  if (page.unrest) {
    page.unrest--;
    return true;
  }
  const e = sample_of(u);
  if (load<u32>(e) != <u32>u) {
    // the newcomer has to be seen more often than who is here, if that one has not got a region already
    const who = <usize>load<u32>(e);
    const n = load<u32>(e, 4) & ~ASKED;
    if (n > 1 && uop_form(who) != FORM_REGION) {
      store<u32>(e, n - 1, 4);
      return true;
    }
    store<u32>(e, <u32>u);
    store<u32>(e, 1, 4);
    return true;
  }
  const n = load<u32>(e, 4) + 1;
  if (n & ASKED) return false;
  store<u32>(e, n, 4);
  if (n >= HOT && ask(cpu, uop_pos(u), code, page_va)) store<u32>(e, n | ASKED, 4);
  return true;
}

function translatable(cpu: Cpu, u: usize): bool {
  const form = uop_form(u);
  return (form < FORM_PSEUDO_FIRST || form > FORM_PSEUDO_LAST) && (cpu.mode & MODE_FLAT) != 0;
}

/** Ask for a region at micro-op `u` of the present code page at once; false = there is none to be had. */
export function want(cpu: Cpu, u: usize): bool {
  return enabled && translatable(cpu, u) && ask(cpu, uop_pos(u), cpu.code, cpu.page_va);
}

function claim(): Request | null {
  for (let i: u32 = 0; i < REQUEST_SLOTS; i++) {
    const r = request_slot(i);
    if (atomic.load<u32>(changetype<usize>(r)) != SLOT_FREE) continue;
    if (atomic.cmpxchg<u32>(changetype<usize>(r), SLOT_FREE, SLOT_WRITING) == SLOT_FREE) return r;
  }
  return null;
}

function ask(cpu: Cpu, offset: u32, code: u32, page_va: u64): bool {
  const r = claim();
  if (r == null) return false;
  r.pcpu = pcpu;
  r.mode = cpu.mode & MODE_CODE_KEY;
  r.tlb = cpu.tlb;
  r.code = code;
  r.offset = offset;
  r.page_va = page_va;
  r.epoch = region_epoch();
  atomic.store<u32>(changetype<usize>(r), SLOT_READY);
  const posted = translator_area() + AREA_POSTED;
  atomic.add<u32>(posted, 1);
  atomic.notify(posted, 1);
  return true;
}

/** Answers this pCPU's platform has taken. */
let taken: u32 = 0;
function answers(id: u32): usize {
  return translator_area() + AREA_READY + ((<usize>id) << 2);
}
/** Has the translator answered since the platform last looked? */
export function translator_answered(id: u32): bool {
  return enabled && atomic.load<u32>(answers(id)) != taken;
}
/** The platform looks for answers now. */
export function translator_take(id: u32): void {
  taken = atomic.load<u32>(answers(id));
}
