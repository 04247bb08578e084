// The guests' frame buffers, each with a keyboard and a pointer.
import type { Machine } from '../../platform/machine.ts';
import type { GuestScreen } from '../framebuffer/backend/screen.ts';
import { FramebufferDriver } from '../framebuffer/backend/vfb.ts';
import { KeyboardDriver } from '../framebuffer/backend/vkbd.ts';
import { PageService } from '../lib/page_service.ts';
import { backPath, frontPath, XenbusBackend, type Driver } from '../xenbus/backend.ts';
import { serviceNodes } from '../xenbus/devices.ts';
import { LocalClient } from '../xenstore/protocol/client.ts';
import type { Store } from '../xenstore/protocol/store.ts';
import { LocalDevices } from './local_devices.ts';

export const FRAMEBUFFER_DOMID = 0x7f05;

export interface FramebufferOptions {
  devid: number;
  screen: GuestScreen;
  /** Nodes that are there for people: what the toolstack was told. */
  notes: Readonly<Record<string, string | number>>;
}

/** What `xl vkb-list` shows. */
export interface KeyboardFacts {
  devid: number;
  backend: number;
  state: number;
  evtchn: string;
  ref: string;
  path: string;
}

interface Placed extends FramebufferOptions {
  /** Which part of the service's space is this one's. */
  place: number;
}

export class Framebuffers {
  readonly #machine: Machine;
  readonly #store: Store;
  readonly #client: LocalClient;
  readonly #screens: LocalDevices<Placed>;
  readonly #keyboards: LocalDevices<FramebufferOptions>;
  readonly #free: number[] = [];
  #next = 0;
  #running: { service: PageService; own: LocalClient } | undefined;
  log: (text: string) => void = () => {};

  constructor(machine: Machine, store: Store) {
    this.#machine = machine;
    this.#store = store;
    this.#client = new LocalClient(store);
    this.#screens = new LocalDevices(this.#client, ({ place }) => void this.#free.push(place));
    this.#keyboards = new LocalDevices(this.#client);
  }

  /** The service's domain comes with the first screen. */
  #start(): { service: PageService; own: LocalClient } {
    if (this.#running) return this.#running;
    // fbif names frames, it has no grants: that takes privilege.
    const port = this.#machine.service(FRAMEBUFFER_DOMID, { privileged: true });
    serviceNodes(this.#client, FRAMEBUFFER_DOMID, 'framebuffer');
    const service = new PageService(port, () => this.#machine.ring());
    return (this.#running = { service, own: new LocalClient(this.#store, FRAMEBUFFER_DOMID) });
  }

  /** `bits`: of the guest. */
  attach(domid: number, options: FramebufferOptions, bits: 32 | 64): void {
    const { service } = this.#start();
    const { devid, screen, notes } = options;
    const place = this.#free.pop() ?? this.#next++;
    const serve = (
      kind: string,
      device: Placed,
      devices: LocalDevices<Placed> | LocalDevices<FramebufferOptions>,
      driver: FramebufferDriver | KeyboardDriver,
      back: typeof notes,
    ) => {
      // prettier-ignore
      const address = { backend: FRAMEBUFFER_DOMID, frontend: domid, kind, device: devid };
      const { backend } = devices.add({ address, back, front: {} }, device, () => {
        const { own } = this.#start();
        return new XenbusBackend<unknown>(own, address, driver as Driver<unknown>);
      });
      driver.onBroken = (why) => {
        this.log(`domain ${domid} ${kind} ${devid}: its front end is served no more: ${why}`);
        backend.fail(why);
      };
    };
    const device = { ...options, place };
    serve('vfb', device, this.#screens, new FramebufferDriver(service, domid, bits, place, screen), notes);
    serve('vkbd', device, this.#keyboards, new KeyboardDriver(service, domid, screen), {});
  }

  forget(domid: number): void {
    this.#screens.forget(domid);
    this.#keyboards.forget(domid);
  }

  keyboards(domid: number): KeyboardFacts[] {
    return this.#keyboards.of(domid).map(({ address, device }) => {
      const front = (name: string): string => this.#client.find(`${frontPath(address)}/${name}`) ?? '';
      return {
        devid: device.devid,
        backend: address.backend,
        state: Number(front('state') || 0),
        evtchn: front('event-channel'),
        ref: front('page-gref') || front('page-ref'),
        path: backPath(address),
      };
    });
  }

  /** True if something moved. */
  pump(): boolean {
    return this.#running?.service.pump() ?? false;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#screens.stop(), this.#keyboards.stop()]);
  }
}
