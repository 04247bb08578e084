// Raising exceptions, and what follows when one cannot be delivered (Intel SDM vol. 3, chapter 6).
import { Cpu, EXIT_EXCEPTION, EXIT_NONE, EXIT_SHUTDOWN } from './cpu';
import { deliver_event } from './interrupts';
import { pv_deliver } from './pv/bounce';
import { cpu_pv } from './pv/state';

export const EXC_DE: u32 = 0;
export const EXC_DB: u32 = 1;
export const EXC_NMI: u32 = 2;
export const EXC_BP: u32 = 3;
export const EXC_OF: u32 = 4;
export const EXC_BR: u32 = 5;
export const EXC_UD: u32 = 6;
export const EXC_NM: u32 = 7;
export const EXC_DF: u32 = 8;
export const EXC_TS: u32 = 10;
export const EXC_NP: u32 = 11;
export const EXC_SS: u32 = 12;
export const EXC_GP: u32 = 13;
export const EXC_PF: u32 = 14;
export const EXC_MF: u32 = 16;
export const EXC_AC: u32 = 17;
export const EXC_XM: u32 = 19;

/** cpu.exc_flags: the error code is valid; INT n, INT3 or INTO; external interrupt; INT1. */
export const EVENT_ERROR: u32 = 1;
export const EVENT_SOFT: u32 = 2;
export const EVENT_EXTERNAL: u32 = 4;
export const EVENT_INT1: u32 = 8;

/** Vectors that push an error code: 8, 10-14, 17, 21, 29, 30 (SDM table 6-1, APM vol. 2 table 8-1). */
const WITH_ERROR: u32 = 0x60227d00;
/** Contributory exceptions (SDM table 6-4): 0, 10-13. */
const CONTRIBUTORY: u32 = 0x3c01;

/** Make an exception pending for the present instruction. Always 1, the body's "leave". */
export function raise(cpu: Cpu, vector: u32, error: u32): i32 {
  cpu.exc_vector = vector;
  cpu.exc_error = error;
  cpu.exc_flags = (WITH_ERROR >> vector) & 1 ? EVENT_ERROR : 0;
  cpu.exit = EXIT_EXCEPTION;
  return 1;
}

export function raise_pf(cpu: Cpu, va: u64, error: u32): i32 {
  cpu.cr2 = va;
  return raise(cpu, EXC_PF, error);
}

/** 1 benign, 2 contributory, 3 page fault. */
function severity(vector: u32, flags: u32): i32 {
  if (flags & (EVENT_SOFT | EVENT_EXTERNAL | EVENT_INT1)) return 1;
  if (vector == EXC_PF) return 3;
  return vector < 32 && (CONTRIBUTORY >> vector) & 1 ? 2 : 1;
}

/** Does `second`, raised while `first` was being delivered, make a double fault? (SDM table 6-5) */
function doubles(first: i32, second: i32): bool {
  return (first == 2 && second == 2) || (first == 3 && second >= 2);
}

/**
 * Deliver an event with cpu.rip as the return address; further faults are delivered in its place, become a double fault, or shut the
 * vCPU down. EXIT_NONE, EXIT_SHUTDOWN, or another EXIT_* when a device has to answer first (then the event stays pending).
 */
export function deliver(cpu: Cpu, vector: u32, error: u32, flags: u32): i32 {
  if (cpu_pv(cpu)) return pv_deliver(cpu, vector, error, flags);
  // Each further fault is at least as severe as the one before, so the chain is short: benign, contributory or #PF, #DF, shutdown.
  for (let i = 0; i < 8; i++) {
    if (deliver_event(cpu, vector, error, flags, cpu.rip) == 0) {
      cpu.exc_flags = 0;
      cpu.exit = EXIT_NONE;
      return EXIT_NONE;
    }
    if (cpu.exit != EXIT_EXCEPTION) {
      cpu.exc_vector = vector;
      cpu.exc_error = error;
      cpu.exc_flags = flags;
      return cpu.exit;
    }
    const first = severity(vector, flags);
    const second = severity(cpu.exc_vector, cpu.exc_flags);
    const hardware = (flags & (EVENT_SOFT | EVENT_EXTERNAL | EVENT_INT1)) == 0;
    if (vector == EXC_DF && hardware && second >= 2) break;
    if (doubles(first, second)) {
      vector = EXC_DF;
      error = 0;
      flags = EVENT_ERROR;
    } else {
      vector = cpu.exc_vector;
      error = cpu.exc_error;
      flags = cpu.exc_flags;
    }
  }
  cpu.exit = EXIT_SHUTDOWN;
  return EXIT_SHUTDOWN;
}

/** Deliver the pending exception. cpu.rip is the address to return to: of the instruction for a fault, after it for a trap. */
export function deliver_exception(cpu: Cpu): i32 {
  return deliver(cpu, cpu.exc_vector, cpu.exc_error, cpu.exc_flags);
}

/** Deliver an external interrupt between two instructions, cpu.rip being the next one's. */
export function interrupt_deliver(cpu: Cpu, vector: u32): i32 {
  return deliver(cpu, vector, 0, EVENT_EXTERNAL);
}

/** #DB that reports `bits` in DR6. */
export function raise_debug(cpu: Cpu, bits: u32): i32 {
  cpu.dr6 |= bits;
  return raise(cpu, EXC_DB, 0);
}
