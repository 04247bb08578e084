// Entry of the module that arm64.test.ts compiles: one block of instructions, decoded, then run by Eval or as recorded IR.
import { arm64_decode, arm64_eval, arm64_is_branch, arm64_record } from '../../gen/arm64';
import { ir_eval } from '../../engine/ir_eval';
import { RECORD_SIZE } from '../../engine/record_base';
import { TLB_ADDEND, TLB_R, TLB_W, tlb_entry } from '../../engine/tlb';
import { UOP_SIZE } from '../../engine/uop';
import { Arm64Eval } from './eval';
import { Arm64Record } from './record';
import { EC_UNKNOWN, STATE_TLB } from './state';

const STATE: usize = 0x2000;
const WORDS: usize = 0x3000;
const UOPS: usize = 0x4000;
const RECORDER: usize = 0x6000;
const BUFFER: usize = 0x7000;
const BUFFER_SIZE: usize = 0x4000;
const TLB: usize = 0xc000;

export function state(): usize {
  return STATE;
}
export function words(): usize {
  return WORDS;
}

/** One page of data at linear address `va` lies at `host`. */
export function reset(va: u64, host: u32, writable: bool): void {
  for (let e = TLB; e < TLB + 0x4000; e += 8) store<u64>(e, 1);
  const e = tlb_entry(TLB, va);
  store<u64>(e + TLB_R, va);
  if (writable) store<u64>(e + TLB_W, va);
  store<u32>(e + TLB_ADDEND, host - <u32>va);
  store<u32>(STATE + STATE_TLB, <u32>TLB);
}

/** Decodes `n` words at page offset `pos`; returns how many are defined. */
function decode(n: u32, pos: u32): u32 {
  for (let i: u32 = 0; i < n; i++) {
    const u = UOPS + <usize>i * UOP_SIZE;
    if (!arm64_decode(load<u32>(WORDS + ((<usize>i) << 2)), pos + (i << 2), u)) return i;
  }
  return n;
}

/** Ends a run behind the last micro-op decoded: the next instruction is UNDEFINED, or the block's end. */
function done(b: Arm64Eval, next: usize, n: u32, defined: u32): void {
  if (next == 0) return;
  b.fault(UOPS + <usize>defined * UOP_SIZE);
  if (defined < n) b.guard(1, EC_UNKNOWN);
}

/** Runs a block with the interpreter. */
export function run_eval(n: u32, pos: u32): void {
  const b = changetype<Arm64Eval>(STATE);
  const defined = decode(n, pos);
  arm64_decode(0, pos + (defined << 2), UOPS + <usize>defined * UOP_SIZE);
  const end = UOPS + <usize>defined * UOP_SIZE;
  let u = UOPS;
  while (u != 0 && u < end) {
    if (arm64_is_branch(u)) u = arm64_eval(b, u);
    else u = arm64_eval(b, u) ? b.fault(u) : u + UOP_SIZE;
  }
  done(b, u, n, defined);
}

/** Runs a block as IR: not-taken branches end a block, the next one begins behind. */
export function run_ir(n: u32, pos: u32): void {
  const b = changetype<Arm64Eval>(STATE);
  const defined = decode(n, pos);
  arm64_decode(0, pos + (defined << 2), UOPS + <usize>defined * UOP_SIZE);
  const end = UOPS + <usize>defined * UOP_SIZE;
  let u = UOPS;
  while (u != 0 && u < end) u = ir_eval<Arm64Eval>(b, BUFFER, record(u, end));
  done(b, u, n, defined);
}

function record(u: usize, end: usize): usize {
  const r = changetype<Arm64Record>(RECORDER);
  assert(RECORDER + RECORD_SIZE <= BUFFER);
  r.start(BUFFER, BUFFER_SIZE, 0);
  let open = true;
  for (; open && u < end; u += UOP_SIZE) {
    r.begin(u);
    arm64_record(r, u);
    open = r.finish();
  }
  if (open) r.close();
  return <usize>r.cursor;
}
