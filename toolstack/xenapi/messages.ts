/** What a message of XenAPI does: a function of the caller and of arguments that have been checked against the tables. */
import type { Message } from '../../spec/xenapi/notation.ts';
import type { Value } from '../../spec/xenapi/types.ts';
import type { Row } from './database/row.ts';
import { NULL_REF } from '../../spec/xenapi/types.ts';
import { Failure } from './failure.ts';
import type { Answer } from './rpc/encode.ts';
import type { Session } from './session/sessions.ts';
import type { Task } from './task/tasks.ts';
import type { Xapi } from './xapi.ts';

export interface Caller {
  xapi: Xapi;
  /** Only messages that open one are called without. */
  session: Session;
  task: Task;
  /** Where the caller is, for the log and for counting wrong passwords. */
  address: string;
  /** He has gone. */
  signal: AbortSignal;
}

export class Arguments {
  readonly #values: Record<string, Value>;
  readonly #message: Message;
  readonly #xapi: Xapi;

  constructor(xapi: Xapi, message: Message, values: Record<string, Value>) {
    this.#xapi = xapi;
    this.#message = message;
    this.#values = values;
  }

  value(name: string): Value {
    if (!Object.hasOwn(this.#values, name)) throw new Error(`${this.#message.name} has no parameter ${name}`);
    return this.#values[name];
  }
  text(name: string): string {
    return this.value(name) as string;
  }
  number(name: string): number {
    return this.value(name) as number;
  }
  flag(name: string): boolean {
    return this.value(name) as boolean;
  }
  map(name: string): Record<string, string> {
    return this.value(name) as Record<string, string>;
  }
  list(name: string): string[] {
    return this.value(name) as string[];
  }
  record(name: string): Record<string, Value> {
    return this.value(name) as Record<string, Value>;
  }
  #class(name: string): string {
    const type = this.#message.parameters.find((each) => each.name === name)?.type;
    if (type?.kind !== 'ref') throw new Error(`${this.#message.name}'s ${name} is no reference`);
    return type.class;
  }
  /** The object that a parameter refers to; null is none. */
  row(name: string): Row {
    return this.#xapi.db.row(this.#class(name), this.text(name));
  }
  rowOrNull(name: string): Row | undefined {
    return this.text(name) === NULL_REF ? undefined : this.row(name);
  }
}

export type Handler = (args: Arguments, caller: Caller) => Answer | Promise<Answer>;
/** By full name. */
export type Handlers = Record<string, Handler>;

/** What this host does not support, as XenAPI says it. */
export const notImplemented = (message: Message): never => {
  throw new Failure('NOT_IMPLEMENTED', `${message.class}.${message.name}`);
};
