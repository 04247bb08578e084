/** What is not a call: bytes in one direction, under a session and mostly under a task that shows how far it is and can be cancelled. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Allowed } from '../../../spec/xenapi/roles.ts';
import { parseType, type Type } from '../../../spec/xenapi/types.ts';
import type { Row } from '../database/row.ts';
import { Failure } from '../failure.ts';
import { CORS, drained, sendText } from '../rpc/send.ts';
import { xmlValue, type Answer } from '../rpc/encode.ts';
import type { Session } from '../session/sessions.ts';
import { assertMine } from '../task/messages.ts';
import { Task } from '../task/tasks.ts';
import type { Xapi } from '../xapi.ts';
import { assertMay, credentials, Unauthorized, type Credentials } from './credentials.ts';
import { Upload } from './upload.ts';

export interface Done {
  type: Type;
  value: Answer;
}
export const VOID = parseType('void');
export const done = (type: string, value: Answer): Done => ({ type: parseType(type), value });

export interface TransferRoute {
  method: 'GET' | 'PUT' | 'POST' | 'CONNECT';
  path: string;
  /** As access rights name it. */
  name: string;
  allowed: Allowed;
  /** The label of its task; without, it has none but the client's own. */
  task?: string;
  run(transfer: Transfer): Promise<Done | void>;
}

/** So many go on at a time. */
const MAX_TRANSFERS = 64;

export class Transfer {
  readonly xapi: Xapi;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly session: Session;
  readonly task: Task;
  readonly address: string;
  readonly upload: Upload;

  constructor(
    parts: Pick<Transfer, 'xapi' | 'request' | 'response' | 'query' | 'session' | 'task' | 'address' | 'upload'>,
  ) {
    this.xapi = parts.xapi;
    this.request = parts.request;
    this.response = parts.response;
    this.query = parts.query;
    this.session = parts.session;
    this.task = parts.task;
    this.address = parts.address;
    this.upload = parts.upload;
  }

  /** An object that a parameter names, by reference or UUID. */
  object(name: string, ...parameters: string[]): Row {
    const { db } = this.xapi;
    for (const parameter of parameters) {
      const given = this.query.get(parameter);
      if (given === null || given === '') continue;
      return db.find(name, given) ?? db.byUuid(name, given);
    }
    throw new Failure('INVALID_VALUE', parameters[0], '');
  }

  objectOrNone(name: string, ...parameters: string[]): Row | undefined {
    return parameters.some((each) => this.query.get(each)) ? this.object(name, ...parameters) : undefined;
  }

  flag(name: string): boolean {
    return ['true', '1'].includes((this.query.get(name) ?? '').toLowerCase());
  }

  /**
   * Everything but the bytes has been looked at. Whoever speaks HTTP/1.0, or claims a length that is none, waits for the head before
   * the body or its end; the others learn by the status how it ended.
   */
  accept(): void {
    const { httpVersionMajor: major, httpVersionMinor: minor } = this.request;
    if (this.upload.endless || (major === 1 && minor === 0)) this.begin('text/xml');
  }

  /** The head of an answer; `length`: if it is known. */
  begin(type: string, length?: number, more: Record<string, string> = {}): void {
    if (this.response.headersSent) return;
    const headers = { ...CORS, 'content-type': type, 'task-id': this.task.ref, 'cache-control': 'no-store', ...more };
    if (length === undefined) this.response.shouldKeepAlive = false;
    this.response.writeHead(200, length === undefined ? headers : { ...headers, 'content-length': length });
    this.response.flushHeaders();
  }

  #kept: Uint8Array | undefined;

  /** Waits for a client that is slower than we are. The last piece is kept back until everything else is done. */
  async write(piece: Uint8Array): Promise<void> {
    this.task.checkCancelled();
    const bytes = this.#kept;
    this.#kept = piece;
    if (!bytes) return;
    if (this.response.destroyed) throw new Failure('CLIENT_ERROR', 'the client has gone');
    if (!this.response.write(bytes)) await this.#while(this.response, () => drained(this.response));
    this.task.checkCancelled();
    if (this.response.destroyed) throw new Failure('CLIENT_ERROR', 'the client has gone');
  }

  end(text: string): void {
    this.response.end(this.#kept ?? text);
  }

  /** The body's bytes. */
  async *body(): AsyncGenerator<Buffer> {
    for (;;) {
      const chunk = await this.#while(this.request, () => this.upload.next());
      this.task.checkCancelled();
      if (!chunk) return;
      yield chunk;
    }
  }

  /** Whoever waits for a client does not wait for one whose transfer is cancelled. */
  async #while<T>(stream: { destroy(): void }, act: () => Promise<T>): Promise<T> {
    const { signal } = this.task;
    const stop = (): void => stream.destroy();
    signal.addEventListener('abort', stop);
    try {
      return await act();
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}

/** The task that the client made for it, which has to be his. */
function taskOf(xapi: Xapi, query: URLSearchParams, session: Session): Row | undefined {
  const ref = query.get('task_id');
  if (!ref) return undefined;
  const { db } = xapi;
  const row = db.find('task', ref) ?? db.byUuid('task', ref);
  assertMine(row, 'set_status', xapi, session);
  if (row.text('status') === 'cancelled' || row.text('status') === 'cancelling')
    throw new Failure('TASK_CANCELLED', row.ref);
  return row;
}

function status(failure: Failure): number {
  if (failure.code === 'RBAC_PERMISSION_DENIED') return 403;
  if (['HANDLE_INVALID', 'UUID_INVALID'].includes(failure.code)) return 404;
  return failure.code === 'INVALID_VALUE' ? 400 : 500;
}

/** Tells a failure by its status, or, where the head has gone already, by an answer that does not end. */
function refuse({ request, response }: Pick<Transfer, 'request' | 'response'>, failure: Failure): void {
  if (response.destroyed) return;
  if (response.headersSent) {
    request.socket.resetAndDestroy();
    return;
  }
  response.shouldKeepAlive = false;
  sendText(response, status(failure), failure.description.join('\n'), { connection: 'close' });
}

/** One route's request, from credentials to the end of its task. */
export function serveTransfer(route: TransferRoute) {
  let running = 0;
  return async (xapi: Xapi, request: IncomingMessage, response: ServerResponse, address: string): Promise<void> => {
    const query = new URL(request.url ?? '/', 'http://host').searchParams;
    const upload = new Upload(request);
    const named = xapi.db.find('task', query.get('task_id') ?? '');
    if (running >= MAX_TRANSFERS) {
      sendText(response, 503, 'too many transfers go on: try again later', { 'retry-after': '30' });
      return;
    }
    running++;
    let who: Credentials | undefined;
    try {
      who = await credentials(xapi, request, query, address);
      assertMay(who.session, route.name, route.allowed);
      if (route.method === 'PUT' && !query.has('task_id') && (await isQuestion(upload, response))) return;
      await answer(route, { xapi, request, response, query, session: who.session, address, upload });
    } catch (error) {
      if (error instanceof Unauthorized) {
        if (named) xapi.tasks.fail(named, new Failure('SESSION_AUTHENTICATION_FAILED'));
        response.shouldKeepAlive = false;
        sendText(response, 401, error.message, { 'www-authenticate': 'Basic realm="XenAPI"', connection: 'close' });
      } else {
        const failure = xapi.dispatcher.told(error);
        if (named && who) xapi.tasks.fail(named, failure);
        refuse({ request, response }, failure);
      }
    } finally {
      running--;
      if (who?.own) xapi.sessions.close(who.session);
      // The rest of a body that nobody wanted.
      if (!request.complete) await upload.drain();
      else request.resume();
    }
  };
}

/**
 * npm's xen-api asks by an empty upload, without its task, whether another host is to be asked; it may claim a length all the same, and
 * ends when it has seen the head.
 */
async function isQuestion(upload: Upload, response: ServerResponse): Promise<boolean> {
  if (upload.length !== 0 && !upload.endless) return false;
  if (upload.endless) {
    response.shouldKeepAlive = false;
    response.writeHead(200, { ...CORS, 'content-type': 'text/xml' });
    response.flushHeaders();
    if (!(await upload.empty())) return false;
    response.end();
  } else sendText(response, 200, '');
  return true;
}

type Asked = Omit<ConstructorParameters<typeof Transfer>[0], 'task'>;

async function answer(route: TransferRoute, asked: Asked): Promise<void> {
  const { xapi, query, session, response } = asked;
  const given = taskOf(xapi, query, session);
  const row = given ?? (route.task === undefined ? undefined : xapi.tasks.create(route.task, '', session));
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  // An upload whose sender has cut the connection may be whole.
  const signal = route.method === 'PUT' ? undefined : gone.signal;
  const task = new Task(xapi.db, row, signal);
  const transfer = new Transfer({ ...asked, task });
  const work = async (): Promise<Done> => {
    const result = (await route.run(transfer)) ?? { type: VOID, value: '' };
    await xapi.db.durable();
    return result;
  };
  const result = row ? await xapi.tasks.attend(row, task, work) : await work();
  if (response.destroyed) return;
  const text = result.type.kind === 'void' ? '' : xmlValue(result.type, result.value);
  if (response.headersSent) transfer.end(route.method === 'PUT' ? text : '');
  else {
    const body = Buffer.from(text);
    response.writeHead(200, { ...CORS, 'content-type': 'text/xml', 'content-length': body.length });
    response.end(body);
  }
}
