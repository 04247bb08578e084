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
  /** medians of seconds; TCG's faster CPU model counts */
  ours: number;
  tcg: number;
  model: Kind;
  /** TCG's time divided by ours, by the guests' clocks and by processor time on the host */
  ratio: number;
  cpuRatio: number;
  oursCpu: number;
  tcgCpu: number;
  /** million instructions a second, ours */
  mips?: number;
  floor?: number;
  goal?: number;
}

const TCG: readonly Kind[] = ['tcg nehalem', 'tcg max'];

/** Seconds a round of a program took under TCG at last, by the faster model. */
export function tcgFigure(of: Partial<Record<Kind, Figure[]>> | undefined) {
  const models = TCG.flatMap((model) => {
    const figures = of?.[model] ?? [];
    const seconds = median(figures.map((f) => f.seconds / f.rounds));
    return figures.length === 0 ? [] : [{ model, seconds, cpu: median(figures.map((f) => f.cpu / f.rounds)) }];
  });
  return models.sort((a, b) => a.seconds - b.seconds)[0];
}

function rowOf(program: Program, of: Partial<Record<Kind, Figure[]>> | undefined): Row | undefined {
  const ours = of?.xenolith ?? [];
  const tcg = tcgFigure(of);
  if (ours.length === 0 || tcg === undefined) return undefined;
  const { rounds } = ours[0]!;
  const seconds = median(ours.map((f) => f.seconds));
  const oursCpu = median(ours.map((f) => f.cpu));
  const speeds = ours.flatMap((f) => (f.counters ? [f.counters.instructions / f.wall / 1e6] : []));
  return {
    name: program.name,
    title: program.title,
    ours: seconds,
    tcg: tcg.seconds * rounds,
    model: tcg.model,
    ratio: (tcg.seconds * rounds) / seconds,
    cpuRatio: (tcg.cpu * rounds) / oursCpu,
    oursCpu,
    tcgCpu: tcg.cpu * rounds,
    ...(speeds.length > 0 && { mips: median(speeds) }),
    ...(program.floor !== undefined && { floor: program.floor }),
    ...(program.goal !== undefined && { goal: program.goal }),
  };
}

export const rowsOf = (figures: Figures): Row[] =>
  [...PROGRAMS, BOOT].flatMap((program) => rowOf(program, figures[program.name]) ?? []);

const number = (value: number | undefined): string =>
  value === undefined ? '' : value >= 100 ? value.toFixed(0) : value >= 0.1 ? value.toFixed(2) : value.toPrecision(2);

/** A table in Markdown, aligned for people. */
export function table(rows: readonly Row[]): string {
  const head = [
    'program',
    'ours s',
    'TCG s',
    'CPU',
    'ratio',
    'floor',
    'goal',
    'ours CPU s',
    'TCG CPU s',
    'CPU ratio',
    'MIPS',
  ];
  const cells = rows.map((r) => [
    r.name,
    ...[number(r.ours), number(r.tcg), r.model.replace('tcg ', '')],
    `${number(r.ratio)}${r.floor !== undefined && r.ratio < r.floor ? ' ↓' : ''}`,
    ...[number(r.floor), number(r.goal), number(r.oursCpu), number(r.tcgCpu), number(r.cpuRatio)],
    r.mips === undefined ? '' : r.mips.toFixed(0),
  ]);
  const widths = head.map((title, i) => Math.max(3, title.length, ...cells.map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(' | ')} |`;
  const rule = `|${widths.map((w, i) => (i === 0 ? '-'.repeat(w + 2) : `${'-'.repeat(w + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...cells.map(line)].join('\n');
}
