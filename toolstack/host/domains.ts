// The domains of a host: made from configurations, looked up by number and name, and watched over until they are gone.
import { DOMID_FIRST_RESERVED } from '../../spec/abi/constants.ts';
import { XenError } from '../../services/lib/hypercalls.ts';
import { ControlCalls, type DomainInfo } from '../../services/xenops/control_calls.ts';
import { NoRows } from '../../services/xenops/create_pv.ts';
import type { OpenDisk } from '../../services/xenops/disks.ts';
import { Endings } from '../../services/xenops/endings.ts';
import type { Guest, Host } from '../../services/xenops/host.ts';
import type { Network } from '../../services/network/backend/service.ts';
import type { ShareOptions } from '../../services/xenops/shares.ts';
import type { NicOptions } from '../../services/xenops/vifs.ts';
import { BadImage } from '../../services/domain_builder/protocol/index.ts';
import { LocalClient } from '../../services/xenstore/protocol/client.ts';
import { domainPath } from '../../services/xenstore/protocol/path.ts';
import { checkName, ConfigError } from '../config/index.ts';
import type { DomainConfig } from '../config/domain.ts';
import { ERROR, Refused } from '../control/refused.ts';
import { channelConsole, type Channel } from './channels.ts';
import { GuestConsole } from './console.ts';
import type { Display } from './displays.ts';
import { loadPlan, releasePlan, type Files, type Loaded } from './images.ts';
import type { State } from './state.ts';

export interface Domain {
  readonly domid: number;
  readonly guest: Guest;
  readonly console: GuestConsole;
  /** Its consoles from 1 on. */
  readonly channels: readonly Channel[];
  readonly displays: readonly Display[];
  /** As the domain is to be made the next time. */
  config: DomainConfig;
  source: string;
  name: string;
  /** Milliseconds since 1970. */
  readonly created: number;
  /** Nobody acts when it stops (`xl create -e`). */
  readonly unattended: boolean;
  /** Bytes that it had beside its RAM. */
  readonly extra: number;
  /** Why it stopped, once that has been noticed. */
  ended: number | undefined;
}

export interface Creation {
  source: string;
  paused: boolean;
  unattended: boolean;
  /** What its boot loader has found (bootFiles). */
  booted?: Files | undefined;
  /** Of its configuration's, open (openDisks). */
  disks?: readonly OpenDisk[];
  /** Of its configuration's, with their networks (createWithDevices). */
  nics?: readonly { devid: number; network: Network; options: NicOptions }[];
  /** Of its configuration's, open (openChannels). */
  channels?: readonly Channel[];
  /** Of its configuration's, served already (openDisplays). */
  displays?: readonly Display[];
  /** Of its configuration's, open (openShares). */
  shares?: readonly ShareOptions[];
}

/** What happens to domains, for who waits for it. */
export interface Happening {
  domid: number;
  what: 'shutdown' | 'destroyed' | 'restarted' | 'preserved';
  /** SHUTDOWN_* of a shutdown. */
  reason?: number;
  action?: string;
  /** The number that goes on in its place. */
  successor?: number;
  /** Destroyed to be started again. */
  again?: boolean;
}
type Listener = (happening: Happening) => void;

/** A guest may take this much more than its target while it moves there (LIBXL_MAXMEM_CONSTANT of libxl). */
const SLACK_KIB = 1024;
const KIB = 1024;
export const DOM0_NAME = 'Domain-0';
/** The service domains' numbers begin here; they are the host's own, and not listed. */
const SERVICES = 0x7f00;
/** Ended domains whose console can still be read. */
const MAX_UNHEARD = 8;

export class Domains {
  readonly host: Host;
  readonly calls: ControlCalls;
  readonly store: LocalClient;
  readonly state: State;
  readonly #log: (text: string) => void;
  readonly #endings: Endings;
  readonly #byId = new Map<number, Domain>();
  readonly #listeners = new Set<Listener>();
  /** What is done with a domain that has stopped: the life cycle's. */
  onShutdown: (domain: Domain, reason: number) => void = () => {};

  constructor(host: Host, state: State, log: (text: string) => void) {
    this.host = host;
    this.calls = new ControlCalls(host.dom0.mailbox);
    this.store = new LocalClient(host.store);
    this.state = state;
    this.#log = log;
    this.#endings = new Endings(this.calls, host.dom0Port);
    host.onTurn = () => this.#turn();
    host.disks.log = (text) => this.#log(text);
    host.vifs.log = (text) => this.#log(text);
    host.framebuffers.log = (text) => this.#log(text);
    host.shares.log = (text) => this.#log(text);
  }

  log(text: string): void {
    this.#log(text);
  }

  [Symbol.iterator](): IterableIterator<Domain> {
    return this.#byId.values();
  }

  get size(): number {
    return this.#byId.size;
  }

  listen(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(happening: Happening): void {
    for (const listener of [...this.#listeners]) listener(happening);
  }

  find(domid: number): Domain {
    const domain = this.#byId.get(domid);
    if (domain) return domain;
    if (domid === 0) throw new Refused('Domain-0 is the host itself: that is done to guests only.', ERROR.INVAL);
    throw new Refused(`Domain ${domid} does not exist.`, ERROR.DOMAIN_NOTFOUND);
  }

  peek(domid: number): Domain | undefined {
    return this.#byId.get(domid);
  }

  named(name: string): number | undefined {
    if (name === DOM0_NAME) return 0;
    for (const domain of this.#byId.values()) if (domain.name === name) return domain.domid;
    return undefined;
  }

  /** What the hypervisor knows of all domains, and by what name: dying ones have none any more. */
  list(): (DomainInfo & { name: string | null })[] {
    return this.calls
      .domains()
      .filter(({ domid }) => domid < SERVICES || domid >= DOMID_FIRST_RESERVED)
      .map((info) => ({ ...info, name: info.domid === 0 ? DOM0_NAME : (this.#byId.get(info.domid)?.name ?? null) }));
  }

  // ---- beginning and end

  create(config: DomainConfig, creation: Creation): Domain {
    const { source, paused, unattended, booted, channels = [], displays = [] } = creation;
    this.#checkFree(config.name);
    for (const { guest } of this.#byId.values())
      if (config.uuid !== undefined && guest.description.uuid === config.uuid)
        throw new Refused(`A domain with the UUID ${config.uuid} exists already: give another uuid.`, ERROR.INVAL);
    const loaded = loadPlan(config, booted);
    const { plan } = loaded;
    const extra = plan.size - config.memory * KIB;
    this.#checkMemory(plan.size);
    const console = this.newConsole();
    const guest = this.#build(config, loaded, console, creation);
    releasePlan(plan);
    const { domid } = guest;
    console.connect(guest.console);
    const whole = { ...config, type: plan.type, uuid: guest.description.uuid };
    const domain: Domain = {
      ...{
        domid,
        guest,
        console,
        channels,
        displays,
        config: whole,
        source,
        name: config.name,
        created: Date.now(),
        unattended,
        extra,
      },
      ended: undefined,
    };
    this.#byId.set(domid, domain);
    if (config.maxMemory > config.memory) this.calls.maxMemory(domid, config.maxMemory * KIB + extra);
    this.state.keep({ domid, config: whole, source });
    for (const display of displays) display.publish(this.store, domid);
    this.log(`domain ${domid} '${config.name}' created: ${config.memory / KIB} MiB, ${loaded.kernel}`);
    if (!paused) this.unpause(domid);
    return domain;
  }

  #build(
    config: DomainConfig,
    { plan, kernel, ramdisk, cmdline }: Loaded,
    console: GuestConsole,
    { disks = [], nics = [], channels = [], displays = [], shares = [] }: Creation,
  ): Guest {
    const image = {
      ostype: 'linux',
      kernel,
      ...(ramdisk !== undefined && { ramdisk }),
      ...(cmdline !== '' && { cmdline }),
    };
    try {
      return this.host.create({
        ...{
          name: config.name,
          uuid: config.uuid,
          plan,
          console,
          image,
          disks,
          nics,
          consoles: channels,
          framebuffers: displays,
          shares,
          paused: true,
        },
        ...{ memoryKib: config.memory, maxMemoryKib: config.maxMemory, vcpus: config.maxVcpus, online: config.vcpus },
      });
    } catch (error) {
      if (error instanceof XenError) throw new Refused(`the hypervisor does not make the domain: ${error.message}.`);
      if (error instanceof NoRows)
        throw new Refused(
          'p9: a PV guest with shared folders needs memory in a row, and what the host has free lies in pieces: create it before other domains, or as a PVH guest.',
          ERROR.NOMEM,
        );
      if (error instanceof BadImage) throw new Refused(`${error.message} (kernel: ${kernel})`, ERROR.FAIL);
      throw error;
    }
  }

  #checkFree(name: string): void {
    if (this.named(name) !== undefined)
      throw new Refused(`Domain with name "${name}" already exists: give another name.`, ERROR.INVAL);
  }

  /** Some of it goes to page tables and the like; the hypervisor's own refusal says less. */
  #checkMemory(size: number): void {
    const free = this.calls.freeBytes();
    if (size <= free) return;
    const mib = (bytes: number) => Math.ceil(bytes / 2 ** 20);
    throw new Refused(
      `the host has ${Math.floor(free / 2 ** 20)} MiB free, and the domain needs ${mib(size)}: give it less memory, destroy another, or start the host with more (xenolith up --memory).`,
      ERROR.NOMEM,
    );
  }

  /** `again`: another is about to take its place. */
  destroy(domid: number, again = false): void {
    const domain = this.find(domid);
    this.#byId.delete(domid);
    domain.guest.destroy();
    domain.console.end();
    for (const device of [...domain.channels, ...domain.displays]) device.close();
    if (domain.console.unseen) this.#rememberConsole(domain);
    this.state.forget(domid);
    this.log(`domain ${domid} '${domain.name}' destroyed`);
    this.tell({ domid, what: 'destroyed', again });
  }

  // ---- last words

  /** Who ends before anybody has attached is still heard: whose output nobody has seen, the last ones, oldest first. */
  readonly #unheard: Pick<Domain, 'domid' | 'name' | 'console'>[] = [];

  #rememberConsole({ domid, name, console }: Domain): void {
    this.#unheard.push({ domid, name, console });
    if (this.#unheard.length > MAX_UNHEARD) this.#unheard.shift();
  }

  newConsole(): GuestConsole {
    return new GuestConsole((waiting) => this.#waiting.add(waiting));
  }

  /** The console of a domain, or of the last one that has ended so, once; `number`: one beyond its primary one. */
  console(which: number | string, number = 0): GuestConsole {
    const domid = typeof which === 'number' ? which : this.named(which);
    const domain = domid === undefined ? undefined : this.#byId.get(domid);
    const unknown = (): Refused =>
      new Refused(`${which} is an invalid domain identifier (rc=-6)`, ERROR.DOMAIN_NOTFOUND);
    if (number > 0) {
      if (domid === undefined) throw unknown();
      return channelConsole(domid, this.find(domid).channels, number);
    }
    if (domain) return domain.console;
    const at = this.#unheard.findLastIndex(({ domid, name }) => domid === which || name === which);
    const [ended] = at < 0 ? [] : this.#unheard.splice(at, 1);
    if (ended) return ended.console;
    if (typeof which === 'number') return this.find(which).console;
    throw unknown();
  }

  // ---- changes

  pause(domid: number): void {
    this.find(domid);
    this.#hypercall(() => this.calls.pause(domid));
  }

  unpause(domid: number): void {
    const { ended } = this.find(domid);
    if (ended !== undefined) throw new Refused(`Domain ${domid} has shut down: it runs no more.`, ERROR.FAIL);
    this.#hypercall(() => this.calls.unpause(domid));
    this.host.machine.ring();
  }

  rename(domid: number, name: string): void {
    const domain = this.find(domid);
    try {
      checkName(name);
    } catch (error) {
      throw error instanceof ConfigError ? new Refused(error.message, ERROR.INVAL) : error;
    }
    this.#checkFree(name);
    domain.name = name;
    domain.config = { ...domain.config, name };
    this.store.write(`${domainPath(domid)}/name`, name);
    this.store.write(`/vm/${domain.guest.description.uuid}/name`, name);
    this.keep(domain);
  }

  /** A configuration for the next time; what the domain is called stays. */
  keep(domain: Domain): void {
    this.state.keep({ domid: domain.domid, config: domain.config, source: domain.source });
  }

  /** Where the guest's balloon is to go; it cannot take more than that from now on. */
  setMemoryTarget(domid: number, kib: number): void {
    const domain = this.find(domid);
    const most = this.maxMemory(domid);
    if (kib > most)
      throw new Refused(
        `${kib} KiB is more than the domain's maximum of ${most} KiB: raise that by \`xl mem-max\`.`,
        ERROR.INVAL,
      );
    this.#hypercall(() => this.calls.maxMemory(domid, (kib + SLACK_KIB) * KIB + domain.extra));
    this.store.write(`${domainPath(domid)}/memory/target`, String(kib));
    domain.config = { ...domain.config, memory: kib };
    this.keep(domain);
  }

  setMaxMemory(domid: number, kib: number): void {
    const domain = this.find(domid);
    if (kib < domain.config.memory)
      throw new Refused(
        `${kib} KiB is less than the domain's target of ${domain.config.memory} KiB: lower that by \`xl mem-set\`.`,
        ERROR.INVAL,
      );
    this.#hypercall(() => this.calls.maxMemory(domid, (kib + SLACK_KIB) * KIB + domain.extra));
    this.store.write(`${domainPath(domid)}/memory/static-max`, String(kib));
    domain.config = { ...domain.config, maxMemory: kib };
    this.keep(domain);
  }

  maxMemory(domid: number): number {
    return Number(this.store.find(`${domainPath(domid)}/memory/static-max`) ?? 0);
  }

  /** How many of the vCPUs the guest is to have online: it is asked by its nodes. */
  setVcpus(domid: number, count: number): void {
    const domain = this.find(domid);
    const { maxVcpus } = domain.config;
    if (count < 1 || count > maxVcpus)
      throw new Refused(`Domain ${domid} may have 1 to ${maxVcpus} vCPUs online, not ${count}.`, ERROR.INVAL);
    for (let i = 0; i < maxVcpus; i++)
      this.store.write(`${domainPath(domid)}/cpu/${i}/availability`, i < count ? 'online' : 'offline');
    domain.config = { ...domain.config, vcpus: count };
    this.keep(domain);
  }

  #hypercall(call: () => void): void {
    try {
      call();
    } catch (error) {
      throw error instanceof XenError ? new Refused(`the hypervisor refuses: ${error.message}.`) : error;
    }
  }

  // ---- watching

  #due = false;
  /** Consoles with input that their guests have no room for. */
  readonly #waiting = new Set<GuestConsole>();

  #turn(): void {
    if (this.#waiting.size > 0) {
      const waiting = [...this.#waiting];
      this.#waiting.clear();
      for (const console of waiting) console.feed();
    }
    if (!this.#endings.take() || this.#due) return;
    // A guest cannot be taken apart in the middle of the services' work.
    this.#due = true;
    setImmediate(() => {
      this.#due = false;
      for (const domain of [...this.#byId.values()]) this.#look(domain);
    });
  }

  #look(domain: Domain): void {
    if (domain.ended !== undefined || this.#byId.get(domain.domid) !== domain) return;
    const reason = this.calls.domain(domain.domid)?.shutdown ?? null;
    if (reason === null) return;
    // What it wrote last is to be seen.
    while (this.host.pump());
    domain.ended = reason;
    this.host.store.domainShutdown(domain.domid);
    this.onShutdown(domain, reason);
  }
}
