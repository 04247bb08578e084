// A host as the toolstack sees it: a machine, domain 0, the service domains, and the guests they serve.
import { createHash, randomUUID } from 'node:crypto';
import { SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_watchdog } from '../../spec/abi/constants.ts';
import type { Machine } from '../../platform/machine.ts';
import type { ServicePort } from '../../platform/service.ts';
import { ConsoleBackend, type ConsoleSink } from '../console/backend/console.ts';
import type { Plan } from '../domain_builder/protocol/index.ts';
import { Hypercalls } from '../lib/hypercalls.ts';
import { PageService } from '../lib/page_service.ts';
import { XenstoreRing } from '../xenstore/backend/ring.ts';
import { domainNodes, hostNodes, removeDomain, writeNodes, type DomainDescription } from '../xenstore/domain_tree.ts';
import { LocalClient } from '../xenstore/protocol/client.ts';
import type { Connection } from '../xenstore/protocol/connection.ts';
import { Store } from '../xenstore/protocol/store.ts';
import { XS } from '../xenstore/protocol/wire.ts';
import { Consoles, type ConsoleOptions } from './consoles.ts';
import { MAX_ORDER as P9_RING_ORDER } from '../p9/protocol/ring.ts';
import { createDomain } from './create.ts';
import { Framebuffers, type FramebufferOptions } from './framebuffers.ts';
import { Disks, type OpenDisk } from './disks.ts';
import { Shares, type ShareOptions } from './shares.ts';
import { Vifs, type NicOptions } from './vifs.ts';
import type { Network } from '../network/backend/service.ts';

const MESSAGE_NAMES: ReadonlyMap<number, string> = new Map(Object.entries(XS).map(([name, type]) => [type, name]));

/** The services' ids: above every guest's, so that guests count from 1. */
const XENSTORE_DOMID = 0x7f01;
export const CONSOLE_DOMID = 0x7f02;

export interface GuestOptions {
  name: string;
  plan: Plan;
  memoryKib: number;
  vcpus: number;
  ssidref?: number;
  console?: ConsoleSink;
  cmdline?: string;
  uuid?: string | undefined;
  /** What it may grow to; none: what it starts with. */
  maxMemoryKib?: number;
  /** vCPUs online at the start, of `vcpus`; none: all. */
  online?: number;
  /** Entries of /vm/UUID/image. */
  image?: Readonly<Record<string, string>>;
  /** Built, but not let run. */
  paused?: boolean;
  /** Its disks, open already; the first one is the one to boot from. */
  disks?: readonly OpenDisk[];
  /** Its network interfaces. */
  nics?: readonly { devid: number; network: Network; options: NicOptions }[];
  /** Its consoles beyond the primary one. */
  consoles?: readonly ConsoleOptions[];
  /** Its screens. */
  framebuffers?: readonly FramebufferOptions[];
  /** Folders of this host's that it shares. */
  shares?: readonly ShareOptions[];
  /** Called when the domain is built, before it runs. */
  onBuilt?: (domid: number) => void;
}

export class Host {
  readonly machine: Machine;
  readonly dom0: Hypercalls;
  /** Domain 0's own events. */
  readonly dom0Port: ServicePort;
  readonly store: Store;
  readonly #xenstore: PageService;
  readonly #consoles: PageService;
  readonly #client: LocalClient;
  readonly disks: Disks;
  readonly vifs: Vifs;
  readonly consoles: Consoles;
  readonly framebuffers: Framebuffers;
  readonly shares: Shares;
  readonly guests = new Set<Guest>();
  /** Called with every xenstore request of a guest, for traces. */
  onXenstore: ((domid: number, text: string) => void) | undefined;
  /** Called whenever the bell has rung or a slice is over: for who waits for a vCPU rather than an event. */
  onTurn: (() => void) | undefined;

  constructor(machine: Machine) {
    this.machine = machine;
    this.dom0Port = machine.service(0, { privileged: true });
    this.dom0 = new Hypercalls(this.dom0Port);
    const wake = (): void => machine.ring();
    this.#xenstore = new PageService(machine.service(XENSTORE_DOMID, { privileged: true, xenstore: true }), wake);
    this.#consoles = new PageService(machine.service(CONSOLE_DOMID, { privileged: true }), wake);
    this.store = new Store({ domainExists: (domid) => machine.core.domain_state(domid) !== -1 });
    this.#client = new LocalClient(this.store);
    this.disks = new Disks(machine, this.dom0, this.store);
    this.vifs = new Vifs(machine, this.dom0, this.store);
    this.consoles = new Consoles(this.#consoles, this.store);
    this.framebuffers = new Framebuffers(machine, this.store);
    this.shares = new Shares(machine, this.store);
    writeNodes(this.#client, hostNodes());
  }

  /** Builds a domain, connects its rings and lets it run. */
  create(options: GuestOptions): Guest {
    const uuid = options.uuid ?? this.#uuid(options.name);
    const handle = Uint8Array.from(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
    // Linux' front end of 9p grants a ring's frames by counting from the first one's.
    const rows = options.shares?.length ? 1 << P9_RING_ORDER : 1;
    const built = { uuid: handle, vcpus: options.vcpus, ssidref: options.ssidref ?? 0, rows };
    const made = createDomain(this.dom0, options.plan, built, { xenstore: XENSTORE_DOMID, console: CONSOLE_DOMID });
    const description: DomainDescription = {
      domid: made.domid,
      name: options.name,
      uuid,
      type: options.plan.type,
      ...(options.plan.type === 'pv' && { bits: options.plan.bits }),
      memory: options.memoryKib,
      ...(options.maxMemoryKib !== undefined && { maxMemory: options.maxMemoryKib }),
      ...(options.image && { image: options.image }),
      vcpus: Array.from({ length: options.vcpus }, (_, i) => i < (options.online ?? options.vcpus)),
      startTime: this.machine.deterministic ? Math.floor(this.machine.wallclock / 1000) : Date.now() / 1000,
      store: { port: made.storePort, ringRef: made.storeFrame },
      console: { port: made.consolePort, ringRef: made.consoleFrame },
    };
    writeNodes(this.#client, domainNodes(description));
    this.store.introduce(made.domid, made.storeFrame, made.storePort);
    const storeRing = this.#xenstore.attach(
      made.domid,
      { frame: made.storeFrame },
      made.storePort,
      (page, schedule) =>
        new XenstoreRing({ store: this.store, page, connection: this.#connect(made.domid), schedule }),
    );
    let backend!: ConsoleBackend;
    const consoleRing = this.#consoles.attach(
      made.domid,
      { frame: made.consoleFrame },
      made.consolePort,
      (page, schedule) => {
        backend = new ConsoleBackend({ page, schedule, ...(options.console && { sink: options.console }) });
        return backend;
      },
    );
    (options.disks ?? []).forEach((disk, i) =>
      this.disks.attach(made.domid, disk, { bootable: i === 0, guest: description }),
    );
    for (const { devid, network, options: nic } of options.nics ?? [])
      this.vifs.attach(made.domid, devid, network, nic);
    for (const console of options.consoles ?? []) this.consoles.attach(made.domid, console);
    for (const framebuffer of options.framebuffers ?? [])
      this.framebuffers.attach(made.domid, framebuffer, description.bits ?? 64);
    for (const share of options.shares ?? []) this.shares.attach(made.domid, share);
    const guest = new Guest(this, made.domid, description, backend, () => {
      this.disks.forget(made.domid);
      this.vifs.forget(made.domid);
      this.consoles.forget(made.domid);
      this.framebuffers.forget(made.domid);
      this.shares.forget(made.domid);
      this.#xenstore.detach(storeRing);
      this.#consoles.detach(consoleRing);
      this.store.domainShutdown(made.domid);
      removeDomain(this.#client, description);
      this.store.domainDestroyed(made.domid);
      this.dom0.destroy(made.domid);
    });
    this.guests.add(guest);
    options.onBuilt?.(made.domid);
    if (!options.paused) this.dom0.unpause(made.domid);
    this.machine.ring();
    return guest;
  }

  #created = 0;

  /** Random; on a deterministic host the same for the n-th domain of a name in every run. */
  #uuid(name: string): string {
    if (!this.machine.deterministic) return randomUUID();
    const hex = createHash('sha256').update(`${this.#created++} ${name}`).digest('hex');
    // version 8 (RFC 9562): made by a rule of our own
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
  }

  #connect(domid: number): Connection {
    const connection = this.store.connect(domid);
    if (this.onXenstore)
      connection.onMessage = (direction, type, payload) => {
        const text = payload.replaceAll('\0', ' ').trimEnd();
        this.onXenstore?.(domid, `${direction === 'in' ? '>' : '<'} ${MESSAGE_NAMES.get(type) ?? type} ${text}`);
      };
    return connection;
  }

  /** Let the services work off what is there; true = something moved. */
  pump(): boolean {
    this.onTurn?.();
    const moved = (busy: boolean): boolean => busy;
    const stored = this.machine.timed('control', 'xenstore', () => this.#xenstore.pump(), moved);
    const others = [this.framebuffers, this.shares].map((devices) => devices.pump()).includes(true);
    return this.machine.timed('control', 'console', () => this.#consoles.pump(), moved) || stored || others;
  }

  /** Runs the machine until `done` says so or `signal` is aborted. */
  async run(done: () => boolean, signal?: AbortSignal): Promise<void> {
    const { machine } = this;
    const wake = (): void => machine.ring();
    signal?.addEventListener('abort', wake);
    try {
      while (!signal?.aborted && !done()) {
        const seen = machine.bell;
        const more = machine.inline && machine.step();
        if (this.pump() || more) await this.#breathe();
        else if (!done()) await machine.rung(seen, machine.inline ? machine.idleFor : Infinity);
      }
    } finally {
      signal?.removeEventListener('abort', wake);
    }
  }

  /** Now and then this thread's other work comes first. */
  async #breathe(): Promise<void> {
    if (++this.#turns % TURNS_PER_TICK === 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }
  #turns = 0;

  async stop(): Promise<void> {
    const { disks, vifs, consoles, framebuffers, shares } = this;
    await Promise.all([disks, vifs, consoles, framebuffers, shares].map((devices) => devices.stop()));
    await this.machine.stop();
  }
}

const TURNS_PER_TICK = 64;

export type Outcome = 'poweroff' | 'reboot' | 'suspend' | 'crash' | 'watchdog' | 'soft_reset';
const OUTCOMES: Readonly<Record<number, Outcome>> = {
  [SHUTDOWN_poweroff]: 'poweroff',
  [SHUTDOWN_reboot]: 'reboot',
  2: 'suspend',
  [SHUTDOWN_crash]: 'crash',
  [SHUTDOWN_watchdog]: 'watchdog',
  5: 'soft_reset',
};

export class Guest {
  readonly host: Host;
  readonly domid: number;
  readonly description: DomainDescription;
  readonly console: ConsoleBackend;
  readonly #release: () => void;

  constructor(host: Host, domid: number, description: DomainDescription, console: ConsoleBackend, release: () => void) {
    this.host = host;
    this.domid = domid;
    this.description = description;
    this.console = console;
    this.#release = release;
  }

  /** Why it stopped, null while it runs. */
  get outcome(): Outcome | null {
    const state = this.host.machine.core.domain_state(this.domid);
    return state < 0 ? null : (OUTCOMES[state] ?? 'crash');
  }

  /** Gives back everything the domain had. */
  destroy(): void {
    if (!this.host.guests.delete(this)) return;
    this.host.pump();
    this.#release();
  }
}
