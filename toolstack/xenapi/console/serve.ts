/**
 * `/console`: a VM's screen or terminal over the connection itself, by CONNECT as XAPI's clients open it, or as a WebSocket as browsers
 * do. A console is named by its reference or UUID; a VM by its own means its screen.
 */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { assertMay, credentials, Unauthorized } from '../http/credentials.ts';
import type { Session } from '../session/sessions.ts';
import type { Xapi } from '../xapi.ts';
import type { ConsoleProtocol } from '../xenops/xenops.ts';
import { CONSOLE_PATH } from './records.ts';
import { acceptWebSocket } from './websocket.ts';

/** Viewers of all VMs, and of one console, at a time. */
const MAX_VIEWERS = 512;
const MAX_EACH = 16;
/** A client that is told of the end has so long to end its side. */
const LINGER_MS = 10_000;
/** That often it is asked whether a silent client is still there. */
const ALIVE_MS = 60_000;

/** Answered by that status. */
class Unavailable extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const REASONS: Record<number, string> = {
  ...{ 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 500: 'Internal Server Error' },
  503: 'Service Unavailable',
};

/** Path and query of a request's target, which may begin with a host or with several slashes. */
export function targetOf(text: string): { path: string; query: URLSearchParams } {
  const relative = text.replace(/^[a-z]+:\/\/[^/?#]*/i, '').replace(/^\/+/, '/');
  const [, path, query] = /^([^?#]*)(?:\?([^#]*))?/.exec(relative)!;
  return { path, query: new URLSearchParams(query) };
}

function consoleOf({ db }: Xapi, query: URLSearchParams): Row {
  const uuid = query.get('uuid') ?? '';
  const ref = query.get('ref') ?? '';
  if (uuid === '' && ref === '') throw new Unavailable(400, 'name a console or a VM by ref or uuid');
  const named = (name: string): Row | undefined => {
    if (uuid === '') return db.find(name, ref);
    return db.hasUuid(name, uuid) ? db.byUuid(name, uuid) : undefined;
  };
  const vm = named('VM');
  const rows = vm ? vm.refs('consoles').map((each) => db.row('console', each)) : [named('console')];
  const found = vm ? rows.find((each) => each?.text('protocol') === 'rfb') : rows[0];
  if (!found) throw new Unavailable(404, vm ? 'that VM has no screen now' : 'there is no such console');
  return found;
}

export class ConsoleServer {
  readonly #xapi: Xapi;
  /** Open ones, with the console that each shows. */
  readonly #open = new Map<Duplex, string>();

  constructor(xapi: Xapi) {
    this.#xapi = xapi;
  }

  close(): void {
    for (const socket of this.#open.keys()) socket.destroy();
  }

  /** CONNECT: an HTTP answer, then bytes. */
  connect(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#serve(request, socket, 'connect_console', (then) => {
      socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\nCache-Control: no-cache, no-store\r\n\r\n');
      if (head.length > 0) socket.unshift(head);
      then(socket);
    });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#serve(request, socket, 'connect_console_ws', (then) => acceptWebSocket(request, socket, head, then));
  }

  #serve(request: IncomingMessage, socket: Duplex, name: string, open: (then: (stream: Duplex) => void) => void): void {
    const address = (socket as Socket).remoteAddress ?? 'unix';
    const gone = (): void => void this.#open.delete(socket);
    this.#open.set(socket, '');
    socket.on('error', () => {}); // followed by close
    socket.on('close', gone);
    this.#admit(request, socket, name, address).then(
      ({ vm, protocol, session, own }) => {
        if (own) socket.on('close', () => this.#xapi.sessions.close(session));
        if (socket.destroyed) return;
        const { user } = session.login;
        open((stream) => {
          if (!this.#xapi.xenops.view(vm.uuid, protocol, stream)) stream.destroy();
          this.#xapi.log(`xenapi: ${user} at ${address} sees the ${protocol} console of VM ${vm.uuid}`);
        });
        (socket as Socket).setKeepAlive?.(true, ALIVE_MS);
        (socket as Socket).setNoDelay?.(true);
        socket.on('finish', () => setTimeout(() => socket.destroy(), LINGER_MS).unref());
      },
      (error: unknown) => this.#refuse(socket, error),
    );
  }

  /** What is to be seen, if there is room and the client may. */
  async #admit(
    request: IncomingMessage,
    socket: Duplex,
    name: string,
    address: string,
  ): Promise<{ vm: Row; protocol: ConsoleProtocol; session: Session; own: boolean }> {
    const { path, query } = targetOf(request.url ?? '/');
    if (path !== CONSOLE_PATH) throw new Unavailable(404, 'there is nothing here: consoles are at /console');
    if (this.#open.size > MAX_VIEWERS) throw new Unavailable(503, 'too many consoles are open: try again later');
    const { session, own } = await credentials(this.#xapi, request, query, address);
    try {
      assertMay(session, name, 'vm-operator');
      const row = consoleOf(this.#xapi, query);
      const each = [...this.#open.values()].filter((uuid) => uuid === row.uuid).length;
      if (each >= MAX_EACH) throw new Unavailable(503, 'too many clients see this console: try again later');
      this.#open.set(socket, row.uuid);
      const vm = this.#xapi.db.row('VM', row.text('VM'));
      return { vm, protocol: row.text('protocol') as ConsoleProtocol, session, own };
    } catch (error) {
      if (own) this.#xapi.sessions.close(session);
      throw error;
    }
  }

  #refuse(socket: Duplex, error: unknown): void {
    const [status, text, more] = this.#why(error);
    const head = [
      `HTTP/1.1 ${status} ${REASONS[status]}`,
      ...more,
      'Connection: close',
      'Content-Type: text/plain',
      `Content-Length: ${Buffer.byteLength(text)}`,
    ];
    socket.end(`${head.join('\r\n')}\r\n\r\n${text}`);
    socket.resume();
    setTimeout(() => socket.destroy(), LINGER_MS).unref();
  }

  #why(error: unknown): [number, string, string[]] {
    if (error instanceof Unauthorized) return [401, `${error.message}\n`, ['WWW-Authenticate: Basic realm="XenAPI"']];
    if (error instanceof Unavailable) return [error.status, `${error.message}\n`, []];
    if (error instanceof Failure && error.code === 'RBAC_PERMISSION_DENIED')
      return [403, `${error.description.join('\n')}\n`, []];
    this.#xapi.log(`xenapi: a console could not be opened: ${(error as Error).stack}`);
    return [500, 'an internal error: the host log has more\n', []];
  }
}
