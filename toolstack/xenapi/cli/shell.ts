/** What a command has to work with: its parameters, calls in its session, the person at the other end. */
import type { Row } from '../database/row.ts';
import type { Origin } from '../dispatch.ts';
import { Failure } from '../failure.ts';
import type { Answer } from '../rpc/encode.ts';
import type { Xapi } from '../xapi.ts';
import { CliFailure, ExitWith, flag, given, needed, type Params } from './arguments.ts';
import { Gone, type Channel } from './channel.ts';
import { described } from './explain.ts';
import { Printer } from './printer.ts';
import { ProtocolError, type Command } from './protocol.ts';

/** A client uploads no more to a command. */
const MAX_UPLOAD = 10 * 2 ** 20;
const MAX_ANSWER = 4096;

export interface ShellParts {
  xapi: Xapi;
  channel: Channel;
  params: Params;
  /** Reference of the session. */
  session: string;
  origin: Origin;
}

export class Shell {
  readonly xapi: Xapi;
  readonly channel: Channel;
  readonly params: Params;
  readonly session: string;
  readonly origin: Origin;
  readonly printer: Printer;

  constructor({ xapi, channel, params, session, origin }: ShellParts) {
    this.xapi = xapi;
    this.channel = channel;
    this.params = params;
    this.session = session;
    this.origin = origin;
    this.printer = new Printer((text) => this.print(text), (text) => this.printError(text), flag(params, 'minimal')); // prettier-ignore
  }

  // ---- parameters

  has(name: string): boolean {
    return given(this.params, name) !== undefined;
  }
  get(name: string): string | undefined {
    return given(this.params, name);
  }
  needed(name: string): string {
    return needed(this.params, name);
  }
  flag(name: string, otherwise = false): boolean {
    return flag(this.params, name, otherwise);
  }
  mustForce(): void {
    if (!this.flag('force'))
      throw new CliFailure('This may lose data: it is done only when it is forced (use --force).');
  }

  // ---- calls

  /** A message of XenAPI, with the rights of who calls. */
  async call(method: string, ...params: unknown[]): Promise<Answer> {
    const { value } = await this.xapi.dispatcher.call(
      { method, params: [this.session, ...params] as string[] },
      this.origin,
    );
    return value;
  }

  /** The same as a task, which goes on should the person leave. */
  async work(method: string, ...params: unknown[]): Promise<void> {
    const task = (await this.call(`Async.${method}`, ...params)) as string;
    try {
      await this.waitFor(task);
    } finally {
      this.xapi.tasks.destroy(this.xapi.db.row('task', task));
    }
  }

  /** Until a task has ended; its failure is thrown. */
  async waitFor(task: string, signal?: AbortSignal): Promise<Row> {
    const { db } = this.xapi;
    const row = db.row('task', task);
    const pending = (): boolean => !row.gone && ['pending', 'cancelling'].includes(row.text('status'));
    await this.until(() => !pending(), signal);
    if (pending() && this.origin.signal.aborted) throw new Gone();
    if (row.text('status') === 'cancelled') throw new Failure('TASK_CANCELLED', task);
    if (row.text('status') === 'failure') {
      const [code = 'INTERNAL_ERROR', ...params] = row.fields.error_info as string[];
      throw new Failure(code, ...params);
    }
    return row;
  }

  /** Until something is so, looked at after each change of the database. */
  until(holds: () => boolean, signal: AbortSignal = this.origin.signal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        try {
          if (holds() || signal.aborted) end(resolve);
        } catch (error) {
          end(() => reject(error as Error));
        }
      };
      const end = (done: () => void): void => {
        leave();
        signal.removeEventListener('abort', look);
        done();
      };
      const leave = this.xapi.db.listen(look);
      signal.addEventListener('abort', look);
      look();
    });
  }

  async byUuid(of: string, uuid: string): Promise<string> {
    return (await this.call(`${of}.get_by_uuid`, uuid)) as string;
  }

  /** The object whose UUID a parameter says. */
  named(of: string, param = 'uuid'): Promise<string> {
    return this.byUuid(of, this.needed(param));
  }

  row(of: string, ref: string): Row {
    return this.xapi.db.row(of, ref);
  }

  /** All objects of a class that the caller may see. */
  async all(of: string): Promise<Row[]> {
    const records = (await this.call(`${of}.get_all_records`)) as unknown as Map<string, Row>;
    return [...records.values()];
  }

  described(text: string): string {
    return described(this.xapi.db, text);
  }

  /** Prints the UUID of what a command has made. */
  async made(of: string, ref: Answer): Promise<void> {
    await this.printer.list([this.row(of, ref as string).uuid]);
  }

  // ---- the person

  send(command: Command): Promise<void> {
    return this.channel.send({ command });
  }
  print(text: string): Promise<void> {
    return this.send({ kind: 'Print', text });
  }
  printError(text: string): Promise<void> {
    return this.send({ kind: 'PrintStderr', text });
  }

  /** Says why, and that the command has failed. */
  async fail(text: string): Promise<never> {
    await this.printError(`${text}\n`);
    throw new ExitWith(1);
  }

  async #chunks(limit: number): Promise<string> {
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const message = await this.channel.next();
      if (!('blob' in message)) throw new ProtocolError('a chunk or the end of all was expected');
      if (message.blob === 'End') return Buffer.concat(parts).toString('utf8');
      length += message.blob;
      if (length > limit) throw new CliFailure(`The client sends more than ${limit} bytes.`);
      parts.push(await this.channel.read(message.blob));
    }
  }

  /** Contents of a file at the client's; undefined if it cannot be read. */
  async file(name: string): Promise<string | undefined> {
    await this.send({ kind: 'Load', text: name });
    const message = await this.channel.next();
    if (!('response' in message)) throw new ProtocolError('a response was expected');
    return message.response === 'OK' ? this.#chunks(MAX_UPLOAD) : undefined;
  }

  async confirmed(): Promise<boolean> {
    await this.print("Type 'yes' to continue");
    await this.send({ kind: 'Prompt' });
    const answer = await this.#chunks(MAX_ANSWER);
    if (answer.trim().toLowerCase() === 'yes') return true;
    await this.print(`Aborted (you typed: '${answer.trim()}')`);
    return false;
  }

  /** Whether the client has carried out what it was told. */
  async response(): Promise<boolean> {
    for (;;) {
      const message = await this.channel.next();
      if (!('response' in message)) throw new ProtocolError('a response was expected');
      if (message.response !== 'Wait') return message.response === 'OK';
    }
  }
}
