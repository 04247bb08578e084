// The end of a domain that did what it must not: a report that the platform can print, and SHUTDOWN_crash.
import { HVM_PARAM_TRIPLE_FAULT_REASON, SHUTDOWN_crash } from '../gen/abi';
import { printk } from './console_ring';
import { CON_CRASH, CON_CRASH_RIP } from './console_text';
import { Domain, domain_param, domain_shutdown } from './domain';
import { access_gpa, handle_to_gpa } from './guest_access';
import { log_message } from './log';
import { LOG_CRASH } from './log_codes';
import { seg, SEG_CS } from '../arch/x86/cpu';
import { MODE_CS64 } from '../arch/x86/modes';
import { pv_of } from '../arch/x86/pv/state';
import { cpu_of, Vcpu } from './vcpu';

export const CRASH_TRIPLE_FAULT: u32 = 1;
/** The guest said so itself (SCHEDOP_shutdown). */
export const CRASH_GUEST: u32 = 2;
/** Bad ioreq response, broken shared structure and the like. */
export const CRASH_DEVICE_MODEL: u32 = 3;

/** A PV vCPU that cannot go on: PV_CRASH_* of arch/x86/pv/bounce.ts comes on top. */
export const CRASH_PV: u32 = 16;

/** In the domain's page: 16 bytes at RIP and how many of them could be read. */
export const CRASH_BYTES: usize = 832;
export const CRASH_BYTES_LEN: usize = 848;

function record(d: Domain, v: Vcpu, reason: u32, info: u64): void {
  if (d.crash_reason) return;
  d.crash_reason = reason;
  d.crash_vcpu = v.id;
  d.crash_info = info;
  const cpu = cpu_of(v);
  const rip = cpu.mode & MODE_CS64 ? cpu.rip : (cpu.rip + seg(cpu, SEG_CS).base) & 0xffffffff;
  let n: u32 = 0;
  for (; n < 16; n++) {
    const gpa = handle_to_gpa(v, rip + n, false);
    if (gpa == ~(<u64>0) || !access_gpa(d, gpa, changetype<usize>(d) + CRASH_BYTES + n, 1, false)) break;
  }
  store<u32>(changetype<usize>(d) + CRASH_BYTES_LEN, n);
  log_message(LOG_CRASH, d.domid, reason, cpu.rip);
  printk(CON_CRASH, d.domid, v.id, reason);
  printk(CON_CRASH_RIP, cpu.rip, cpu.rsp, cpu.cr3);
}

export function domain_crash(d: Domain, v: Vcpu, reason: u32, info: u64): void {
  record(d, v, reason, info);
  domain_shutdown(d, SHUTDOWN_crash);
}

/** A PV vCPU has left for good: its domain ends. */
export function pv_crashed(d: Domain, v: Vcpu): void {
  const pv = pv_of(cpu_of(v));
  domain_crash(d, v, CRASH_PV + pv.crash, pv.crash_info);
}

/** What a triple fault means is the builder's choice: a parameter, reboot unless set (as on a PC). */
export function triple_fault(d: Domain, v: Vcpu): void {
  record(d, v, CRASH_TRIPLE_FAULT, 0);
  domain_shutdown(d, <u32>domain_param(d, HVM_PARAM_TRIPLE_FAULT_REASON));
}
