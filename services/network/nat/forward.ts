// Ports of the host that lead to a guest's.
import { createSocket, type RemoteInfo, type Socket as DatagramSocket } from 'node:dgram';
import { createServer, isIP, type Server } from 'node:net';
import { addressText, inside, parseAddress } from './addresses.ts';
import type { Gateway } from './gateway.ts';

export interface Forward {
  protocol: 'tcp' | 'udp';
  /** Of the host. */
  address: string;
  port: number;
  /** Of the guest, in the network. */
  to: string;
  toPort: number;
}

/** One sentence says why a forward cannot be. */
export class ForwardError extends Error {}

const LOOPBACK = '127.0.0.1';

const portOf = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65536 ? Number(text) : undefined;

/** `[tcp:|udp:][ADDRESS:]PORT:GUEST:PORT`, an IPv6 address in brackets; without an address it is the loopback's. */
export function parseForward(text: string): Forward | undefined {
  const match = /^(?:(tcp|udp):)?(?:(\[[^\]]+\]|[\d.]+|\*):)?(\d+):(\[[^\]]+\]|[\d.]+):(\d+)$/.exec(text);
  if (!match) return undefined;
  const bare = (part: string) => part.replace(/^\[|\]$/g, '');
  const address = match[2] === '*' ? '0.0.0.0' : bare(match[2] ?? LOOPBACK);
  const [port, toPort] = [portOf(match[3]), portOf(match[5])];
  const to = bare(match[4]!);
  if (!isIP(address) || !isIP(to) || port === undefined || toPort === undefined) return undefined;
  return { protocol: match[1] === 'udp' ? 'udp' : 'tcp', address, port, to: addressText(parseAddress(to)!), toPort };
}

export const forwardText = ({ protocol, address, port, to, toPort }: Forward): string => {
  const part = (name: string) => (name.includes(':') ? `[${name}]` : name);
  return `${protocol}:${part(address)}:${port}:${part(to)}:${toPort}`;
};

/** Peers of a forwarded UDP port. */
const MOST_PEERS = 256;

function why(error: NodeJS.ErrnoException, { protocol, address, port }: Forward): ForwardError {
  const reasons: Record<string, string> = {
    EADDRINUSE: 'another program has it',
    EACCES: 'this user may not have ports below 1024',
    EADDRNOTAVAIL: 'the host has no such address',
  };
  return new ForwardError(`the host's ${protocol} port ${port} at ${address} cannot be forwarded: ${reasons[error.code ?? ''] ?? error.message}`); // prettier-ignore
}

export class Forwards {
  readonly #gateway: Gateway;
  readonly #open = new Map<string, { forward: Forward; close: () => void }>();

  constructor(gateway: Gateway) {
    this.#gateway = gateway;
  }

  get list(): Forward[] {
    return [...this.#open.values()].map(({ forward }) => forward);
  }

  /** Opens a forward; with port 0 the host chooses one. Gives it as it is then. */
  async add(asked: Forward): Promise<Forward> {
    const to = parseAddress(asked.to)!;
    const { plan } = this.#gateway;
    if (!inside(plan.subnet4, to) && !inside(plan.subnet6, to))
      throw new ForwardError(
        `${asked.to} is no address of the network ${plan.options.subnet4}, ${plan.options.subnet6}`,
      );
    const { port, close } = asked.protocol === 'tcp' ? await this.#tcp(asked, to) : await this.#udp(asked, to);
    const forward = { ...asked, port };
    this.#open.set(forwardText(forward), { forward, close });
    return forward;
  }

  /** Closes one; false if there is none like it. Connections that stand go on. */
  remove(forward: Forward): boolean {
    const key = forwardText(forward);
    this.#open.get(key)?.close();
    return this.#open.delete(key);
  }

  close(): void {
    for (const { close } of this.#open.values()) close();
    this.#open.clear();
  }

  #tcp(forward: Forward, to: Uint8Array): Promise<{ port: number; close: () => void }> {
    const server: Server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
      this.#gateway.connect(socket, to, forward.toPort),
    );
    return new Promise((resolve, reject) => {
      server.once('error', (error) => reject(why(error, forward)));
      server.listen({ host: forward.address, port: forward.port, exclusive: true }, () => {
        const { port } = server.address() as { port: number };
        resolve({ port, close: () => void server.close() });
      });
    });
  }

  #udp(forward: Forward, to: Uint8Array): Promise<{ port: number; close: () => void }> {
    const socket: DatagramSocket = createSocket(forward.address.includes(':') ? 'udp6' : 'udp4');
    // The guest sees each peer as a port of the gateway's, and answers to that.
    const peers = new Map<string, number>();
    socket.on('message', (data: Buffer, { address, port }: RemoteInfo) => {
      const key = `${address} ${port}`;
      let own = peers.get(key);
      if (own === undefined) {
        own = this.#gateway.openReturn(to.length, (answer) => socket.send(answer, port, address));
        if (own === undefined) return;
        if (peers.size >= MOST_PEERS) {
          const [oldest, old] = peers.entries().next().value!;
          peers.delete(oldest);
          this.#gateway.closeReturn(old);
        }
        peers.set(key, own);
      }
      this.#gateway.datagram(own, to, forward.toPort, data);
    });
    return new Promise((resolve, reject) => {
      socket.once('error', (error) => reject(why(error, forward)));
      socket.bind({ port: forward.port, address: forward.address, exclusive: true }, () => {
        socket.on('error', () => {});
        const close = () => {
          for (const own of peers.values()) this.#gateway.closeReturn(own);
          socket.close();
        };
        resolve({ port: socket.address().port, close });
      });
    });
  }
}
