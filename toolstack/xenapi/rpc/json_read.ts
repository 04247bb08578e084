import { Malformed, MAX_DEPTH, MAX_VALUES, type Call, type Raw } from './limits.ts';

export interface JsonCall extends Call {
  version: 1 | 2;
  id: string | number | null;
}

/** Bounds are checked on the text, before anything is built from it. */
function checkShape(text: string): void {
  let depth = 0;
  let values = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // a string: on to its end
        for (i++; i < text.length && text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
        break;
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > MAX_DEPTH) throw new Malformed('nested too deeply');
        break;
      case 0x5d:
      case 0x7d:
        depth--;
        break;
      case 0x2c: // ,
        if (++values > MAX_VALUES) throw new Malformed('too many values');
    }
  }
}

export function readJson(text: string): JsonCall {
  checkShape(text);
  let call: unknown;
  try {
    call = JSON.parse(text);
  } catch (error) {
    throw new Malformed((error as Error).message);
  }
  if (typeof call !== 'object' || call === null || Array.isArray(call)) throw new Malformed('no call');
  const { method, params = [], id = null, jsonrpc } = call as Record<string, unknown>;
  if (typeof method !== 'string') throw new Malformed('no method');
  if (!Array.isArray(params)) throw new Malformed('parameters must be an array');
  if (id !== null && typeof id !== 'string' && typeof id !== 'number')
    throw new Malformed('an id is a string or a number');
  if (jsonrpc !== undefined && jsonrpc !== '2.0' && jsonrpc !== '1.0')
    throw new Malformed('no known version of JSON-RPC');
  return { method, params: params as Raw[], id, version: jsonrpc === '2.0' ? 2 : 1 };
}
