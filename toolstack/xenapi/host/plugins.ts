/** Programs of the host's owner that clients may call: executables in a folder of the host, which speak XML-RPC by argument and output. */
import { spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseType, type Type } from '../../../spec/xenapi/types.ts';
import { Failure } from '../failure.ts';
import type { Caller, Handlers } from '../messages.ts';
import { escapeXml, xmlValue } from '../rpc/encode.ts';
import { readXmlAnswer } from '../rpc/xml_read.ts';

const NAME = /^\w[\w.-]{0,127}$/;
const MAX_OUTPUT = 4 << 20;
const MAX_RUNNING = 16;
const STRING = parseType('string');
const MAP = parseType('(string -> string) map');
/** A program's argument has an end in Linux. */
const MAX_CALL = 100_000;

export const pluginFolder = (folder: string): string => join(folder, 'plugins');

function programOf(folder: string | undefined, name: string): string {
  const missing = new Failure('XENAPI_MISSING_PLUGIN', name);
  if (folder === undefined || !NAME.test(name)) throw missing;
  const path = join(pluginFolder(folder), name);
  try {
    accessSync(path, constants.X_OK);
    if (!statSync(path).isFile()) throw missing;
  } catch {
    throw missing;
  }
  return path;
}

interface Ended {
  status: string;
  output: string;
  errors: string;
}

function run(path: string, call: string, signal: AbortSignal): Promise<Ended> {
  const { PATH = '', LANG = 'C.UTF-8', HOME = '/' } = process.env;
  const child = spawn(path, [call], { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH, LANG, HOME }, signal, killSignal: 'SIGKILL' }); // prettier-ignore
  const said: Record<'output' | 'errors', Buffer[]> = { output: [], errors: [] };
  let length = 0;
  const keep = (which: 'output' | 'errors') => (part: Buffer) => {
    length += part.length;
    if (length > MAX_OUTPUT) child.kill('SIGKILL');
    else said[which].push(part);
  };
  child.stdout.on('data', keep('output'));
  child.stderr.on('data', keep('errors'));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, ended) =>
      resolve({
        status: code === null ? `killed by ${ended}` : code === 0 ? '' : `non-zero exit: ${code}`,
        output: Buffer.concat(said.output).toString(),
        errors: Buffer.concat(said.errors).toString(),
      }),
    );
  });
}

let running = 0;

async function callPlugin(plugin: string, fn: string, given: Record<string, string>, caller: Caller): Promise<string> {
  const { xapi, session, task } = caller;
  const path = programOf(xapi.folder, plugin);
  const param = (type: Type, value: string | Record<string, string>): string =>
    `<param>${xmlValue(type, value)}</param>`;
  const params = param(STRING, session.ref) + param(MAP, given);
  const call = `<?xml version="1.0"?><methodCall><methodName>${escapeXml(fn)}</methodName><params>${params}</params></methodCall>`;
  if (Buffer.byteLength(call) > MAX_CALL) throw new Failure('INVALID_VALUE', 'args', 'they are too long');
  if (running >= MAX_RUNNING) throw new Failure('OPERATION_NOT_ALLOWED', `${MAX_RUNNING} plug-ins run already`);
  running++;
  let ended: Ended;
  try {
    ended = await run(path, call, task.signal);
  } catch (error) {
    task.checkCancelled();
    throw new Failure('XENAPI_PLUGIN_FAILURE', (error as Error).message, '', '');
  } finally {
    running--;
  }
  const { status, output, errors } = ended;
  if (status !== '') throw new Failure('XENAPI_PLUGIN_FAILURE', status, output, errors);
  let answer: unknown;
  try {
    answer = readXmlAnswer(output);
  } catch {
    throw new Failure('XENAPI_PLUGIN_FAILURE', 'it does not answer in XML-RPC', output, errors);
  }
  const { Status, Value, ErrorDescription } = answer as Record<string, unknown>;
  if (Status === 'Failure' && Array.isArray(ErrorDescription)) {
    const [code, ...rest] = ErrorDescription.map(String);
    throw new Failure(code ?? 'XENAPI_PLUGIN_FAILURE', ...rest);
  }
  const value = Status === 'Success' ? Value : answer;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

export const plugins: Handlers = {
  'host.call_plugin': (args, caller) => {
    args.row('host');
    return callPlugin(args.text('plugin'), args.text('fn'), args.map('args'), caller);
  },
};
