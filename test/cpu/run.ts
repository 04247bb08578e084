// Runs cases on the CPU of this machine with harness.c.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Input } from './answers.ts';
import { background, packCase, unpackResult, type Mode, type Result } from './machine.ts';

export interface Job extends Input {
  mode: Mode;
}

/** The model of the CPU this runs on, as the kernel names it; '' where it does not. */
export function cpuModel(): string {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8');
    const field = (name: string) => new RegExp(`^${name}\\s*: (.*)$`, 'm').exec(text)?.[1] ?? '';
    return ['vendor_id', 'cpu family', 'model', 'model name'].map(field).join(' ').trim();
  } catch {
    return '';
  }
}

/** Builds the harness; null where there is no gcc. Call `close` when done. */
export function openHarness(): { run(jobs: readonly Job[]): Result[]; close(): void } | null {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-harness-'));
  const close = () => rmSync(folder, { recursive: true, force: true });
  const program = join(folder, 'harness');
  const source = fileURLToPath(new URL('harness.c', import.meta.url));
  // the handler runs with the case's FS base: no thread-local storage, so no stack protector and no lazy binding
  const flags = [
    '-O2',
    '-Wall',
    '-Wextra',
    '-Werror',
    '-mno-red-zone',
    '-mgeneral-regs-only',
    '-fno-stack-protector',
    '-pie',
    '-fPIE',
  ];
  const built = spawnSync('gcc', [...flags, '-Wl,-z,now', '-o', program, source], { encoding: 'utf8' });
  if (built.error || built.status !== 0) {
    close();
    if (built.error) return null;
    throw new Error(`harness.c: ${built.stderr}`);
  }
  const run = (jobs: readonly Job[]): Result[] => {
    const results: Result[] = [];
    for (let i = 0; i < jobs.length; i += CHUNK) results.push(...runChunk(program, jobs.slice(i, i + CHUNK)));
    return results;
  };
  return { run, close };
}

const CHUNK = 4000;

function runChunk(program: string, jobs: readonly Job[]): Result[] {
  const packed = jobs.map((j) => packCase(j.bytes, j.mode, j.state));
  const head = new Uint8Array(
    Uint32Array.of(
      jobs.length,
      packed.reduce((n, p) => n + p.length, 0),
    ).buffer,
  );
  const input = Buffer.concat([head, background, ...packed]);
  const done = spawnSync(program, { input, maxBuffer: 1 << 30 });
  if (done.status !== 0) throw new Error(`harness ended with ${done.status ?? done.signal} in ${jobs.length} cases`);
  const results: Result[] = [];
  let at = 0;
  for (const job of jobs) {
    const [result, next] = unpackResult(done.stdout, at, job.bytes, job.mode, job.state);
    results.push(result);
    at = next;
  }
  if (at !== done.stdout.length) throw new Error('harness wrote more than it should');
  return results;
}
