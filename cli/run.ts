// `xenolith run`: one guest from kernel to its end, its console on the terminal.
import { writeFileSync } from 'node:fs';
import { loadCore } from '../platform/core.ts';
import { Machine } from '../platform/machine.ts';
import { BadImage, buildDomain, type Plan } from '../services/domain_builder/protocol/index.ts';
import type { DebugServer } from '../services/gdb/backend/server.ts';
import { Statistics } from '../services/report/statistics.ts';
import { Tracer } from '../services/report/trace.ts';
import type { TraceFile } from '../services/report/trace_file.ts';
import { Host, type Guest, type Outcome } from '../services/xenops/host.ts';
import { readInput, Unreadable } from '../toolstack/files.ts';
import { checkOutput, Unavailable } from './files.ts';
import { releasePlan } from '../toolstack/host/images.ts';
import { elfImage } from '../toolstack/kernel.ts';
import { EXIT, type ProfileOptions, type RunOptions } from './options.ts';
import { openTerminal, type Terminal } from './terminal.ts';

const MIB = 1 << 20;

function warn(message: string): void {
  process.stderr.write(`xenolith: ${message}\n`);
}

function fail(message: string, code: number): number {
  warn(message);
  return code;
}

function plan(options: RunOptions): Plan {
  const kernel = elfImage(readInput('kernel', options.kernel));
  const initrd = options.initrd === undefined ? undefined : readInput('initrd', options.initrd);
  const { type, cmdline, memory } = options;
  return buildDomain({ type, kernel, initrd, cmdline, memory: memory * MIB, vcpus: 1 });
}

const CODES: Record<Outcome, number> = {
  poweroff: EXIT.poweredOff,
  reboot: EXIT.rebooted,
  crash: EXIT.crashed,
  watchdog: EXIT.crashed,
  suspend: EXIT.poweredOff,
  soft_reset: EXIT.rebooted,
};

export async function run(options: RunOptions, profile?: ProfileOptions): Promise<number> {
  try {
    return await carryOut(options, profile);
  } catch (error) {
    if (error instanceof Unavailable) return fail(error.message, EXIT.failed);
    if (error instanceof Unreadable) return fail(error.message, EXIT.badImage);
    if (error instanceof BadImage) return fail(`${error.message} ${filesOf(options)}`, EXIT.badImage);
    throw error;
  }
}

const filesOf = ({ kernel, initrd }: RunOptions): string =>
  `(kernel: ${kernel}${initrd === undefined ? '' : `, initrd: ${initrd}`})`;

function save(statistics: Statistics, path: string, code: number): number {
  try {
    writeFileSync(path, `${JSON.stringify(statistics.result(), null, 2)}\n`);
    return code;
  } catch (error) {
    return fail(
      `the statistics could not be written to ${path} (${(error as NodeJS.ErrnoException).code}); give another --stats file.`,
      EXIT.failed,
    );
  }
}

// What looks inside a guest is loaded by who asks for it: a start without it is not to wait.

async function openTrace(path: string): Promise<TraceFile> {
  checkOutput('trace-file', path);
  const { TraceFile } = await import('../services/report/trace_file.ts');
  return new TraceFile(path);
}

/** The debugger's port, open; its address is on the terminal. */
async function openDebugger({ port, wait }: { port: number; wait: boolean }, onKill: () => void): Promise<DebugServer> {
  const { DebugServer } = await import('../services/gdb/backend/server.ts');
  const server = new DebugServer({ port, wait, onKill });
  try {
    const got = await server.listen();
    const waits = wait ? '; the guest waits for it' : '';
    process.stderr.write(`xenolith: gdb connects by \`target remote :${got}\`${waits}\n`);
    return server;
  } catch (error) {
    throw new Unavailable(
      `port ${port} is not to be had (${(error as NodeJS.ErrnoException).code}); give another --gdb port.`,
    );
  }
}

async function carryOut(options: RunOptions, profile: ProfileOptions | undefined): Promise<number> {
  if (options.stats !== undefined) checkOutput('stats', options.stats);
  const traceFile = options.traceFile === undefined ? undefined : await openTrace(options.traceFile);
  const profiler = profile && new (await import('./profile.ts')).Profiler(options, profile);
  const made = plan(options);
  const tracer = await Tracer.create(options.trace);
  const stop = new AbortController();
  const gdb = options.gdb && (await openDebugger(options.gdb, () => stop.abort()));
  const machine = new Machine(
    {
      memory: made.size,
      deterministic: options.deterministic,
      trace: { ...tracer.machineOptions, ...traceFile?.machineOptions },
      ...(profile && { profile: profile.hz }),
    },
    loadCore(),
  );
  const host = new Host(machine);
  tracer.attach(host);
  traceFile?.attach(host);
  profiler?.attach(machine);
  const terminal = openTerminal();
  let failure: Error | null = null;
  machine.onFailure((error) => {
    failure = error;
    stop.abort();
  });
  let told = false;
  machine.onUntranslated((error) => {
    if (!told)
      warn(`some of the guest's code cannot be translated and is interpreted (${error.message}); please report it.`);
    told = true;
  });
  const statistics = new Statistics(machine);
  const session = new Session(options, host, made, terminal, statistics, tracer, gdb);
  try {
    const code = await session.run(stop);
    if (failure !== null) throw failure as Error;
    profiler?.end();
    return options.stats === undefined ? code : save(statistics, options.stats, code);
  } finally {
    terminal.close();
    gdb?.close();
    traceFile?.close();
    await host.stop();
  }
}

class Session {
  readonly #options: RunOptions;
  readonly #host: Host;
  /** For the next boot; a later one reads the files anew, as a toolstack does. */
  #plan: Plan | null;
  readonly #terminal: Terminal;
  readonly #statistics: Statistics;
  readonly #tracer: Tracer;
  readonly #gdb: DebugServer | undefined;

  constructor(
    options: RunOptions,
    host: Host,
    plan: Plan,
    terminal: Terminal,
    statistics: Statistics,
    tracer: Tracer,
    gdb: DebugServer | undefined,
  ) {
    this.#options = options;
    this.#host = host;
    this.#plan = plan;
    this.#terminal = terminal;
    this.#statistics = statistics;
    this.#tracer = tracer;
    this.#gdb = gdb;
    if (gdb) host.onTurn = () => gdb.poll();
  }

  async run(stop: AbortController): Promise<number> {
    let left = false;
    let late = false;
    let guest: Guest | null = null;
    this.#terminal.onInput((bytes) => this.#type(guest, bytes));
    this.#terminal.onEscape(() => {
      left = true;
      stop.abort();
    });
    this.#terminal.onDrain(() => guest?.console.resume());
    const { timeout } = this.#options;
    const timer =
      timeout === undefined
        ? undefined
        : setTimeout(() => {
            late = true;
            stop.abort();
          }, timeout * 1000);
    try {
      for (;;) {
        guest = this.#create();
        const running = guest;
        await this.#host.run(() => running.outcome !== null, stop.signal);
        while (this.#host.pump());
        this.#tracer.drain(true);
        const { outcome } = guest;
        this.#statistics.end(guest.domid, outcome ?? (late ? 'timeout' : 'left'));
        if (outcome === 'crash') await this.#report(guest);
        const again = outcome === 'reboot' && this.#options.reboot;
        if (outcome !== null && !again)
          await this.#gdb?.ended(outcome === 'crash' ? 'crash' : { code: CODES[outcome] });
        guest.destroy();
        if (late && outcome === null) return fail(`the guest did not end within ${timeout} seconds.`, EXIT.timedOut);
        if (left || outcome === null) return EXIT.poweredOff;
        if (!again) return CODES[outcome];
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #report(guest: Guest): Promise<void> {
    const { crashReport } = await import('../services/report/crash.ts'); // its tables are for who needs them
    process.stderr.write(crashReport(this.#host.machine, guest.domid));
  }

  /** Input that the guest has not taken yet. */
  #waiting: Uint8Array = new Uint8Array(0);

  #type(guest: Guest | null, bytes: Uint8Array): void {
    const all = new Uint8Array(this.#waiting.length + bytes.length);
    all.set(this.#waiting);
    all.set(bytes, this.#waiting.length);
    const taken = guest ? guest.console.onInput(all) : 0;
    this.#waiting = all.slice(taken, taken + MAX_WAITING);
  }

  #create(): Guest {
    const { name, memory } = this.#options;
    const made = this.#plan ?? plan(this.#options);
    this.#plan = null;
    const guest = this.#host.create({
      ...(this.#gdb && { onBuilt: (domid) => this.#gdb?.guest(this.#host.machine, domid) }),
      name,
      plan: made,
      memoryKib: memory * 1024,
      vcpus: 1,
      console: {
        write: (bytes) => {
          this.#statistics.output();
          this.#tracer.said(bytes);
          return this.#terminal.write(bytes);
        },
      },
    });
    releasePlan(made);
    return guest;
  }
}

/** A person or a pipe may be this far ahead of the guest. */
const MAX_WAITING = 1 << 20;
