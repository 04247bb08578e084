// A domain's channels: consoles with names, some of them unix sockets that the host listens on as long as the domain lives.
import { lstatSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { isAlive, listenPrivately } from '../../services/lib/unix_socket.ts';
import type { ChannelFacts, ConsoleOptions } from '../../services/xenops/consoles.ts';
import type { ChannelConfig } from '../config/channel.ts';
import { ERROR, Refused } from '../control/refused.ts';
import { connectTerminal, type GuestConsole } from './console.ts';
import type { Domains } from './domains.ts';

/** Programs at a channel's socket at a time. */
const MAX_CLIENTS = 16;

export class Channel implements ConsoleOptions {
  readonly devid: number;
  readonly name: string;
  readonly connection: ChannelConfig['connection'];
  readonly path?: string;
  readonly end: GuestConsole;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();

  constructor({ name, connection, path }: ChannelConfig, devid: number, end: GuestConsole) {
    this.devid = devid;
    this.name = name;
    this.connection = connection;
    if (path !== undefined) this.path = path;
    this.end = end;
  }

  async open(): Promise<void> {
    if (this.path === undefined) return;
    const server = createServer((socket) => this.#accept(socket));
    server.maxConnections = MAX_CLIENTS;
    await listenAt(server, this.path);
    server.on('error', () => {}); // accept() failing for want of descriptors
    this.#server = server;
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    connectTerminal(this.end, socket);
    socket.on('close', () => this.#sockets.delete(socket));
  }

  /** The domain is gone. */
  close(): void {
    this.end.end();
    if (!this.#server) return;
    rmSync(this.path!, { force: true });
    this.#server.close();
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroySoon();
  }
}

/** A socket that nobody answers on is one that a killed host has left. */
async function listenAt(server: Server, path: string): Promise<void> {
  const there = lstatSync(path, { throwIfNoEntry: false });
  if (there?.isSocket() && !(await isAlive(path))) rmSync(path);
  else if (there) throw Object.assign(new Error('something is there already'), { code: 'EEXIST' });
  await listenPrivately(server, path);
}

const WHY: Readonly<Record<string, string>> = {
  EEXIST: 'something is there already',
  EADDRINUSE: 'something is there already',
  ENOENT: 'there is no such folder',
  EACCES: 'the host may not write there',
  ENOTDIR: 'that is no folder',
};

/** All or none. */
export async function openChannels(domains: Domains, configs: readonly ChannelConfig[]): Promise<Channel[]> {
  const opened: Channel[] = [];
  for (const [i, config] of configs.entries()) {
    const channel = new Channel(config, i + 1, domains.newConsole());
    try {
      await channel.open();
    } catch (error) {
      for (const each of opened) each.close();
      const { code = '', message } = error as NodeJS.ErrnoException;
      throw new Refused(`channel ${config.name}: no socket at ${config.path}: ${WHY[code] ?? message}.`, ERROR.FAIL);
    }
    opened.push(channel);
  }
  return opened;
}

/** A domain's console by its number, from 1 on. */
export function channelConsole(domid: number, channels: readonly Channel[], number: number): GuestConsole {
  const channel = channels.find(({ devid }) => devid === number);
  if (!channel)
    throw new Refused(
      `domain ${domid} has no console ${number}: \`xl channel-list ${domid}\` shows what there is.`,
      ERROR.INVAL,
    );
  if (channel.connection === 'pty') return channel.end;
  throw new Refused(`console ${number} of domain ${domid} is reached by its socket, ${channel.path}.`, ERROR.INVAL);
}

export function listChannels(domains: Domains, domid: number): ChannelFacts[] {
  domains.find(domid);
  return domains.host.consoles.list(domid);
}
