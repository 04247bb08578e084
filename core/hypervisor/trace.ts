// What `--trace` and trace files are told, as log records; each is asked for by a flag of the host (HOST_TRACE_*) and costs one look else.
import { hypercall_handle } from '../gen/handles';
import { host, HOST_TRACE_EVENTS, HOST_TRACE_RUNS } from '../shared/host';
import { Domain } from './domain';
import { copy_from_guest } from './guest_access';
import { log_close, log_open } from './log';
import { LOG_EVENT, LOG_HYPERCALL, LOG_INTERRUPT, LOG_RUN, LOG_STATE } from './log_codes';
import { Vcpu, vcpu_arg, vcpu_domain } from './vcpu';

/** Bytes of a hypercall's argument structure that its record holds. */
const ARGUMENT: u32 = 64;

@inline export function tracing_runs(): bool {
  return (host().flags & HOST_TRACE_RUNS) != 0;
}

/**
 * A hypercall has been answered: {its entry of the history, with its start in place of the last word; u32 vCPU, bit 31 set if it was in 32-bit code; u32 bytes of its
 * argument structure as it is now, and those}.
 */
export function trace_hypercall(v: Vcpu, entry: usize, start: u64): void {
  const d = vcpu_domain(v);
  const nr = load<u64>(entry);
  const handle = hypercall_handle(<u32>nr);
  const a = vcpu_arg(v);
  let bytes: u32 = 0;
  if (handle >= 0) {
    const at = load<u64>(entry + 8 + ((<usize>handle) << 3));
    // Whole, or up to the end of its page when nothing is mapped behind.
    if (copy_from_guest(v, a, at, ARGUMENT)) bytes = ARGUMENT;
    else {
      const left: u32 = 4096 - ((<u32>at) & 0xfff);
      if (left < ARGUMENT && copy_from_guest(v, a, at, left)) bytes = left;
    }
  }
  const p = log_open(LOG_HYPERCALL, d.domid, 72 + bytes);
  memory.copy(p, entry, 56);
  store<u64>(p, start, 56);
  store<u32>(p, v.id | (v.compat << 31), 64);
  store<u32>(p, bytes, 68);
  memory.copy(p + 72, a, bytes);
  log_close(p);
}

/** Port `port` of `d` becomes pending. */
export function trace_event(d: Domain, port: u32, vcpu: u32): void {
  if (!(host().flags & HOST_TRACE_EVENTS)) return;
  const p = log_open(LOG_EVENT, d.domid, 16);
  store<u64>(p, port);
  store<u64>(p, vcpu, 8);
  log_close(p);
}

/** Guest code has run on pCPU `pcpu` from `start` until now and left for `why` (EXIT_*). */
export function trace_run(v: Vcpu, pcpu: u32, start: u64, retired: u64, why: i32): void {
  const p = log_open(LOG_RUN, vcpu_domain(v).domid, 32);
  store<u64>(p, start);
  store<u64>(p, retired, 8);
  store<u32>(p, v.id, 16);
  store<u32>(p, pcpu, 20);
  store<i32>(p, why, 24);
  store<u32>(p, 0, 28);
  log_close(p);
}

/** The vCPU leaves its run state at `now`. */
export function trace_state(v: Vcpu, now: u64): void {
  const p = log_open(LOG_STATE, vcpu_domain(v).domid, 32);
  store<u64>(p, v.state_entry);
  store<u64>(p, now, 8);
  store<u32>(p, v.id, 16);
  store<u32>(p, v.state, 20);
  store<u32>(p, v.pcpu, 24);
  store<u32>(p, 0, 28);
  log_close(p);
}

/** An interrupt is delivered: by the event callback (upcall), else by the local APIC or as an NMI. */
export function trace_interrupt(v: Vcpu, vector: u32, upcall: bool): void {
  const p = log_open(LOG_INTERRUPT, vcpu_domain(v).domid, 16);
  store<u32>(p, v.id);
  store<u32>(p, vector, 4);
  store<u32>(p, upcall ? 1 : 0, 8);
  store<u32>(p, 0, 12);
  log_close(p);
}
