// `xe`: sends a command line to a host, and does what the host says then: show, ask, fetch and send files.
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Socket } from 'node:net';
import { Channel, Gone } from '../../toolstack/xenapi/cli/channel.ts';
import { MAJOR, MINOR, ProtocolError, type Command } from '../../toolstack/xenapi/cli/protocol.ts';
import { connect, placeOf, placeText, type Place } from './connect.ts';
import { namedFiles, parseOptions, Usage, Wrong, type Options } from './options.ts';
import { assertNamed, ClientSide, get, NotNamed, put, terminal } from './transfer.ts';

export interface Io {
  out(text: string): Promise<void> | void;
  err(text: string): void;
  env: NodeJS.ProcessEnv;
}

const USAGE = `Usage: xe <cmd> [-s server] [-p port] ([-u username] [-pw password] or [-pwf <password file>]) <other arguments>

A full list of commands can be obtained by running
\txe help -s <server> -p <port>
`;

/** A transfer can take long: that often the host hears that it goes on. */
const HEARTBEAT_MS = 300_000;

class Client {
  readonly #options: Options;
  readonly #place: Place;
  readonly #io: Io;
  readonly #named: string[];
  readonly #seen: string[] = [];
  #channel!: Channel;
  #lines: AsyncIterator<string> | undefined;

  constructor(options: Options, io: Io) {
    this.#options = options;
    this.#io = io;
    this.#place = placeOf(options, io.env);
    this.#named = namedFiles(options.args);
  }

  /** Shown with --debug, or with --debug-on-fail at the end. */
  #debug(text: string): void {
    if (this.#options.debug) this.#io.err(`${text}\n`);
    else if (this.#options.debugOnFail) this.#seen.push(text);
  }

  #connect = (other?: Place): Promise<Socket> => {
    const place = other ?? this.#place;
    this.#debug(`connecting to ${placeText(place)}`);
    return connect(place, other ? undefined : this.#options.fingerprint);
  };

  async run(): Promise<number> {
    const socket = await this.#connect();
    try {
      return await this.#converse(socket);
    } finally {
      // What was said last still goes out.
      socket.destroySoon();
    }
  }

  async #converse(socket: Socket): Promise<number> {
    const { args, username, password, traceparent } = this.#options;
    const body = Buffer.from([...args, `username=${username}`, `password=${password}`].join('\n'));
    const head = [
      'POST /cli HTTP/1.0',
      `User-agent: xe-cli/Unix/${MAJOR}.${MINOR}`,
      ...(traceparent === undefined ? [] : [`traceparent: ${traceparent}`]),
      `content-length: ${body.length}`,
    ];
    socket.write(Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), body]));
    this.#channel = new Channel(socket);
    const { major, minor } = await this.#greeted();
    this.#debug(`Server has protocol version ${major}.${minor}. Client has ${MAJOR}.${MINOR}`);
    if (major !== MAJOR)
      throw new Wrong(`the host speaks version ${major}.${minor} of the protocol, this is ${MAJOR}.${MINOR}.`);
    await this.#channel.greet();
    const code = await this.#obey();
    if (code !== 0 && this.#seen.length > 0) this.#io.err(`\nDebug info:\n\n${this.#seen.join('\n')}\n`);
    return code;
  }

  async #greeted(): Promise<{ major: number; minor: number }> {
    try {
      return await this.#channel.greeted();
    } catch (error) {
      if (error instanceof Gone && error.rest.length === 0)
        throw new Wrong('the host has ended the connection: is that a XenAPI port?');
      throw new Wrong('what answers there is no host with a thin-CLI server: look at the server and the port.');
    }
  }

  async #obey(): Promise<number> {
    for (;;) {
      const message = await this.#channel.next();
      if (!('command' in message)) throw new ProtocolError('a command was expected');
      const { command } = message;
      this.#debug(`Read: ${JSON.stringify(command)}`);
      if (command.kind === 'Exit') return command.code;
      const code = await this.#do(command);
      if (code !== undefined) return code;
    }
  }

  /** An exit code ends the program. */
  async #do(command: Exclude<Command, { kind: 'Exit' }>): Promise<number | undefined> {
    const io = this.#io;
    switch (command.kind) {
      case 'Print':
        await io.out(`${command.text}\n`);
        return undefined;
      case 'PrintStderr':
        io.err(command.text);
        return undefined;
      case 'Debug':
        this.#debug(`debug from server: ${command.text}`);
        return undefined;
      case 'Error':
        io.err(`Error code: ${command.code}\nError parameters: ${command.params.join(', ')}\n`);
        return undefined;
      case 'Prompt':
        await this.#blob(Buffer.from(await this.#line()));
        return undefined;
      case 'Load':
        return this.#load(command.text);
      case 'HttpGet':
        return this.#carry(() => get(this.#connect, command.file, command.url, this.#named));
      case 'HttpPut':
        assertNamed(command.file, this.#named);
        return this.#carry(() => put(this.#connect, command.file, command.url));
      default:
        return this.#carry(() => terminal(this.#connect, command.text), false);
    }
  }

  /** Does a transfer, and says how it went. */
  async #carry(act: () => Promise<void>, ends = true): Promise<number | undefined> {
    const beat = setInterval(() => void this.#channel.send({ response: 'Wait' }).catch(() => {}), HEARTBEAT_MS);
    let code: number | undefined;
    let done = true;
    try {
      await act();
    } catch (error) {
      if (error instanceof NotNamed) throw error;
      done = false;
      this.#debug(`the transfer has failed: ${(error as Error).message}`);
      if (error instanceof ClientSide) {
        this.#io.err(ends ? `Operation failed. Error: ${error.message}\n` : `${error.message}\n`);
        if (ends) code = 1;
      }
    } finally {
      clearInterval(beat);
    }
    await this.#channel.send({ response: done ? 'OK' : 'Failed' });
    return code;
  }

  async #load(file: string): Promise<undefined> {
    assertNamed(file, this.#named);
    let bytes: Buffer;
    try {
      if (!statSync(file).isFile()) throw new Error('no file');
      bytes = readFileSync(file);
    } catch {
      await this.#channel.send({ response: 'Failed' });
      return undefined;
    }
    await this.#channel.send({ response: 'OK' });
    await this.#blob(bytes);
    return undefined;
  }

  async #blob(bytes: Buffer): Promise<void> {
    await this.#channel.send({ blob: bytes.length });
    await this.#channel.write(bytes);
    await this.#channel.send({ blob: 'End' });
  }

  /** A line of the input; empty at its end. */
  async #line(): Promise<string> {
    this.#lines ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const { value, done } = await this.#lines.next();
    return done ? '' : (value as string);
  }
}

export async function runXe(args: readonly string[], io: Io): Promise<number> {
  if (args.includes('-version')) {
    await io.out(`ThinCLI protocol: ${MAJOR}.${MINOR}\n`);
    return 0;
  }
  if (args[0] === 'completion') {
    await io.out((await import('./completion.ts')).bashCompletion());
    return 0;
  }
  try {
    const options = parseOptions(args, io.env);
    if (options.args.length === 0) throw new Usage();
    return await new Client(options, io).run();
  } catch (error) {
    if (error instanceof Usage) {
      io.err(USAGE);
      return 0;
    }
    if (error instanceof Gone) io.err('Lost connection to the server.\n');
    else if (error instanceof ProtocolError) io.err(`xe: the host has sent what is no message: ${error.message}.\n`);
    else if (error instanceof NotNamed) io.err(`File not permitted: ${error.message}\n`);
    else if (error instanceof Wrong) io.err(`xe: ${error.message}\n`);
    else throw error;
    return 1;
  }
}

/** The program's own streams. */
export const standardIo = (): Io => ({
  async out(text) {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain');
  },
  err: (text) => void process.stderr.write(text),
  env: process.env,
});
