// A host in a folder of its own, and `xl` against it, as a person runs them.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT } from '../../bin/setup.cjs';
import { runXl } from '../../cli/xl/run.ts';
import { buildGuest } from '../../guests/build.ts';

export interface Ran {
  code: number;
  out: string;
  err: string;
}

const SCRIPTS = {
  xenolith: 'cli/main.ts',
  xl: 'cli/xl/main.ts',
  'bin/xenolith': 'bin/xenolith',
  'bin/xl': 'bin/xl',
};
type Program = keyof typeof SCRIPTS;

export class Bed {
  readonly folder = mkdtempSync(join(tmpdir(), 'xenolith-host-'));
  readonly state = join(this.folder, 'state');
  readonly kernel = buildGuest('unikernel');
  #host: ChildProcess | undefined;

  get env(): NodeJS.ProcessEnv {
    return { ...process.env, XENOLITH_STATE: this.state };
  }

  get pid(): number {
    return this.#host!.pid!;
  }

  /** One of the programs, or its launcher, to its end. */
  async run(program: Program, args: readonly string[], input = ''): Promise<Ran> {
    const child = this.start(program, args);
    child.stdin!.end(input);
    const [out, err, [code]] = await Promise.all([text(child.stdout!), text(child.stderr!), once(child, 'close')]);
    return { code: code as number, out, err };
  }

  start(program: Program, args: readonly string[]): ChildProcess {
    const script = join(ROOT, SCRIPTS[program]);
    const child = spawn(process.execPath, [script, ...args], { cwd: this.folder, env: this.env, stdio: 'pipe' });
    child.stdin!.on('error', () => {});
    return child;
  }

  /** `xl` in this process: a process of its own takes longer than all it does. */
  xl = async (...args: string[]): Promise<Ran> => {
    let [out, err] = ['', ''];
    const io = { out: (s: string) => void (out += s), err: (s: string) => void (err += s), env: this.env };
    const code = await runXl(args, io);
    return { code, out, err };
  };

  /** What must succeed in silence, or say only this on stdout. */
  async ok(...args: string[]): Promise<string> {
    const { code, out, err } = await this.xl(...args);
    assert.deepEqual([code, err], [0, ''], args.join(' '));
    return out;
  }

  /** Starts the host in the foreground and waits until it is ready; gives what it said. */
  async up(...options: string[]): Promise<string> {
    const host = this.start('xenolith', [
      'up',
      ...(options.includes('--memory') ? [] : ['--memory', '192']),
      ...options,
    ]);
    this.#host = host;
    let said = '';
    host.stdout!.on('data', (bytes: Buffer) => (said += bytes.toString()));
    host.stderr!.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await until(() => said.includes('is ready.') || host.exitCode !== null, `the host is ready: ${said}`, 20_000);
    assert.equal(host.exitCode, null, said);
    return said;
  }

  /** Ends the host by a signal. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const host = this.#host;
    if (!host || host.exitCode !== null || host.signalCode !== null) return null;
    const closed = once(host, 'close');
    host.kill(signal);
    const [code] = await closed;
    return code as number | null;
  }

  /** Writes a configuration and gives its path. */
  config(name: string, lines: Record<string, string | number | string[]>): string {
    const path = join(this.folder, `${name}.cfg`);
    const settings = { name, kernel: this.kernel, memory: 16, ...lines };
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(
      path,
      Object.entries(settings)
        .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
        .join(''),
    );
    return path;
  }

  /** Creates a domain of our kernel, which must succeed; further words are for `xl create`. */
  async create(
    name: string,
    lines: Record<string, string | number | string[]> = {},
    ...options: string[]
  ): Promise<void> {
    await this.ok('create', '-q', ...options, this.config(name, lines));
  }

  async close(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 10_000): Promise<void> {
  for (const end = Date.now() + ms; !(await condition()); await sleep(20))
    assert.ok(Date.now() < end, `not in time: ${what}`);
}

/** Fields of a table's line. */
export const fields = (line: string): string[] => line.trim().split(/\s+/);
