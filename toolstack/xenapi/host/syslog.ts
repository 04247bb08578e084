/** The host's log, to a collector as well: `logging:syslog_destination` of the host names it. */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { Failure } from '../failure.ts';
import type { Handlers } from '../messages.ts';
import type { Xapi } from '../xapi.ts';

const PORT = 514;
/** Facility daemon, information (RFC 5424, 6.2.1). */
const PRIORITY = 3 * 8 + 6;
const MAX_LINE = 1024;

/** `host`, `host:port` or `[address]:port`. */
export function destinationOf(text: string): { host: string; port: number } | undefined {
  if (isIPv6(text)) return { host: text, port: PORT };
  const [, six, name, port] = /^(?:\[([0-9a-f:.]+)\]|([\w.-]{1,253}))(?::(\d{1,5}))?$/i.exec(text) ?? [];
  const host = six ?? name;
  if (host === undefined || (six !== undefined && !isIPv6(six)) || Number(port ?? PORT) > 65535) return undefined;
  return { host, port: Number(port ?? PORT) };
}

export class Syslog {
  #socket: Socket | undefined;
  #to: { host: string; port: number } | undefined;

  #hostname = '-';

  set(to: { host: string; port: number } | undefined, hostname: string): void {
    this.#to = to;
    this.#hostname = hostname || '-';
  }

  send(text: string): void {
    if (!this.#to) return;
    if (!this.#socket) {
      // One for both families; what is lost is lost, as with every syslog by UDP.
      this.#socket = createSocket('udp6').unref();
      this.#socket.on('error', () => {});
    }
    const head = `<${PRIORITY}>1 ${new Date().toISOString()} ${this.#hostname} xapi ${process.pid} - - `;
    const { host, port } = this.#to;
    const mapped = /^\d+(\.\d+){3}$/.test(host) ? `::ffff:${host}` : host;
    for (const line of text.split('\n')) this.#socket.send((head + line).slice(0, MAX_LINE), port, mapped, () => {});
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
    this.#to = undefined;
  }
}

/** Takes up what the host's record says. */
export function configureSyslog({ host, syslog }: Xapi): void {
  const { syslog_destination: text = '' } = host.map('logging');
  const to = text === '' ? undefined : destinationOf(text);
  if (text !== '' && !to) throw new Failure('INVALID_VALUE', 'logging:syslog_destination', text);
  syslog.set(to, host.text('hostname'));
}

export const syslog: Handlers = {
  'host.syslog_reconfigure': (args, { xapi }) => {
    args.row('host');
    configureSyslog(xapi);
  },
};
