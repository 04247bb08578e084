// The networks that a service's worker carries: their switches and gateways, and interfaces on them.
import type { RingAt, TakeResult } from '../../lib/ring_calls.ts';
import { Gateway } from '../nat/gateway.ts';
import { Forwards } from '../nat/forward.ts';
import { hexOf, parseAddress } from '../nat/addresses.ts';
import { plan } from '../nat/plan.ts';
import { NO_OFFLOAD } from '../protocol/frame.ts';
import { Switch, type Port } from '../switch/switch.ts';
import { Capture } from './capture.ts';
import type { Engine } from './engine.ts';
import type { CaptureOrder, FromWorker, KnownLease, NetworkFacts, NetworkOptions, Order, Result, VifOptions } from './messages.ts'; // prettier-ignore
import { Vif } from './vif.ts';

interface Network {
  net: Switch;
  gateway: Gateway | undefined;
  forwards: Forwards | undefined;
}

interface Plugged {
  network: Network;
  vif: Vif;
  name: string;
}

export class Networks {
  readonly #engine: Engine;
  readonly #journal: (ring: RingAt) => { view: DataView; taken: TakeResult['requests'] };
  readonly #tell: (message: FromWorker) => void;
  readonly #networks = new Map<number, Network>();
  readonly #vifs = new Map<number, Plugged>();
  readonly #captures = new Map<number, { capture: Capture; waiting: number }>();

  constructor(
    engine: Engine,
    journal: (ring: RingAt) => { view: DataView; taken: TakeResult['requests'] },
    tell: (message: FromWorker) => void,
  ) {
    this.#engine = engine;
    this.#journal = journal;
    this.#tell = tell;
  }

  /** Orders may come twice: nobody knows whether the last worker had carried one out. */
  carryOut(order: Order): Result | Promise<Result> {
    switch (order.order) {
      case 'network':
        return this.#add(order.network, order.options);
      case 'drop':
        return this.#drop(order.network);
      case 'vif':
        return this.#plug(order.vif, order.network, order.options, order.leases);
      case 'unplug':
        return this.#unplug(order.vif);
      case 'attach': {
        const plugged = this.#vifs.get(order.vif);
        if (!plugged) throw new Error(`there is no interface ${order.vif}`);
        if (!plugged.vif.connection) this.#engine.connect(plugged.vif, order.connection, this.#journal);
        return null;
      }
      case 'multicast':
        this.#vifs.get(order.vif)?.vif.setMulticast(order.multicast);
        return null;
      case 'detach': {
        const plugged = this.#vifs.get(order.vif);
        if (plugged) this.#engine.disconnect(plugged.vif);
        return null;
      }
      case 'forward':
        return this.#forwards(order.network).add(order.forward);
      case 'unforward':
        return this.#forwards(order.network).remove(order.forward);
      case 'facts':
        return this.#facts(order.network);
      case 'capture':
        return this.#capture(order);
      case 'captured': {
        const entry = this.#captures.get(order.capture);
        if (entry) entry.waiting -= order.bytes;
        return null;
      }
      case 'uncapture':
        this.#captures.get(order.capture)?.capture.end();
        return null;
    }
  }

  #network(id: number): Network {
    const network = this.#networks.get(id);
    if (!network) throw new Error(`there is no network ${id}`);
    return network;
  }

  #forwards(id: number): Forwards {
    const { forwards } = this.#network(id);
    if (!forwards) throw new Error('the network has no gateway');
    return forwards;
  }

  #add(id: number, { nat }: NetworkOptions): null {
    if (this.#networks.has(id)) return null;
    const net = new Switch();
    const planned = nat && plan(nat);
    if (typeof planned === 'string') throw new Error(planned);
    const gateway = planned && new Gateway(net, planned, this.#engine.room);
    this.#networks.set(id, { net, gateway, forwards: gateway && new Forwards(gateway) });
    return null;
  }

  #drop(id: number): null {
    const network = this.#networks.get(id);
    network?.forwards?.close();
    network?.gateway?.close();
    this.#networks.delete(id);
    return null;
  }

  #plug(id: number, networkId: number, options: VifOptions, leases: readonly KnownLease[]): null {
    if (this.#vifs.has(id)) return null;
    const network = this.#network(networkId);
    const { net, gateway } = network;
    const { name, mac, vlan, addresses, rate } = options;
    const bytes = addresses.map((text) => parseAddress(text)!);
    const lock = addresses.length > 0 ? { mac, addresses: new Set(bytes.map(hexOf)) } : undefined;
    const deliver: Port['options']['deliver'] = (frames) => {
      vif.deliver(frames);
      this.#engine.schedule();
    };
    const full = (): boolean => vif.full;
    const port = net.attach({ name, vlan, offload: NO_OFFLOAD, deliver, full, ...(lock && { lock }) });
    const vif: Vif = new Vif(id, port, rate);
    this.#vifs.set(id, { network, vif, name });
    if (!gateway) return null;
    for (const address of bytes) gateway.reserve(address, port.id);
    for (const { version, number, client } of leases)
      (version === 4 ? gateway.leases4 : gateway.leases6).take(port.id, client, number);
    const changed = () => this.#tell({ vif: id, leases: gateway.leasesOf(port.id) });
    gateway.onLease.set(port.id, changed);
    return null;
  }

  #unplug(id: number): null {
    const plugged = this.#vifs.get(id);
    if (!plugged) return null;
    const { vif, network } = plugged;
    this.#vifs.delete(id);
    this.#engine.disconnect(vif);
    vif.port.detach();
    network.gateway?.forget(vif.port);
    return null;
  }

  #facts(id: number): NetworkFacts {
    const network = this.#network(id);
    const guests = new Map([...(network.gateway?.guests() ?? [])].map((guest) => [guest.port.id, guest]));
    const vifs = [...this.#vifs].filter(([, plugged]) => plugged.network === network);
    return {
      forwards: network.forwards?.list ?? [],
      vifs: vifs.map(([vif, { vif: { port, statistics }, name }]) => {
        const { sentBytes, sentFrames, receivedBytes, receivedFrames } = port.statistics;
        const known = guests.get(port.id);
        return {
          ...{ vif, name, addresses: known?.addresses ?? [], connections: known?.connections ?? 0 },
          ...{ sentBytes, sentFrames, receivedBytes, receivedFrames, dropped: statistics.dropped },
        };
      }), // prettier-ignore
    };
  }

  #capture({ capture: id, network, vif, snapLength, count }: CaptureOrder): null {
    if (this.#captures.has(id)) return null;
    const { net } = this.#network(network);
    const port = vif === undefined ? undefined : this.#vifs.get(vif)?.vif.port;
    const say = (bytes: Uint8Array, ended: boolean) =>
      this.#tell({ capture: id, bytes, lost: entry.capture?.lost ?? 0, ended });
    const write = (bytes: Uint8Array): number => {
      entry.waiting += bytes.length;
      if (bytes.length > 0) say(bytes, false);
      return entry.waiting;
    };
    const end = (): void => {
      this.#captures.delete(id);
      say(new Uint8Array(0), true);
    };
    const entry: { capture: Capture; waiting: number } = { capture: undefined as unknown as Capture, waiting: 0 };
    const options = { ...(snapLength !== undefined && { snapLength }), ...(count !== undefined && { count }), ...(port && { port }) }; // prettier-ignore
    entry.capture = new Capture(net, options, write, end);
    this.#captures.set(id, entry);
    return null;
  }
}
