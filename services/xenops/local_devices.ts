// Guests' devices that the control thread serves, by domain and number: laid out in the store, and taken away again.
import type { Address, XenbusBackend } from '../xenbus/backend.ts';
import { closeDevice, goneWithin, removeDevice, writeDevice, type NewDevice } from '../xenbus/devices.ts';
import type { LocalClient } from '../xenstore/protocol/client.ts';

export interface Held<D> {
  readonly address: Address;
  readonly device: D;
  readonly backend: XenbusBackend<unknown>;
  readonly gone: Promise<void>;
}

export class LocalDevices<D> {
  readonly #client: LocalClient;
  readonly #ended: (device: D) => void | Promise<void>;
  readonly #byDomain = new Map<number, Map<number, Held<D>>>();
  readonly #closing = new Set<Promise<void>>();

  /** `ended` is called when a device's front end has been let go for good. */
  constructor(client: LocalClient, ended: (device: D) => void | Promise<void> = () => {}) {
    this.#client = client;
    this.#ended = ended;
  }

  /** Gives a guest the device: its driver finds it at its next look. */
  add(layout: NewDevice, device: D, serve: () => XenbusBackend<unknown>): Held<D> {
    writeDevice(this.#client, layout);
    const { address } = layout;
    const backend = serve();
    const gone = new Promise<void>((resolve) => (backend.onGone = resolve));
    const held = { address, device, backend, gone };
    let own = this.#byDomain.get(address.frontend);
    if (!own) this.#byDomain.set(address.frontend, (own = new Map()));
    own.set(address.device, held);
    return held;
  }

  find(domid: number, number: number): Held<D> | undefined {
    return this.#byDomain.get(domid)?.get(number);
  }

  of(domid: number): Held<D>[] {
    return [...(this.#byDomain.get(domid)?.values() ?? [])];
  }

  /** Takes the device away: true when the guest has let it go, false if it has not within `ms`, and keeps it. `force`: whatever it says. */
  async detach(domid: number, number: number, { ms, force }: { ms: number; force: boolean }): Promise<boolean> {
    const held = this.find(domid, number);
    if (!held) return true;
    closeDevice(this.#client, held.address);
    held.backend.look();
    if (!(await goneWithin(held.gone, ms)) && !force) return false;
    this.#byDomain.get(domid)?.delete(number);
    removeDevice(this.#client, held.address);
    await this.#end(held);
    return true;
  }

  /** The domain goes: so do its devices, whatever its front ends do. */
  forget(domid: number): void {
    const all = this.of(domid);
    this.#byDomain.delete(domid);
    for (const held of all) {
      removeDevice(this.#client, held.address);
      void this.#end(held);
    }
  }

  #end({ backend, device }: Held<D>): Promise<void> {
    const ending = backend
      .end()
      .then(() => this.#ended(device))
      .finally(() => this.#closing.delete(ending));
    this.#closing.add(ending);
    return ending;
  }

  /** What is on its way out. */
  async settled(): Promise<void> {
    await Promise.all(this.#closing);
  }

  async stop(): Promise<void> {
    for (const domid of [...this.#byDomain.keys()]) this.forget(domid);
    await this.settled();
  }
}
