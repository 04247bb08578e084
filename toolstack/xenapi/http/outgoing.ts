/** Requests of this host to other servers. Their certificates are looked at, by the authorities that its owner has named as well. */
import { request as plain, type IncomingMessage } from 'node:http';
import { request as secure } from 'node:https';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Xapi } from '../xapi.ts';

/** A server that says nothing for so long is left. */
const SILENT_MS = 60_000;

export interface Ask {
  method: 'GET' | 'POST' | 'PUT';
  headers?: Record<string, string>;
  body?: string | Buffer | Readable;
  signal: AbortSignal;
}

const MAX_REDIRECTIONS = 5;

/** The answer's head, as soon as it is there. What is only read may be somewhere else. */
export async function ask(xapi: Xapi, url: URL, given: Ask, left = MAX_REDIRECTIONS): Promise<IncomingMessage> {
  const response = await once(xapi, url, given);
  const { location } = response.headers;
  if (given.method !== 'GET' || location === undefined || Math.floor(response.statusCode! / 100) !== 3) return response;
  response.destroy();
  const next = URL.parse(location, url);
  if (!next || !serverUrl(next.href) || left === 0) throw new Error(`it leads to ${location.slice(0, 200)}`);
  // A password is for one server.
  const headers = next.origin === url.origin ? given.headers : {};
  return ask(xapi, next, { ...given, headers }, left - 1);
}

async function once(xapi: Xapi, url: URL, { method, headers, body, signal }: Ask): Promise<IncomingMessage> {
  const own = url.protocol === 'https:' ? xapi.authorities.trust : {};
  const options = { method, headers, signal, timeout: SILENT_MS, agent: false, ...own };
  const request = url.protocol === 'https:' ? secure(url, options) : plain(url, options);
  request.on('timeout', () => request.destroy(new Error('it says nothing')));
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
  });
  if (body === undefined || typeof body === 'string' || Buffer.isBuffer(body)) request.end(body);
  else await Promise.race([pipeline(body, request), answered]);
  return answered;
}

/** A short answer's text. */
export async function textOf(response: IncomingMessage, most: number): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response) {
    length += (part as Buffer).length;
    if (length > most) {
      response.destroy();
      throw new Error(`it answers more than ${most} bytes`);
    }
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString();
}

/** A URL of a server; undefined if it is none. */
export function serverUrl(text: string): URL | undefined {
  const url = URL.parse(text);
  return url && ['http:', 'https:'].includes(url.protocol) ? url : undefined;
}

/** Name and password move from the URL to where HTTP has them. */
export function takeCredentials(url: URL): Record<string, string> {
  if (url.username === '') return {};
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = url.password = '';
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}
