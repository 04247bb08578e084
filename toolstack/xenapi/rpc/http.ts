/** The API's listeners: HTTP, TLS and a unix socket, and what each path is for. */
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { CONSOLE_PATH } from '../console/records.ts';
import { ConsoleServer } from '../console/serve.ts';
import { isWebSocket } from '../console/websocket.ts';
import { TLSSocket } from 'node:tls';
import { CliServer } from '../cli/serve.ts';
import type { Xapi } from '../xapi.ts';
import { TRANSFER_ROUTES } from '../http/routes.ts';
import { jsonRpc, xmlRpc } from './calls.ts';
import { Connections } from './connections.ts';
import { standBefore } from './front_door.ts';
import { CORS, sendText } from './send.ts';

export type Route = (xapi: Xapi, request: IncomingMessage, response: ServerResponse, address: string) => Promise<void>;

export interface Listen {
  /** A unix socket, or an address and a port. */
  path?: string;
  host?: string;
  port?: number;
  tls?: { key: string; cert: string };
}

/** Method and the beginning of the path; the longest that fits counts. */
const ROUTES: readonly (readonly [string, string, Route])[] = [
  ['POST', '/jsonrpc', jsonRpc],
  ['POST', '/', xmlRpc],
  [
    'GET',
    CONSOLE_PATH,
    (_, request, response) => {
      request.resume();
      sendText(response, 426, 'a console is a WebSocket, or CONNECT', { upgrade: 'websocket', connection: 'upgrade' });
      return Promise.resolve();
    },
  ],
  ...TRANSFER_ROUTES,
];

/** Of all listeners together. */
const MAX_CONNECTIONS = 2000;
/** A request's head has to be there within this time; bodies are watched by who reads them. */
const HEAD_MS = 20_000;
const IDLE_MS = 65_000;
/** How often it is looked at heads that are late; how long TLS may take to agree on its keys. */
const WATCH = { connectionsCheckingInterval: 5000, handshakeTimeout: 20_000 };

export function service(method: string, path: string): (typeof ROUTES)[number] | undefined {
  let best: (typeof ROUTES)[number] | undefined;
  for (const each of ROUTES) {
    const [wanted, prefix] = each;
    if (wanted === method && path.startsWith(prefix) && prefix.length > (best?.[1].length ?? -1)) best = each;
  }
  return best;
}

/** Whether it is one of a network's without TLS, which the host may have closed. */
const isOpen = (socket: Socket): boolean => !(socket instanceof TLSSocket) && socket.remoteAddress !== undefined;

/** The path of a request, with repeated slashes as one; undefined if it is none. */
function pathOf(url: string | undefined): string | undefined {
  try {
    return new URL(url ?? '/', 'http://host').pathname.replace(/\/{2,}/g, '/');
  } catch {
    return undefined;
  }
}

export class HttpServer {
  readonly #xapi: Xapi;
  readonly #servers: Server[] = [];
  readonly #paths: string[] = [];
  /** Connections of which nobody knows yet what they are for. */
  readonly #waiting = new Set<Socket>();
  readonly #cli: CliServer;
  readonly #connections: Connections;
  readonly #consoles: ConsoleServer;

  constructor(xapi: Xapi, most = MAX_CONNECTIONS) {
    this.#xapi = xapi;
    this.#connections = new Connections(most);
    this.#cli = new CliServer(xapi, (socket) => this.#connections.begin(socket));
    this.#consoles = new ConsoleServer(xapi);
  }

  readonly #serve: RequestListener = (request, response) => {
    this.#connections.serve(request, response);
    const address = request.socket.remoteAddress ?? 'unix';
    void this.#answer(request, response, address).catch((error: Error) => {
      // The client has gone in the middle of its request or our answer.
      if (request.destroyed || response.destroyed) return;
      this.#xapi.log(`xenapi: a request from ${address} failed: ${error.stack}`);
      if (!response.headersSent) sendText(response, 500, 'an internal error: the host log has more');
      else response.destroy();
    });
  };

  async #answer(request: IncomingMessage, response: ServerResponse, address: string): Promise<void> {
    if (request.method === 'OPTIONS') {
      response.writeHead(200, { ...CORS, 'content-length': 0 });
      response.end();
      return;
    }
    const { socket } = request;
    // A connection of before it was closed.
    if (isOpen(socket) && this.#xapi.httpsOnly) return void socket.destroy();
    const path = pathOf(request.url);
    const found = path === undefined ? undefined : service(request.method ?? '', path);
    if (found) {
      const [method, prefix, act] = found;
      this.#xapi.wire.count(`${method} ${prefix}`, socket);
      return act(this.#xapi, request, response, address);
    }
    request.resume();
    sendText(response, 404, 'there is nothing here: calls are posted to / or /jsonrpc');
  }

  /** Returns the port. */
  async listen({ path, host, port, tls }: Listen): Promise<number> {
    const options = {
      ...{ requestTimeout: 0, headersTimeout: HEAD_MS, keepAliveTimeout: IDLE_MS, ...WATCH },
      // What wants to go on by HTTP/2, as some clients offer, goes on by HTTP/1.
      shouldUpgradeCallback: isWebSocket,
    };
    const server = tls
      ? createTlsServer({ ...options, ...tls, minVersion: 'TLSv1.2' }, this.#serve)
      : createServer(options, this.#serve);
    // Who has sent everything may close his half and still wants the answer; @types/node does not know the property.
    Object.assign(server, { httpAllowHalfOpen: true });
    server.on('connect', (request, socket, head) => this.#consoles.connect(request, socket, head));
    server.on('upgrade', (request, socket, head) => this.#consoles.upgrade(request, socket, head));
    if (tls) this.#xapi.wire.secure.add(server as TlsServer);
    standBefore(server, tls ? 'secureConnection' : 'connection', [this.#cli.door], this.#waiting);
    server.prependListener('connection', (socket: Socket) => this.#connections.enter(socket));
    for (const event of ['connect', 'upgrade'])
      if (server.listenerCount(event) > 0)
        server.prependListener(event, (_: unknown, socket: Socket) => this.#connections.begin(socket));

    if (path !== undefined) {
      // A file that lies there is a dead host's: this one holds the folder's lock.
      rmSync(path, { force: true });
      this.#paths.push(path);
    }
    if (path === undefined && !tls)
      server.prependListener('connection', (socket) => void (this.#xapi.httpsOnly && socket.destroy()));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path === undefined ? { host, port } : { path }, resolve);
    });
    if (path !== undefined) chmodSync(path, 0o600);
    this.#servers.push(server);
    return path === undefined ? (server.address() as AddressInfo).port : 0;
  }

  async close(): Promise<void> {
    for (const server of this.#servers) this.#xapi.wire.secure.delete(server as TlsServer);
    for (const socket of this.#waiting) socket.destroy();
    this.#cli.close();
    this.#consoles.close();
    await Promise.all(
      this.#servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
    for (const path of this.#paths) rmSync(path, { force: true });
  }
}
