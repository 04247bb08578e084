// The store on a unix socket, as xenstored offers it to domain 0's tools: whoever may open the socket is domain 0.
import { rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { listenPrivately } from '../../lib/unix_socket.ts';
import type { Connection } from '../protocol/connection.ts';
import type { Store } from '../protocol/store.ts';

/** Bytes handed to a socket that has not sent them yet; the rest waits in the connection, which has limits of its own. */
const UNSENT_MAX = 64 * 1024;
/** Clients at a time; more are refused. Each costs a file descriptor. */
const CLIENTS_MAX = 512;

/** Where messages on their way to a socket are put together. */
const OUTPUT = Buffer.allocUnsafeSlow(UNSENT_MAX);

export interface StoreListener {
  readonly path: string;
  /** Clients connected now. */
  readonly clients: number;
  /** Serves another store from now on: clients go on with the connection that has their number, the others are closed. */
  attach(store: Store): void;
  /** Closes all clients and removes the socket's file. */
  close(): Promise<void>;
}

/**
 * Serves `store` on a new unix socket at `path`, which only this user may open. Rejects with EADDRINUSE if something is there
 * already: `isAlive` (lib/unix_socket.ts) tells whether to leave it or to remove it first.
 */
export async function listen(store: Store, path: string): Promise<StoreListener> {
  const listener = new Listener(store, path);
  await listener.open();
  return listener;
}

class Listener implements StoreListener {
  readonly path: string;
  readonly #server: Server;
  readonly #clients = new Set<Client>();
  #store: Store;

  constructor(store: Store, path: string) {
    this.#store = store;
    this.path = path;
    this.#server = createServer({ allowHalfOpen: false }, (socket: Socket) => this.#accept(socket));
    this.#server.maxConnections = CLIENTS_MAX;
  }

  get clients(): number {
    return this.#clients.size;
  }

  async open(): Promise<void> {
    await listenPrivately(this.#server, this.path);
    this.#server.on('error', () => {}); // accept() failing for want of descriptors: the client is refused, we go on
  }

  #accept(socket: Socket): void {
    const client: Client = new Client(this.#store, socket, () => this.#clients.delete(client));
    this.#clients.add(client);
  }

  attach(store: Store): void {
    this.#store = store;
    for (const client of [...this.#clients]) client.attach(store);
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    rmSync(this.path, { force: true });
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const client of [...this.#clients]) client.close();
    await closed;
  }
}

class Client {
  readonly #socket: Socket;
  readonly #gone: () => void;
  #store: Store;
  #connection: Connection;
  /** What has come and was not accepted yet; while there is some, the socket is not read. */
  #rest: Uint8Array | undefined;
  #scheduled = false;

  constructor(store: Store, socket: Socket, gone: () => void) {
    this.#store = store;
    this.#socket = socket;
    this.#gone = gone;
    this.#connection = this.#use(store.connect(0));
    socket.on('data', (bytes: Uint8Array) => this.#receive(bytes));
    socket.on('drain', () => this.#flush());
    socket.on('error', () => {}); // followed by close
    socket.on('close', () => this.close());
  }

  #use(connection: Connection): Connection {
    connection.onReady = () => this.#schedule();
    return connection;
  }

  attach(store: Store): void {
    const serial = this.#connection.serial;
    const connection = [...store.connections].find((each) => each.serial === serial && each.privileged);
    if (!connection) return this.close();
    this.#store = store;
    this.#connection = this.#use(connection);
    this.#schedule();
  }

  close(): void {
    this.#gone();
    this.#store.disconnect(this.#connection);
    this.#socket.destroy();
  }

  #receive(bytes: Uint8Array): void {
    this.#scheduled = true; // what it has to say is sent below, at once
    const taken = this.#connection.receive(bytes);
    this.#scheduled = false;
    this.#rest = taken < bytes.length ? bytes.subarray(taken) : undefined;
    if (this.#rest) this.#socket.pause();
    this.#flush();
  }

  /** The store may be in the middle of a change when it has something for this client. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      if (this.#connection.closed) return;
      if (this.#rest && this.#connection.accepting) {
        const rest = this.#rest;
        this.#receive(rest);
        if (!this.#rest) this.#socket.resume();
      } else this.#flush();
    });
  }

  #flush(): void {
    const connection = this.#connection;
    if (connection.error !== 0) return this.close();
    while (this.#socket.writableLength < UNSENT_MAX) {
      const length = connection.takeOutput(OUTPUT);
      if (length === 0) break;
      this.#socket.write(Buffer.from(OUTPUT.subarray(0, length)));
    }
  }
}
