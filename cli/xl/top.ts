// `xl top`: the domains, live. On a terminal it is a screen with keys; with -b, or when its output is no terminal, tables like xentop's.
import {
  SHUTDOWN_crash,
  XEN_DOMINF_blocked,
  XEN_DOMINF_dying,
  XEN_DOMINF_paused,
  XEN_DOMINF_running,
  XEN_DOMINF_shutdown,
} from '../../spec/abi/constants.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HostInfo, VcpuRow } from '../../toolstack/host/inquiries.ts';
import { span } from './host_info.ts';
import { nameOf } from './list.ts';
import type { ListedDomain, Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

const KIB_PER_PAGE = 4;

export interface Look {
  /** Nanoseconds of some clock. */
  time: number;
  domains: ListedDomain[];
  host: HostInfo;
  vcpus: VcpuRow[];
}

export interface View {
  /** Whole names. */
  full: boolean;
  vcpus: boolean;
  sort: Column;
}

export const COLUMNS = ['name', 'cpu', 'mem', 'time', 'domid'] as const;
export type Column = (typeof COLUMNS)[number];

/** xentop's six letters: dying, shut down, blocked, crashed, paused, running. */
export function topState({ flags, shutdown }: Pick<ListedDomain, 'flags' | 'shutdown'>): string {
  const stopped = (flags & XEN_DOMINF_shutdown) !== 0;
  const crashed = stopped && shutdown === SHUTDOWN_crash;
  const free = !stopped && !(flags & (XEN_DOMINF_paused | XEN_DOMINF_dying));
  const letters: [string, boolean][] = [
    ['d', (flags & XEN_DOMINF_dying) !== 0],
    ['s', stopped && !crashed],
    ['b', (flags & XEN_DOMINF_blocked) !== 0 && free],
    ['c', crashed],
    ['p', (flags & XEN_DOMINF_paused) !== 0],
    ['r', (flags & XEN_DOMINF_running) !== 0 && free],
  ];
  return letters.map(([letter, on]) => (on ? letter : '-')).join('');
}

export const TOP_HEAD =
  '      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID';

/** Share of the time since the last look, in percent; 0 at the first. */
export function cpuShare(now: Look, before: Look | undefined, d: ListedDomain): number {
  const old = before?.domains.find(({ domid, uuid }) => domid === d.domid && uuid === d.uuid);
  const elapsed = before ? now.time - before.time : 0;
  return old && elapsed > 0 ? (100 * Math.max(0, d.cpuTime - old.cpuTime)) / elapsed : 0;
}

function row(now: Look, before: Look | undefined, d: ListedDomain, full: boolean): string {
  const total = now.host.physical.totalPages;
  const [memory, most] = [d.pages, Math.min(d.maxPages, total)];
  const percent = (pages: number): string => ((100 * pages) / total).toFixed(1);
  const cell = (value: string | number, width: number): string => String(value).padStart(width);
  const name = nameOf(d);
  return [
    (full ? name : name.slice(0, 10)).padStart(10),
    topState(d),
    cell(Math.floor(d.cpuTime / 1e9), 10),
    cell(cpuShare(now, before, d).toFixed(1), 6),
    cell(memory * KIB_PER_PAGE, 10),
    cell(percent(memory), 6),
    cell(most * KIB_PER_PAGE, 10),
    cell(percent(most), 9),
    cell(d.onlineVcpus, 5),
    // Of networks and disks nothing is counted yet (docs/SUPPORT.md).
    ...[4, 8, 8, 4, 8, 8, 8, 10, 10].map((width) => cell(0, width)),
    cell(d.ssidref, 4),
  ].join(' ');
}

const ORDER: Record<Column, (a: ListedDomain, b: ListedDomain, share: (d: ListedDomain) => number) => number> = {
  name: (a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0),
  cpu: (a, b, share) => share(b) - share(a),
  mem: (a, b) => b.pages - a.pages,
  time: (a, b) => b.cpuTime - a.cpuTime,
  domid: (a, b) => a.domid - b.domid,
};

/** The table of one look. */
export function topTable(now: Look, before: Look | undefined, view: View): string[] {
  const share = (d: ListedDomain): number => cpuShare(now, before, d);
  const sorted = [...now.domains].sort((a, b) => ORDER[view.sort](a, b, share) || a.domid - b.domid);
  const lines = [TOP_HEAD];
  for (const d of sorted) {
    lines.push(row(now, before, d, view.full));
    if (!view.vcpus) continue;
    const own = now.vcpus.filter(({ domid, online }) => domid === d.domid && online);
    const each = own.map((v) => `${String(v.vcpu).padStart(3)}: ${String(Math.floor(v.cpuTime / 1e9)).padStart(10)}s`);
    lines.push(`VCPUs(sec): ${each.join(' ')}`);
  }
  return lines;
}

async function look(xl: Xl, vcpus: boolean): Promise<Look> {
  const [domains, host, rows] = await Promise.all([
    xl.domains(),
    xl.call<HostInfo>('host.info'),
    vcpus ? xl.call<VcpuRow[]>('domain.vcpus') : [],
  ]);
  return { time: host.uptime * 1e9, domains, host, vcpus: rows };
}

async function batch(xl: Xl, view: View, delay: number, iterations: number): Promise<number> {
  let before: Look | undefined;
  for (let n = 0; n < iterations; n++) {
    if (n > 0) await sleep(delay * 1000);
    const now = await look(xl, view.vcpus);
    for (const line of topTable(now, before, view)) xl.out(line);
    before = now;
  }
  return 0;
}

/** The lines above the table. */
function summary(now: Look): string[] {
  const { physical, version, uptime } = now.host;
  const count = (test: (d: ListedDomain) => boolean): number => now.domains.filter(test).length;
  const states = [
    `${now.domains.length} domains: ${count((d) => topState(d).includes('r'))} running`,
    `${count((d) => topState(d).includes('b'))} blocked`,
    `${count((d) => topState(d).includes('p'))} paused`,
    `${count((d) => topState(d).includes('c'))} crashed`,
    `${count((d) => topState(d).includes('d'))} dying`,
    `${count((d) => topState(d).includes('s'))} shutdown`,
  ];
  const kib = (pages: number): string => `${pages * KIB_PER_PAGE}k`;
  const used = physical.totalPages - physical.freePages;
  return [
    `xl top - ${new Date().toTimeString().slice(0, 8)}   Xen ${version.major}.${version.minor}${version.extra}   up ${span(uptime, false).trim()}`,
    states.join(', '),
    `Mem: ${kib(physical.totalPages)} total, ${kib(used)} used, ${kib(physical.freePages)} free    CPUs: ${physical.cpus} @ ${Math.round(physical.khz / 1000)}MHz`,
  ];
}

const KEYS = 'q quit   s sort   n full names   v vCPUs   d delay   space now';
const [ALTERNATE, NORMAL, HOME, CLEAR, BOLD, PLAIN, NO_CURSOR, CURSOR] = [
  '\x1b[?1049h',
  '\x1b[?1049l',
  '\x1b[H',
  '\x1b[J',
  '\x1b[7m',
  '\x1b[0m',
  '\x1b[?25l',
  '\x1b[?25h',
];
const DELAYS = [1, 2, 3, 5, 10];

class Screen {
  readonly #xl: Xl;
  #view: View;
  #delay: number;
  #wake: () => void = () => {};
  #left = false;

  constructor(xl: Xl, view: View, delay: number) {
    this.#xl = xl;
    this.#view = view;
    this.#delay = delay;
  }

  async run(iterations: number): Promise<number> {
    const { stdin, stdout } = process;
    const restore = (): void => {
      stdin.setRawMode(false);
      stdout.write(CURSOR + NORMAL);
    };
    const end = (): never => process.exit(130);
    process.once('exit', restore);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, end);
    stdin.setRawMode(true);
    stdin.on('data', (bytes: Buffer) => {
      for (const key of bytes.toString()) this.#key(key);
    });
    stdout.on('resize', () => this.#wake());
    stdout.write(ALTERNATE + NO_CURSOR);
    let before: Look | undefined;
    try {
      for (let n = 0; n < iterations && !this.#left; n++) {
        const now = await look(this.#xl, this.#view.vcpus);
        this.#draw(now, before);
        // What a key or a new size redraws at once has the last shares.
        if (!before || now.time - before.time > 5e8) before = now;
        await this.#pause();
      }
    } finally {
      process.off('exit', restore);
      restore();
      stdin.pause();
    }
    return 0;
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#delay * 1000);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #key(key: string): void {
    const next = <T>(list: readonly T[], value: T): T => list[(list.indexOf(value) + 1) % list.length]!;
    if (key === 'q' || key === '\x03' || key === '\x1b') this.#left = true;
    else if (key === 's' || key === 'S') this.#view = { ...this.#view, sort: next(COLUMNS, this.#view.sort) };
    else if (key === 'n' || key === 'N') this.#view = { ...this.#view, full: !this.#view.full };
    else if (key === 'v' || key === 'V') this.#view = { ...this.#view, vcpus: !this.#view.vcpus };
    else if (key === 'd' || key === 'D') this.#delay = next(DELAYS, this.#delay);
    this.#wake();
  }

  #draw(now: Look, before: Look | undefined): void {
    const { rows = 24, columns = 80 } = process.stdout;
    const [head, ...table] = topTable(now, before, this.#view);
    const top = [...summary(now), `sorted by ${this.#view.sort}, every ${this.#delay} s`];
    const body = table.slice(0, Math.max(0, rows - top.length - 2));
    const cut = (line: string): string => line.slice(0, columns);
    const lines = [...top.map(cut), `${BOLD}${cut(head!).padEnd(columns)}${PLAIN}`, ...body.map(cut)];
    while (lines.length < rows - 1) lines.push('');
    lines.push(cut(KEYS));
    process.stdout.write(HOME + lines.map((line) => `${line}\x1b[K`).join('\r\n') + CLEAR);
  }
}

function amount(given: string | true | undefined, otherwise: number, what: string): number {
  if (given === undefined) return otherwise;
  const n = Number(given);
  if (!(n > 0) || n > 1e6) throw new Failure(`xl: ${what} takes a number above 0, not '${String(given)}'.`);
  return n;
}

async function top(xl: Xl, { options }: Given): Promise<number> {
  const delay = amount(options.get('delay'), 3, '--delay');
  const iterations = amount(options.get('iterations'), Infinity, '--iterations');
  const interactive = !options.has('batch') && Boolean(process.stdin.isTTY && process.stdout.isTTY);
  const view: View = {
    full: options.has('full-name'),
    vcpus: options.has('vcpus'),
    sort: interactive ? 'cpu' : 'name',
  };
  if (interactive) return new Screen(xl, view, delay).run(iterations);
  return batch(xl, view, delay, iterations);
}

export const TOP: Verb[] = [
  {
    name: 'top',
    usage: '[options]',
    about: 'Watch the domains',
    options: [
      { short: 'd', long: 'delay', value: 'SECONDS', help: 'Time between two looks (3).' },
      { short: 'i', long: 'iterations', value: 'NUMBER', help: 'So many looks; without it, until q.' },
      { short: 'b', long: 'batch', help: 'Print tables, for a file or a program.' },
      { short: 'f', long: 'full-name', help: 'Show whole names.' },
      { short: 'v', long: 'vcpus', help: 'Show the vCPUs.' },
    ],
    run: top,
  },
];
