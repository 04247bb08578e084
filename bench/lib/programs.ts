// The guest benchmarks' programs (guests/bench) and what is wanted of each: speed relative to QEMU's TCG, more is better.

export interface Program {
  name: string;
  /** what it does, for people */
  title: string;
  /** ratio below which something is wrong, and ratio that is aimed at; none: watched only */
  floor?: number;
  goal?: number;
  /** its figure is how late it woke up (99th percentile), not how long it took */
  lateness?: boolean;
  /** judged by the time that passes; all else by processor time, which a busy host does not change */
  waits?: boolean;
}

const group = (floor: number | undefined, goal: number | undefined, titles: Record<string, string>): Program[] =>
  Object.entries(titles).map(([name, title]) => ({
    name,
    title,
    ...(floor !== undefined && { floor }),
    ...(goal !== undefined && { goal }),
  }));

export const PROGRAMS: readonly Program[] = [
  ...group(1, 1.5, {
    integer: '64-bit integer mix',
    sha256: 'SHA-256 in C',
    qsort: "libc's qsort, 100,000 ints",
    mixed: 'lists, matrix, state machine, CRC',
  }),
  ...group(0.9, 1.2, { chase: 'pointer chase, 16 MiB' }),
  ...group(2, 5, {
    'memcpy-4k': 'memcpy, 4 KiB blocks',
    'memcpy-1m': 'memcpy, 1 MiB blocks',
    'memset-4k': 'memset, 4 KiB blocks',
    'memset-1m': 'memset, 1 MiB blocks',
    'movsb-4k': 'REP MOVSB, 4 KiB blocks',
    'movsb-1m': 'REP MOVSB, 1 MiB blocks',
    nbody: 'n-body, double (SSE2)',
  }),
  ...group(0.6, 1.2, {
    getppid: 'getppid system call',
    'fork-exec': 'fork, exec of a tiny program, wait',
    fork: 'fork, exit, wait',
    'page-fault': 'mmap, touch, munmap',
  }),
  ...group(0.7, 1.5, { pipe: 'pipe ping-pong, two processes' }),
  ...group(0.3, undefined, {
    'self-modifying': 'loop that rewrites its next instruction',
    jit: 'write functions, run them, overwrite them',
    'page-border': 'instructions on page borders',
    'code-beside-data': 'counters in the page of their code',
    'distinct-code': '16 MiB of code that has never been, run once',
  }),
  ...group(undefined, undefined, {
    float: 'single precision, scalar and packed (SSE)',
    x87: 'long double series and roots (x87)',
    fib: 'recursion',
    switch: 'bytecode interpreter by switch',
    indirect: 'calls through a table of functions',
    bytes: 'byte loops: length, find, words',
    large: '6,000 functions, 3.4 MiB of code, 10 times',
  }),
  { name: 'nanosleep', title: 'lateness of 1 ms sleeps, p99', lateness: true, waits: true },
  { name: 'timerfd', title: 'lateness of a 1 ms timer, p99', lateness: true, waits: true },
];

/** Kernel to the first process, measured in every run. */
export const BOOT: Program = {
  name: 'boot',
  title: 'command to first process, wall time',
  floor: 0.5,
  goal: 1.3,
  waits: true,
};

export function programNamed(name: string): Program {
  const found = [...PROGRAMS, BOOT].find((program) => program.name === name);
  if (!found) {
    throw new Error(`there is no program ${name}; there are ${[...PROGRAMS, BOOT].map((p) => p.name).join(', ')}.`);
  }
  return found;
}
