/** Serves `POST /cli`: reads the request, then speaks the thin-CLI protocol on the connection. */
import type { Socket } from 'node:net';
import { NULL_REF } from '../../../spec/xenapi/types.ts';
import type { Origin } from '../dispatch.ts';
import { Failure } from '../failure.ts';
import type { Door } from '../rpc/front_door.ts';
import { login } from '../session/messages.ts';
import type { Session } from '../session/sessions.ts';
import { ROOT } from '../session/users.ts';
import type { Xapi } from '../xapi.ts';
import {
  CliFailure,
  ExitWith,
  flag,
  given,
  needed,
  parseCommandLine,
  UsageFailure,
  type CommandLine,
} from './arguments.ts';
import { Channel, Gone } from './channel.ts';
import { commands } from './commands.ts';
import { described, sentencesOf } from './explain.ts';
import { help } from './help.ts';
import { MAJOR, ProtocolError } from './protocol.ts';
import { Printer } from './printer.ts';
import { Several } from './select.ts';
import { Shell } from './shell.ts';

/** The head of a request, and the command line in its body. */
const MAX_HEAD = 16 * 1024;
const MAX_BODY = 200 * 1024;
/** A client sends responses and chunks' headers. */
const MAX_FRAME = 4096;
/** So long a client may take for its request, and to answer the greeting. */
const REQUEST_MS = 20_000;
/** Where connections come from that only the host's owner can make. */
export const LOCAL = 'unix';

/** What is no request. */
class BadRequest extends Error {}

/** Reads the request. What the client sends behind it is the protocol's. */
async function request(channel: Channel): Promise<string> {
  let head = '';
  const late = performance.now() + REQUEST_MS;
  const left = (): number => Math.max(1, late - performance.now());
  // Byte by byte, since what follows is read by somebody else; it is there already, all but always.
  while (!head.endsWith('\r\n\r\n')) {
    if (head.length >= MAX_HEAD) throw new BadRequest('the head is too long');
    head += (await channel.read(1, left())).toString('latin1');
  }
  if (!/^POST \/cli(?:[/?]\S*)? HTTP\/1\.[01]\r\n/.test(head)) throw new BadRequest('POST /cli is what is served');
  const length = Number(/\r\ncontent-length: *(\d{1,9})\r\n/i.exec(head)?.[1] ?? NaN);
  if (!(length <= MAX_BODY)) throw new BadRequest(`a command line has at most ${MAX_BODY} bytes, and says how many`);
  return (await channel.read(length, left())).toString('utf8');
}

async function refuse(channel: Channel, why: string): Promise<void> {
  const head = 'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\r\n';
  try {
    await channel.write(Buffer.from(`${head}${why}\n`));
  } catch (error) {
    if (!(error instanceof Gone)) throw error;
  }
  await channel.end();
}

/** The session that the command works in, and whether it is the command's own. */
async function sessionOf(xapi: Xapi, line: CommandLine, address: string): Promise<{ session: Session; own: boolean }> {
  if (line.session !== undefined) return { session: xapi.sessions.use(line.session), own: false };
  const user = given(line.params, 'username') ?? '';
  // The host's folder is its owner's: who can reach the socket administers the host.
  if (address === LOCAL && (user === ROOT || user === '')) {
    const roles = ['pool-admin'] as const;
    const who = { superuser: true, subject: NULL_REF, subjectIdentifier: '', roles, host: xapi.hostRef };
    return { session: xapi.sessions.open({ ...who, user: ROOT, originator: 'cli' }), own: true };
  }
  const password = given(line.params, 'password') ?? '';
  return { session: await login(xapi, user, password, 'cli', address), own: true };
}

export class CliServer {
  readonly #xapi: Xapi;
  readonly #open = new Set<Channel>();
  /** Told of a connection whose client has said who he is. */
  readonly #known: (socket: Socket) => void;

  constructor(xapi: Xapi, known: (socket: Socket) => void = () => {}) {
    this.#xapi = xapi;
    this.#known = known;
  }

  readonly door: Door = {
    begins: 'POST /cli',
    take: (socket, first) => void this.#serve(socket, first).catch((error: Error) => this.#xapi.log(`xe: ${error.stack}`)), // prettier-ignore
  };

  close(): void {
    for (const channel of this.#open) channel.destroy();
  }

  async #serve(socket: Socket, first: Buffer): Promise<void> {
    const address = socket.remoteAddress ?? LOCAL;
    const gone = new AbortController();
    // A client that says no more has left, though its socket may stay half open.
    for (const event of ['close', 'end']) socket.on(event, () => gone.abort());
    const channel = new Channel(socket, MAX_FRAME, first);
    this.#open.add(channel);
    try {
      const body = await request(channel);
      await channel.greet();
      const { major } = await channel.greeted(REQUEST_MS);
      if (major !== MAJOR) throw new ProtocolError(`the client speaks version ${major} of the protocol`);
      await this.#run(channel, body, { address, signal: gone.signal }, () => this.#known(socket));
      await channel.end();
    } catch (error) {
      if (error instanceof BadRequest) await refuse(channel, error.message);
      else socket.destroy();
      // Who does not keep to the protocol, or leaves, is nobody's concern but his own.
      if (!(error instanceof BadRequest || error instanceof ProtocolError || error instanceof Gone)) throw error;
    } finally {
      this.#open.delete(channel);
    }
  }

  async #run(channel: Channel, body: string, origin: Origin, known: () => void): Promise<void> {
    let code = 0;
    try {
      await this.#command(channel, parseCommandLine(body), origin, known);
    } catch (error) {
      if (error instanceof ProtocolError || error instanceof Gone) throw error;
      code = await this.#tell(channel, error);
    }
    await channel.send({ command: { kind: 'Exit', code } });
  }

  async #command(channel: Channel, line: CommandLine, origin: Origin, known: () => void): Promise<void> {
    const xapi = this.#xapi;
    const { name, params } = line;
    if (name === 'help') {
      const print = (text: string): Promise<void> => channel.send({ command: { kind: 'Print', text } });
      const printer = new Printer(print, print, flag(params, 'minimal'));
      await help(printer, commands(), params);
      return printer.flush();
    }
    const command = commands().get(name);
    if (!command) throw new UsageFailure('Unknown command', name);
    for (const param of command.required) needed(params, param);
    const { session, own } = await sessionOf(xapi, line, origin.address);
    known();
    try {
      if (!/-(list|get)$/.test(name)) xapi.log(`xe: ${session.login.user} calls ${name}`);
      const shell = new Shell({ xapi, channel, params, session: session.ref, origin });
      await command.run(shell);
      await shell.printer.flush();
    } finally {
      if (own) xapi.sessions.close(session);
    }
  }

  /** What has gone wrong is said; the exit code. */
  async #tell(channel: Channel, error: unknown): Promise<number> {
    const say = (text: string): Promise<void> => channel.send({ command: { kind: 'PrintStderr', text: `${text}\n` } });
    const usage = async (text: string): Promise<void> => {
      await say(text);
      await say("For usage run: 'xe help'");
    };
    if (error instanceof ExitWith) return error.code;
    if (error instanceof UsageFailure) await usage(error.message);
    else if (error instanceof CliFailure) await say(`Error: ${error.message}`);
    else if (error instanceof Several) {
      for (const [uuid, why] of error.failures)
        await channel.send({ command: { kind: 'Print', text: `operation failed on ${uuid}: ${why}` } });
    } else await this.#tellFailure(channel, this.#xapi.dispatcher.told(error), usage);
    return 1;
  }

  async #tellFailure(channel: Channel, failure: Failure, usage: (text: string) => Promise<void>): Promise<void> {
    if (failure.code === 'SESSION_AUTHENTICATION_FAILED')
      return usage(failure.params[0] === '' ? 'Username/password must be specified' : 'Authentication failed');
    const told = sentencesOf(this.#xapi.db, failure);
    if (told) {
      for (const text of told) await channel.send({ command: { kind: 'PrintStderr', text: `${text}\n` } });
      return;
    }
    const params = failure.params.map((each) => described(this.#xapi.db, each));
    await channel.send({ command: { kind: 'Error', code: failure.code, params } });
  }
}
