// `xenolith up`, `down`, `status`.
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlClient, NoHost } from '../../toolstack/control/client.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import type { HostStatus } from '../../toolstack/host/service.ts';
import { paths } from '../../toolstack/host/state.ts';
import { EXIT } from '../options.ts';
import { hostHelp, parseHost, type HostOptions } from './options.ts';

export async function hostCommand(args: string[]): Promise<number> {
  const options = parseHost(args);
  if (!options) {
    process.stdout.write(hostHelp(args[0] as HostOptions['command']));
    return 0;
  }
  if (options.command === 'up') return orRefused(async () => (await import('./up.ts')).up(options));
  return onHost(options.state, (client) => (options.command === 'down' ? down(client, options) : status(client)));
}

/** What the host of this folder is asked for; that it refuses, or that there is none, is told. The exit code. */
export function onHost(state: string, ask: (client: ControlClient) => Promise<number>): Promise<number> {
  return orRefused(async () => {
    const client = await connectHost(state);
    try {
      return await ask(client);
    } finally {
      client.close();
    }
  });
}

async function orRefused(act: () => Promise<number>): Promise<number> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Refused || error instanceof NoHost)) throw error;
    process.stderr.write(`xenolith: ${error.message}\n`);
    return EXIT.failed;
  }
}

/** A connection to the host of this folder; NoHost with a sentence for a person if there is none. */
export async function connectHost(state: string): Promise<ControlClient> {
  try {
    return await ControlClient.connect(paths(state).control);
  } catch (error) {
    if (!(error instanceof NoHost)) throw error;
    const why = error.message === 'EACCES' ? 'belongs to somebody else' : 'is not running';
    throw new NoHost(
      `the host of ${state} ${why}: \`xenolith up --detach\` starts one (XENOLITH_STATE names another folder).`,
    );
  }
}

async function down(client: ControlClient, { timeout }: HostOptions): Promise<number> {
  const { pid } = await client.call<{ pid: number }>('host.down', { timeoutMs: timeout * 1000 });
  await client.closed;
  // The folder is free when the process is gone.
  for (const late = Date.now() + GONE_MS; runs(pid) && Date.now() < late; ) await sleep(10);
  return 0;
}

const GONE_MS = 5000;

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

const MIB = 2 ** 20;

async function status(client: ControlClient): Promise<number> {
  const s = await client.call<HostStatus>('host.status');
  const lines: [string, string][] = [
    ['state', s.state],
    ['process', String(s.pid)],
    ['version', s.version],
    ['uptime', `${Math.floor(s.uptime)} s`],
    ['domains', String(s.domains)],
    ['memory', `${Math.floor(s.memory / MIB)} MiB`],
    ['free', `${Math.floor(s.free / MIB)} MiB`],
    ['log', s.log],
  ];
  const table = lines.map(([name, value]) => `${name.padEnd(9)}: ${value}\n`).join('');
  process.stdout.write(
    `${table}\nexport XENOLITH_STATE=${quoted(s.state)}\nexport XENSTORED_RUNDIR=${quoted(s.xenstored)}\n`,
  );
  return 0;
}

/** For a shell. */
const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
