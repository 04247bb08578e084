// A disk's description, in all forms of xl-disk-configuration(5). Pure.
import { ConfigError } from './syntax.ts';

export const DISK_FORMATS = ['raw', 'qcow2', 'vhd'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

export interface DiskConfig {
  /** The image's absolute path; null: a drive without a medium. */
  target: string | null;
  format: DiskFormat;
  /** `xvda`, and its number (xen-vbd-interface(7)). */
  vdev: string;
  number: number;
  readonly: boolean;
  cdrom: boolean;
  discard: boolean;
  /** Xenolith's own: 512 unless said. */
  sectorSize?: 4096;
  /** Limits: requests and bytes a second. */
  iops?: number;
  bps?: number;
  /** Writes wait while the disk below is full; else the guest gets an error. */
  waitsForRoom?: true;
  /** Folder in which what is behind the image has to lie, if it is not the owner of the host who named it. */
  within?: string | undefined;
}

const fail = (text: string, why: string): never => {
  throw new ConfigError([`disk: '${text}': ${why}`]);
};

/** Words that stand alone and mean what a key with a value means. */
const WORDS: Readonly<Record<string, readonly [key: string, value: string]>> = {
  cdrom: ['devtype', 'cdrom'],
  disk: ['devtype', 'disk'],
  'direct-io-safe': ['direct-io-safe', '1'],
  discard: ['discard', '1'],
  'no-discard': ['discard', '0'],
};
const ACCESS: Readonly<Record<string, boolean>> = { ro: true, r: true, w: false, rw: false, '!': false };
const FORMATS: Readonly<Record<string, DiskFormat>> = { raw: 'raw', aio: 'raw', qcow2: 'qcow2', vhd: 'vhd' };
const KEYS = ['format', 'vdev', 'access', 'devtype', 'backend', 'backendtype', 'script', 'specification', 'transport'];
/** Xenolith's own, named as QEMU names such (docs/SUPPORT.md). */
const OWN_KEYS = ['sector-size', 'iops-total', 'bps-total', 'werror'];
/** Old prefixes of the target that name a format or nothing at all. */
const PREFIX = /^(tap2?|phy|file|raw|aio|qcow2|vhd):/;
/** Those that name a script of domain 0's. */
const SCRIPTED = /^(script|iscsi|nbd|drbd|enbd|iscsi-\w+|\w+-script):/;

/** `backendtype` and `backend` say who serves: that is the block service here, whatever they say. */
const SERVED = new Set(['phy', 'tap', 'qdisk']);

export function parseDisk(text: string, absolute: (path: string) => string): DiskConfig {
  const given = new Map<string, string>();
  const set = (key: string, value: string): void => {
    if (given.has(key)) fail(text, `${key} is given twice.`);
    given.set(key, value);
  };
  let rest = text;
  /** Target, format, vdev and access may stand in this order without their names. */
  const places = ['target', 'format', 'vdev', 'access'];
  let place = 0;
  while (rest !== '') {
    const target = /^\s*target=(.*)$/s.exec(rest);
    if (target) {
      set('target', target[1]!.trim());
      break;
    }
    const [part = ''] = /^[^,]*/.exec(rest)!;
    rest = rest.slice(part.length + 1);
    const word = part.trim();
    const [, key, value] = /^([a-z-]+)=(.*)$/s.exec(word) ?? [];
    if (key !== undefined && [...KEYS, ...OWN_KEYS].includes(key)) set(key, value!.trim());
    else if (WORDS[word]) set(...(WORDS[word] as [string, string]));
    else if (place < places.length && !(key !== undefined && place > 0)) {
      const name = places[place++]!;
      if (word !== '') set(name, word);
      // Whoever names the format before the target does not name it behind.
      if (name === 'target' && PREFIX.test(word)) place++;
    } else fail(text, `nothing is known of '${word}'.`);
  }
  return checked(text, given, absolute);
}

function checked(text: string, given: Map<string, string>, absolute: (path: string) => string): DiskConfig {
  const { vdev, devtype } = vdevOf(text, given);
  const { target, format } = targetOf(text, given);
  const cdrom = devtype === 'cdrom';
  const access = given.get('access');
  if (access !== undefined && ACCESS[access] === undefined)
    fail(text, `access is one of ro, r, rw, w, not '${access}'.`);
  if (given.has('script')) fail(text, 'block scripts are not supported: name the image or device itself.');
  const type = given.get('backendtype');
  if (type !== undefined && !SERVED.has(type)) fail(text, `backendtype=${type} is not supported: leave it out.`);
  const backend = given.get('backend');
  if (backend !== undefined && backend !== '0' && backend !== 'Domain-0')
    fail(text, `disks are served by the host's block service, not by domain '${backend}': leave backend out.`);
  const specification = given.get('specification');
  if ((specification !== undefined && specification !== 'xen') || given.has('transport'))
    fail(text, 'virtio disks are not supported: leave specification out.');
  if (target === '' && !cdrom) fail(text, 'no target: name the image.');
  return {
    target: target === '' ? null : absolute(target),
    format,
    ...vdev,
    readonly: access === undefined ? cdrom : ACCESS[access]!,
    cdrom,
    discard: given.get('discard') !== '0',
    ...own(text, given),
  };
}

const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 } as const;

/** A whole number above 0, with K, M, G or T as in `xl mem-set`; undefined: it is none. */
export function amount(text: string): number | undefined {
  const [, digits, unit = ''] = /^(\d{1,15})([KMGT]?)$/.exec(text.toUpperCase()) ?? [];
  const value = Number(digits) * UNITS[unit as keyof typeof UNITS];
  return Number.isSafeInteger(value) && value > 0 ? value : undefined;
}

function own(
  text: string,
  given: Map<string, string>,
): Pick<DiskConfig, 'sectorSize' | 'iops' | 'bps' | 'waitsForRoom'> {
  const rate = (key: string): number | undefined => {
    const value = given.get(key);
    return value === undefined ? undefined : (amount(value) ?? fail(text, `${key}=${value} is no number above 0, or one with K, M, G, T.`)); // prettier-ignore
  };
  const sector = given.get('sector-size') ?? '512';
  if (sector !== '512' && sector !== '4096') fail(text, `sector-size is 512 or 4096, not '${sector}'.`);
  const werror = given.get('werror') ?? 'report';
  if (werror !== 'report' && werror !== 'enospc') fail(text, `werror is report or enospc, not '${werror}'.`);
  const [iops, bps] = [rate('iops-total'), rate('bps-total')];
  return {
    ...(sector === '4096' && { sectorSize: 4096 }),
    ...(iops !== undefined && { iops }),
    ...(bps !== undefined && { bps }),
    ...(werror === 'enospc' && { waitsForRoom: true }),
  };
}

function vdevOf(
  text: string,
  given: Map<string, string>,
): { vdev: { vdev: string; number: number }; devtype: string | undefined } {
  // The older spelling says what it is behind a colon.
  const [name = '', kind] = (given.get('vdev') ?? '').split(':');
  const devtype = given.get('devtype') ?? kind;
  if (devtype !== undefined && devtype !== 'cdrom' && devtype !== 'disk')
    fail(text, `devtype is cdrom or disk, not '${devtype}'.`);
  if (name === '') fail(text, `no vdev specified in \`${text}': name one, such as xvda.`);
  const number =
    vdevNumber(name) ?? fail(text, `'${name}' is no virtual device: there are xvda, xvdb1, hda, sda and their like.`);
  return { vdev: { vdev: name, number }, devtype };
}

function targetOf(text: string, given: Map<string, string>): { target: string; format: DiskFormat } {
  let target = given.get('target') ?? '';
  let format = given.get('format');
  if (SCRIPTED.test(target)) fail(text, 'block scripts are not supported: name the image or device itself.');
  for (let prefix = PREFIX.exec(target); prefix; prefix = PREFIX.exec(target)) {
    target = target.slice(prefix[0].length);
    if (FORMATS[prefix[1]!] && prefix[1] !== 'raw' && prefix[1] !== 'aio') format ??= prefix[1];
  }
  const known = FORMATS[format ?? 'raw'];
  if (!known) fail(text, `format '${format}' is not supported: there are ${DISK_FORMATS.join(', ')}.`);
  return { target, format: known! };
}

const MAX_DISK = 1 << 20;

/** The number in the store of a virtual device's name (xen-vbd-interface(7)); undefined: it is none. */
export function vdevNumber(name: string): number | undefined {
  if (/^(0x[0-9a-f]{1,8}|\d{1,10})$/i.test(name)) {
    const n = Number(name);
    return n > 0 && n < 2 ** 31 ? n : undefined;
  }
  const plain = /^d(\d{1,7})(?:p(\d{1,3}))?$/.exec(name);
  if (plain) return xvd(Number(plain[1]), Number(plain[2] ?? 0));
  const [, kind, letters = '', part] = /^(xvd|hd|sd)([a-z]{1,4})(\d{1,3})?$/.exec(name) ?? [];
  if (kind === undefined) return undefined;
  let disk = 0;
  for (const letter of letters) disk = disk * 26 + letter.charCodeAt(0) - 96;
  disk--;
  const partition = Number(part ?? 0);
  if (kind === 'xvd') return xvd(disk, partition);
  if (kind === 'sd') return disk < 16 && partition < 16 ? (8 << 8) | (disk << 4) | partition : undefined;
  if (disk > 3 || partition > 63) return undefined;
  return disk < 2 ? (3 << 8) | (disk << 6) | partition : (22 << 8) | ((disk - 2) << 6) | partition;
}

function xvd(disk: number, partition: number): number | undefined {
  if (disk >= MAX_DISK || partition > 255) return undefined;
  return disk < 16 && partition < 16 ? (202 << 8) | (disk << 4) | partition : (1 << 28) | (disk << 8) | partition;
}

/** No two of them in one place. */
export function checkDisks(disks: readonly DiskConfig[]): void {
  const seen = new Set<number>();
  for (const { number, vdev } of disks) {
    if (seen.has(number)) throw new ConfigError([`disk: two disks are ${vdev}: give each its own vdev.`]);
    seen.add(number);
  }
}

/** One that came over a socket. */
export function isDisk(given: unknown): given is DiskConfig {
  const d = given as Partial<DiskConfig> | null;
  return (
    typeof d === 'object' &&
    d !== null &&
    (d.target === null ? d.cdrom === true : typeof d.target === 'string') &&
    DISK_FORMATS.includes(d.format as DiskFormat) &&
    typeof d.vdev === 'string' &&
    vdevNumber(d.vdev) === d.number &&
    (d.within === undefined || typeof d.within === 'string') &&
    [d.readonly, d.cdrom, d.discard].every((flag) => typeof flag === 'boolean') &&
    (d.sectorSize === undefined || d.sectorSize === 4096) &&
    (d.waitsForRoom === undefined || d.waitsForRoom === true) &&
    [d.iops, d.bps].every((rate) => rate === undefined || (Number.isSafeInteger(rate) && rate > 0))
  );
}
