// Samples of where vCPUs are, for the platform's profiler, as log records: {u64 RIP, u64 CR3, u16 kind, u16 tier, u32 weight, u16 vCPU, u16 CPL,
// u16 pCPU, u16 frames, u64 last hypercall, u64 LSTAR} and the return addresses of the frame-pointer chain.
//
// A tick (of a thread of its own, or every so many instructions) asks the pCPU for a sample; the pCPU takes it when it has left guest
// code, so RIP is at most one straight run of instructions behind the tick. Ticks that come meanwhile add to the sample's weight.
import { Cpu } from '../arch/x86/cpu';
import { canonical } from '../arch/x86/limits';
import { ACCESS_READ, TABLE_SUPERVISOR_AC, walk, walk_gpa } from '../arch/x86/mmu/paging';
import { MODE_CS64 } from '../arch/x86/modes';
import { pv_kernel } from '../arch/x86/pv/state';
import { host, host_lock, host_unlock } from '../shared/host';
import { INVALID_MFN, mfn_to_ptr } from '../shared/memory';
import { Pcpu, pcpu_get } from '../shared/pcpu';
import { Domain } from './domain';
import { log_close, log_open } from './log';
import { LOG_SAMPLE, SAMPLE_GUEST, SAMPLE_HYPERVISOR, SAMPLE_IDLE } from './log_codes';
import { p2m_frame } from './p2m';
import { region_kicked } from '../translator/regions';
import { NS_PER_INSTRUCTION_SHIFT } from './time';
import { cpu_of, Vcpu, vcpu_arg, vcpu_domain, vcpu_kick, VCPU_RING } from './vcpu';

const SAMPLE_SIZE: u32 = 48;
const MAX_FRAMES: u32 = 64;
/** A frame is taken to be at most this far above the one it was called from. */
const MAX_FRAME_SIZE: u64 = 0x10000;

/** One tick of the profiler's clock: ask every pCPU for a sample. Callable by any thread. */
export function profile_tick(): void {
  const n = host().pcpu_count;
  for (let i: u32 = 0; i < n; i++) {
    const p = pcpu_get(i);
    const at = changetype<usize>(p);
    if (atomic.load<u32>(at + offsetof<Pcpu>('current')) == 0) idle_sample(p, 1);
    else if (atomic.load<u32>(at + offsetof<Pcpu>('in_guest')) == 0) {
      atomic.add<u32>(at + offsetof<Pcpu>('sample_own'), 1);
    } else {
      atomic.add<u32>(at + offsetof<Pcpu>('sample_guest'), 1);
      // With the lock no domain goes away; the pCPU holds it only if it has left the guest meanwhile.
      host_lock();
      const v = changetype<Vcpu | null>(<usize>p.current);
      if (v != null) vcpu_kick(v);
      host_unlock();
    }
  }
}

/** Instead of ticks: a sample whenever a vCPU has retired this many instructions; 0 = none. For machines without a clock. */
export function profile_period(instructions: u32): void {
  host().sample_period = instructions;
}

/** In deterministic mode time jumps over idle stretches: as many samples as periods fit. */
export function profile_idle(p: Pcpu, ns: u64): void {
  const period = host().sample_period;
  if (period) idle_sample(p, <u32>((ns >> NS_PER_INSTRUCTION_SHIFT) / period));
}

function idle_sample(p: Pcpu, weight: u32): void {
  if (!weight) return;
  const r = log_open(LOG_SAMPLE, 0, SAMPLE_SIZE);
  memory.fill(r, 0, SAMPLE_SIZE);
  store<u32>(r, SAMPLE_IDLE, 16);
  store<u32>(r, weight, 20);
  store<u16>(r, <u16>p.id, 28);
  log_close(r);
}

/** The vCPU has left guest code: take the sample that is due. Called for every exit, so it only looks first. */
@inline export function profile_guest(p: Pcpu, v: Vcpu): void {
  const at = changetype<usize>(p);
  if (atomic.load<u32>(at + offsetof<Pcpu>('sample_guest')))
    sample(p, v, SAMPLE_GUEST, atomic.xchg<u32>(at + offsetof<Pcpu>('sample_guest'), 0));
  else if (host().sample_period) periodic(p, v);
}

/** The exit has been handled; a tick that came meanwhile belongs to the hypervisor. */
@inline export function profile_own(p: Pcpu, v: Vcpu): void {
  const at = changetype<usize>(p);
  if (atomic.load<u32>(at + offsetof<Pcpu>('sample_own')))
    sample(p, v, SAMPLE_HYPERVISOR, atomic.xchg<u32>(at + offsetof<Pcpu>('sample_own'), 0));
}

function periodic(p: Pcpu, v: Vcpu): void {
  const period = <u64>host().sample_period;
  const due = cpu_of(v).retired / period;
  const weight = due - v.samples;
  v.samples = due;
  if (weight) sample(p, v, SAMPLE_GUEST, <u32>weight);
}

function sample(p: Pcpu, v: Vcpu, kind: u32, weight: u32): void {
  const cpu = cpu_of(v);
  const frames = vcpu_arg(v);
  const n = cpu.mode & MODE_CS64 ? chain(cpu, vcpu_domain(v), frames) : 0;
  const r = log_open(LOG_SAMPLE, vcpu_domain(v).domid, SAMPLE_SIZE + 8 * n);
  store<u64>(r, cpu.rip);
  store<u64>(r, cpu.cr3, 8);
  store<u16>(r, <u16>kind, 16);
  store<u16>(r, <u16>(region_kicked ? 1 : 0), 18);
  store<u32>(r, weight, 20);
  store<u16>(r, <u16>v.id, 24);
  // A PV guest's kernel runs in ring 3, and is told from its programs all the same.
  store<u16>(r, pv_kernel(cpu) ? 0 : <u16>cpu.cpl, 26);
  store<u16>(r, <u16>p.id, 28);
  store<u16>(r, <u16>n, 30);
  store<u64>(r, load<u64>(changetype<usize>(v) + VCPU_RING + (((<usize>(v.ring_next - 1)) & 15) << 6)), 32);
  store<u64>(r, cpu.lstar, 40);
  memory.copy(r + SAMPLE_SIZE, frames, 8 * n);
  log_close(r);
}

/** Host address of an aligned word of guest memory, 0 if nothing is mapped there. Nothing is marked accessed. */
function word_at(cpu: Cpu, d: Domain, va: u64): usize {
  if (va & 7 || !canonical(va) || !walk(cpu, va, ACCESS_READ, TABLE_SUPERVISOR_AC)) return 0;
  const mfn = p2m_frame(d, walk_gpa >> 12);
  return mfn == INVALID_MFN ? 0 : mfn_to_ptr(mfn) + <usize>(walk_gpa & 0xfff);
}

/**
 * Return addresses by the chain of frame pointers, as long as it holds: RBP points above the stack pointer, each frame above the one
 * before, and to a return address behind a CALL. Code that uses RBP for other things ends it at once.
 */
function chain(cpu: Cpu, d: Domain, out: usize): u32 {
  let below = cpu.rsp;
  let frame = cpu.rbp;
  let n: u32 = 0;
  while (n < MAX_FRAMES && frame >= below && frame - below < MAX_FRAME_SIZE) {
    const saved = word_at(cpu, d, frame);
    if (!saved) break;
    const next = load<u64>(saved);
    const at = word_at(cpu, d, frame + 8);
    if (!at) break;
    const ret = load<u64>(at);
    if (!behind_call(cpu, d, ret)) break;
    store<u64>(out + ((<usize>n) << 3), ret);
    n++;
    below = frame + 16;
    frame = next;
  }
  return n;
}

/** Do the bytes before `ret` end in a CALL: E8 rel32, or FF /2 with any operand? */
function behind_call(cpu: Cpu, d: Domain, ret: u64): bool {
  if (byte_at(cpu, d, ret - 5) == 0xe8) return true;
  for (let length: u64 = 2; length <= 7; length++) {
    if (byte_at(cpu, d, ret - length) == 0xff && ((byte_at(cpu, d, ret - length + 1) >>> 3) & 7) == 2) return true;
  }
  return false;
}

/** A byte of guest memory; -1 if nothing is mapped there. */
function byte_at(cpu: Cpu, d: Domain, va: u64): i32 {
  const word = word_at(cpu, d, va & ~7);
  return word ? <i32>load<u8>(word + ((<usize>va) & 7)) : -1;
}
