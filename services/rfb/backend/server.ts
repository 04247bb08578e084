// The viewers of one screen: who comes by TCP, and whatever other stream is handed to it.
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Pacer } from './pacer.ts';
import type { Screen } from './screen.ts';
import { RfbSession } from './session.ts';

/** Viewers at a time. */
const MAX_VIEWERS = 16;

export interface Address {
  host: string;
  port: number;
}

export class RfbServer {
  readonly #screen: Screen;
  readonly #password: string;
  readonly #pacer: Pacer;
  readonly #sessions = new Set<RfbSession>();
  #server: Server | undefined;
  address: Address | undefined;
  /** The last viewer has left. */
  onAlone: () => void = () => {};

  /** `password` '': none is asked for. */
  constructor(screen: Screen, password = '', pacer: Pacer = new Pacer()) {
    this.#screen = screen;
    this.#password = password;
    this.#pacer = pacer;
  }

  get viewers(): number {
    return this.#sessions.size;
  }

  /** Another viewer would be turned away. */
  get full(): boolean {
    return this.#sessions.size >= MAX_VIEWERS;
  }

  /** Rejects with the system's error if it cannot be had. */
  async listen(address: Address): Promise<void> {
    const server = createServer({ noDelay: true }, (socket: Socket) => this.serve(socket));
    server.maxConnections = MAX_VIEWERS;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(address, resolve);
    });
    server.removeAllListeners('error');
    server.on('error', () => {}); // accept() failing for want of descriptors
    this.#server = server;
    const at = server.address();
    this.address = { host: address.host, port: typeof at === 'object' && at ? at.port : address.port };
  }

  /** Another viewer, at the other end of a stream. `trusted`: it has shown already that it may look. */
  serve(stream: Duplex, trusted = false): void {
    if (this.full) {
      stream.destroy();
      return;
    }
    const session: RfbSession = new RfbSession(stream, this.#screen, {
      password: trusted ? '' : this.#password,
      pacer: this.#pacer,
      onExclusive: () => {
        for (const other of [...this.#sessions]) if (other !== session) other.close();
      },
      onClosed: () => {
        this.#sessions.delete(session);
        if (this.#sessions.size === 0) this.onAlone();
      },
    });
    this.#sessions.add(session);
  }

  close(): void {
    this.#server?.close();
    this.#server = undefined;
    for (const session of [...this.#sessions]) session.close();
  }
}
