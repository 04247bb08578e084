/** What the agent in a guest writes into xenstore, as the record that clients see. The keys are those of XenServer's guest tools. */
import type { Row } from '../database/row.ts';
import { timeText } from '../rpc/decode.ts';
import type { Xapi } from '../xapi.ts';

/** Paths below the domain's own, with their values. */
export type GuestKeys = ReadonlyMap<string, string>;

/** What guests may say is bounded by xenstore's quota; a record need not have all of it. */
const MAX_VALUE = 256;
const MAX_KEYS = 256;

const VERSION = { major: 'MajorVersion', minor: 'MinorVersion', micro: 'MicroVersion', build: 'BuildVersion' };
const SYSTEM = { name: 'os_name', distro: 'os_distro', major: 'os_majorver', minor: 'os_minorver', uname: 'os_uname' };

function pick(keys: GuestKeys, folder: string, names: Record<string, string>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, key] of Object.entries(names)) {
    const value = keys.get(`${folder}/${key}`);
    if (value !== undefined) found[name] = value.slice(0, MAX_VALUE);
  }
  return found;
}

/** `attr/vif/0/ipv4/0` is told as `0/ipv4/0`, and a first IPv4 address as `0/ip` too, as older clients want it. */
function networks(keys: GuestKeys): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [path, value] of keys) {
    const [, device, family, index] =
      /^attr\/(?:vif|eth)\/?(\d{1,3})\/(ip|ipv4|ipv6)(?:\/(\d{1,3}))?$/.exec(path) ?? [];
    if (device === undefined) continue;
    const address = value.slice(0, MAX_VALUE);
    if (family === 'ip' || (family === 'ipv4' && index === '0')) found[`${device}/ip`] = address;
    if (index !== undefined) found[`${device}/${family}/${index}`] = address;
  }
  return found;
}

function others(keys: GuestKeys): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [path, value] of keys) {
    const [, name] = /^(?:control|data)\/([\w.-]{1,64})$/.exec(path) ?? [];
    if (name === undefined || name.startsWith('os_')) continue;
    if (path.startsWith('data/') || name.startsWith('feature-')) found[name] = value.slice(0, MAX_VALUE);
  }
  return found;
}

const some = (map: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(map).slice(0, MAX_KEYS));

function recordOf({ db }: Xapi, vm: Row): Row {
  const found = db.find('VM_guest_metrics', vm.text('guest_metrics'));
  if (found) return found;
  const made = db.create('VM_guest_metrics', {});
  db.set(vm, { guest_metrics: made.ref });
  return made;
}

/** The agent of that machine has said something. */
export function guestSays(xapi: Xapi, uuid: string, keys: GuestKeys): void {
  const { db } = xapi;
  // A guest without an agent has nothing but what every kernel writes.
  const spoken = [...keys.keys()].some((path) => path.startsWith('attr/') || path.startsWith('data/'));
  if (!spoken || !db.hasUuid('VM', uuid)) return;
  const vm = db.byUuid('VM', uuid);
  if (vm.text('power_state') === 'Halted') return;
  const version = pick(keys, 'attr/PVAddons', VERSION);
  const detected = Object.keys(version).length > 0;
  db.change(() => {
    db.set(recordOf(xapi, vm), {
      os_version: pick(keys, 'data', SYSTEM),
      PV_drivers_version: version,
      PV_drivers_detected: detected,
      PV_drivers_up_to_date: detected,
      networks: some(networks(keys)),
      other: some(others(keys)),
      last_updated: timeText(Date.now()),
      live: true,
    });
  });
}
