// A domain's network interfaces: their networks found before it is made, given to it and taken from it while it runs; and networks.
import { randomBytes } from 'node:crypto';
import { OrderError } from '../../services/lib/supervisor.ts';
import type { NetworkFacts } from '../../services/network/backend/messages.ts';
import type { Network } from '../../services/network/backend/service.ts';
import { parseForward, forwardText, type Forward } from '../../services/network/nat/forward.ts';
import { DEFAULTS } from '../../services/network/nat/plan.ts';
import { macText, parseMac } from '../../services/network/protocol/frame.ts';
import type { Vlan } from '../../services/network/switch/switch.ts';
import type { ShareOptions } from '../../services/xenops/shares.ts';
import { DEFAULT_NETWORK, NetworkError, type NicFacts, type NicOptions } from '../../services/xenops/vifs.ts';
import { checkVifs, isVif, vlanSets, type VifConfig } from '../config/vif.ts';
import type { DomainConfig } from '../config/domain.ts';
import { ConfigError } from '../config/syntax.ts';
import { ERROR, Refused } from '../control/refused.ts';
import type { Call } from '../control/server.ts';
import { openChannels } from './channels.ts';
import { createWithDisks } from './disks.ts';
import { closeShares, openShares } from './shares.ts';
import { openDisplays, type Display } from './displays.ts';
import type { Creation, Domain, Domains } from './domains.ts';
import type { KeptNetwork } from './state.ts';

/** What libxl gives a guest to let go of a device. */
const DETACH_MS = 10_000;

/** In Xen's range. */
const newMac = (): string => macText(0x00163e000000 + (randomBytes(3).readUIntBE(0, 3) & 0x7fffff));

function vlanOf(text: string | undefined): Vlan {
  const sets = text === undefined ? undefined : vlanSets(text);
  if (!sets) return { access: 0 };
  const { untagged, tagged } = sets;
  return tagged.length === 0 ? { access: untagged } : { trunk: new Set(tagged), native: untagged };
}

function optionsOf({ mac, bridge, ip, rate, vlan, vifname, mtu, trusted }: VifConfig): NicOptions {
  const interval = rate ? Math.round((rate.burst / rate.bytesPerSecond) * 1e6) : 0;
  const notes = { ...(ip.length > 0 && { ip: ip.join(' ') }), ...(rate && { rate: `${rate.burst},${interval}` }), ...(vifname !== undefined && { vifname }) }; // prettier-ignore
  const limit = rate && { bytesPerSecond: rate.bytesPerSecond, burst: rate.burst };
  return { mac: parseMac(mac!)!, bridge, addresses: ip, rate: limit, vlan: vlanOf(vlan), vifname, mtu, trusted, notes };
}

/** Anything that is wrong about a network, as a sentence for a person. */
async function told<T>(what: () => T | Promise<T>): Promise<T> {
  try {
    return await what();
  } catch (error) {
    if (error instanceof NetworkError || error instanceof OrderError) throw new Refused(`${error.message}.`, ERROR.INVAL); // prettier-ignore
    throw error;
  }
}

/** A domain with its configuration's devices. */
export async function createWithDevices(domains: Domains, given: DomainConfig, creation: Creation): Promise<Domain> {
  const config = { ...given, vifs: given.vifs.map((vif) => ({ ...vif, mac: vif.mac ?? newMac() })) };
  const taken = new Set(config.vifs.map(({ devid }) => devid));
  let next = 0;
  const nics: NonNullable<Creation['nics']>[number][] = [];
  for (const vif of config.vifs) {
    const network = await told(() => domains.host.vifs.network(vif.bridge));
    while (vif.devid === undefined && taken.has(next)) next++;
    nics.push({ devid: vif.devid ?? next++, network, options: optionsOf(vif) });
  }
  const channels = await openChannels(domains, config.channels);
  let displays: Display[] = [];
  let shares: ShareOptions[] = [];
  try {
    displays = await openDisplays(domains, config.name, config.vfbs);
    shares = await openShares(config.p9s);
    return await createWithDisks(domains, config, { ...creation, nics, channels, displays, shares });
  } catch (error) {
    await closeShares(shares);
    for (const device of [...channels, ...displays]) device.close();
    throw error;
  }
}

export function checkedVif(given: unknown): VifConfig {
  if (isVif(given)) return given;
  throw new Refused('The interface is not one that this version of xl describes.', ERROR.INVAL);
}

export async function attachNic(domains: Domains, domid: number, given: VifConfig): Promise<void> {
  const { config } = domains.find(domid);
  const vif = { ...given, mac: given.mac ?? newMac() };
  try {
    checkVifs([...config.vifs, vif]);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new Refused(`domain ${domid}: ${error.message}`, ERROR.INVAL);
  }
  const network = await told(() => domains.host.vifs.network(vif.bridge));
  const domain = domains.find(domid);
  const devid = vif.devid ?? domains.host.vifs.freeDevid(domid);
  if (domains.host.vifs.has(domid, devid))
    throw new Refused(`domain ${domid} has an interface ${devid} already.`, ERROR.INVAL);
  domains.host.vifs.attach(domid, devid, network, optionsOf(vif));
  keep(domains, domain, [...domain.config.vifs, { ...vif, devid }]);
}

function keep(domains: Domains, domain: Domain, vifs: VifConfig[]): void {
  domain.config = { ...domain.config, vifs };
  domains.keep(domain);
}

/** `which` is a number or a MAC address. */
export async function detachNic(domains: Domains, domid: number, which: string, force: boolean): Promise<void> {
  domains.find(domid);
  const mac = which.includes(':') ? parseMac(which) : undefined;
  const found = domains.host.vifs.list(domid).find((nic) => (mac === undefined ? String(nic.devid) === which : nic.mac === macText(mac))); // prettier-ignore
  if (!found) throw new Refused(`Unknown device ${which}.`, ERROR.INVAL);
  if (!(await domains.host.vifs.detach(domid, found.devid, { ms: force ? 0 : DETACH_MS, force })))
    throw new Refused(
      `the guest has not let go of interface ${found.devid} within ${DETACH_MS / 1000} seconds; \`xl -f network-detach\` takes it all the same.`,
      ERROR.FAIL,
    );
  const domain = domains.peek(domid);
  if (domain) keep(domains, domain, domain.config.vifs.filter((vif) => vif.mac !== found.mac)); // prettier-ignore
}

export function listNics(domains: Domains, domid: number): NicFacts[] {
  domains.find(domid);
  return domains.host.vifs.list(domid);
}

// ---- networks

export interface NetworkDescription {
  name: string;
  subnet4: string | null;
  subnet6: string | null;
  hostLoopback: boolean;
  outside: boolean;
  forwards: string[];
  vifs: NetworkFacts['vifs'];
}

export interface NewNetwork {
  name: string;
  subnet4: string | undefined;
  subnet6: string | undefined;
  hostLoopback: boolean;
  outside: boolean;
  /** No gateway: guests alone. */
  isolated: boolean;
  dns: string[] | undefined;
}

export async function createNetwork(domains: Domains, given: NewNetwork): Promise<void> {
  const { name, subnet4, subnet6, hostLoopback, outside, isolated, dns } = given;
  if (!/^[\w.:-]{1,15}$/.test(name))
    throw new Refused(`a network's name has 1 to 15 letters, digits and . : _ -, not '${name}'.`, ERROR.INVAL);
  const free = await freeSubnets(domains);
  const nat = { ...DEFAULTS, ...free, ...(subnet4 !== undefined && { subnet4 }), ...(subnet6 !== undefined && { subnet6 }), hostLoopback, outside, ...(dns && { dns }) }; // prettier-ignore
  const options = { nat: isolated ? undefined : nat };
  await told(() => domains.host.vifs.add(name, options));
  keepNetwork(domains, { name, options, forwards: [] });
}

/** Like a bridge in /etc/network/interfaces, what a person has made is there again with the next host of this folder. */
function keepNetwork({ state }: Domains, network: KeptNetwork): void {
  state.keepNetworks([...state.networks().filter(({ name }) => name !== network.name), network]);
}

const keptNetwork = ({ state }: Domains, name: string): KeptNetwork | undefined =>
  state.networks().find((network) => network.name === name) ?? (name === DEFAULT_NETWORK ? { name, options: null, forwards: [] } : undefined); // prettier-ignore

/** Makes the networks of the folder's last host; what cannot be made again, such as a port that somebody has taken, is logged. */
export async function restoreNetworks(domains: Domains): Promise<void> {
  const { vifs } = domains.host;
  for (const { name, options, forwards } of domains.state.networks())
    try {
      const network = options ? await vifs.add(name, options) : await vifs.network(name);
      for (const text of forwards)
        await vifs.service!.forward(network, forwardOf(text)).catch((error: Error) => domains.log(`network ${name}: ${error.message}`)); // prettier-ignore
    } catch (error) {
      domains.log(`the network ${name} cannot be made again: ${(error as Error).message}`);
    }
}

/** 10.0.2.0/24 is the default network's; further ones follow it. */
async function freeSubnets(domains: Domains): Promise<{ subnet4: string; subnet6: string }> {
  const taken = new Set((await listNetworks(domains)).flatMap(({ subnet4, subnet6 }) => [subnet4, subnet6]));
  for (let n = 2; n < 256; n++) {
    const subnets = { subnet4: `10.0.${n}.0/24`, subnet6: `fd00:10:0:${n.toString(16)}::/64` };
    if (!taken.has(subnets.subnet4) && !taken.has(subnets.subnet6)) return subnets;
  }
  throw new Refused('there are too many networks to find addresses for another: give it --subnet and --subnet6.');
}

export async function removeNetwork(domains: Domains, name: string): Promise<void> {
  await told(() => domains.host.vifs.drop(name));
  domains.state.keepNetworks(domains.state.networks().filter((network) => network.name !== name));
}

/** All networks; the default one is there whether it has been used or not. */
export async function listNetworks(domains: Domains): Promise<NetworkDescription[]> {
  const { vifs } = domains.host;
  const networks = await vifs.networks();
  const list = await Promise.all(networks.map((network) => describe(domains, network)));
  if (!list.some(({ name }) => name === DEFAULT_NETWORK))
    list.unshift({ name: DEFAULT_NETWORK, ...DEFAULTS, forwards: [], vifs: [] }); // prettier-ignore
  return list;
}

async function describe(domains: Domains, network: Network): Promise<NetworkDescription> {
  const { nat } = network.options;
  const { forwards, vifs } = await domains.host.vifs.service!.facts(network);
  return {
    name: network.name,
    subnet4: nat?.subnet4 ?? null,
    subnet6: nat?.subnet6 ?? null,
    hostLoopback: nat?.hostLoopback ?? false,
    outside: nat?.outside ?? false,
    forwards: forwards.map(forwardText),
    vifs,
  };
}

function forwardOf(text: string): Forward {
  const forward = parseForward(text);
  if (forward) return forward;
  throw new Refused(
    `'${text}' is no forwarded port: it is [tcp:|udp:][ADDRESS:]PORT:GUEST:PORT, such as 8080:10.0.2.15:80.`,
    ERROR.INVAL,
  );
}

export async function forward(domains: Domains, name: string, text: string): Promise<string> {
  const wanted = forwardOf(text);
  return told(async () => {
    const network = await domains.host.vifs.network(name);
    const made = forwardText(await domains.host.vifs.service!.forward(network, wanted));
    const kept = keptNetwork(domains, name);
    if (kept) keepNetwork(domains, { ...kept, forwards: [...kept.forwards, made] });
    return made;
  });
}

export async function unforward(domains: Domains, name: string, text: string): Promise<void> {
  const wanted = forwardOf(text);
  const network = await told(() => domains.host.vifs.network(name));
  if (!(await domains.host.vifs.service!.unforward(network, wanted)))
    throw new Refused(`nothing like ${text} is forwarded into ${name}.`, ERROR.INVAL);
  const kept = keptNetwork(domains, name);
  if (kept) keepNetwork(domains, { ...kept, forwards: kept.forwards.filter((each) => each !== forwardText(wanted)) });
}

/** What passes a network, as the call's data: until the caller ends it, or `count` frames. */
export async function capture(
  domains: Domains,
  {
    name,
    domid,
    devid,
    snapLength,
    count,
  }: { name: string; domid?: number; devid?: number; snapLength?: number; count?: number },
  call: Call,
): Promise<{ lost: number }> {
  const network = await told(() => domains.host.vifs.network(name));
  const vif = domid === undefined ? undefined : domains.host.vifs.vif(domid, devid ?? 0);
  if (domid !== undefined && (!vif || vif.network !== network))
    throw new Refused(`domain ${domid} has no interface ${devid ?? 0} on ${name}.`, ERROR.INVAL);
  return new Promise((resolve, reject) => {
    let behind = 0;
    let taken: (bytes: number) => void = () => {};
    const data = (bytes: Uint8Array): void => {
      if (call.data(bytes)) taken(bytes.length);
      else behind += bytes.length;
    };
    call.onDrain(() => {
      taken(behind);
      behind = 0;
    });
    const order = { network: network.id, vif: vif?.id, snapLength, count };
    domains.host.vifs.service!.capture(order, { data, ended: (lost) => resolve({ lost }) }).then((running) => {
      taken = running.taken;
      call.onEnd(() => running.stop());
    }, reject); // prettier-ignore
  });
}
