// The figures of `npm run bench guest`, kept from run to run in build/bench/guest.json, and the table that is made of them.
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../bin/setup.cjs';
import { median } from './host.ts';
import type { Figure, Kind } from './machines.ts';
import { BOOT, PROGRAMS, type Program } from './programs.ts';

const FOLDER = join(ROOT, 'build', 'bench');
export const RECORD = join(FOLDER, 'guest.json');

/** By program, by machine: one figure a run. */
export type Figures = Record<string, Partial<Record<Kind, Figure[]>>>;

export function readRecord(): Figures {
  try {
    return (JSON.parse(readFileSync(RECORD, 'utf8')) as { figures: Figures }).figures;
  } catch {
    return {};
  }
}

/** What was measured now takes the place of what was known of the same programs. */
export function writeRecord(measured: Figures): void {
  const figures = { ...readRecord(), ...measured };
  mkdirSync(FOLDER, { recursive: true });
  const rows = Object.fromEntries(rowsOf(figures).map((row) => [row.name, row]));
  writeFileSync(`${RECORD}.new`, `${JSON.stringify({ rows, figures }, null, 1)}\n`);
  renameSync(`${RECORD}.new`, RECORD);
}

export interface Row {
  name: string;
  title: string;
  /** TCG's processor time divided by ours; of what is about waiting, the time that passed */
  ratio: number;
  floor?: number;
  goal?: number;
  /** medians: processor seconds on the host, and seconds by the guest's clock */
  oursCpu: number;
  tcgCpu: number;
  ours: number;
  tcg: number;
  /** TCG's faster CPU model, which counts */
  model: Kind;
  /** million instructions a processor second, ours */
  mips?: number;
}

const TCG: readonly Kind[] = ['tcg nehalem', 'tcg max'];

/** What a round of a program cost under TCG at last, by the faster model. */
export function tcgFigure(program: Program, of: Partial<Record<Kind, Figure[]>> | undefined) {
  const models = TCG.flatMap((model) => {
    const figures = of?.[model] ?? [];
    if (figures.length === 0) return [];
    return [
      {
        model,
        seconds: median(figures.map((f) => f.seconds / f.rounds)),
        cpu: median(figures.map((f) => f.cpu / f.rounds)),
      },
    ];
  });
  const key = program.waits ? 'seconds' : 'cpu';
  return models.sort((a, b) => a[key] - b[key])[0];
}

/** Million instructions a processor second. */
export const mipsOf = ({ counters, cpu }: Figure): number | undefined =>
  counters && cpu > 0 ? counters.instructions / cpu / 1e6 : undefined;

function rowOf(program: Program, of: Partial<Record<Kind, Figure[]>> | undefined): Row | undefined {
  const figures = of?.xenolith ?? [];
  const unit = tcgFigure(program, of);
  if (figures.length === 0 || unit === undefined) return undefined;
  const { rounds } = figures[0]!;
  const ours = median(figures.map((f) => f.seconds));
  const oursCpu = median(figures.map((f) => f.cpu));
  const tcg = unit.seconds * rounds;
  const tcgCpu = unit.cpu * rounds;
  const speeds = figures.map(mipsOf).filter((speed) => speed !== undefined);
  const { name, title, floor, goal } = program;
  return {
    ...{ name, title, ratio: program.waits ? tcg / ours : tcgCpu / oursCpu },
    ...(floor !== undefined && { floor }),
    ...(goal !== undefined && { goal }),
    ...{ oursCpu, tcgCpu, ours, tcg, model: unit.model },
    ...(speeds.length > 0 && { mips: median(speeds) }),
  };
}

export const rowsOf = (figures: Figures): Row[] =>
  [...PROGRAMS, BOOT].flatMap((program) => rowOf(program, figures[program.name]) ?? []);

const number = (value: number | undefined): string =>
  value === undefined ? '' : value >= 100 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(2) : value.toPrecision(2);

/** A table in Markdown, aligned for people: numbers to the right, of all columns from `numbers` on. */
export function markdown(head: readonly string[], cells: readonly (readonly string[])[], numbers = 1): string {
  const widths = head.map((title, i) => Math.max(3, title.length, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (i < numbers ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  const rule = `|${widths.map((w, i) => (i < numbers ? '-'.repeat(w + 2) : `${'-'.repeat(w + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...cells.map(line)].join('\n');
}

export function table(rows: readonly Row[]): string {
  const head = ['program', 'ratio', 'floor', 'goal', 'CPU s', 'TCG CPU s', 'time s', 'TCG time s', 'MIPS'];
  const cells = rows.map((r) => [
    r.name,
    `${number(r.ratio)}${r.floor !== undefined && r.ratio < r.floor ? ' ↓' : ''}`,
    ...[r.floor, r.goal, r.oursCpu, r.tcgCpu, r.ours, r.tcg].map(number),
    r.mips === undefined ? '' : r.mips.toFixed(0),
  ]);
  return markdown(head, cells);
}
