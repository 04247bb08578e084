// What all kinds of guests' devices have in common that a service serves: a service that comes with the first of them, devices by domain and number, and
// their end.
import type { Machine } from '../../platform/machine.ts';
import type { Hypercalls } from '../lib/hypercalls.ts';
import type { XenbusBackend, Address } from '../xenbus/backend.ts';
import { closeDevice, goneWithin, removeDevice, serviceNodes } from '../xenbus/devices.ts';
import { LocalClient } from '../xenstore/protocol/client.ts';
import type { Store } from '../xenstore/protocol/store.ts';

export interface Attached {
  readonly address: Address;
  readonly backend: XenbusBackend<unknown>;
  /** Resolves when the guest has let it go. */
  readonly gone: Promise<void>;
}

/** The service's domain, and what its folder in the store is called. */
export interface Served {
  domid: number;
  name: string;
}

export abstract class Devices<D extends Attached, S extends { stop(): Promise<void> }> {
  protected readonly machine: Machine;
  protected readonly dom0: Hypercalls;
  protected readonly client: LocalClient;
  readonly #store: Store;
  readonly #served: Served;
  readonly #byDomain = new Map<number, Map<number, D>>();
  /** Devices on their way out. */
  protected readonly closing = new Set<Promise<void>>();
  #running: { service: S; client: LocalClient } | undefined;
  log: (text: string) => void = () => {};

  constructor(machine: Machine, dom0: Hypercalls, store: Store, served: Served) {
    this.machine = machine;
    this.dom0 = dom0;
    this.client = new LocalClient(store);
    this.#store = store;
    this.#served = served;
  }

  /** A new service. */
  protected abstract make(): S;
  /** What the service has of a device that is there no more. */
  protected abstract letGo(device: D): Promise<void>;

  /** There from the first device on. */
  get service(): S | undefined {
    return this.#running?.service;
  }

  /** The service and who writes to the store in its name: they come with the first device. */
  protected start(): { service: S; client: LocalClient } {
    if (this.#running) return this.#running;
    const service = this.make();
    const { domid, name } = this.#served;
    serviceNodes(this.client, domid, name);
    return (this.#running = { service, client: new LocalClient(this.#store, domid) });
  }

  protected keep(domid: number, number: number, device: D): void {
    let devices = this.#byDomain.get(domid);
    if (!devices) this.#byDomain.set(domid, (devices = new Map()));
    devices.set(number, device);
  }

  protected get(domid: number, number: number): D | undefined {
    return this.#byDomain.get(domid)?.get(number);
  }

  /** A domain's, by their numbers. */
  protected of(domid: number): [number, D][] {
    return [...(this.#byDomain.get(domid) ?? [])];
  }

  protected all(): D[] {
    return [...this.#byDomain.values()].flatMap((devices) => [...devices.values()]);
  }

  has(domid: number, number: number): boolean {
    return this.get(domid, number) !== undefined;
  }

  /** Takes a device away: true when the guest has let it go, false if it has not within `ms`, and keeps it. `force`: whatever it says. */
  async detach(domid: number, number: number, { ms, force }: { ms: number; force: boolean }): Promise<boolean> {
    const device = this.get(domid, number);
    if (!device) return true;
    closeDevice(this.client, device.address);
    device.backend.look();
    const done = await goneWithin(device.gone, ms);
    if (!done && !force) return false;
    this.#byDomain.get(domid)?.delete(number);
    await device.backend.end();
    removeDevice(this.client, device.address);
    await this.letGo(device);
    return true;
  }

  /** The domain goes: so do its devices, whatever its front ends do. */
  forget(domid: number): void {
    const devices = this.of(domid);
    this.#byDomain.delete(domid);
    for (const [number, device] of devices) {
      this.ending(
        device.backend.end().then(() => this.letGo(device)),
        `domain ${domid}: device ${number} is not taken down`,
      );
      removeDevice(this.client, device.address);
    }
  }

  /** Waits for those that are on their way out. */
  async settled(): Promise<void> {
    await Promise.all(this.closing);
  }

  /** Waited for before the service ends; a failure is told. */
  protected ending(work: Promise<void>, what: string): Promise<void> {
    const ended = work
      .catch((error: Error) => this.log(`${what}: ${error.message}`))
      .finally(() => this.closing.delete(ended));
    this.closing.add(ended);
    return ended;
  }

  async stop(): Promise<void> {
    for (const domid of [...this.#byDomain.keys()]) this.forget(domid);
    await Promise.all(this.closing);
    const service = this.#running?.service;
    this.#running = undefined;
    await service?.stop();
  }
}
