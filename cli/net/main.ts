// `xenolith net`: the networks of a host.
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import type { ControlClient } from '../../toolstack/control/client.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import type { NetworkDescription } from '../../toolstack/host/nics.ts';
import { onHost } from '../host/main.ts';
import { netHelp, parseNet, type NetCommand } from './options.ts';

export async function netCommand(args: string[]): Promise<number> {
  const command = parseNet(args);
  if (!command) {
    process.stdout.write(netHelp());
    return 0;
  }
  return onHost(command.state, (client) => run(client, command));
}

async function run(client: ControlClient, command: NetCommand): Promise<number> {
  switch (command.verb) {
    case 'list':
      return list(await client.call<NetworkDescription[]>('net.list'), command.json);
    case 'create':
      await client.call('net.create', command.network);
      return 0;
    case 'remove':
      await client.call('net.remove', { name: command.name });
      return 0;
    case 'forward':
      process.stdout.write(`${await client.call<string>('net.forward', command.forward)}\n`);
      return 0;
    case 'unforward':
      await client.call('net.unforward', command.forward);
      return 0;
    case 'capture':
      return capture(client, command);
  }
}

function list(networks: readonly NetworkDescription[], json: boolean): number {
  if (json) {
    process.stdout.write(`${JSON.stringify(networks, undefined, 2)}\n`);
    return 0;
  }
  for (const { name, subnet4, subnet6, hostLoopback, outside, forwards, vifs } of networks) {
    const reach = [...(outside ? ['outside'] : []), ...(hostLoopback ? ["the host's loopback"] : [])];
    const what =
      subnet4 === null ? 'no gateway' : `${subnet4} ${subnet6} reaches ${reach.join(', ') || 'nothing else'}`;
    process.stdout.write(`${name}: ${what}\n`);
    for (const forward of forwards) process.stdout.write(`  forward ${forward}\n`);
    for (const { name: vif, addresses, connections, sentBytes, receivedBytes, dropped } of vifs)
      process.stdout.write(`  ${vif.padEnd(12)} sent ${sentBytes} received ${receivedBytes} dropped ${dropped} connections ${connections} ${addresses.join(' ')}\n`); // prettier-ignore
  }
  return 0;
}

/** Frames until the count is full, Ctrl-C, or the reader is gone. */
async function capture(client: ControlClient, { file, params }: NetCommand & { verb: 'capture' }): Promise<number> {
  const out: Writable = file === '-' ? process.stdout : createWriteStream(file);
  const failed = new Promise<never>((_, reject) =>
    out.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') call.end();
      else reject(new Refused(`${file} cannot be written (${error.code}): name another file, or make room.`));
    }),
  );
  const call = client.start<{ lost: number }>('net.capture', params, {
    data: (bytes) => out.write(bytes) || (out.once('drain', () => call.resume()), false),
  });
  const end = (): void => call.end();
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
  const { lost } = await Promise.race([call.result, failed]);
  if (file !== '-') await new Promise<void>((resolve) => out.end(resolve));
  if (lost > 0) process.stderr.write(`xenolith: ${lost} frames were lost: they came faster than they were written.\n`);
  return 0;
}
