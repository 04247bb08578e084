/**
 * The thin-CLI protocol, between `xe` and a host: both write a greeting, then frames. A frame is its length and a payload; integers
 * are 32 bits, least significant byte first; a string is its length and bytes. Pure: bytes in, messages out.
 */
export const GREETING = 'XenSource thin CLI protocol';
export const MAJOR = 0;
export const MINOR = 2;
/** The greeting and two integers. */
export const GREETING_LENGTH = GREETING.length + 8;

export type Command =
  | { kind: 'Print' | 'Debug' | 'Load' | 'PrintStderr' | 'HttpConnect'; text: string }
  | { kind: 'HttpGet' | 'HttpPut'; file: string; url: string }
  | { kind: 'Prompt' }
  | { kind: 'Exit'; code: number }
  | { kind: 'Error'; code: string; params: string[] };
export type Message =
  | { command: Command }
  | { response: 'OK' | 'Wait' | 'Failed' }
  /** So many bytes follow, outside of frames; or no more do. */
  | { blob: number | 'End' };

const MESSAGE = { command: 9, response: 10, blob: 11 };
const COMMANDS: Record<Command['kind'], number> = {
  ...{ Print: 0, Load: 1, Prompt: 3, Exit: 4, HttpGet: 12, HttpPut: 13, Error: 14, Debug: 15 },
  ...{ PrintStderr: 16, HttpConnect: 17 },
};
const KINDS = new Map(Object.entries(COMMANDS).map(([kind, tag]) => [tag, kind as Command['kind']]));
const RESPONSES = { OK: 5, Failed: 6, Wait: 18 } as const;
const BLOBS = { Chunk: 7, End: 8 };

/** No frame is longer; a string of a whole record fits. */
export const MAX_FRAME = 16 * 2 ** 20;

/** What is no message of the protocol. */
export class ProtocolError extends Error {}

function int(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function string(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([int(bytes.length), bytes]);
}

function parts(command: Command): Buffer[] {
  switch (command.kind) {
    case 'HttpGet':
    case 'HttpPut':
      return [string(command.file), string(command.url)];
    case 'Prompt':
      return [];
    case 'Exit':
      return [int(command.code)];
    case 'Error':
      return [string(command.code), int(command.params.length), ...command.params.map(string)];
    default:
      return [string(command.text)];
  }
}

function payload(message: Message): Buffer[] {
  if ('command' in message)
    return [int(MESSAGE.command), int(COMMANDS[message.command.kind]), ...parts(message.command)];
  if ('response' in message) return [int(MESSAGE.response), int(RESPONSES[message.response])];
  if (message.blob === 'End') return [int(MESSAGE.blob), int(BLOBS.End)];
  return [int(MESSAGE.blob), int(BLOBS.Chunk), int(message.blob)];
}

/** A frame. */
export function encode(message: Message): Buffer {
  const body = Buffer.concat(payload(message));
  return Buffer.concat([int(body.length), body]);
}

export const greeting = (): Buffer => Buffer.concat([Buffer.from(GREETING, 'latin1'), int(MAJOR), int(MINOR)]);

export function readGreeting(bytes: Buffer): { major: number; minor: number } {
  if (bytes.length !== GREETING_LENGTH || bytes.toString('latin1', 0, GREETING.length) !== GREETING)
    throw new ProtocolError('the other side does not speak the thin CLI protocol');
  return { major: bytes.readInt32LE(GREETING.length), minor: bytes.readInt32LE(GREETING.length + 4) };
}

/** Reads a payload; whatever lies outside of it is refused. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  int(): number {
    if (this.#bytes.length - this.#at < 4) throw new ProtocolError('a frame ends in the middle of a number');
    const value = this.#bytes.readInt32LE(this.#at);
    this.#at += 4;
    return value;
  }

  /** A count of things of which each takes at least so many bytes. */
  count(each: number): number {
    const count = this.int();
    if (count < 0 || count * each > this.#bytes.length - this.#at)
      throw new ProtocolError('a frame is shorter than what it announces');
    return count;
  }

  string(): string {
    const length = this.count(1);
    const text = this.#bytes.toString('utf8', this.#at, this.#at + length);
    this.#at += length;
    return text;
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw new ProtocolError('a frame is longer than its message');
  }
}

function readCommand(reader: Reader): Command {
  const tag = reader.int();
  const kind = KINDS.get(tag);
  switch (kind) {
    case undefined:
      throw new ProtocolError(`there is no command ${tag}`);
    case 'HttpGet':
    case 'HttpPut':
      return { kind, file: reader.string(), url: reader.string() };
    case 'Prompt':
      return { kind };
    case 'Exit':
      return { kind, code: reader.int() };
    case 'Error': {
      const code = reader.string();
      return { kind, code, params: Array.from({ length: reader.count(4) }, () => reader.string()) };
    }
    default:
      return { kind, text: reader.string() };
  }
}

function readMessage(reader: Reader): Message {
  const tag = reader.int();
  if (tag === MESSAGE.command) return { command: readCommand(reader) };
  const what = reader.int();
  if (tag === MESSAGE.response) {
    for (const [response, value] of Object.entries(RESPONSES))
      if (value === what) return { response: response as keyof typeof RESPONSES };
    throw new ProtocolError(`there is no response ${what}`);
  }
  if (tag !== MESSAGE.blob) throw new ProtocolError(`there is no kind of message ${tag}`);
  if (what === BLOBS.End) return { blob: 'End' };
  if (what !== BLOBS.Chunk) throw new ProtocolError(`there is no blob ${what}`);
  const length = reader.int();
  if (length < 0) throw new ProtocolError('a chunk has no negative length');
  return { blob: length };
}

/** A frame's payload. */
export function decode(bytes: Buffer): Message {
  const reader = new Reader(bytes);
  const message = readMessage(reader);
  reader.end();
  return message;
}

/** Of a frame's first four bytes. */
export function frameLength(bytes: Buffer, limit = MAX_FRAME): number {
  const length = bytes.readInt32LE(0);
  if (length < 8 || length > limit) throw new ProtocolError(`no frame has ${length} bytes`);
  return length;
}
