// HTTP as `xe` needs it for transfers: one request a connection, its body as long as it takes. A host may answer an upload before the
// body has come (XAPI does), and may send to another host by 302.
import type { Socket } from 'node:net';
import type { Place } from './connect.ts';

const MAX_HEAD = 64 * 1024;
const MAX_REDIRECTS = 5;

export interface Answer {
  status: number;
  line: string;
  headers: Map<string, string>;
  socket: Socket;
}

/** Reads the head of an answer; what comes behind it stays in the socket. */
export function readHead(socket: Socket): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0);
    const done = (end: () => void): void => {
      socket.off('data', look);
      socket.off('close', closed);
      socket.off('end', closed);
      socket.pause();
      end();
    };
    const closed = (): void => done(() => reject(new Error('the host has ended the connection')));
    const look = (bytes: Buffer): void => {
      read = Buffer.concat([read, bytes]);
      const at = read.indexOf('\r\n\r\n');
      if (at < 0 && read.length > MAX_HEAD) done(() => reject(new Error('the host answers no HTTP')));
      if (at < 0) return;
      const [line, ...rest] = read.toString('latin1', 0, at).split('\r\n');
      const headers = new Map(
        rest.map((each) => [each.slice(0, each.indexOf(':')).toLowerCase(), each.slice(each.indexOf(':') + 1).trim()]),
      );
      const status = Number(/^HTTP\/1\.\d (\d{3})/.exec(line)?.[1] ?? NaN);
      const left = read.subarray(at + 4);
      done(() => {
        if (left.length > 0) socket.unshift(left);
        resolve({ status, line, headers, socket });
      });
    };
    socket.on('data', look);
    socket.on('close', closed);
    socket.on('end', closed);
  });
}

/** `https://HOST:PORT/PATH` names a host, anything else is a path of the one that is spoken to. */
export function parseUrl(url: string): { place: Place | undefined; path: string } {
  const [, scheme, host, port, path] = /^(https?):\/\/(\[[^\]/]*\]|[^:/]*)(?::(\d{1,5}))?(\/.*)?$/.exec(url) ?? [];
  if (scheme === undefined) return { place: undefined, path: url };
  const tls = scheme === 'https';
  return {
    place: { host: host.replace(/^\[(.*)\]$/, '$1'), port: port === undefined ? (tls ? 443 : 80) : Number(port), tls },
    path: path ?? '/',
  };
}

/** To the host that is spoken to, if no other is named. */
export type Connect = (place?: Place) => Promise<Socket>;

/** Asks until somebody does not point to another. */
export async function request(
  connect: Connect,
  url: string,
  ask: (path: string, socket: Socket) => Promise<Answer>,
): Promise<Answer> {
  let at = url;
  for (let i = 0; i < MAX_REDIRECTS; i++) {
    const { place, path } = parseUrl(at);
    const socket = await connect(place);
    const answer = await ask(path, socket);
    const to = answer.headers.get('location');
    if (answer.status !== 302 || to === undefined) return answer;
    socket.destroy();
    at = to;
  }
  throw new Error('the host points from one to the next');
}
