/** The two protocols of calls, over HTTP. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answered } from '../dispatch.ts';
import type { Failure } from '../failure.ts';
import { admission } from '../turns.ts';
import type { Xapi } from '../xapi.ts';
import { readJson, type JsonCall } from './json_read.ts';
import { Malformed, MAX_BODY, type Call } from './limits.ts';
import { jsonFailure, jsonSuccess, xmlFailure, xmlFault, xmlSuccess, type Pieces } from './respond.ts';
import { Busy, readBody, send, sendText, TooLarge } from './send.ts';
import { XmlReader } from './xml_read.ts';

/** Clients compare these as a whole. */
const JSON_TYPE = 'application/json';
const XML_TYPE = 'text/xml';

/** Made once: an exception of its own for each call costs more than the call. */
const GONE = new Error('the client has gone');
GONE.stack = undefined;

async function answer(
  xapi: Xapi,
  call: Call,
  address: string,
  response: ServerResponse,
): Promise<{ answered: Answered; failure?: undefined } | { failure: Failure }> {
  const gone = new AbortController();
  const end = (): void => gone.abort(GONE);
  response.on('close', end);
  // Whoever has closed his half gets his answer, but nothing is waited for in it: he may have gone.
  const { socket } = response.req;
  socket.once('end', end);
  response.on('close', () => socket.off('end', end));
  try {
    await admission();
    await xapi.callers.admit(response.req.headers['user-agent'] ?? '', address, gone.signal);
    return { answered: await xapi.dispatcher.call(call, { address, signal: gone.signal }) };
  } catch (error) {
    return { failure: xapi.dispatcher.told(error) };
  }
}

/** Reads the call; whoever sends none is told so and gets undefined. */
async function read<T>(response: ServerResponse, type: string, reader: () => Promise<T>): Promise<T | undefined> {
  try {
    return await reader();
  } catch (error) {
    if (error instanceof TooLarge) {
      // The rest of the body is not read.
      response.shouldKeepAlive = false;
      sendText(response, 413, `a call has at most ${MAX_BODY} bytes`, { connection: 'close' });
      return undefined;
    }
    if (error instanceof Busy) {
      response.shouldKeepAlive = false;
      sendText(response, 503, 'too many long calls come in: try again later', {
        'retry-after': '5',
        connection: 'close',
      });
      return undefined;
    }
    if (response.destroyed) return undefined;
    // What the decoder of UTF-8 throws is a TypeError.
    if (!(error instanceof Malformed) && !(error instanceof TypeError)) throw error;
    const text = `this is no call: ${error.message}`;
    const pieces: Pieces = type === XML_TYPE ? xmlFault(text) : [JSON.stringify({ error: text })];
    await send(response, type, pieces, 500);
    return undefined;
  }
}

export async function xmlRpc(
  xapi: Xapi,
  request: IncomingMessage,
  response: ServerResponse,
  address: string,
): Promise<void> {
  const call = await read(response, XML_TYPE, async () => {
    const reader = new XmlReader();
    return readBody(request, MAX_BODY, (text) => reader.write(text), () => reader.end()); // prettier-ignore
  });
  if (!call) return;
  const { answered, failure } = {
    failure: undefined,
    answered: undefined,
    ...(await answer(xapi, call, address, response)),
  };
  await send(response, XML_TYPE, failure ? xmlFailure(failure) : xmlSuccess(answered!));
}

export async function jsonRpc(
  xapi: Xapi,
  request: IncomingMessage,
  response: ServerResponse,
  address: string,
): Promise<void> {
  const call = await read(response, JSON_TYPE, async () => {
    let body = '';
    const end = async (): Promise<JsonCall> => {
      await admission();
      return readJson(body);
    };
    return readBody(request, MAX_BODY, (text) => (body += text), end);
  });
  if (!call) return;
  const { answered, failure } = {
    failure: undefined,
    answered: undefined,
    ...(await answer(xapi, call, address, response)),
  };
  await send(response, JSON_TYPE, failure ? jsonFailure(call, failure) : jsonSuccess(call, answered!));
}
