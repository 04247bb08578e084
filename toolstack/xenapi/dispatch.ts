/** From a method's name and raw parameters to what it answers: who calls, whether he may, what is meant, who does it. */
import { MESSAGES } from '../../spec/xenapi/index.ts';
import type { Message } from '../../spec/xenapi/notation.ts';
import { REMOVED } from '../../spec/xenapi/removed.ts';
import { parseType, type Type, type Value } from '../../spec/xenapi/types.ts';
import { asFailure, Failure } from './failure.ts';
import { answersByItself, implicit } from './implicit.ts';
import { Arguments, notImplemented, type Caller, type Handlers } from './messages.ts';
import { check } from './rbac/rbac.ts';
import { Decoder } from './rpc/decode.ts';
import { STRING_SET, type Answer } from './rpc/encode.ts';
import type { Call, Raw } from './rpc/limits.ts';
import type { Session } from './session/sessions.ts';
import { Task } from './task/tasks.ts';
import { admission } from './turns.ts';
import type { Xapi } from './xapi.ts';

export interface Answered {
  type: Type;
  value: Answer;
  /** XML-RPC's own messages are answered without a status. */
  bare?: boolean;
}
export interface Origin {
  address: string;
  signal: AbortSignal;
}

const ASYNC = 'Async.';
const TASK_REF = parseType('task ref');
const removed = new Set(
  Object.entries(REMOVED).flatMap(([name, list]) => list.split(' ').map((message) => `${name}.${message}`)),
);

/** Classes whose messages are answered at once. */
const AT_ONCE = new Set(['session', 'event', 'auth', 'task', 'message', 'role', 'subject']);

/** Work that can take long can be had as a task; a look into the database, and what concerns the session itself, not. */
export function mayBeAsync({ class: name, name: message, implicit: what }: Message): boolean {
  if (AT_ONCE.has(name) || message.startsWith('get_')) return false;
  return what === undefined || what.act === 'create' || what.act === 'destroy';
}

export const listMethods = (): string[] => {
  const names = ['system.listMethods'];
  for (const [name, message] of MESSAGES) {
    names.push(name);
    if (mayBeAsync(message)) names.push(`${ASYNC}${name}`);
  }
  return names;
};
const METHODS = listMethods();

/** The key of a map that is to be changed: some are free for more callers than the map. */
function keyOf({ implicit: what }: Message, [, key]: Raw[]): string | undefined {
  const keyed = what?.act === 'add_to' || what?.act === 'remove_from';
  return keyed && typeof key === 'string' ? key : undefined;
}

export class Dispatcher {
  readonly #xapi: Xapi;
  readonly #handlers: Handlers;
  readonly #decoder: Decoder;

  constructor(xapi: Xapi, handlers: Handlers) {
    for (const name of Object.keys(handlers)) if (!MESSAGES.has(name)) throw new Error(`XenAPI has no message ${name}`);
    this.#xapi = xapi;
    this.#handlers = handlers;
    this.#decoder = new Decoder(xapi.db);
  }

  /** Whether a message does its work here. */
  supports(name: string): boolean {
    const message = MESSAGES.get(name)!;
    return Object.hasOwn(this.#handlers, name) || answersByItself(message);
  }

  async call({ method, params }: Call, origin: Origin): Promise<Answered> {
    if (method === 'system.listMethods') return { type: STRING_SET, value: METHODS, bare: true };
    const wanted = method.startsWith(ASYNC);
    const name = wanted ? method.slice(ASYNC.length) : method;
    const message = MESSAGES.get(name);
    if (!message || (wanted && !mayBeAsync(message))) {
      if (removed.has(name)) throw new Failure('MESSAGE_REMOVED', name);
      throw new Failure('MESSAGE_METHOD_UNKNOWN', method);
    }
    const rest = message.session ? params.slice(1) : params;
    const session = message.session ? this.#session(message, params) : undefined;
    // Before anything else is looked at: other errors might tell what there is.
    if (session) check(session, message, keyOf(message, rest));
    const values = this.#values(message, rest);
    if (wanted) return this.#start(message, values, session!, origin);
    const task = new Task(this.#xapi.db, undefined, origin.signal);
    const value = await this.#run(message, values, session, task, origin);
    return { type: message.result, value };
  }

  #session(message: Message, params: Raw[]): Session {
    if (params.length === 0) this.#count(message, params.length - 1);
    return this.#xapi.sessions.use(params[0]);
  }

  #count({ class: name, name: message, parameters }: Message, received: number): never {
    const expected = String(parameters.length);
    throw new Failure(
      'MESSAGE_PARAMETER_COUNT_MISMATCH',
      `${name}.${message}`,
      expected,
      String(Math.max(received, 0)),
    );
  }

  #values(message: Message, raw: Raw[]): Record<string, Value> {
    const { parameters } = message;
    if (raw.length > parameters.length) this.#count(message, raw.length);
    const values: Record<string, Value> = {};
    parameters.forEach(({ name, type, default: otherwise }, index) => {
      if (index < raw.length) values[name] = this.#decoder.read(name, type, raw[index]);
      else if (otherwise !== undefined) values[name] = otherwise;
      else this.#count(message, raw.length);
    });
    return values;
  }

  async #run(
    message: Message,
    values: Record<string, Value>,
    session: Session | undefined,
    task: Task,
    { address, signal }: Origin,
  ): Promise<Answer> {
    const args = new Arguments(this.#xapi, message, values);
    const caller: Caller = { xapi: this.#xapi, session: session!, task, address, signal };
    const name = `${message.class}.${message.name}`;
    let answer: Answer;
    if (Object.hasOwn(this.#handlers, name)) answer = await this.#handlers[name](args, caller);
    else if (message.implicit) answer = (await implicit(message, args, caller)) ?? notImplemented(message);
    else answer = notImplemented(message);
    // Acknowledged is what is on the disk.
    if (!message.name.startsWith('get_') && message.class !== 'event') {
      await this.#xapi.db.durable();
      // One write to the disk may be what hundreds have waited for.
      await admission();
    }
    return answer;
  }

  #start(message: Message, values: Record<string, Value>, session: Session, origin: Origin): Answered {
    const row = this.#xapi.tasks.create(`${ASYNC}${message.class}.${message.name}`, '', session);
    // The work goes on when the caller has gone.
    const lasting = { ...origin, signal: new AbortController().signal };
    this.#xapi.tasks.run(row, message.result, async (task) => {
      try {
        return await this.#run(message, values, session, task, lasting);
      } catch (error) {
        throw this.told(error, message);
      }
    });
    return { type: TASK_REF, value: row.ref };
  }

  /** What a client is told of an error; a mistake of ours is logged with where it happened. */
  told(error: unknown, message?: Message): Failure {
    if (!(error instanceof Failure)) {
      const where = message ? `${message.class}.${message.name}` : 'a call';
      this.#xapi.log(`${where} failed by a mistake of this program: ${(error as Error)?.stack ?? String(error)}`);
    }
    return asFailure(error);
  }
}
