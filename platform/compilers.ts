// V8's own threads compile what pCPUs and services are to run, and there are as many of them as of all those together. On a machine with few processors a pCPU that
// is woken then waits for one of them to use up its time. Below the others' priority they take what is left. Linux alone has priorities of threads.
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** As `nice`: far enough below, and still a tenth of what a thread gets that it shares a processor with. */
export const COMPILERS_NICE = 10;

/** Threads of this process that V8 compiles and collects garbage in: the system's numbers of them. */
export function compilers(): number[] {
  if (process.platform !== 'linux') return [];
  const threads = readdirSync('/proc/self/task').map(Number);
  return threads.filter((tid) => readFileSync(`/proc/self/task/${tid}/comm`, 'latin1').startsWith('node-V8Worker'));
}

/** Puts them below what they work for. Without effect if the process is as low already. */
export function yieldCompilers(): void {
  try {
    for (const tid of compilers()) if (getPriority(tid) < COMPILERS_NICE) setPriority(tid, COMPILERS_NICE);
  } catch {
    // A thread has ended meanwhile, or no /proc is to be had: it goes on as it would without.
  }
}
