/** A WebSocket as a stream of bytes. Frames are binary, or text in base64 for clients that have agreed on that. */
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { WebSocketServer, type RawData, type WebSocket } from 'ws';

/** A frame from a client has at most so many bytes. */
const MAX_FRAME = 1 << 20;
/** Status codes of RFC 6455, section 7.4.1. */
const CLOSE = { NORMAL: 1000, UNSUPPORTED: 1003 };
const PROTOCOLS = ['binary', 'base64'];

const server = new WebSocketServer({
  ...{ noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload: MAX_FRAME },
  handleProtocols: (offered) => PROTOCOLS.find((each) => offered.has(each)) ?? false,
});

export const isWebSocket = ({ headers, method }: IncomingMessage): boolean =>
  method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket';

/** Answers the handshake; a wrong one is refused by HTTP 400 and gives nothing. */
export function acceptWebSocket(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  then: (stream: Duplex) => void,
): void {
  server.handleUpgrade(request, socket, head, (ws) => then(new WebSocketStream(ws)));
}

class WebSocketStream extends Duplex {
  readonly #ws: WebSocket;
  readonly #text: boolean;

  constructor(ws: WebSocket) {
    super();
    this.#ws = ws;
    this.#text = ws.protocol === 'base64';
    ws.on('message', (data: RawData, isBinary: boolean) => this.#take(data as Buffer, isBinary));
    ws.on('error', () => this.destroy());
    ws.on('close', () => {
      this.push(null);
      this.destroy();
    });
  }

  #take(data: Buffer, isBinary: boolean): void {
    if (isBinary === this.#text) {
      this.#ws.close(CLOSE.UNSUPPORTED);
      return;
    }
    const bytes = this.#text ? Buffer.from(data.toString('latin1'), 'base64') : data;
    if (bytes.length > 0 && !this.push(bytes)) this.#ws.pause();
  }

  override _read(): void {
    if (this.#ws.isPaused) this.#ws.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#ws.readyState !== this.#ws.OPEN) return done();
    this.#ws.send(this.#text ? bytes.toString('base64') : bytes, (error) => done(error));
  }

  override _final(done: () => void): void {
    this.#ws.close(CLOSE.NORMAL);
    done();
  }

  /** The other side is told, and has ws' own time to answer. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#ws.isPaused) this.#ws.resume();
    this.#ws.close(CLOSE.NORMAL);
    done(error);
  }
}
