// `bootloader` and what it needs: the disk it reads from and its arguments, which are pygrub's. Pure.
import type { DiskConfig } from './disk.ts';
import { ConfigError, type Settings } from './syntax.ts';

export interface Bootloader {
  name: string;
  args: string[];
  /** The image file or folder that it reads: the first disk. */
  source: string;
}

/** pygrub's options that mean something here. */
export interface BootloaderOptions {
  entry?: string;
  kernel?: string;
  ramdisk?: string;
  args?: string;
  offset?: number;
}

const fail = (message: string): never => {
  throw new ConfigError([message]);
};

const VALUES = ['entry', 'kernel', 'ramdisk', 'args', 'offset'] as const;
/** Nobody sits in front of it, and it says nothing anyway. */
const IGNORED = new Set(['-q', '--quiet', '--debug']);

export function bootloaderOptions(args: readonly string[]): BootloaderOptions {
  const options: BootloaderOptions = {};
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (IGNORED.has(arg)) continue;
    const [, key, , inline] = /^--([a-z-]+)(=(.*))?$/s.exec(arg) ?? [];
    const known = VALUES.find((name) => name === key);
    if (!known)
      fail(`bootloader_args: nothing is known of '${arg}'; there are ${VALUES.map((v) => `--${v}=`).join(', ')}.`);
    const value = inline ?? args[++i] ?? fail(`bootloader_args: ${arg} needs a value.`);
    if (known === 'offset') {
      if (!/^\d{1,15}$/.test(value)) fail(`bootloader_args: --offset takes a number of bytes, not '${value}'.`);
      options.offset = Number(value);
    } else options[known!] = value;
  }
  return options;
}

const isList = (settings: Settings, key: string): boolean => settings.get(key)?.kind === 'list';

/** A list, or words in one string. */
const stringsOf = (settings: Settings, key: string): string[] =>
  (isList(settings, key) ? settings.list(key) : settings.string(key)?.split(/\s+/).filter(Boolean)) ?? [];

/** Undefined: the kernel is named by itself. */
export function bootloader(settings: Settings, disks: readonly DiskConfig[]): Bootloader | undefined {
  const name = settings.string('bootloader');
  if (!name) return undefined;
  if (name !== 'pygrub' && !name.endsWith('/pygrub'))
    fail(
      `bootloader="${name}" is not supported: there is pygrub; or name the kernel itself (GRUB's Xen images are such) by kernel=.`,
    );
  const args = stringsOf(settings, 'bootloader_args');
  bootloaderOptions(args);
  const [first] = disks;
  if (!first?.target)
    return fail('bootloader="pygrub" reads from the first disk, and there is none: set disk=["FILE,raw,xvda,w"].');
  return { name, args, source: first.target };
}
