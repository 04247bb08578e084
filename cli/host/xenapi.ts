// What a person is told of a XenAPI server.
import { existsSync } from 'node:fs';
import { xenapiPaths, type Server } from '../../toolstack/xenapi/server.ts';
import { Refused } from '../../toolstack/control/refused.ts';
import type { Address } from './options.ts';

export const addressText = ({ host, port }: Address): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;

export function welcome({ tlsPort, plainPort, xapi }: Server, host: string, state: string): string[] {
  const urls: string[] = [];
  if (tlsPort) urls.push(`https://${addressText({ host, port: tlsPort })}`);
  if (plainPort) urls.push(`http://${addressText({ host, port: plainPort })}`);
  const { password } = xenapiPaths(state);
  const how = existsSync(password) ? `; user root, password in ${password}` : '; user root';
  const print = tlsPort && xapi.certificate ? [`its certificate's SHA-256 is ${xapi.certificate.fingerprint}.`] : [];
  return [`XenAPI is at ${urls.join(' and ')}${how}.`, ...print];
}

/** An address that cannot be had is one sentence. */
export async function toldWhere<T>(option: string, serve: () => Promise<T>): Promise<T> {
  try {
    return await serve();
  } catch (error) {
    const { syscall, code } = error as NodeJS.ErrnoException;
    if (syscall !== 'listen' && syscall !== 'getaddrinfo') throw error;
    throw new Refused(`XenAPI cannot be served there (${code}): choose another address by ${option}.`);
  }
}
