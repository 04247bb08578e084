// A repetition retires once however long it is. So that a slice takes about as long as its instructions say, what one does counts against the
// budget too, in units of about an instruction's time.
import { Cpu } from '../arch/x86/cpu';

/** What may be done before the vCPU looks at its events again. */
const SPELL: i32 = 1 << 14;

let units: i32 = 0;

export function work_done(cpu: Cpu, n: u32): void {
  units += n;
  if (units >= SPELL) atomic.store<i32>(changetype<usize>(cpu) + offsetof<Cpu>('limit'), 0);
}

/** What has been done since the last time. */
export function work_take(): i32 {
  const n = units;
  units = 0;
  return n;
}
