// A frame buffer's description, as xl.cfg(5) has it. Pure.
import { isIP } from 'node:net';
import { parsePairs } from './pairs.ts';
import { ConfigError, parseNumber } from './syntax.ts';

export interface VfbConfig {
  /** Served to viewers. */
  vnc: boolean;
  listen: string;
  /** TCP port 5900 and this; undefined: from 0 on. */
  display: number | undefined;
  /** The next one that is free, if that is taken. */
  unused: boolean;
  /** '': none. */
  password: string;
  keymap: string | undefined;
}

const MAX_VFBS = 4;
const MAX_DISPLAY = 65535 - 5900;
const KEYS = ['vnc', 'vnclisten', 'vncdisplay', 'vncunused', 'vncpasswd', 'keymap', 'sdl', 'opengl', 'display', 'xauthority', 'type'] as const; // prettier-ignore
/** What VNC's authentication takes of a password. */
const PASSWORD = 8;

export function parseVfb(text: string, warn: (text: string) => void = () => {}): VfbConfig {
  // A password is nobody's to read in a message.
  const shown = text.replace(/(vncpasswd\s*=)[^,]*/, '$1...');
  const { given, fail } = parsePairs('vfb', text, KEYS, shown);
  const flag = (key: (typeof KEYS)[number], otherwise: boolean): boolean => {
    const value = given[key];
    if (value === undefined) return otherwise;
    return value === '0' || value === '1' ? value === '1' : fail(`${key} is 0 or 1, not '${value}'.`);
  };
  if (flag('sdl', false)) fail('there is no SDL window: leave sdl out, a VNC viewer shows the screen.');
  if (given.type !== undefined && given.type !== 'vnc') fail(`type is vnc, not '${given.type}'.`);
  for (const key of ['opengl', 'display', 'xauthority'] as const)
    if (given[key] !== undefined && given[key] !== '0') warn(`WARNING: vfb: ignoring ${key}: it is for SDL windows.`);
  const { keymap } = given;
  if (keymap !== undefined && keymap !== 'en-us')
    warn(`WARNING: vfb: ignoring keymap ${keymap}: viewers that send scan codes need none, for others it is en-us.`);
  const password = given.vncpasswd ?? '';
  if (password.length > PASSWORD)
    warn(`WARNING: vfb: VNC takes ${PASSWORD} characters of a password: the others do not count.`);
  const [, host, behind] = /^(.*?)(?::(\d+))?$/.exec(given.vnclisten ?? '127.0.0.1')!;
  const listen = isIP(given.vnclisten ?? '') ? given.vnclisten! : host!;
  if (!isIP(listen) && listen !== 'localhost') fail(`vnclisten is an address, not '${listen}'.`);
  const number = given.vncdisplay ?? (listen === given.vnclisten ? undefined : behind);
  const display = number === undefined ? undefined : parseNumber(number);
  if (number !== undefined && (display === undefined || display > MAX_DISPLAY))
    fail(`vncdisplay is a number up to ${MAX_DISPLAY}, not '${number}'.`);
  return {
    vnc: flag('vnc', true),
    listen,
    display,
    unused: flag('vncunused', display === undefined),
    password,
    keymap,
  };
}

export function checkVfbs(vfbs: readonly VfbConfig[]): void {
  if (vfbs.length > MAX_VFBS) throw new ConfigError([`vfb: a guest has ${MAX_VFBS} frame buffers at most.`]);
}

/** One that came over a socket. */
export function isVfb(given: unknown): given is VfbConfig {
  const v = given as Partial<VfbConfig> | null;
  return (
    typeof v === 'object' &&
    v !== null &&
    [v.vnc, v.unused].every((flag) => typeof flag === 'boolean') &&
    typeof v.listen === 'string' &&
    (isIP(v.listen) !== 0 || v.listen === 'localhost') &&
    typeof v.password === 'string' &&
    (v.keymap === undefined || typeof v.keymap === 'string') &&
    (v.display === undefined || (Number.isInteger(v.display) && v.display >= 0 && v.display <= MAX_DISPLAY))
  );
}
