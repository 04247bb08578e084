// A guest's port at the host's loopback, and ssh's options for machines that nobody has seen before.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { Bed } from '../host/bed.ts';
import { Servers } from '../network/traffic.ts';

/** Gives the port of the host that leads to the guest's. */
export async function forwarded(b: Bed, network: string, address: string, port: number): Promise<number> {
  const own = new Servers();
  const free = await own.listen(() => {});
  own.close();
  const { code, err } = await b.run('xenolith', ['net', 'forward', network, `${free}:${address}:${port}`]);
  assert.deepEqual([code, err], [0, '']);
  return free;
}

export function sshOptions(key: string, port: number): string[] {
  const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes', 'ConnectTimeout=60'];
  return ['-q', '-i', key, '-p', String(port), ...options.flatMap((option) => ['-o', option])];
}

/** What a command prints that somebody (`ada@127.0.0.1`) runs by ssh; it must succeed. */
export async function bySsh(key: string, port: number, who: string, command: string): Promise<string> {
  const child = spawn('ssh', [...sshOptions(key, port), who, command], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  assert.equal(code, 0, `${command}: ${out}${err}`);
  return out.trimEnd();
}
