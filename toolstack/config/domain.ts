// What a domain is to be: from xl.cfg's settings, with libxl's defaults. Pure.
import { bootloader, bootloaderOptions, type Bootloader } from './bootloader.ts';
import { checkChannels, isChannel, parseChannel, type ChannelConfig } from './channel.ts';
import { checkDisks, isDisk, parseDisk, type DiskConfig } from './disk.ts';
import { checkP9s, isP9, parseP9, type P9Config } from './p9.ts';
import { ConfigError, type Settings } from './syntax.ts';
import { checkVfbs, isVfb, parseVfb, type VfbConfig } from './vfb.ts';
import { checkVifs, isVif, parseVif, type VifConfig } from './vif.ts';

/** What becomes of a domain that has stopped; the names of xl.cfg(5). */
export const ACTIONS = [
  'destroy',
  'restart',
  'rename-restart',
  'preserve',
  'coredump-destroy',
  'coredump-restart',
  'soft-reset',
] as const;
export type Action = (typeof ACTIONS)[number];

/** What kind of guest a domain is; the names of xl.cfg(5). */
export const TYPES = ['pvh', 'pv'] as const;
export type DomainType = (typeof TYPES)[number];

export interface DomainConfig {
  /** undefined: neither `type` nor `builder` is there; the kernel says what it can be (xl.cfg(5): PV is the default). */
  type: DomainType | undefined;
  name: string;
  /** undefined: the host makes one up. */
  uuid: string | undefined;
  /** Reads the kernel from the guest's disk. */
  bootloader: Bootloader | undefined;
  /** Absolute paths; with a boot loader paths on the disk, and the kernel is there only if its menu is not to be asked. */
  kernel: string | undefined;
  ramdisk: string | undefined;
  cmdline: string;
  disks: DiskConfig[];
  vifs: VifConfig[];
  channels: ChannelConfig[];
  vfbs: VfbConfig[];
  p9s: P9Config[];
  /** KiB at the start, and at most. */
  memory: number;
  maxMemory: number;
  /** Online at the start, and at most. */
  vcpus: number;
  maxVcpus: number;
  onPoweroff: Action;
  onReboot: Action;
  onWatchdog: Action;
  onCrash: Action;
  onSoftReset: Action;
}

export const DEFAULT_MEMORY_MIB = 32;
export const MAX_VCPUS = 128;
const MAX_NAME = 64;
const MAX_DISKS = 256;

/** Settings of hardware models, which neither PVH nor PV guests have. */
const DEVICE_MODEL = /^device_model_|^(bios|stdvga|vga|videoram|gfx_passthru|usb|usbdevice|soundhw|boot)$/;

/** Settings that would change what the guest is and that this host does not have: without them it would be another guest. */
const REFUSED: Readonly<Record<string, string>> = {
  vkb: 'keyboards',
  vdispl: 'displays',
  vsnd: 'sound devices',
  vtpm: 'TPM devices',
  virtio: 'virtio devices',
  pci: 'PCI devices',
  usbctrl: 'USB controllers',
  dtdev: 'device tree devices',
};

/** Settings that only tune, and are not there yet. */
const UNTUNED = [
  'cpu_weight',
  'cap',
  'tsc_mode',
  'cpuid',
  'msr_relaxed',
  'nestedhvm',
  'altp2m',
  'localtime',
  'rtc_timeoffset',
  'timer_mode',
  'vnuma',
  'max_grant_frames',
  'max_maptrack_frames',
  'max_grant_version',
  'max_event_channels',
  'shadow_memory',
  'passthrough',
];

const fail = (message: string): never => {
  throw new ConfigError([message]);
};

function action(settings: Settings, key: string, otherwise: Action): Action {
  const text = settings.string(key);
  if (text === undefined) return otherwise;
  const known = ACTIONS.find((name) => name === text);
  return known ?? fail(`Unknown ${key} action "${text}": it takes ${ACTIONS.join(', ')}.`);
}

/** `type`, or the older `builder`. */
function domainType(settings: Settings): DomainType | undefined {
  const type = settings.string('type');
  const builder = settings.string('builder');
  const names: Record<string, string> = { generic: 'pv', linux: 'pv' };
  if (type === undefined && builder === undefined) return undefined;
  const wanted = type ?? names[builder!] ?? builder;
  const known = TYPES.find((name) => name === wanted);
  if (known) return known;
  if (wanted !== 'hvm') fail(`Invalid domain type ${wanted}: there are pvh, pv and hvm.`);
  return fail('Domain type hvm is not supported yet: this host runs PVH and PV guests, set type="pvh" or type="pv".');
}

function checkDevices(settings: Settings): void {
  for (const [key, what] of Object.entries(REFUSED)) {
    const value = settings.get(key);
    if (!value || (value.kind === 'list' && value.items.length === 0)) continue;
    fail(`${key}: ${what} are not supported yet; take the setting out to run the guest without them.`);
  }
  const firmware = settings.string('firmware');
  if (firmware)
    fail(`firmware="${firmware}" is not supported: name the kernel itself (GRUB's Xen images are such) by kernel=.`);
  for (const key of settings.keys()) {
    if (DEVICE_MODEL.test(key))
      settings.warnings.push(`WARNING: ignoring ${key}: neither PVH nor PV guests have a device model.`);
    else if (UNTUNED.includes(key))
      settings.warnings.push(`WARNING: ignoring ${key}: it has no effect on this host yet.`);
  }
  const label = settings.string('seclabel');
  if (label) settings.warnings.push(`WARNING: ignoring seclabel "${label}": FLASK is not enabled on this host.`);
  const pool = settings.string('pool');
  if (pool !== undefined && pool !== 'Pool-0') throw new PoolError(pool);
}

/** Its exit code differs from the other mistakes'. */
export class PoolError extends ConfigError {
  constructor(pool: string) {
    super([`Illegal pool specified: ${pool}; there is Pool-0.`]);
  }
}

function commandLine(settings: Settings): string {
  const whole = settings.string('cmdline');
  const root = settings.string('root');
  const extra = settings.string('extra');
  if (whole !== undefined) {
    if (root !== undefined || extra !== undefined)
      settings.warnings.push('WARNING: ignoring root and extra: cmdline is the whole command line.');
    return whole;
  }
  return [...(root === undefined ? [] : [`root=${root}`]), ...(extra === undefined ? [] : [extra])].join(' ');
}

/** The canonical form of any spelling of a UUID: 32 digits, dashes anywhere. */
export function parseUuid(text: string): string {
  const hex = text.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(hex)) fail(`Failed to parse UUID: ${text}; it is 32 hexadecimal digits with dashes.`);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

function memory(settings: Settings): { memory: number; maxMemory: number } {
  const target = (settings.number('memory') ?? DEFAULT_MEMORY_MIB) * 1024;
  const maximum = (settings.number('maxmem') ?? target / 1024) * 1024;
  if (maximum < target)
    fail(`maxmem (${maximum / 1024} MiB) is less than memory (${target / 1024} MiB): raise maxmem.`);
  return { memory: target, maxMemory: maximum };
}

function cpus(settings: Settings): { vcpus: number; maxVcpus: number } {
  const vcpus = settings.number('vcpus') ?? 1;
  const maxVcpus = settings.number('maxvcpus') ?? vcpus;
  if (maxVcpus < vcpus) fail('xl: maxvcpus < vcpus');
  if (maxVcpus > MAX_VCPUS) fail(`A domain has at most ${MAX_VCPUS} vCPUs, not ${maxVcpus}.`);
  // As xl does: a number of 0 or none means one.
  return { vcpus: Math.max(vcpus, 1), maxVcpus: Math.max(maxVcpus, 1) };
}

/** `absolute` makes a path independent of where xl was started. */
export function domainConfig(settings: Settings, absolute: (path: string) => string): DomainConfig {
  const name = settings.string('name') ?? fail('Domain name must be specified.');
  checkName(name);
  const type = domainType(settings);
  const uuid = settings.string('uuid');
  const kernel = settings.string('kernel');
  checkDevices(settings);
  const sizes = { ...memory(settings), ...cpus(settings) };
  const actions = {
    onPoweroff: action(settings, 'on_poweroff', 'destroy'),
    onReboot: action(settings, 'on_reboot', 'restart'),
    onWatchdog: action(settings, 'on_watchdog', 'destroy'),
    onCrash: action(settings, 'on_crash', 'destroy'),
    onSoftReset: action(settings, 'on_soft_reset', 'soft-reset'),
  };
  const list = settings.get('disk')?.kind === 'list' ? settings.list('disk') : [settings.string('disk') ?? ''];
  const disks = (list ?? []).filter((text) => text !== '').map((text) => parseDisk(text, absolute));
  checkDisks(disks);
  const warn = (text: string): void => void settings.warnings.push(text);
  const vifs = (settings.list('vif') ?? []).map((text) => parseVif(text, warn));
  checkVifs(vifs);
  const channels = (settings.list('channel') ?? []).map((text) => parseChannel(text, absolute));
  checkChannels(channels);
  const vfbs = (settings.list('vfb') ?? []).map((text) => parseVfb(text, warn));
  checkVfbs(vfbs);
  const p9s = (settings.list('p9') ?? []).map((text) => parseP9(text, absolute));
  checkP9s(p9s);
  const loader = bootloader(settings, disks);
  if (!kernel && !loader) fail('No kernel specified: name one by kernel="FILE".');
  // What a boot loader reads is not this machine's.
  const place = loader ? (path: string) => path : absolute;
  const ramdisk = settings.string('ramdisk');
  return {
    type,
    name,
    uuid: uuid === undefined ? undefined : parseUuid(uuid),
    bootloader: loader,
    kernel: kernel ? place(kernel) : undefined,
    ramdisk: ramdisk ? place(ramdisk) : undefined,
    cmdline: commandLine(settings),
    disks,
    vifs,
    channels,
    vfbs,
    p9s,
    ...sizes,
    ...actions,
  };
}

/** Letters of any kind, blanks inside: what stands in a store path's place or on one line of a list. */
export function checkName(name: string): void {
  if (name === '' || name.length > MAX_NAME || /[\x00-\x1f\x7f/]/.test(name))
    fail(
      `'${name}' is no name for a domain: it has 1 to ${MAX_NAME} characters and neither '/' nor control characters.`,
    );
}

const isText = (v: unknown): v is string => typeof v === 'string';
const isCount = (v: unknown, least: number): v is number => Number.isSafeInteger(v) && (v as number) >= least;

function isBootloader(b: Bootloader): boolean {
  const good = typeof b === 'object' && b !== null && isText(b.name) && isText(b.source) && Array.isArray(b.args);
  if (!good || !b.args.every(isText)) return false;
  bootloaderOptions(b.args);
  return true;
}

/** What came over a socket: checked as a whole, since xl may be another version or no xl at all. */
export function checkConfig(given: unknown): DomainConfig {
  const c = given as Partial<DomainConfig> | null;
  const actions = [c?.onPoweroff, c?.onReboot, c?.onWatchdog, c?.onCrash, c?.onSoftReset];
  const good =
    c !== null &&
    typeof c === 'object' &&
    (c.type === undefined || TYPES.includes(c.type)) &&
    [c.name, c.cmdline].every(isText) &&
    Array.isArray(c.disks) &&
    c.disks.length <= MAX_DISKS &&
    c.disks.every(isDisk) &&
    Array.isArray(c.vifs) &&
    c.vifs.every(isVif) &&
    Array.isArray(c.channels) &&
    c.channels.every(isChannel) &&
    Array.isArray(c.vfbs) &&
    c.vfbs.every(isVfb) &&
    Array.isArray(c.p9s) &&
    c.p9s.every(isP9) &&
    (c.bootloader === undefined ? isText(c.kernel) : isBootloader(c.bootloader)) &&
    [c.uuid, c.kernel, c.ramdisk].every((v) => v === undefined || isText(v)) &&
    actions.every((a) => ACTIONS.includes(a as Action)) &&
    isCount(c.memory, 0) &&
    isCount(c.maxMemory, c.memory) &&
    isCount(c.vcpus, 1) &&
    isCount(c.maxVcpus, c.vcpus) &&
    c.maxVcpus <= MAX_VCPUS;
  if (!good) fail('The configuration is not one that this version of xl makes.');
  const config = c as DomainConfig;
  checkName(config.name);
  checkDisks(config.disks);
  checkVifs(config.vifs);
  checkChannels(config.channels);
  checkVfbs(config.vfbs);
  checkP9s(config.p9s);
  const { type, name, bootloader: loader, kernel, ramdisk, cmdline } = config;
  const { disks, vifs, channels, vfbs, p9s, memory: size, maxMemory, vcpus, maxVcpus } = config;
  const { onPoweroff, onReboot, onWatchdog, onCrash, onSoftReset } = config;
  const uuid = config.uuid === undefined ? undefined : parseUuid(config.uuid);
  return {
    ...{ type, name, uuid, bootloader: loader, kernel, ramdisk, cmdline },
    ...{ disks, vifs, channels, vfbs, p9s, memory: size, maxMemory, vcpus, maxVcpus },
    ...{ onPoweroff, onReboot, onWatchdog, onCrash, onSoftReset },
  };
}
