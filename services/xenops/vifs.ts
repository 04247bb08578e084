// The guests' network interfaces: networks by name, devices laid out in the store, and their end.
import type { Machine } from '../../platform/machine.ts';
import type { Hypercalls } from '../lib/hypercalls.ts';
import { VifDriver } from '../network/backend/driver.ts';
import type { NetworkOptions, VifOptions } from '../network/backend/messages.ts';
import { NETWORK_DOMID, NetworkService, type Network, type NetworkVif } from '../network/backend/service.ts';
import { DEFAULTS, plan } from '../network/nat/plan.ts';
import { macText } from '../network/protocol/frame.ts';
import { backPath, frontPath, XenbusBackend, type Address } from '../xenbus/backend.ts';
import { writeDevice } from '../xenbus/devices.ts';
import type { Store } from '../xenstore/protocol/store.ts';
import { Devices, type Attached } from './devices.ts';

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

interface Nic extends Attached {
  readonly options: NicOptions;
  readonly vif: NetworkVif;
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

export class Vifs extends Devices<Nic, NetworkService> {
  readonly #networks = new Map<string, Promise<Network>>();

  constructor(machine: Machine, dom0: Hypercalls, store: Store) {
    super(machine, dom0, store, { domid: NETWORK_DOMID, name: 'network' });
  }

  protected override make(): NetworkService {
    return new NetworkService(this.machine, this.dom0, (text) => this.log(text));
  }

  protected override letGo({ vif }: Nic): Promise<void> {
    return this.service!.unplug(vif);
  }

  // ---- networks

  async add(name: string, options: NetworkOptions): Promise<Network> {
    if (this.#networks.has(name)) throw new NetworkError(`there is a network ${name} already`);
    const planned = options.nat && plan(options.nat);
    if (typeof planned === 'string') throw new NetworkError(planned);
    const { service } = this.start();
    const made = service.add(name, options);
    this.#networks.set(name, made);
    made.catch(() => this.#networks.delete(name));
    return made;
  }

  async drop(name: string): Promise<void> {
    const network = await this.network(name);
    if (this.all().some(({ vif }) => vif.network === network))
      throw new NetworkError(`guests are on the network ${name}`);
    this.#networks.delete(name);
    await this.service!.drop(network);
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
    const { service, client } = this.start();
    const address: Address = { backend: NETWORK_DOMID, frontend: domid, kind: 'vif', device: devid };
    const name = options.vifname ?? `vif${domid}.${devid}`;
    const mac = macText(options.mac);
    writeDevice(this.client, {
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
    this.keep(domid, devid, { address, options, backend, vif, gone });
  }

  /** The lowest number that is free. */
  freeDevid(domid: number): number {
    let devid = 0;
    while (this.has(domid, devid)) devid++;
    return devid;
  }

  vif(domid: number, devid: number): NetworkVif | undefined {
    return this.get(domid, devid)?.vif;
  }

  list(domid: number): NicFacts[] {
    return this.of(domid).map(([devid, { address, options }]) => {
      const front = (name: string): string => this.client.find(`${frontPath(address)}/${name}`) ?? '';
      return {
        ...{ devid, mac: macText(options.mac), bridge: options.bridge, backend: address.backend },
        state: Number(front('state') || 0),
        ...{ evtchn: front('event-channel'), tx: front('tx-ring-ref'), rx: front('rx-ring-ref') },
        path: backPath(address),
      };
    }); // prettier-ignore
  }
}
