// A simulated host as a person starts it, and clients against it.
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { ROOT } from '../../bin/setup.cjs';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { until } from '../host/bed.ts';

export interface Ran {
  code: number | null;
  out: string;
  err: string;
}

/** A program to its end. */
export async function run(command: string, args: string[], input = '', env = {}): Promise<Ran> {
  const child = spawn(command, args, { stdio: 'pipe', env: { ...process.env, ...env } });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code: code as number | null, out, err };
}

export class Simulated {
  readonly state = mkdtempSync(join(tmpdir(), 'xenolith-simulate-'));
  #child: ChildProcess | undefined;
  plain = '';
  tls = '';
  password = '';

  async start(...options: string[]): Promise<void> {
    const args = ['simulate', '--state', this.state, '--listen', '0', '--http', '0', ...options];
    const child = spawn(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], { stdio: 'pipe' });
    this.#child = child;
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes: Buffer) => (said += bytes.toString()));
    await until(() => said.includes('SHA-256') || child.exitCode !== null, `the API is served: ${said}`, 60_000);
    const match = /(https:\S+) and (http:\S+?);/.exec(said);
    assert.ok(match, said);
    [, this.tls, this.plain] = match;
    this.password = readFileSync(xenapiPaths(this.state).password, 'utf8').trim();
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return null;
    const closed = once(child, 'close');
    child.kill(signal);
    const [code] = await closed;
    return code as number | null;
  }

  async close(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.state, { recursive: true, force: true });
  }
}

/** A call over JSON-RPC; a failure is thrown as its description. */
export async function rpc(url: string, method: string, ...params: unknown[]): Promise<never> {
  const response = await fetch(`${url}/jsonrpc`, {
    method: 'POST',
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  });
  const { result, error } = (await response.json()) as { result: never; error?: { message: string; data: string[] } };
  if (error) throw new Error([error.message, ...error.data].join(' '));
  return result;
}
