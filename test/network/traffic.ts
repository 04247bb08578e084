// The host's end of what guests/net/traffic.c does: servers on the loopback, and the same sums.
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** Two running sums of 32-bit words, as traffic.c has them. */
export class Sum {
  bytes = 0;
  #a = 0;
  #b = 0;
  #rest: Buffer = Buffer.alloc(0);

  add(chunk: Buffer): void {
    this.bytes += chunk.length;
    const all = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    const whole = all.length & ~3;
    const at = all.byteOffset % 4 === 0 ? all : Buffer.from(new Uint8Array(all).buffer);
    const words = new Uint32Array(at.buffer, at.byteOffset, whole / 4);
    let [a, b] = [this.#a, this.#b];
    for (let i = 0; i < words.length; i++) {
      a = (a + words[i]!) | 0;
      b = (b + a) | 0;
    }
    [this.#a, this.#b] = [a, b];
    this.#rest = Buffer.from(all.subarray(whole));
  }

  /** As traffic.c says it. */
  get text(): string {
    let [a, b] = [this.#a, this.#b];
    if (this.#rest.length > 0) {
      a = (a + Buffer.concat([this.#rest, Buffer.alloc(4)]).readUInt32LE(0)) | 0;
      b = (b + a) | 0;
    }
    const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
    return `${this.bytes} ${hex(a)}${hex(b)}`;
  }
}

/** Bytes and their sum, and how long it took; `cpu` by `Servers.clock`. */
export interface Moved {
  text: string;
  seconds: number;
  cpu: number;
}
export interface Watched {
  port: number;
  /** The next one that is through. */
  next: () => Promise<Moved>;
}

export class Servers {
  /** Processor seconds of who is measured. */
  clock: () => number = () => 0;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();

  async listen(handler: (socket: Socket) => void): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      handler(socket);
    });
    this.#servers.push(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  }

  /** Takes what one sends; gives the port, and the sum and seconds of the next one that has sent all. */
  async sink(): Promise<Watched> {
    const done: Moved[] = [];
    let wake = () => {};
    const port = await this.listen((socket) => {
      const [start, cpu] = [performance.now(), this.clock()];
      sumOf(socket).then((text) => {
        done.push({ text, seconds: (performance.now() - start) / 1000, cpu: this.clock() - cpu });
        socket.end();
        wake();
      }, () => {}); // prettier-ignore
    });
    const next = async () => {
      while (done.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return done.shift()!;
    };
    return { port, next };
  }

  /** Sends so many bytes to who connects. */
  async source(bytes: number): Promise<Watched> {
    const done: Moved[] = [];
    let wake = () => {};
    const port = await this.listen((socket) => {
      const [start, cpu] = [performance.now(), this.clock()];
      void give(socket, bytes).then((text) => {
        socket.on('close', () => {
          done.push({ text, seconds: (performance.now() - start) / 1000, cpu: this.clock() - cpu });
          wake();
        });
        socket.resume();
      });
    });
    const next = async () => {
      while (done.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      return done.shift()!;
    };
    return { port, next };
  }

  echo(): Promise<number> {
    return this.listen((socket) => socket.pipe(socket));
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

export async function sumOf(socket: Socket): Promise<string> {
  const sum = new Sum();
  socket.on('data', (chunk: Buffer) => sum.add(chunk));
  await once(socket, 'end');
  return sum.text;
}

export async function give(socket: Socket, bytes: number): Promise<string> {
  const sum = new Sum();
  for (let left = bytes; left > 0; ) {
    const chunk = Buffer.alloc(Math.min(left, 65536), left % 251);
    chunk[0] = (left >> 16) & 255; // no two chunks are equal
    sum.add(chunk);
    left -= chunk.length;
    if (!socket.write(chunk)) await once(socket, 'drain');
  }
  socket.end();
  return sum.text;
}

/** What a server on the loopback sends. */
export async function receive(port: number): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  const text = await sumOf(socket);
  socket.destroy();
  return text;
}
