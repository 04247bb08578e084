/** Sends an answer in pieces, and lets others have their turn in between. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { turn } from '../turns.ts';

/** What is no longer than this is sent at once, with its length. */
const WHOLE = 256 * 1024;
const PIECE = 64 * 1024;
/** After so many pieces it is asked whether it is others' turn. */
const CHECKED = 16;
/** Whoever does not read for so long is left. */
const STALLED_MS = 60_000;

export const CORS = {
  'access-control-allow-origin': '*',
  'access-control-allow-headers': 'Content-Type, X-Requested-With, Authorization',
  'access-control-allow-methods': 'GET, POST, PUT, OPTIONS',
};

/** Until the client has read, or has gone. */
export function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      response.off('drain', end);
      response.off('close', end);
      resolve();
    };
    const timer = setTimeout(() => response.destroy(), STALLED_MS);
    response.on('drain', end);
    response.on('close', end);
  });
}

export async function send(
  response: ServerResponse,
  type: string,
  pieces: Iterable<string | Buffer>,
  status = 200,
): Promise<void> {
  let parts: Buffer[] = [];
  let text = '';
  let length = 0;
  let started = false;
  let count = 0;
  const add = (part: Buffer) => {
    length += part.length;
    parts.push(part);
  };
  const pack = () => {
    if (text !== '') add(Buffer.from(text));
    text = '';
  };
  /** Without copying them together: what is written in one turn is sent by one system call. Whether more is wanted. */
  const flush = (): boolean => {
    let ready = true;
    for (const part of parts) ready = response.write(part);
    parts = [];
    return ready;
  };
  for (const piece of pieces) {
    if (typeof piece === 'string') text += piece;
    else {
      pack();
      add(piece);
    }
    if (text.length >= PIECE) pack();
    if (length >= WHOLE && parts.length > 0) {
      if (!started) response.writeHead(status, { ...CORS, 'content-type': type });
      started = true;
      if (!flush() && !response.destroyed) await drained(response);
    }
    // A short answer waits for nobody.
    if (++count % CHECKED === 0) await turn();
    if (response.destroyed) return;
  }
  pack();
  if (!started) response.writeHead(status, { ...CORS, 'content-type': type, 'content-length': length });
  flush();
  response.end();
}

/** An answer in words, for people. */
export function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Record<string, string> = {},
): void {
  const body = Buffer.from(`${text}\n`);
  response.writeHead(status, { ...CORS, ...headers, 'content-type': 'text/plain', 'content-length': body.length });
  response.end(body);
}

/** A call's body has to be there within this time; a transfer's has no such limit. */
const BODY_MS = 60_000;
/** Of all bodies that are longer than this, so much is kept at a time. */
const SMALL = 64 * 1024;
const MAX_KEPT = 64 * 2 ** 20;
let kept = 0;

export class TooLarge extends Error {}
/** Others send so much that there is no room. */
export class Busy extends Error {}

/** Feeds a request's body to `take`, up to a limit, and ends with what `end` makes of it. */
export async function readBody<T>(
  request: IncomingMessage,
  limit: number,
  take: (text: string) => void,
  end: () => T | Promise<T>,
): Promise<T> {
  if (Number(request.headers['content-length'] ?? 0) > limit) throw new TooLarge();
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let length = 0;
  let mine = 0;
  const timer = setTimeout(() => request.destroy(), BODY_MS);
  try {
    for await (const chunk of request) {
      length += (chunk as Buffer).length;
      if (length > limit) throw new TooLarge();
      const more = length > SMALL ? length - mine : 0;
      if (kept + more > MAX_KEPT) throw new Busy();
      kept += more;
      mine += more;
      take(decoder.decode(chunk as Buffer, { stream: true }));
    }
    clearTimeout(timer);
    take(decoder.decode());
    return await end();
  } finally {
    clearTimeout(timer);
    kept -= mine;
  }
}
