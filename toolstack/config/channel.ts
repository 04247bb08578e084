// A channel's description, as xl.cfg(5) has it. Pure.
import { parsePairs } from './pairs.ts';
import { ConfigError } from './syntax.ts';

export interface ChannelConfig {
  name: string;
  connection: 'pty' | 'socket';
  /** The socket's absolute path. */
  path: string | undefined;
}

/** hvc_xen of Linux takes the device's last digit for its number. */
const MAX_CHANNELS = 9;
const MAX_NAME = 64;

export function parseChannel(text: string, absolute: (path: string) => string): ChannelConfig {
  const { fail, given } = parsePairs('channel', text, ['name', 'connection', 'path', 'backend']);
  const { name, connection, path, backend } = given;
  if (backend !== undefined && backend !== '0' && backend !== 'Domain-0')
    fail(`channels are served by the host, not by domain '${backend}': leave backend out.`);
  if (!name) return fail('it has no name: give one by name=, which programs in the guest know.');
  if (name.length > MAX_NAME || /[\x00-\x1f\x7f]/.test(name))
    fail(`a name has ${MAX_NAME} printable characters at most.`);
  if (connection === undefined) return fail('connection is missing: it is pty or socket.');
  if (connection.toLowerCase() === 'pty') {
    if (path !== undefined) fail('a pty has no path: leave path out.');
    return { name, connection: 'pty', path: undefined };
  }
  if (connection.toLowerCase() !== 'socket') fail(`connection is pty or socket, not '${connection}'.`);
  if (!path) return fail('a socket needs path=.');
  return { name, connection: 'socket', path: absolute(path) };
}

/** So many, and no two with one name or socket. */
export function checkChannels(channels: readonly ChannelConfig[]): void {
  if (channels.length > MAX_CHANNELS) throw new ConfigError([`channel: a guest has ${MAX_CHANNELS} channels at most.`]);
  const seen = new Set<string>();
  for (const { name, path } of channels)
    for (const key of [`the name ${name}`, ...(path === undefined ? [] : [`the path ${path}`])]) {
      if (seen.has(key)) throw new ConfigError([`channel: two channels have ${key}.`]);
      seen.add(key);
    }
}

/** One that came over a socket. */
export function isChannel(given: unknown): given is ChannelConfig {
  const c = given as Partial<ChannelConfig> | null;
  if (typeof c !== 'object' || c === null || typeof c.name !== 'string' || c.name.includes(',')) return false;
  if (c.connection === 'pty' ? c.path !== undefined : typeof c.path !== 'string' || !c.path.startsWith('/'))
    return false;
  return c.connection === 'pty' || c.connection === 'socket';
}
