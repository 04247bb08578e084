// The guests' consoles beyond the primary one: channels. They are of the console service's domain, as the primary ones.
import { ConsoleDriver, type ConsoleEnd } from '../console/backend/driver.ts';
import type { PageService } from '../lib/page_service.ts';
import { frontPath, XenbusBackend } from '../xenbus/backend.ts';
import { serviceNodes } from '../xenbus/devices.ts';
import { CONSOLE_LIMIT } from '../xenstore/domain_tree.ts';
import { LocalClient } from '../xenstore/protocol/client.ts';
import type { Store } from '../xenstore/protocol/store.ts';
import { LocalDevices } from './local_devices.ts';

export interface ConsoleOptions {
  /** From 1 on: 0 is the primary one. */
  devid: number;
  /** By which programs in the guest find it. */
  name: string;
  connection: 'pty' | 'socket';
  /** The socket's. */
  path?: string;
  end: ConsoleEnd;
}

/** What `xl channel-list` shows. */
export interface ChannelFacts {
  devid: number;
  backend: number;
  state: number;
  evtchn: string;
  ringRef: string;
  connection: string;
  path: string;
}

export class Consoles {
  readonly #service: PageService;
  readonly #store: Store;
  readonly #devices: LocalDevices<ConsoleOptions>;
  readonly #client: LocalClient;
  /** As the console service's domain; from the first device on. */
  #own: LocalClient | undefined;

  constructor(service: PageService, store: Store) {
    this.#service = service;
    this.#store = store;
    this.#client = new LocalClient(store);
    this.#devices = new LocalDevices(this.#client);
  }

  attach(domid: number, options: ConsoleOptions): void {
    const { devid, name, connection, path } = options;
    const { domid: backend } = this.#service.port;
    if (!this.#own) serviceNodes(this.#client, backend, 'console');
    const own = (this.#own ??= new LocalClient(this.#store, backend));
    const address = { backend, frontend: domid, kind: 'console', device: devid };
    const notes = { protocol: 'vt100', name, connection, ...(path !== undefined && { path }) };
    const driver = new ConsoleDriver(this.#service, domid, options.end);
    this.#devices.add(
      {
        address,
        back: notes,
        front: { protocol: 'vt100' },
        // What a front end has no need to change; Linux shows the name to whoever looks for the channel.
        fixed: { limit: CONSOLE_LIMIT, type: 'ioemu', output: connection, name },
      },
      options,
      () => new XenbusBackend(own, address, driver),
    );
  }

  forget(domid: number): void {
    this.#devices.forget(domid);
  }

  list(domid: number): ChannelFacts[] {
    return this.#devices.of(domid).map(({ address, device }) => {
      const front = (name: string): string => this.#client.find(`${frontPath(address)}/${name}`) ?? '';
      return {
        devid: device.devid,
        backend: address.backend,
        state: Number(front('state') || 0),
        evtchn: front('port'),
        ringRef: front('ring-ref'),
        connection: device.connection,
        path: device.path ?? '',
      };
    });
  }

  stop(): Promise<void> {
    return this.#devices.stop();
  }
}
