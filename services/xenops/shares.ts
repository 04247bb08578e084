// Folders of the host that guests share by 9p.
import type { Machine } from '../../platform/machine.ts';
import { PageService } from '../lib/page_service.ts';
import { ShareDriver, type Common } from '../p9/backend/driver.ts';
import type { Folder } from '../p9/backend/folder.ts';
import { Locks } from '../p9/backend/locks.ts';
import { Turns } from '../p9/backend/turns.ts';
import { XenbusBackend } from '../xenbus/backend.ts';
import { serviceNodes } from '../xenbus/devices.ts';
import { LocalClient } from '../xenstore/protocol/client.ts';
import type { Store } from '../xenstore/protocol/store.ts';
import { LocalDevices } from './local_devices.ts';

export const P9_DOMID = 0x7f06;

export interface ShareOptions {
  devid: number;
  /** By which the guest mounts it. */
  tag: string;
  path: string;
  readonly: boolean;
  /** Open already; closed when the device has gone. */
  folder: Folder;
}

interface Placed extends ShareOptions {
  place: number;
}

export class Shares {
  readonly #machine: Machine;
  readonly #store: Store;
  readonly #client: LocalClient;
  readonly #devices: LocalDevices<Placed>;
  readonly #common: Common = { locks: new Locks(), turns: new Turns() };
  readonly #free: number[] = [];
  #next = 0;
  #running: { service: PageService; own: LocalClient } | undefined;
  log: (text: string) => void = () => {};

  constructor(machine: Machine, store: Store) {
    this.#machine = machine;
    this.#store = store;
    this.#client = new LocalClient(store);
    this.#devices = new LocalDevices(this.#client, async ({ place, folder }) => {
      this.#free.push(place);
      await folder.close();
    });
  }

  /** The service's domain comes with the first share. */
  #start(): { service: PageService; own: LocalClient } {
    if (this.#running) return this.#running;
    const port = this.#machine.service(P9_DOMID);
    serviceNodes(this.#client, P9_DOMID, '9pfs');
    const service = new PageService(port, () => this.#machine.ring());
    return (this.#running = { service, own: new LocalClient(this.#store, P9_DOMID) });
  }

  attach(domid: number, options: ShareOptions): void {
    const { service, own } = this.#start();
    const { devid, tag, path, readonly, folder } = options;
    const place = this.#free.pop() ?? this.#next++;
    const address = { backend: P9_DOMID, frontend: domid, kind: '9pfs', device: devid };
    const driver = new ShareDriver(service, domid, place, folder, readonly, this.#common);
    const { backend } = this.#devices.add(
      { address, back: { path, security_model: 'none' }, front: {}, fixed: { tag } },
      { ...options, place },
      () => new XenbusBackend<unknown>(own, address, driver),
    );
    driver.onBroken = (why) => {
      this.log(`domain ${domid} 9pfs ${tag}: its front end is served no more: ${why}`);
      backend.fail(why);
    };
  }

  forget(domid: number): void {
    this.#devices.forget(domid);
  }

  /** True if something moved. */
  pump(): boolean {
    return this.#running?.service.pump() ?? false;
  }

  stop(): Promise<void> {
    return this.#devices.stop();
  }
}
