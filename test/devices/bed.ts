// A host, and front ends of ours on it: domains without instructions whose pages and store nodes are written from here.
import { setTimeout as sleep } from 'node:timers/promises';
import { DOMID_SELF, XenbusStateClosed, XenbusStateInitialised, XenbusStateInitialising } from '../../spec/abi/constants.ts'; // prettier-ignore
import { loadCore } from '../../platform/core.ts';
import { Machine } from '../../platform/machine.ts';
import { backPath, frontPath } from '../../services/xenbus/backend.ts';
import { Host } from '../../services/xenops/host.ts';
import { domainPath } from '../../services/xenstore/protocol/path.ts';
import { FrontDomain } from '../block/front.ts';

export class DeviceBed {
  readonly machine = new Machine({ memory: 64 << 20, translate: false }, loadCore());
  readonly host = new Host(this.machine);

  constructor() {
    this.machine.onFailure((error) => {
      throw error;
    });
  }

  close(): Promise<void> {
    return this.host.stop();
  }

  /** Lets the services work, and what they have begun end. */
  async turn(): Promise<void> {
    for (let i = 0; i < 4; i++) {
      while (this.host.pump());
      await sleep(1);
    }
  }
}

/** A device of a domain, as its driver sees it. */
export class Front {
  readonly domain: FrontDomain;
  readonly #bed: DeviceBed;
  readonly #address;

  constructor(bed: DeviceBed, domid: number, backend: number, kind: string, device: number) {
    this.#bed = bed;
    this.domain = new FrontDomain(bed.host, domid, backend);
    this.#address = { backend, frontend: domid, kind, device };
  }

  port(): number {
    return this.domain.calls.allocUnbound(DOMID_SELF, this.#address.backend);
  }

  /** The back end's state, and what it says is wrong. */
  get state(): number {
    return Number(this.domain.control.find(`${backPath(this.#address)}/state`));
  }

  get error(): string {
    const { backend, frontend, kind, device } = this.#address;
    return this.domain.control.find(`${domainPath(backend)}/error/backend/${kind}/${frontend}/${device}/error`) ?? '';
  }

  async write(nodes: Record<string, string | number>, state = XenbusStateInitialised): Promise<void> {
    for (const [name, value] of Object.entries({ ...nodes, state }))
      this.domain.store.write(`${frontPath(this.#address)}/${name}`, String(value));
    await this.#bed.turn();
  }

  /** Closes, and begins anew. */
  async again(): Promise<void> {
    await this.write({}, XenbusStateClosed);
    await this.write({}, XenbusStateInitialising);
  }

  notify(port: number): void {
    this.domain.calls.notify(port);
  }
}
