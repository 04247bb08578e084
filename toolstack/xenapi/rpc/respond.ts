/** Answers of calls in both protocols, in pieces. */
import { STRING_SET, escapeXml, json, xml, xmlValue } from './encode.ts';
import type { Answered } from '../dispatch.ts';
import type { Failure } from '../failure.ts';
import type { JsonCall } from './json_read.ts';

export type Pieces = Iterable<string | Buffer>;

export function* xmlSuccess({ type, value, bare }: Answered): Generator<string | Buffer> {
  yield '<?xml version="1.0"?><methodResponse><params><param>';
  if (!bare)
    yield '<value><struct><member><name>Status</name><value>Success</value></member><member><name>Value</name>';
  yield* xml(type, value);
  yield `${bare ? '' : '</member></struct></value>'}</param></params></methodResponse>`;
}

export function xmlFailure({ description }: Failure): Pieces {
  return [
    '<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>Status</name><value>Failure</value></member>',
    `<member><name>ErrorDescription</name>${xmlValue(STRING_SET, description)}</member>`,
    '</struct></value></param></params></methodResponse>',
  ];
}

/** XML-RPC's own failure, for what XenAPI has no place to say it in. */
export const xmlFault = (text: string): Pieces => [
  '<?xml version="1.0"?><methodResponse><fault><value><struct><member><name>faultCode</name><value><int>-1</int></value></member>',
  `<member><name>faultString</name><value>${escapeXml(text)}</value></member></struct></value></fault></methodResponse>`,
];

type Head = Pick<JsonCall, 'version' | 'id'>;

export function* jsonSuccess({ version, id }: Head, { type, value }: Answered): Generator<string | Buffer> {
  yield version === 2 ? '{"jsonrpc":"2.0","result":' : '{"result":';
  yield* json(type, value);
  yield `${version === 2 ? '' : ',"error":null'},"id":${JSON.stringify(id)}}`;
}

export function jsonFailure({ version, id }: Head, { code, params, description }: Failure): Pieces {
  if (version === 1) return [JSON.stringify({ result: null, error: description, id })];
  return [JSON.stringify({ jsonrpc: '2.0', error: { code: 1, message: code, data: params }, id })];
}
