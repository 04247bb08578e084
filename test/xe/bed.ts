// `xe` against a host in this process: its own client, over TCP or as a bare connection.
import { connect, type Socket } from 'node:net';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runXe } from '../../cli/xe/run.ts';
import { Channel } from '../../toolstack/xenapi/cli/channel.ts';
import type { Command } from '../../toolstack/xenapi/cli/protocol.ts';
import { bed, listen, PASSWORD, type Bed } from '../../toolstack/xenapi/testing.ts';
import type { SimulatorOptions } from '../../toolstack/xenapi/xenops/simulator.ts';

type Cleanup = { after(act: () => Promise<void> | void): void };

export interface Ran {
  code: number;
  out: string;
  err: string;
}

export interface XeBed extends Bed {
  port: number;
  /** Runs `xe` as root. */
  xe(...args: string[]): Promise<Ran>;
  /** The same; it has to succeed. Without the line's end. */
  ok(...args: string[]): Promise<string>;
}

export function temporary(t: Cleanup): string {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-xe-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function xeBed(t: Cleanup, options: SimulatorOptions & { storage?: string } = {}): Promise<XeBed> {
  const server = await bed(t, options);
  const port = await listen(t, server);
  const xe = async (...args: string[]): Promise<Ran> => {
    let [out, err] = ['', ''];
    const io = { out: (text: string) => void (out += text), err: (text: string) => void (err += text), env: {} };
    const where = ['-s', '127.0.0.1', '-p', String(port), '--nossl', '-u', 'root', '-pw', PASSWORD];
    const code = await runXe([...args, ...where], io);
    return { code, out, err };
  };
  const ok = async (...args: string[]): Promise<string> => {
    const { code, out, err } = await xe(...args);
    if (code !== 0) throw new Error(`xe ${args.join(' ')}: ${code} ${err}${out}`);
    return out.replace(/\n$/, '');
  };
  return { ...server, port, xe, ok };
}

/** A connection that has sent its command line, as a real client sends it. */
export async function dial(port: number, args: readonly string[]): Promise<{ socket: Socket; channel: Channel }> {
  const socket = connect({ host: '127.0.0.1', port });
  const body = Buffer.from(args.join('\n'));
  socket.write(`POST /cli HTTP/1.0\r\nUser-agent: xe-cli/Unix/0.2\r\ncontent-length: ${body.length}\r\n\r\n`);
  socket.write(body);
  const channel = new Channel(socket);
  return { socket, channel };
}

/** All that the host says, until the end; `answer` may say something to a command. */
export async function converse(
  channel: Channel,
  answer: (command: Command) => Promise<void> | void = () => {},
): Promise<Command[]> {
  await channel.greeted(5000);
  await channel.greet();
  const said: Command[] = [];
  for (;;) {
    const message = await channel.next(10_000);
    if (!('command' in message)) throw new Error('a host sends commands');
    said.push(message.command);
    if (message.command.kind === 'Exit') return said;
    await answer(message.command);
  }
}
