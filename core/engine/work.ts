// A repetition retires once however long it is. So that a slice takes about as long as its instructions say, what one does counts against the
// budget too, in units of about an instruction's time.
import { CPU_SLICE, Cpu, PACE_STEP } from '../arch/x86/cpu';

let units: i32 = 0;

export function work_done(cpu: Cpu, n: u32): void {
  units += n;
  atomic.sub<i32>(changetype<usize>(cpu) + CPU_SLICE, n);
  atomic.sub<i32>(changetype<usize>(cpu) + offsetof<Cpu>('limit'), n);
}

/** What has been done since the last time. */
export function work_take(): i32 {
  const n = units;
  units = 0;
  return n;
}

/** May a repetition go on? Not when the slice is used up, when somebody wants the vCPU's attention, or when it runs in steps. */
export function work_may_go_on(cpu: Cpu): bool {
  return atomic.load<i32>(changetype<usize>(cpu) + CPU_SLICE) > cpu.n && cpu.pace != PACE_STEP;
}
