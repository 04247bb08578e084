// `--gdb PORT`: a debugger's connection, on this machine's loopback address only. One at a time; one that is cut off is a detached one.
import { createServer, type Server, type Socket } from 'node:net';
import type { Machine } from '../../../platform/machine.ts';
import { packet, PacketReader } from '../protocol/packet.ts';
import { Session } from '../protocol/session.ts';
import { DomainTarget } from './target.ts';

const LOOPBACK = '127.0.0.1';
const SIGSEGV = 11;

export interface DebuggerOptions {
  port: number;
  /** The guest waits at its first instruction for a debugger. */
  wait: boolean;
  onKill: () => void;
}

export class DebugServer {
  readonly #options: DebuggerOptions;
  readonly #server: Server;
  #machine: Machine | null = null;
  #target: DomainTarget | null = null;
  #client: { socket: Socket; session: Session } | null = null;
  #released: (() => void) | null = null;

  constructor(options: DebuggerOptions) {
    this.#options = options;
    this.#server = createServer({ noDelay: true }, (socket: Socket) => this.#accept(socket));
  }

  /** Resolves with the port that it listens on; rejects when that cannot be had. */
  listen(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(this.#options.port, LOOPBACK, () => {
        const address = this.#server.address();
        resolve(typeof address === 'object' && address ? address.port : this.#options.port);
      });
    });
  }

  /** A domain has been built and has not run yet. The first one waits if that is wanted. */
  guest(machine: Machine, domid: number): void {
    this.#machine = machine;
    if (this.#target) return this.#target.rebind(domid);
    this.#target = new DomainTarget(machine, domid, this.#options.onKill);
    if (this.#options.wait) this.#target.interrupt();
  }

  #accept(socket: Socket): void {
    if (this.#client || !this.#target) return void socket.destroy();
    const target = this.#target;
    const session = new Session(target, (reply) => socket.write(packet(reply)));
    const client = { socket, session };
    this.#client = client;
    const reader = new PacketReader();
    target.interrupt();
    socket.on('data', (bytes: Buffer) => this.#data(client, reader, bytes));
    socket.on('error', () => {}); // followed by close
    socket.on('close', () => {
      this.#client = null;
      if (!session.over) target.detach();
      this.#released?.();
    });
  }

  #data({ socket, session }: { socket: Socket; session: Session }, reader: PacketReader, bytes: Uint8Array): void {
    for (const received of reader.read(bytes)) {
      if (session.over) return;
      if (received.kind === 'interrupt') session.interrupt();
      else if (received.kind === 'bad' && session.acknowledge) socket.write('-');
      else if (received.kind === 'packet') {
        if (session.acknowledge) socket.write('+');
        session.packet(received.data);
      }
    }
    if (session.over) socket.end();
  }

  /** Looks whether the guest has stopped; to be called whenever the machine's bell has rung. */
  poll(): void {
    if (!this.#machine || !this.#client) return;
    const stop = this.#target?.poll();
    if (stop) this.#client.session.stopped(stop);
  }

  /**
   * The guest has come to its end; its structures still exist. A crash is a stop: the debugger looks at what is left for as long as it
   * stays; otherwise it is told and let go.
   */
  async ended(how: { code: number } | 'crash'): Promise<void> {
    const client = this.#client;
    if (!client) return;
    if (how !== 'crash') {
      client.session.ended(how);
      return void client.socket.end();
    }
    const gone = new Promise<void>((resolve) => (this.#released = resolve));
    client.session.stopped({ vcpu: 0, why: 'crash', address: 0n });
    await gone;
    this.#released = null;
  }

  close(): void {
    this.#server.close();
    this.#client?.session.ended({ signal: SIGSEGV });
    this.#client?.socket.destroy();
  }
}
