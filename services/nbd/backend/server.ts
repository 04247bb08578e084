// Serves disk images over NBD: fixed newstyle handshake, structured replies, block status. Requests of a connection run side by side.
import { once } from 'node:events';
import { TLSSocket } from 'node:tls';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { ImageError, SECTOR, type DiskImage, type ImageErrorKind } from '../../block/image/image.ts';
import {
  ALLOCATION,
  blockSizeInfo,
  CHUNK,
  chunk,
  COMMAND,
  COMMAND_FLAG,
  contextReply,
  ERROR,
  errorChunk,
  EXPORT_FLAG,
  exportInfo,
  HANDSHAKE,
  MAGIC,
  MAX_DATA,
  MAX_OPTION,
  OPTION,
  OPTION_BYTES,
  optionReply,
  parseGo,
  parseMetaContext,
  parseOption,
  parseRequest,
  ProtocolError,
  REPLY,
  REQUEST_BYTES,
  serverReply,
  simpleReply,
  STATE,
  statusChunk,
  u64,
  type Request,
} from '../protocol/wire.ts';
import { Receiver } from './receiver.ts';

/** An image that somebody has asked for, until he leaves. */
export interface OpenExport {
  image: DiskImage;
  close(): Promise<void>;
}

/** Where what is exported changes, or is secret. */
export interface Exports {
  names(): Iterable<string>;
  open(name: string): Promise<OpenExport | undefined>;
}

export interface NbdOptions {
  /** images by the names they are asked for; '' is the one that is meant when no name is given */
  exports: ReadonlyMap<string, DiskImage> | Exports;
  /** `required`: without TLS nobody gets anything */
  tls?: { key: string; cert: string; required: () => boolean };
  listen: ListenOptions;
  /** connections at the same time */
  connections?: number;
}

const CONNECTIONS = 64;
/** Requests of a connection that are under way, and bytes of data in them and in unread answers. */
const MOST_REQUESTS = 64;
const MOST_BYTES = 2 * MAX_DATA;
/** Without a choice of an export by then the connection ends. */
const HANDSHAKE_MS = 30_000;
const MOST_OPTIONS = 1000;
/** Images that a connection looks at. */
const MOST_OPEN = 16;
/** What an answer says of block status at most. */
const MOST_EXTENTS = 1024;

const ERRORS: Readonly<Partial<Record<ImageErrorKind, number>>> = {
  no_space: ERROR.ENOSPC,
  range: ERROR.EINVAL,
  closed: ERROR.ESHUTDOWN,
};

/** Images that are open anyway. */
const fixed = (images: ReadonlyMap<string, DiskImage>): Exports => ({
  names: () => images.keys(),
  open: (name) => {
    const image = images.get(name);
    return Promise.resolve(image && { image, close: () => Promise.resolve() });
  },
});

export class NbdServer {
  readonly #server: Server;
  readonly #connections = new Set<Connection>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async listen({ exports, tls, listen, connections = CONNECTIONS }: NbdOptions): Promise<NbdServer> {
    const server = createServer({ noDelay: true });
    const nbd = new NbdServer(server);
    server.maxConnections = connections;
    server.on('connection', (socket) => {
      const connection = new Connection(socket, exports instanceof Map ? fixed(exports) : (exports as Exports), tls);
      nbd.#connections.add(connection);
      void connection.run().finally(() => nbd.#connections.delete(connection));
    });
    server.listen(listen);
    await once(server, 'listening');
    return nbd;
  }

  /** A path, or the port of an address. */
  get address(): string | number {
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : String(address);
  }

  /** No more connections; requests that are under way are answered. The images stay open. */
  async close(): Promise<void> {
    this.#server.close();
    await Promise.all([...this.#connections].map((each) => each.end()));
  }
}

interface Chosen {
  image: DiskImage;
  name: string;
}

class Connection {
  #socket: Socket;
  readonly #exports: Exports;
  readonly #tls: NbdOptions['tls'];
  #receiver: Receiver;
  /** What it has been told of, by name; closed at its end. */
  readonly #open = new Map<string, OpenExport>();
  #secure = false;
  readonly #done: Promise<void>;
  #finish!: () => void;
  #structured = false;
  /** the export for which block status was asked for */
  #context: string | undefined;
  #running = 0;
  #bytes = 0;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, exports: Exports, tls: NbdOptions['tls']) {
    this.#socket = socket;
    this.#exports = exports;
    this.#tls = tls;
    this.#receiver = new Receiver(socket);
    this.#done = new Promise((resolve) => (this.#finish = resolve));
    this.#watch(socket);
  }

  #watch(socket: Socket): void {
    socket.on('error', () => undefined); // 'close' follows
    socket.on('drain', () => this.#wake?.()).on('close', () => this.#wake?.());
  }

  async #find(name: string): Promise<DiskImage | undefined> {
    const known = this.#open.get(name);
    if (known) return known.image;
    if (this.#open.size >= MOST_OPEN) return undefined;
    const found = await this.#exports.open(name).catch(() => undefined);
    if (found) this.#open.set(name, found);
    return found?.image;
  }

  /** From here on it speaks TLS; nothing that it said before counts. */
  async #startTls({ key, cert }: NonNullable<NbdOptions['tls']>): Promise<void> {
    this.#receiver.detach();
    const secure = new TLSSocket(this.#socket, { isServer: true, key, cert, minVersion: 'TLSv1.2' });
    this.#watch(secure);
    this.#socket = secure;
    this.#receiver = new Receiver(secure);
    this.#structured = false;
    this.#context = undefined;
    this.#secure = true;
    await new Promise<void>((resolve) => secure.once('secure', resolve).once('close', resolve));
  }

  async run(): Promise<void> {
    try {
      const late = setTimeout(() => this.#socket.destroy(), HANDSHAKE_MS);
      const chosen = await this.#handshake().finally(() => clearTimeout(late));
      if (chosen) await this.#transmission(chosen.image, chosen.name);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
    } finally {
      this.#socket.end();
      this.#socket.destroySoon();
      for (const each of this.#open.values()) await each.close();
      this.#finish();
    }
  }

  /** Reads no more; what is under way is answered. */
  async end(): Promise<void> {
    this.#receiver.stop();
    await this.#done;
  }

  // ---- handshake

  async #handshake(): Promise<Chosen | undefined> {
    const flags = Buffer.alloc(2);
    flags.writeUInt16BE(HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes);
    this.#socket.write(Buffer.concat([MAGIC.server, flags]));
    const client = (await this.#receiver.bytes(4))?.readUInt32BE(0);
    if (client === undefined) return undefined;
    if (client > (HANDSHAKE.fixedNewstyle | HANDSHAKE.noZeroes)) throw new ProtocolError('flags that are not known');
    for (let n = 0; n < MOST_OPTIONS; n++) {
      const head = await this.#receiver.bytes(OPTION_BYTES);
      if (!head) return undefined;
      const { option, length } = parseOption(head);
      if (length > MAX_OPTION) throw new ProtocolError('an option that is too long');
      const data = await this.#receiver.bytes(length);
      if (!data) return undefined;
      const result = await this.#option(option, data, client);
      if (result) return result === 'end' ? undefined : result;
    }
    return undefined;
  }

  async #option(option: number, data: Buffer, client: number): Promise<Chosen | 'end' | undefined> {
    const answer = (type: number, contents?: Buffer): void =>
      void this.#socket.write(optionReply(option, type, contents));
    const tls = this.#tls;
    if (tls?.required() && !this.#secure && option !== OPTION.startTls && option !== OPTION.abort) {
      // The oldest way to choose has no answer that refuses.
      if (option === OPTION.exportName) return 'end';
      return void answer(REPLY.tlsRequired);
    }
    switch (option) {
      case OPTION.startTls:
        if (!tls) return void answer(REPLY.policy);
        if (this.#secure || data.length > 0) return void answer(REPLY.invalid);
        answer(REPLY.ack);
        return void (await this.#startTls(tls));
      case OPTION.exportName:
        return this.#exportName(data.toString('utf8'), (client & HANDSHAKE.noZeroes) === 0);
      case OPTION.abort:
        answer(REPLY.ack);
        return 'end';
      case OPTION.list:
        if (data.length > 0) return void answer(REPLY.invalid);
        for (const name of this.#exports.names()) this.#socket.write(serverReply(name));
        return void answer(REPLY.ack);
      case OPTION.structuredReply:
        if (data.length > 0) return void answer(REPLY.invalid);
        this.#structured = true;
        return void answer(REPLY.ack);
      case OPTION.info:
      case OPTION.go:
        return this.#go(option, data);
      case OPTION.listMetaContext:
      case OPTION.setMetaContext:
        return void (await this.#metaContext(option, data));
      default:
        return void answer(REPLY.unsupported);
    }
  }

  /** The oldest way to choose; there is no answer that refuses. */
  async #exportName(name: string, zeroes: boolean): Promise<Chosen | 'end'> {
    const image = await this.#find(name);
    if (!image) return 'end';
    const flags = Buffer.alloc(2 + (zeroes ? 124 : 0));
    flags.writeUInt16BE(this.#flags(image));
    this.#socket.write(Buffer.concat([u64(image.size), flags]));
    return { image, name };
  }

  async #go(option: number, data: Buffer): Promise<Chosen | undefined> {
    const answer = (type: number, contents?: Buffer): void =>
      void this.#socket.write(optionReply(option, type, contents));
    const name = parseGo(data);
    if (name === undefined) return void answer(REPLY.invalid);
    const image = await this.#find(name);
    if (!image) return void answer(REPLY.unknown);
    answer(REPLY.info, exportInfo(image.size, this.#flags(image)));
    answer(REPLY.info, blockSizeInfo(SECTOR, Math.min(Math.max(image.cluster_size, 4096), 65536)));
    answer(REPLY.ack);
    return option === OPTION.go ? { image, name } : undefined;
  }

  async #metaContext(option: number, data: Buffer): Promise<void> {
    const asked = parseMetaContext(data);
    const answer = (type: number): void => void this.#socket.write(optionReply(option, type));
    if (!asked || !this.#structured) return answer(REPLY.invalid);
    if (!(await this.#find(asked.name))) return answer(REPLY.unknown);
    const all = option === OPTION.listMetaContext && asked.queries.length === 0;
    const wanted =
      all ||
      asked.queries.includes(ALLOCATION.name) ||
      (option === OPTION.listMetaContext && asked.queries.includes('base:'));
    if (option === OPTION.setMetaContext) this.#context = wanted ? asked.name : undefined;
    if (wanted) this.#socket.write(contextReply(option));
    answer(REPLY.ack);
  }

  #flags(image: DiskImage): number {
    const { hasFlags, readOnly, flush, fua, trim, writeZeroes, dontFragment, multipleConnections } = EXPORT_FLAG;
    const own = image.readonly ? readOnly : fua | trim | writeZeroes;
    // All connections write to one image, so a flush of one is of all.
    return hasFlags | flush | multipleConnections | (this.#structured ? dontFragment : 0) | own;
  }

  // ---- transmission

  async #transmission(image: DiskImage, name: string): Promise<void> {
    const status = this.#context === name;
    for (;;) {
      const head = await this.#receiver.bytes(REQUEST_BYTES);
      if (!head) break;
      const request = parseRequest(head);
      if (request.command === COMMAND.disconnect) break;
      const writes = request.command === COMMAND.write;
      if (writes && request.length > MAX_DATA) throw new ProtocolError('more data than is taken');
      const data = writes ? await this.#receiver.take(request.length) : [];
      if (!data) break;
      this.#start(image, request, data, status);
      while (this.#busy() && !this.#socket.destroyed) await new Promise<void>((resolve) => (this.#wake = resolve));
      if (this.#socket.destroyed) break;
    }
    while (this.#running > 0) await new Promise<void>((resolve) => (this.#wake = resolve));
  }

  #busy(): boolean {
    return this.#running >= MOST_REQUESTS || this.#bytes + this.#socket.writableLength > MOST_BYTES;
  }

  #start(image: DiskImage, request: Request, data: Buffer[], status: boolean): void {
    const carried =
      request.command === COMMAND.read || request.command === COMMAND.write ? Math.min(request.length, MAX_DATA) : 0;
    this.#running++;
    this.#bytes += carried;
    void this.#answer(image, request, data, status).then((answer) => {
      this.#running--;
      this.#bytes -= carried;
      this.#socket.cork();
      for (const part of answer) if (this.#socket.writable) this.#socket.write(part);
      this.#socket.uncork();
      this.#wake?.();
    });
  }

  async #answer(image: DiskImage, request: Request, data: Buffer[], status: boolean): Promise<Buffer[]> {
    const { cookie } = request;
    try {
      return await this.#carryOut(image, request, data, status);
    } catch (error) {
      const known = error instanceof ImageError ? error : undefined;
      const number = (known && ERRORS[known.kind]) ?? ERROR.EIO;
      // Of what went wrong in here the other side learns no more than that.
      if (this.#structured) return [errorChunk(cookie, number, known?.message ?? 'the server has failed.')];
      return [simpleReply(cookie, number)];
    }
  }

  async #carryOut(image: DiskImage, request: Request, data: Buffer[], status: boolean): Promise<Buffer[]> {
    const { command, flags, cookie, length } = request;
    const offset = Number(request.offset);
    const refuse = (message: string): never => {
      throw new ImageError('range', message);
    };
    if (flags & ~(ALLOWED[command] ?? 0xffff)) refuse('the request has flags that are not known.');
    const fua = (flags & COMMAND_FLAG.fua) !== 0;
    switch (command) {
      case COMMAND.read: {
        if (length > MAX_DATA) refuse('that is more than is read at once.');
        const buffer = Buffer.allocUnsafeSlow(offset + length > image.size ? 0 : length);
        if (buffer.length < length) refuse('the request goes beyond the end.');
        await image.read(offset, [buffer]);
        if (!this.#structured) return [simpleReply(cookie, 0), buffer];
        return [chunk(cookie, CHUNK.data, u64(offset), length), buffer];
      }
      case COMMAND.write:
        // Beyond the end there is no space (the protocol's words for it).
        if (!image.readonly && offset + length > image.size)
          throw new ImageError('no_space', 'that is beyond the end.');
        if (image.readonly) return this.#error(cookie, ERROR.EPERM);
        await image.write(offset, data, { fua });
        break;
      case COMMAND.flush:
        await image.flush();
        break;
      case COMMAND.trim:
        if (image.readonly) return this.#error(cookie, ERROR.EPERM);
        await image.discard(offset, length);
        if (fua) await image.flush();
        break;
      case COMMAND.writeZeroes:
        if (image.readonly) return this.#error(cookie, ERROR.EPERM);
        await image.write_zeroes(offset, length, { unmap: (flags & COMMAND_FLAG.noHole) === 0 });
        if (fua) await image.flush();
        break;
      case COMMAND.blockStatus: {
        if (!status || length === 0) refuse('block status was not agreed on.');
        const most = flags & COMMAND_FLAG.oneExtent ? 1 : MOST_EXTENTS;
        return [statusChunk(cookie, await allocation(image, offset, length, most))];
      }
      default:
        refuse('there is no such command.');
    }
    return [this.#structured ? chunk(cookie, CHUNK.none) : simpleReply(cookie, 0)];
  }

  #error(cookie: bigint, error: number): Buffer[] {
    return [this.#structured ? errorChunk(cookie, error, 'it is read-only.') : simpleReply(cookie, error)];
  }
}

/** The flags of each command. */
const ALLOWED: Readonly<Record<number, number>> = {
  [COMMAND.read]: COMMAND_FLAG.dontFragment | COMMAND_FLAG.fua,
  [COMMAND.write]: COMMAND_FLAG.fua,
  [COMMAND.flush]: COMMAND_FLAG.fua,
  [COMMAND.trim]: COMMAND_FLAG.fua,
  [COMMAND.writeZeroes]: COMMAND_FLAG.fua | COMMAND_FLAG.noHole,
  [COMMAND.blockStatus]: COMMAND_FLAG.oneExtent | COMMAND_FLAG.fua,
};

/** What has data, through all images behind each other. */
export async function allocation(image: DiskImage, offset: number, length: number, most: number) {
  const extents: { length: number; state: number }[] = [];
  const add = (part: number, state: number): boolean => {
    const last = extents.at(-1);
    if (last?.state === state) last.length += part;
    else if (extents.length === most) return false;
    else extents.push({ length: part, state });
    return true;
  };
  const walk = async (from: DiskImage, at: number, end: number): Promise<boolean> => {
    while (at < end) {
      for (const extent of await from.map(at, end - at)) {
        const behind = extent.kind === 'backing' ? from.backing : undefined;
        const there = behind ? Math.min(extent.length, Math.max(0, behind.size - at)) : 0;
        if (behind && there > 0 && !(await walk(behind, at, at + there))) return false;
        const rest = extent.length - there;
        if (rest > 0 && !add(rest, extent.kind === 'data' ? 0 : STATE.hole | STATE.zero)) return false;
        at += extent.length;
      }
    }
    return true;
  };
  await walk(image, offset, offset + length);
  return extents;
}
