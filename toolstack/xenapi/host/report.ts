/** What helps who looks for a mistake: the host's log and state in one archive, without anybody's secrets or machines' contents. */
import { gzipSync } from 'node:zlib';
import { Failure } from '../failure.ts';
import { ask, serverUrl, takeCredentials } from '../http/outgoing.ts';
import type { Transfer } from '../http/transfer.ts';
import type { Handlers } from '../messages.ts';
import { escapeXml } from '../rpc/encode.ts';
import type { Xapi } from '../xapi.ts';
import { END, tarHeader, tarPadding } from '../xva/tar.ts';

interface Part {
  file: string;
  /** Whether it may name people: `no`, `maybe`. */
  pii: string;
  make(xapi: Xapi): string;
}
const pretty = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const PARTS: Record<string, Part> = {
  'xenserver-logs': { file: 'xensource.log', pii: 'maybe', make: ({ recent }) => `${recent.join('\n')}\n` },
  hypervisor: { file: 'xl-dmesg.txt', pii: 'no', make: ({ xenops }) => xenops.dmesg(false) },
  version: { file: 'versions.json', pii: 'no', make: ({ host }) => pretty(host.map('software_version')) },
  'host-info': { file: 'host.json', pii: 'no', make: ({ xenops }) => pretty({ ...xenops.facts(), free: xenops.freeMemory() }) }, // prettier-ignore
  'database-statistics': { file: 'database.json', pii: 'no', make: ({ db }) => pretty(db.statistics()) },
  process: { file: 'process.json', pii: 'no', make: () => pretty({ ...process.memoryUsage(), ...process.resourceUsage(), uptime: process.uptime() }) }, // prettier-ignore
};

function capabilities(xapi: Xapi): string {
  const lines = Object.entries(PARTS).map(([key, { pii, make }]) => {
    const size = Buffer.byteLength(make(xapi));
    const limits = `min-size="0" max-size="${size}" min-time="0" max-time="1"`;
    return `<capability content-type="text/plain" default-checked="yes" key="${escapeXml(key)}" pii="${pii}" ${limits}/>`;
  });
  return `<?xml version="1.0"?><system-status-capabilities version="1.0">${lines.join('')}</system-status-capabilities>`;
}

function archive(xapi: Xapi, keys: readonly string[]): Buffer {
  const time = Math.floor(Date.now() / 1000);
  const pieces = keys.flatMap((key) => {
    const { file, make } = PARTS[key];
    const bytes = Buffer.from(make(xapi));
    return [tarHeader(`bug-report/${file}`, bytes.length, time), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...pieces, END]);
}

/** `/system-status?entries=a,b&output=tar` */
export async function systemStatus(transfer: Transfer): Promise<void> {
  const { query, xapi } = transfer;
  const output = query.get('output') ?? 'tar';
  if (output !== 'tar') throw new Failure('INVALID_VALUE', 'output', output);
  const wanted = (query.get('entries') ?? '').split(',').filter((each) => each !== '');
  const unknown = wanted.find((each) => !Object.hasOwn(PARTS, each));
  if (unknown !== undefined) throw new Failure('INVALID_VALUE', 'entries', unknown);
  const bytes = archive(xapi, wanted.length > 0 ? wanted : Object.keys(PARTS));
  transfer.begin('application/x-tar', bytes.length);
  await transfer.write(bytes);
}

export const report: Handlers = {
  'host.get_system_status_capabilities': (args, { xapi }) => {
    args.row('host');
    return capabilities(xapi);
  },
  'host.bugreport_upload': async (args, { xapi, task }) => {
    args.row('host');
    const url = serverUrl(args.text('url'));
    if (!url) throw new Failure('INVALID_VALUE', 'url', args.text('url'));
    const [option] = Object.keys(args.map('options'));
    if (option !== undefined) throw new Failure('INVALID_VALUE', 'options', option);
    const body = gzipSync(archive(xapi, Object.keys(PARTS)));
    const headers = { ...takeCredentials(url), 'content-type': 'application/gzip', 'content-length': String(body.length) }; // prettier-ignore
    try {
      const response = await ask(xapi, url, { method: 'PUT', headers, body, signal: task.signal });
      response.resume();
      if (Math.floor(response.statusCode! / 100) !== 2) throw new Error(`it answers ${response.statusCode}`);
    } catch (error) {
      task.checkCancelled();
      throw new Failure('SYSTEM_STATUS_RETRIEVAL_FAILED', `${url.host}: ${(error as Error).message}`);
    }
  },
};
