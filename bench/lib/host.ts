// What the host says of a process and of itself.
import { readdirSync, readFileSync } from 'node:fs';

/** Processor seconds that a process's threads have used, to the scheduler's tick (proc(5), schedstat: nanoseconds on a processor first). */
export function cpuSeconds(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((id) => {
    try {
      return Number(readFileSync(`/proc/${pid}/task/${id}/schedstat`, 'latin1').split(' ')[0]);
    } catch {
      return 0; // it has ended since
    }
  });
  return threads.reduce((sum, ns) => sum + ns, 0) / 1e9;
}

/** Peak memory of a process, and what of it is not the machine's memory, in MiB. */
export function memory(pid: number): { peakMib: number; overheadMib: number } {
  const kib = (text: string, name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0);
  const peak = kib(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM');
  // Machine memory is by far the largest mapping that is resident.
  const maps = readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const machine = Math.max(...maps.map((map) => kib(map, 'Rss')));
  return { peakMib: peak / 1024, overheadMib: (peak - machine) / 1024 };
}

/** The host's TSC frequency, which TCG hands through and the kernel cannot calibrate there. */
export const tscKhz = (): number =>
  Math.round(Number(/^cpu MHz\s*: ([\d.]+)/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 2e3) * 1000);

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
