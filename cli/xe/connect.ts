// Connections of `xe` to a host: its socket on this machine, or TCP with or without TLS.
import { existsSync } from 'node:fs';
import { isIP, connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { xenapiPaths } from '../../toolstack/xenapi/server.ts';
import { defaultState } from '../host/options.ts';
import { LOCAL, Wrong, type Options } from './options.ts';

/** Where a real host has its socket. */
const XAPI_SOCKET = '/var/lib/xcp/xapi';

export interface Place {
  socket?: string;
  host?: string;
  port?: number;
  tls?: boolean;
}

const isLocal = (server: string): boolean => server === LOCAL || server === 'localhost';

/** A host of this machine is reached by its socket, unless a port is named. */
export function placeOf(options: Pick<Options, 'server' | 'port' | 'ssl'>, env: NodeJS.ProcessEnv): Place {
  const { server, port, ssl } = options;
  if (isLocal(server) && port === undefined) {
    const own = xenapiPaths(defaultState(env)).socket;
    return { socket: existsSync(own) || !existsSync(XAPI_SOCKET) ? own : XAPI_SOCKET };
  }
  const host = server.replace(/^\[(.*)\]$/, '$1');
  return { host, port: port ?? (ssl ? 443 : 80), tls: ssl };
}

export const placeText = ({ socket, host, port }: Place): string => socket ?? `${host} port ${port}`;

/** The certificate is looked at only if the person says what it is: hosts make their own. */
function checkCertificate(socket: TLSSocket, fingerprint: string | undefined): void {
  if (fingerprint === undefined) return;
  const found = socket.getPeerCertificate().fingerprint256?.replaceAll(':', '').toUpperCase();
  if (found !== fingerprint) throw new Wrong(`the host's certificate is another: its SHA-256 is ${found}.`);
}

export async function connect(place: Place, fingerprint?: string): Promise<Socket> {
  const { socket: path, host, port, tls } = place;
  const socket =
    path !== undefined
      ? connectTcp({ path })
      : tls
        ? connectTls({ host, port, rejectUnauthorized: false, ...(isIP(host!) ? {} : { servername: host }) })
        : connectTcp({ host, port: port! });
  await new Promise<void>((resolve, reject) => {
    socket.once(tls ? 'secureConnect' : 'connect', resolve);
    socket.once('error', (error: NodeJS.ErrnoException) => reject(new Wrong(cannot(place, error))));
  });
  socket.on('error', () => {});
  if (tls) checkCertificate(socket as TLSSocket, fingerprint);
  return socket;
}

function cannot(place: Place, error: NodeJS.ErrnoException): string {
  const why = error.code ?? error.message;
  if (place.socket !== undefined)
    return `no host serves XenAPI here (${why} at ${place.socket}): start one by \`xenolith up --xenapi PORT\`, or name a server by -s.`;
  const tls = /^(ERR_SSL|EPROTO)/.test(why) ? ' (without TLS? --nossl)' : '';
  return `${placeText(place)} cannot be reached (${why})${tls}.`;
}
