// What `xenolith image` shows.
import type { Snapshot } from '../../services/block/image/image.ts';
import type { ImageInfo } from '../../services/block/image/info.ts';

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** In the unit in which it has one to four digits. */
export function bytes(count: number): string {
  let unit = 0;
  while (count / 1024 ** unit >= 1024 && unit < UNITS.length - 1) unit++;
  const value = count / 1024 ** unit;
  return `${Number.isInteger(value) ? value : value.toFixed(2)} ${UNITS[unit]}`;
}

const yes = (value: boolean | undefined): string | undefined => (value ? 'yes' : undefined);

export function infoText(path: string, info: ImageInfo): string {
  const rows: [string, string | undefined][] = [
    ['image', path],
    ['format', info.variant === undefined ? info.format : `${info.format} (${info.variant})`],
    ['disk', `${bytes(info.size)} (${info.size} bytes)`],
    ['on the host', bytes(info.allocated)],
    ['cluster', info.cluster_size === undefined ? undefined : bytes(info.cluster_size)],
    [
      'behind it',
      info.backing === undefined ? undefined : `${info.backing} (${info.backing_format ?? 'format not noted'})`,
    ],
    ['compression', info.compression],
    ['refcounts', info.refcount_bits === undefined ? undefined : `${info.refcount_bits} bits`],
    ['not closed', yes(info.dirty)],
    ['damaged', yes(info.corrupt)],
    ['snapshots', info.snapshots?.length ? String(info.snapshots.length) : undefined],
  ];
  const shown = rows
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name.padEnd(12)}: ${value}\n`);
  return shown.join('') + (info.snapshots?.length ? `\n${snapshotTable(info.snapshots)}` : '');
}

/** Control characters of a name do nothing to a terminal. */
const harmless = (name: string): string => name.replace(/[\0-\x1f\x7f-\x9f]/g, '?');

export function snapshotTable(snapshots: readonly Snapshot[]): string {
  const rows = snapshots.map(({ id, name, size, date }) => [
    harmless(id),
    harmless(name),
    size === 0 ? '' : bytes(size),
    new Date(date).toISOString().slice(0, 19).replace('T', ' '),
  ]);
  const all = [['id', 'name', 'disk', 'taken (UTC)'], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
