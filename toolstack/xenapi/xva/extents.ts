/** Where disks have contents, in units of some length. */
import type { DiskImage } from '../../../services/block/image/image.ts';

const ZEROS = Buffer.alloc(2 ** 20);

export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZEROS.length) {
    const end = Math.min(at + ZEROS.length, bytes.length);
    if (bytes.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}

export interface Run {
  /** In units. */
  start: number;
  count: number;
}

/** Units in which something is written in the image, or behind it above `until` (an image's path), in order. */
export async function runsOf(image: DiskImage, unit: number, until?: string): Promise<Run[]> {
  const runs: Run[] = [];
  const add = (from: number, to: number): void => {
    const [start, end] = [Math.floor(from / unit), Math.ceil(to / unit)];
    const last = runs.at(-1);
    if (last && start <= last.start + last.count) last.count = Math.max(last.count, end - last.start);
    else runs.push({ start, count: end - start });
  };
  const walk = async (of: DiskImage, at: number, end: number): Promise<void> => {
    while (at < end)
      for (const { kind, length } of await of.map(at, end - at)) {
        const behind = kind === 'backing' && of.backing?.path !== until ? of.backing : undefined;
        const there = behind ? Math.min(length, Math.max(0, behind.size - at)) : 0;
        if (behind && there > 0) await walk(behind, at, at + there);
        // Zeros upon something else are a change; alone they are nothing.
        if (kind === 'data' || (kind === 'zero' && until !== undefined)) add(at, at + length);
        at += length;
      }
  };
  await walk(image, 0, image.size);
  return runs;
}

export const totalOf = (runs: readonly Run[]): number => runs.reduce((sum, { count }) => sum + count, 0);

/** What is in either. */
export function union(one: readonly Run[], other: readonly Run[]): Run[] {
  const sorted = [...one, ...other].sort((a, b) => a.start - b.start);
  const runs: Run[] = [];
  for (const { start, count } of sorted) {
    const last = runs.at(-1);
    if (last && start <= last.start + last.count) last.count = Math.max(last.count, start + count - last.start);
    else runs.push({ start, count });
  }
  return runs;
}

export function* units(runs: readonly Run[]): Generator<number> {
  for (const { start, count } of runs) for (let i = 0; i < count; i++) yield start + i;
}
