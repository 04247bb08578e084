// The network service from the control side: its domain, its worker under a supervisor, networks and the interfaces on them.
import type { Machine } from '../../../platform/machine.ts';
import { FrontRings, type FrontRing } from '../../lib/front_rings.ts';
import { Hypercalls } from '../../lib/hypercalls.ts';
import { Supervisor } from '../../lib/supervisor.ts';
import type { Forward } from '../nat/forward.ts';
import { RX, TX } from '../protocol/netif.ts';
import { CONTROL_SHAPE } from './control.ts';
import type { CaptureOrder, FromWorker, KnownLease, NetworkFacts, NetworkOptions, Order, Result, VifOptions } from './messages.ts'; // prettier-ignore
import { GROUPS_KEPT, type Connection } from './vif.ts';

export const NETWORK_DOMID = 0x7f04;
const OWN_PAGES = 64;
/** For frames on their way between guests and the service. */
const HEAP = 8 << 20;

export interface Network {
  readonly id: number;
  readonly name: string;
  readonly options: NetworkOptions;
  forwards: Forward[];
}

export interface NetworkVif {
  readonly id: number;
  readonly network: Network;
  readonly options: VifOptions;
  connection: Connection | undefined;
  rings: FrontRing[];
  leases: KnownLease[];
  /** Called when its front end has broken the protocol. */
  onBroken: (why: string) => void;
}

/** A queue as a front end describes it: transmit and receive ring, and a port each or one for both. */
export interface FrontQueue {
  tx: number;
  rx: number;
  txPort: number;
  rxPort: number;
}

/** Its control ring, and the ring's port. */
export interface FrontControl {
  ring: number;
  port: number;
}

interface CaptureEnd {
  data: (bytes: Uint8Array) => void;
  ended: (lost: number) => void;
}

export class NetworkService {
  readonly supervisor: Supervisor<Order, Result>;
  readonly networks = new Set<Network>();
  readonly #rings: FrontRings;
  readonly #vifs = new Map<number, NetworkVif>();
  readonly #captures = new Map<number, CaptureEnd>();
  readonly #log: (text: string) => void;
  #next = 1;

  constructor(machine: Machine, dom0: Hypercalls, log: (text: string) => void) {
    const domain = machine.workerService(NETWORK_DOMID, {}, 0, OWN_PAGES);
    this.#log = log;
    this.#rings = new FrontRings(new Hypercalls(domain.mailbox), dom0, OWN_PAGES);
    const file = new URL('./worker.ts', import.meta.url);
    this.supervisor = new Supervisor('network', domain, file, HEAP, {
      restore: (call) => this.#restore(call),
      heard: (message) => this.#heard(message as FromWorker),
      log,
    });
  }

  async #restore(call: (order: Order) => Promise<Result>): Promise<void> {
    for (const [id, { ended }] of this.#captures) {
      this.#captures.delete(id);
      ended(0);
    }
    for (const { id, options } of this.networks) await call({ order: 'network', network: id, options });
    for (const { id, network, options, leases, connection } of this.#vifs.values()) {
      await call({ order: 'vif', vif: id, network: network.id, options, leases });
      if (connection) await call({ order: 'attach', vif: id, connection });
    }
    for (const { id, name, forwards } of this.networks)
      for (const forward of forwards)
        await call({ order: 'forward', network: id, forward }).catch((error: Error) =>
          this.#log(`network ${name}: ${error.message}`),
        );
  }

  #heard(message: FromWorker): void {
    if ('broken' in message) this.#vifs.get(message.broken)?.onBroken(message.why);
    else if ('leases' in message) {
      const vif = this.#vifs.get(message.vif);
      if (vif) vif.leases = message.leases;
    } else if ('capture' in message) {
      const end = this.#captures.get(message.capture);
      if (message.bytes.length > 0) end?.data(message.bytes);
      if (!message.ended) return;
      this.#captures.delete(message.capture);
      end?.ended(message.lost);
    }
  }

  // ---- networks

  async add(name: string, options: NetworkOptions): Promise<Network> {
    const network: Network = { id: this.#next++, name, options, forwards: [] };
    await this.supervisor.call({ order: 'network', network: network.id, options });
    this.networks.add(network);
    return network;
  }

  async drop(network: Network): Promise<void> {
    this.networks.delete(network);
    await this.supervisor.call({ order: 'drop', network: network.id });
  }

  /** Throws OrderError, whose message is a sentence. */
  async forward(network: Network, forward: Forward): Promise<Forward> {
    const made = (await this.supervisor.call({ order: 'forward', network: network.id, forward })) as Forward;
    network.forwards.push(made);
    return made;
  }

  async unforward(network: Network, forward: Forward): Promise<boolean> {
    const same = (other: Forward) => JSON.stringify(other) === JSON.stringify(forward);
    network.forwards = network.forwards.filter((other) => !same(other));
    return (await this.supervisor.call({ order: 'unforward', network: network.id, forward })) as boolean;
  }

  async facts(network: Network): Promise<NetworkFacts> {
    return (await this.supervisor.call({ order: 'facts', network: network.id })) as NetworkFacts;
  }

  /** Captures what passes until `stop` is called or the count is full. */
  async capture(
    options: Omit<CaptureOrder, 'capture'>,
    end: CaptureEnd,
  ): Promise<{ taken: (bytes: number) => void; stop: () => void }> {
    const capture = this.#next++;
    this.#captures.set(capture, end);
    await this.supervisor.call({ order: 'capture', capture, ...options });
    return {
      taken: (bytes) => void this.supervisor.call({ order: 'captured', capture, bytes }),
      stop: () => void this.supervisor.call({ order: 'uncapture', capture }),
    };
  }

  // ---- interfaces

  /** How many it serves. */
  get devices(): number {
    return this.#vifs.size;
  }

  /** Its order is carried out before those about it that follow. */
  plug(network: Network, options: VifOptions): NetworkVif {
    const vif: NetworkVif = { id: this.#next++, network, options, connection: undefined, rings: [], leases: [], onBroken: () => {} }; // prettier-ignore
    this.#vifs.set(vif.id, vif);
    this.supervisor
      .call({ order: 'vif', vif: vif.id, network: network.id, options, leases: [] })
      .catch((error: Error) => this.#log(`${options.name}: ${error.message}`));
    return vif;
  }

  async unplug(vif: NetworkVif): Promise<void> {
    await this.detach(vif);
    this.#vifs.delete(vif.id);
    await this.supervisor.call({ order: 'unplug', vif: vif.id });
  }

  /** Serves a front end's rings; throws GrantError or XenError if they cannot be had. */
  async attach(
    vif: NetworkVif,
    domid: number,
    queues: readonly FrontQueue[],
    control: FrontControl | undefined,
    facts: Omit<Connection, 'domid' | 'queues' | 'control'>,
  ): Promise<void> {
    const rings: FrontRing[] = [];
    const connected: Connection['queues'] = [];
    const shape = ({ entries, entry, answer }: typeof TX | typeof RX) => ({ entries, entrySize: entry, answerSize: answer }); // prettier-ignore
    try {
      for (const { tx, rx, txPort, rxPort } of queues) {
        const first = this.#rings.open(domid, [tx], txPort, { ...shape(TX), kept: GROUPS_KEPT });
        rings.push(first);
        const second = this.#rings.open(domid, [rx], rxPort === txPort ? first : rxPort, shape(RX));
        rings.push(second);
        connected.push({ tx: first.at, rx: second.at });
      }
      if (control) rings.push(this.#rings.open(domid, [control.ring], control.port, CONTROL_SHAPE));
    } catch (error) {
      for (const ring of rings.reverse()) this.#rings.close(ring);
      throw error;
    }
    vif.rings = rings;
    vif.connection = { domid, queues: connected, ...(control && { control: rings.at(-1)!.at }), ...facts };
    await this.supervisor.call({ order: 'attach', vif: vif.id, connection: vif.connection });
  }

  /** Whether it is given only the multicast that it has asked for. */
  async setMulticast(vif: NetworkVif, multicast: boolean): Promise<void> {
    if (!vif.connection || vif.connection.multicast === multicast) return;
    vif.connection = { ...vif.connection, multicast };
    await this.supervisor.call({ order: 'multicast', vif: vif.id, multicast });
  }

  async detach(vif: NetworkVif): Promise<void> {
    if (!vif.connection) return;
    vif.connection = undefined;
    await this.supervisor.call({ order: 'detach', vif: vif.id });
    for (const ring of vif.rings.splice(0).reverse()) this.#rings.close(ring);
  }

  stop(): Promise<void> {
    return this.supervisor.stop();
  }
}
