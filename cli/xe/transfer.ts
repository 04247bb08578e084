// What the host tells `xe` to do with files: send one, fetch one, connect the terminal.
import { once } from 'node:events';
import { createReadStream, createWriteStream, openSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Transform, type Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { resolve } from 'node:path';
import { readHead, request, type Answer, type Connect } from './http.ts';

/** A host that says nothing for so long wants the body before it answers. */
const ANSWER_MS = 1000;

/** What the person has not named is not touched, whatever the host says. */
export class NotNamed extends Error {}
/** What has gone wrong on this side; the sentence is for a person. */
export class ClientSide extends Error {}

export function assertNamed(file: string, named: readonly string[], numbered = false): void {
  const path = resolve(file);
  const same = (each: string): boolean => {
    const other = resolve(each);
    // The second of several exports has a number behind its name.
    return other === path || (numbered && path.startsWith(other) && /^\d+$/.test(path.slice(other.length)));
  };
  if (!named.some(same))
    throw new NotNamed(`the host asks for the file ${file}, which was not named on the command line: it does not get it.`); // prettier-ignore
}

const whyOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? (error as Error).message;

/** The answer, or undefined if the host wants the body first. */
async function early(socket: Socket): Promise<Answer | undefined> {
  const head = readHead(socket);
  head.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), ANSWER_MS)));
  try {
    return await Promise.race([head, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Sends a file. Whether the host likes it is told by its task. */
export async function put(connect: Connect, file: string, url: string): Promise<void> {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat) throw new ClientSide(`file '${file}' does not exist`);
  // A pipe has no length: its end is the body's.
  const length = stat.isFile() ? `Content-length: ${stat.size}\r\n` : '';
  const NOT_YET: Answer = { status: 200, line: '', headers: new Map(), socket: undefined as never };
  let body: Socket | undefined;
  const answer = await request(connect, url, async (path, socket) => {
    socket.write(`PUT ${path} HTTP/1.0\r\n${length}\r\n`);
    body = socket;
    return (await early(socket)) ?? NOT_YET;
  });
  try {
    if (answer.status !== 200) throw new Error(`the host says ${answer.line}`);
    await pipeline(openRead(file), body!);
  } catch (error) {
    body!.destroy();
    throw error;
  }
}

function openRead(file: string): Readable {
  try {
    return createReadStream(file, { fd: openSync(file, 'r') });
  } catch (error) {
    throw new ClientSide(`file '${file}' cannot be read (${whyOf(error)})`);
  }
}

/** Fetches a file; without a name it goes to the output. */
export async function get(connect: Connect, file: string, url: string, named: readonly string[]): Promise<void> {
  const { status, line, socket, headers } = await request(connect, url, (path, socket) => {
    socket.write(`GET ${path} HTTP/1.0\r\n\r\n`);
    return readHead(socket);
  });
  let to: Writable;
  try {
    if (status !== 200) throw new Error(`the host says ${line}`);
    if (file !== '') assertNamed(file, named, true);
    to = file === '' ? process.stdout : openWrite(file);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  const length = headers.has('content-length') ? Number(headers.get('content-length')) : undefined;
  let came = 0;
  const count = new Transform({
    transform(chunk: Buffer, _, done) {
      came += chunk.length;
      done(null, chunk);
    },
  });
  await pipeline(socket, count, to, { end: file !== '' });
  if (length !== undefined && came < length) throw new Error('the transfer has ended too early');
}

function openWrite(file: string): Writable {
  try {
    return createWriteStream(file, { fd: openSync(file, 'wx', 0o600) });
  } catch (error) {
    throw new ClientSide(`file '${file}' cannot be made (${whyOf(error)})`);
  }
}

/** Ctrl-]. */
const LEAVE = 0x1d;

/** The terminal, on a console of the host, until Ctrl-] or its end. */
export async function terminal(connect: Connect, url: string): Promise<void> {
  const answer = await request(connect, url, (path, socket) => {
    socket.write(`CONNECT ${path} HTTP/1.0\r\ncontent-length: 0\r\n\r\n`);
    return readHead(socket);
  });
  const { status, line, socket } = answer;
  if (status !== 200) socket.destroy();
  if (status === 404) throw new ClientSide('Server replied with HTTP 404: the console is not available');
  if (status !== 200) throw new ClientSide(`Server said: ${line}`);
  const { stdin, stdout } = process;
  const raw = stdin.isTTY ? (on: boolean) => stdin.setRawMode(on) : () => {};
  raw(true);
  const typed = (bytes: Buffer): void => {
    const end = bytes.indexOf(LEAVE);
    socket.write(end < 0 ? bytes : bytes.subarray(0, end));
    if (end >= 0) socket.end();
  };
  stdin.on('data', typed);
  stdin.once('end', () => socket.end());
  socket.on('data', (bytes: Buffer) => stdout.write(bytes));
  // It stands still since its head was read.
  socket.resume();
  try {
    await once(socket, 'close');
  } finally {
    raw(false);
    stdin.off('data', typed);
    stdin.pause();
    stdout.write('\r\n');
  }
}
