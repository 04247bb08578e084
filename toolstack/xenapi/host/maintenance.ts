/** What administrators do to a host and its server now and then. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Failure } from '../failure.ts';
import { ask, textOf } from '../http/outgoing.ts';
import type { Arguments, Handler, Handlers } from '../messages.ts';
import type { Row } from '../database/row.ts';
import type { Xapi } from '../xapi.ts';
import { refreshVersion } from './inventory.ts';

const MAX_ANSWER = 1 << 20;

/** Gives back all memory that nobody needs. */
function collect(): void {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  gc();
}

/** A line a service, of what the parameters choose. */
function networkStatistics({ wire }: Xapi, params: Record<string, string>): string[][] {
  const chosen = params.params?.split(',');
  const wants = (name: string, value: string): string[] => (chosen && !chosen.includes(name) ? [] : [value]);
  const fits = (name: string, value: string): boolean =>
    !Object.hasOwn(params, name) || params[name].toLowerCase() === value.toLowerCase();
  return [...wire.counts].flatMap(([service, { requests, connections }]) => {
    const [method, uri] = service.split(' ');
    if (!fits('method', method) || !fits('uri', uri)) return [];
    // Nothing here is framed as HTTP/1.0's keep-alive was on older hosts.
    const counts = [...wants('requests', String(requests)), ...wants('connections', String(connections)), ...wants('framed', '0')]; // prettier-ignore
    return [[...wants('method', method), ...wants('uri', uri), ...counts]];
  });
}

async function testPost(args: Arguments, xapi: Xapi, signal: AbortSignal): Promise<string> {
  const [host, port, body] = [args.text('host'), args.number('port'), args.text('body')];
  const url = URL.parse(`https://${host.includes(':') ? `[${host}]` : host}:${port}/`);
  if (!url || !/^[\w.:-]+$/.test(host)) throw new Failure('INVALID_VALUE', 'host', host);
  try {
    const response = await ask(xapi, url, { method: 'POST', headers: { 'content-type': 'text/plain' }, body, signal });
    return await textOf(response, MAX_ANSWER);
  } catch (error) {
    throw new Failure('CONNECTION_FAILED', `${host}:${port}`, (error as Error).message);
  }
}

function httpsOnly(xapi: Xapi, hosts: Row[], value: boolean): void {
  if (value && xapi.wire.secure.size === 0)
    throw new Failure('OPERATION_NOT_ALLOWED', 'the host is reached without TLS alone');
  xapi.db.change(() => {
    for (const host of hosts) xapi.db.set(host, { https_only: value });
  });
}

const one =
  (act: (xapi: Xapi, host: Row, args: Arguments) => ReturnType<Handler>, parameter = 'host'): Handler =>
  (args, { xapi }) =>
    act(xapi, args.row(parameter), args);

export const maintenance: Handlers = {
  'Diagnostics.gc_compact': one(() => collect()),
  'Diagnostics.network_stats': one((xapi, _host, args) => networkStatistics(xapi, args.map('params'))),
  'host.refresh_pack_info': one((xapi, host) => refreshVersion(xapi, host)),
  // All memory is as near to each pCPU, so every policy is kept.
  'host.set_numa_affinity_policy': one((xapi, host, args) => xapi.db.set(host, { numa_affinity_policy: args.text('value') }), 'self'), // prettier-ignore
  'host.set_https_only': one((xapi, host, args) => httpsOnly(xapi, [host], args.flag('value')), 'self'),
  'pool.set_https_only': (args, { xapi }) => {
    args.row('self');
    httpsOnly(xapi, [...xapi.db.table('host').values()], args.flag('value'));
  },
  'pool.disable_client_certificate_auth': (args, { xapi }) =>
    xapi.db.set(args.row('self'), { client_certificate_auth_enabled: false, client_certificate_auth_name: '' }),
  'pool.send_test_post': (args, { xapi, task }) => testPost(args, xapi, task.signal),
};
