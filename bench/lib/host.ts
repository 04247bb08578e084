// What the host says of a process and of itself.
import { readFileSync } from 'node:fs';

/** Clock ticks a second in /proc: fixed on Linux (proc(5), USER_HZ). */
const USER_HZ = 100;

/** Processor seconds a process has used, all its threads. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /s, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
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
