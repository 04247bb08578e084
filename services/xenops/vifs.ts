// The guests' network interfaces: networks by name, devices laid out in the store, and their end.
import type { Machine } from '../../platform/machine.ts';
import type { Hypercalls } from '../lib/hypercalls.ts';
import { VifDriver } from '../network/backend/driver.ts';
import type { NetworkOptions, VifOptions } from '../network/backend/messages.ts';
import { NETWORK_DOMID, NetworkService, type Network, type NetworkVif } from '../network/backend/service.ts';
import { DEFAULTS, plan } from '../network/nat/plan.ts';
import { macText } from '../network/protocol/frame.ts';
import { backPath, frontPath, XenbusBackend, type Address } from '../xenbus/backend.ts';
import { closeDevice, goneWithin, removeDevice, serviceNodes, writeDevice } from '../xenbus/devices.ts';
import { LocalClient } from '../xenstore/protocol/client.ts';
import type { Store } from '../xenstore/protocol/store.ts';

/** The network that a guest is put on when its configuration names none: there from the first use on. */
export const DEFAULT_NETWORK = 'xenbr0';

export interface NicOptions extends Omit<VifOptions, 'name'> {
  /** The network's name. */
  bridge: string;
  mtu: number;
  trusted: boolean;
  /** As people call it; `vifDOMID.DEVID` unless given. */
  vifname: string | undefined;
  /** Nodes that are there for people: what the toolstack was told. */
  notes: Readonly<Record<string, string>>;
}

interface Nic {
  readonly address: Address;
  readonly options: NicOptions;
  readonly backend: XenbusBackend<unknown>;
  readonly vif: NetworkVif;
  readonly gone: Promise<void>;
}

/** What `xl network-list` shows. */
export interface NicFacts {
  devid: number;
  mac: string;
  bridge: string;
  backend: number;
  state: number;
  evtchn: string;
  tx: string;
  rx: string;
  path: string;
}

/** A network that there is not, or is in use: a sentence. */
export class NetworkError extends Error {}

export class Vifs {
  readonly #machine: Machine;
  readonly #dom0: Hypercalls;
  readonly #store: Store;
  readonly #client: LocalClient;
  readonly #byDomain = new Map<number, Map<number, Nic>>();
  readonly #networks = new Map<string, Promise<Network>>();
  /** Interfaces on their way out. */
  readonly #closing = new Set<Promise<void>>();
  #running: { service: NetworkService; client: LocalClient } | undefined;
  log: (text: string) => void = () => {};

  constructor(machine: Machine, dom0: Hypercalls, store: Store) {
    this.#machine = machine;
    this.#dom0 = dom0;
    this.#store = store;
    this.#client = new LocalClient(store);
  }

  /** There from the first network on. */
  get service(): NetworkService | undefined {
    return this.#running?.service;
  }

  #start(): { service: NetworkService; client: LocalClient } {
    if (this.#running) return this.#running;
    const service = new NetworkService(this.#machine, this.#dom0, (text) => this.log(text));
    serviceNodes(this.#client, NETWORK_DOMID, 'network');
    return (this.#running = { service, client: new LocalClient(this.#store, NETWORK_DOMID) });
  }

  // ---- networks

  async add(name: string, options: NetworkOptions): Promise<Network> {
    if (this.#networks.has(name)) throw new NetworkError(`there is a network ${name} already`);
    const planned = options.nat && plan(options.nat);
    if (typeof planned === 'string') throw new NetworkError(planned);
    const { service } = this.#start();
    const made = service.add(name, options);
    this.#networks.set(name, made);
    made.catch(() => this.#networks.delete(name));
    return made;
  }

  async drop(name: string): Promise<void> {
    const network = await this.network(name);
    const used = [...this.#byDomain.values()].flatMap((nics) => [...nics.values()]).some(({ vif }) => vif.network === network); // prettier-ignore
    if (used) throw new NetworkError(`guests are on the network ${name}`);
    this.#networks.delete(name);
    await this.#running!.service.drop(network);
  }

  /** Throws NetworkError if there is none of that name. */
  async network(name: string): Promise<Network> {
    const found = this.#networks.get(name);
    if (found) return found;
    if (name === DEFAULT_NETWORK) return this.add(name, { nat: DEFAULTS });
    throw new NetworkError(`there is no network ${name}: \`xenolith net create ${name}\` makes one`);
  }

  async networks(): Promise<Network[]> {
    return Promise.all(this.#networks.values());
  }

  // ---- interfaces

  /** Gives a guest an interface: its driver finds it at its next look. Throws NetworkError. */
  attach(domid: number, devid: number, network: Network, options: NicOptions): void {
    const { service, client } = this.#start();
    const address: Address = { backend: NETWORK_DOMID, frontend: domid, kind: 'vif', device: devid };
    const name = options.vifname ?? `vif${domid}.${devid}`;
    const mac = macText(options.mac);
    writeDevice(this.#client, {
      address,
      back: { script: '/etc/xen/scripts/vif-bridge', mac, bridge: options.bridge, ...options.notes, handle: devid, type: 'vif' }, // prettier-ignore
      backOnly: { 'hotplug-status': 'connected' },
      front: { handle: devid, mac, trusted: options.trusted ? 1 : 0 },
      fixed: { mtu: options.mtu },
    });
    const { vlan, addresses, rate } = options;
    const vif = service.plug(network, { name, mac: options.mac, vlan, addresses, rate });
    const backend = new XenbusBackend<unknown>(client, address, new VifDriver(service, vif, domid));
    const gone = new Promise<void>((resolve) => (backend.onGone = resolve));
    vif.onBroken = (why) => {
      this.log(`domain ${domid} ${name}: its front end is served no more: ${why}`);
      backend.fail(why);
    };
    this.#of(domid).set(devid, { address, options, backend, vif, gone });
  }

  #of(domid: number): Map<number, Nic> {
    let nics = this.#byDomain.get(domid);
    if (!nics) this.#byDomain.set(domid, (nics = new Map()));
    return nics;
  }

  /** The lowest number that is free. */
  freeDevid(domid: number): number {
    const nics = this.#byDomain.get(domid);
    let devid = 0;
    while (nics?.has(devid)) devid++;
    return devid;
  }

  has(domid: number, devid: number): boolean {
    return this.#byDomain.get(domid)?.has(devid) ?? false;
  }

  vif(domid: number, devid: number): NetworkVif | undefined {
    return this.#byDomain.get(domid)?.get(devid)?.vif;
  }

  /** Takes the interface away: true when the guest has let it go, false if it has not within `ms`, and keeps it. */
  async detach(domid: number, devid: number, { ms, force }: { ms: number; force: boolean }): Promise<boolean> {
    const nic = this.#byDomain.get(domid)?.get(devid);
    if (!nic) return true;
    closeDevice(this.#client, nic.address);
    nic.backend.look();
    const done = await goneWithin(nic.gone, ms);
    if (!done && !force) return false;
    this.#byDomain.get(domid)?.delete(devid);
    await nic.backend.end();
    removeDevice(this.#client, nic.address);
    await this.#running!.service.unplug(nic.vif);
    return true;
  }

  /** The domain goes: so do its interfaces, whatever its front ends do. */
  forget(domid: number): void {
    const nics = [...(this.#byDomain.get(domid)?.values() ?? [])];
    this.#byDomain.delete(domid);
    for (const nic of nics) {
      const ended = nic.backend
        .end()
        .then(() => this.#running!.service.unplug(nic.vif))
        .catch((error: Error) => this.log(`domain ${domid}: an interface is not taken down: ${error.message}`))
        .finally(() => this.#closing.delete(ended));
      this.#closing.add(ended);
      removeDevice(this.#client, nic.address);
    }
  }

  list(domid: number): NicFacts[] {
    return [...(this.#byDomain.get(domid)?.entries() ?? [])].map(([devid, { address, options }]) => {
      const front = (name: string): string => this.#client.find(`${frontPath(address)}/${name}`) ?? '';
      return {
        ...{ devid, mac: macText(options.mac), bridge: options.bridge, backend: address.backend },
        state: Number(front('state') || 0),
        ...{ evtchn: front('event-channel'), tx: front('tx-ring-ref'), rx: front('rx-ring-ref') },
        path: backPath(address),
      };
    }); // prettier-ignore
  }

  async stop(): Promise<void> {
    for (const domid of [...this.#byDomain.keys()]) this.forget(domid);
    await Promise.all(this.#closing);
    const service = this.#running?.service;
    this.#running = undefined;
    await service?.stop();
  }
}
