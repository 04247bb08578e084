/** Clients of `/console` for tests, on plain sockets. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface Opened {
  status: number;
  head: string;
  /** What comes behind the head is still in it. */
  socket: Socket;
}

export interface Ask {
  headers?: Record<string, string>;
  method?: string;
  version?: string;
  tls?: boolean;
}

/** Asks by CONNECT (or by another method) and reads the head of the answer. */
export async function open(
  port: number,
  path: string,
  { headers = {}, method = 'CONNECT', version = '1.0', tls = false }: Ask = {},
): Promise<Opened> {
  const where = { port, host: '127.0.0.1' };
  const socket = tls ? connectTls({ ...where, rejectUnauthorized: false }) : connect(where);
  socket.on('error', () => {});
  await once(socket, tls ? 'secureConnect' : 'connect');
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`${method} ${path} HTTP/${version}\r\n${lines.join('')}\r\n`);
  let read = Buffer.alloc(0);
  for (;;) {
    const at = read.indexOf('\r\n\r\n');
    if (at >= 0) {
      socket.unshift(read.subarray(at + 4));
      const head = read.toString('latin1', 0, at);
      // Whoever asked listens by then.
      setImmediate(() => socket.resume());
      return { status: Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]), head, socket };
    }
    const [bytes] = (await Promise.race([once(socket, 'data'), once(socket, 'close')])) as [Buffer?];
    if (!Buffer.isBuffer(bytes)) return { status: NaN, head: read.toString('latin1'), socket };
    socket.pause();
    read = Buffer.concat([read, bytes]);
  }
}

/** A frame of a WebSocket as clients send it, masked (RFC 6455, section 5.2). */
export function frame(opcode: number, payload: Buffer, fin = true): Buffer {
  const { length } = payload;
  const size = length < 126 ? Buffer.of(0x80 | length) : length < 65536 ? Buffer.of(0xfe, length >> 8, length & 255) : Buffer.concat([Buffer.of(0xff), Buffer.from(length.toString(16).padStart(16, '0'), 'hex')]); // prettier-ignore
  const mask = Buffer.of(1, 2, 3, 4);
  const masked = Buffer.from(payload.map((byte, i) => byte ^ mask[i % 4]));
  return Buffer.concat([Buffer.of((fin ? 0x80 : 0) | opcode), size, mask, masked]);
}

export const UPGRADE = {
  ...{ Host: 'localhost', Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' },
  'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

/** Resolves when the other side has ended the connection, with what it said before. */
export async function rest(socket: Socket): Promise<string> {
  let heard = '';
  socket.on('data', (bytes: Buffer) => (heard += bytes.toString('latin1')));
  socket.resume();
  if (!socket.destroyed && !socket.readableEnded)
    await Promise.race([once(socket, 'close'), once(socket, 'end')]).catch(() => {});
  return heard;
}
