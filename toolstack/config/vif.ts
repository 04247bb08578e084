// A network interface's description, in all forms of xl-network-configuration(5). Pure.
import { parseAddress } from '../../services/network/nat/addresses.ts';
import { isGroup, macText, parseMac } from '../../services/network/protocol/frame.ts';
import { ConfigError } from './syntax.ts';

export interface VifConfig {
  /** Undefined: one is chosen when the domain is made. */
  mac: string | undefined;
  bridge: string;
  /** Addresses: it sends from no others. */
  ip: string[];
  /** As it was written, and what it means. */
  rate: { text: string; bytesPerSecond: number; burst: number } | undefined;
  vlan: string | undefined;
  vifname: string | undefined;
  devid: number | undefined;
  mtu: number;
  trusted: boolean;
}

const DEFAULT_BRIDGE = 'xenbr0';
const DEFAULT_MTU = 1500;
const MAX_NAME = 15;
const MAX_DEVID = 255;
const MAX_VIFS = 32;

const fail = (text: string, why: string): never => {
  throw new ConfigError([`vif: '${text}': ${why}`]);
};

/** Keys that are for guests or hosts of another kind; what is said of them is true or has no effect here. */
const UNUSED = new Set(['type', 'model', 'accel', 'gatewaydev', 'netdev', 'script', 'forwarddev']);
const USED = ['mac', 'bridge', 'ip', 'rate', 'vlan', 'vifname', 'devid', 'mtu', 'backend'];

export function parseVif(text: string, warn: (text: string) => void = () => {}): VifConfig {
  const given = new Map<string, string>();
  let trusted = true;
  for (const part of text.split(',').map((word) => word.trim())) {
    const [, key, value] = /^([a-z]+)=(.*)$/s.exec(part) ?? [];
    if (part === '') continue;
    if (part === 'trusted' || part === 'untrusted') trusted = part === 'trusted';
    else if (key === 'trusted') trusted = value !== '0';
    else if (key !== undefined && UNUSED.has(key)) unused(text, key, value!, warn);
    else if (key === undefined || !USED.includes(key)) fail(text, `unrecognized argument \`${part}'.`);
    else if (given.has(key)) fail(text, `${key} is given twice.`);
    else given.set(key, value!);
  }
  const backend = given.get('backend');
  if (backend !== undefined && backend !== '0' && backend !== 'Domain-0')
    fail(text, `interfaces are served by the host's network service, not by domain '${backend}': leave backend out.`);
  return {
    mac: macOf(text, given.get('mac')),
    bridge: nameOf(text, 'bridge', given.get('bridge')) ?? DEFAULT_BRIDGE,
    ip: addressesOf(text, given.get('ip')),
    rate: rateOf(text, given.get('rate')),
    vlan: vlanOf(text, given.get('vlan')),
    vifname: nameOf(text, 'vifname', given.get('vifname')),
    devid: numberOf(text, 'devid', given.get('devid'), 0, MAX_DEVID),
    mtu: numberOf(text, 'mtu', given.get('mtu'), 68, 65535) ?? DEFAULT_MTU,
    trusted,
  };
}

function unused(text: string, key: string, value: string, warn: (text: string) => void): void {
  if (key === 'type' && value === 'ioemu')
    fail(text, 'emulated interfaces are for HVM guests, and there are none here: leave type out.');
  if (key === 'type' && value !== 'vif') fail(text, `type is vif or ioemu, not '${value}'.`);
  if (key === 'script' && !/(^|\/)vif-bridge$/.test(value))
    fail(text, 'network scripts are not supported: name a network by bridge=, which `xenolith net` makes.');
  if (key !== 'type' && key !== 'script') warn(`WARNING: vif: ignoring ${key}: it has no effect on this host.`);
}

function macOf(text: string, given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  const mac = parseMac(given);
  if (mac === undefined) return fail(text, `invalid MAC address '${given}': it is six numbers, as 00:16:3e:01:02:03.`);
  if (isGroup(mac) || mac === 0) fail(text, `${given} is no address of an interface: it is zero or that of a group.`);
  return macText(mac);
}

function nameOf(text: string, key: string, given: string | undefined): string | undefined {
  if (given === undefined) return undefined;
  if (/^[\w.:-]+$/.test(given) && given.length <= MAX_NAME) return given;
  return fail(text, `${key} has 1 to ${MAX_NAME} letters, digits and . : _ -, not '${given}'.`);
}

function addressesOf(text: string, given: string | undefined): string[] {
  return (given ?? '')
    .split(/[ \t]+/)
    .filter((word) => word !== '')
    .map((word) => (parseAddress(word) ? word : fail(text, `'${word}' is no IP address.`)));
}

function numberOf(
  text: string,
  key: string,
  given: string | undefined,
  least: number,
  most: number,
): number | undefined {
  if (given === undefined) return undefined;
  if (/^\d{1,5}$/.test(given) && Number(given) >= least && Number(given) <= most) return Number(given);
  return fail(text, `${key} is a number from ${least} to ${most}, not '${given}'.`);
}

const UNITS: Readonly<Record<string, number>> = { GB: 1e9, MB: 1e6, KB: 1e3, B: 1, Gb: 1e9 / 8, Mb: 1e6 / 8, Kb: 1e3 / 8, b: 1 / 8 }; // prettier-ignore
const SECONDS: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1, '': 1e-6 };
const DEFAULT_INTERVAL = 0.05;

/** `10Mb/s`, `1MB/s@20ms`: what may pass in an interval is there at once after a rest. */
function rateOf(text: string, given: string | undefined): VifConfig['rate'] {
  if (given === undefined) return undefined;
  const match = /^(\d{1,10})([GMK]?[bB])\/s(?:@(\d{1,9})(us|ms|s|))?$/.exec(given);
  if (!match) return fail(text, `'${given}' is no rate: it is one such as 10Mb/s or 1MB/s@20ms.`);
  const bytesPerSecond = Number(match[1]) * UNITS[match[2]!]!;
  const interval = match[3] === undefined ? DEFAULT_INTERVAL : Number(match[3]) * SECONDS[match[4]!]!;
  const burst = Math.floor(bytesPerSecond * interval);
  if (burst < 1) return fail(text, `nothing can pass at a rate of ${given}.`);
  return { text: given, bytesPerSecond, burst };
}

const MAX_VLAN = 4094;

/** `10`, or `10p/20-29`: the untagged one and the tagged ones. */
function vlanOf(text: string, given: string | undefined): string | undefined {
  if (given !== undefined && !vlanSets(given))
    fail(text, `'${given}' is no VLAN: it is a number to ${MAX_VLAN}, or such as 10p/20-29.`);
  return given;
}

/** The untagged VLAN and the tagged ones. */
export function vlanSets(given: string): { untagged: number; tagged: number[] } | undefined {
  const parts = given.split('/');
  let untagged = 0;
  const tagged: number[] = [];
  for (const part of parts) {
    const match = /^(\d{1,4})(?:-(\d{1,4}))?([pu]*)$/.exec(part);
    const [from, to] = match ? [Number(match[1]), Number(match[2] ?? match[1])] : [0, 0];
    if (from < 1 || to < from || to > MAX_VLAN) return undefined;
    const plain = match![3] !== '' || parts.length === 1;
    if (plain && (from !== to || untagged !== 0)) {
      if (match![3] !== '') return undefined;
    } else if (plain) {
      untagged = from;
      continue;
    }
    for (let vlan = from; vlan <= to; vlan++) tagged.push(vlan);
  }
  return { untagged, tagged };
}

/** No two of them with one number or one address. */
export function checkVifs(vifs: readonly VifConfig[]): void {
  if (vifs.length > MAX_VIFS) throw new ConfigError([`vif: a guest has ${MAX_VIFS} interfaces at most.`]);
  const seen = new Set<string>();
  for (const { mac, devid } of vifs) {
    for (const key of [mac, devid === undefined ? undefined : `devid ${devid}`]) {
      if (key !== undefined && seen.has(key)) throw new ConfigError([`vif: two interfaces have ${key}.`]);
      if (key !== undefined) seen.add(key);
    }
  }
}

/** One that came over a socket. */
export function isVif(given: unknown): given is VifConfig {
  const v = given as Partial<VifConfig> | null;
  if (typeof v !== 'object' || v === null || typeof v.bridge !== 'string' || typeof v.trusted !== 'boolean')
    return false;
  const optional = (value: unknown, type: string) => value === undefined || typeof value === type;
  if (typeof v.mtu !== 'number' || !optional(v.devid, 'number') || !optional(v.rate, 'object')) return false;
  if (![v.mac, v.vlan, v.vifname].every((value) => optional(value, 'string')) || v.rate === null) return false;
  if (!Array.isArray(v.ip) || !v.ip.every((address) => typeof address === 'string')) return false;
  const words: string[] = [`bridge=${v.bridge}`];
  for (const [
    key,
    value,
  ] of [['mac', v.mac], ['vlan', v.vlan], ['vifname', v.vifname], ['rate', v.rate?.text], ['devid', v.devid], ['mtu', v.mtu]] as const) // prettier-ignore
    if (value !== undefined) words.push(`${key}=${value}`);
  if (v.ip.length > 0) words.push(`ip=${v.ip.join(' ')}`);
  // What is no description of its own parts is none.
  return !words.some((word) => word.includes(',')) && describes(words.join(','), v as VifConfig);
}

function describes(text: string, vif: VifConfig): boolean {
  try {
    const own = parseVif(text);
    return JSON.stringify(own.rate) === JSON.stringify(vif.rate) && own.mac === vif.mac && own.devid === vif.devid;
  } catch {
    return false;
  }
}
