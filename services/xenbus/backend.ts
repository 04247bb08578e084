// The back end's side of xenbus (public/io/xenbus.h), for any kind of device: what a driver domain's kernel does. It follows the front end's state,
// and has the device's own part connect and disconnect. All of the front end's nodes are the guest's to write: checked where they are used.
import { XenbusStateClosed, XenbusStateClosing, XenbusStateConnected } from '../../spec/abi/constants.ts';
import { XenbusStateInitialised, XenbusStateInitialising, XenbusStateInitWait } from '../../spec/abi/constants.ts';
import { GrantError, XenError } from '../lib/hypercalls.ts';
import type { LocalClient } from '../xenstore/protocol/client.ts';
import { domainPath } from '../xenstore/protocol/path.ts';

/** The front end wrote what cannot be: said in the store, and the device is closed. */
export class FrontendError extends Error {}

/** A node's value as of one moment. */
export type Read = (name: string) => string | undefined;

/** A number that the front end wrote, up to `most`; `otherwise` if it wrote none. */
export function frontNumber(read: Read, name: string, most: number, otherwise?: number): number {
  const text = read(name);
  if (text === undefined && otherwise !== undefined) return otherwise;
  if (text === undefined) throw new FrontendError(`${name} is missing`);
  if (!/^\d{1,16}$/.test(text) || Number(text) > most)
    throw new FrontendError(`${name} cannot be '${text.slice(0, 20)}'`);
  return Number(text);
}

/** What a grant reference or an event channel may be. */
export const ANY_NUMBER = 0xffffffff;

/** A page or port that the hypervisor does not give: the front end's fault. */
export async function asFrontends<T>(what: () => T | Promise<T>): Promise<T> {
  try {
    return await what();
  } catch (error) {
    if (error instanceof GrantError) throw new FrontendError(`the ring: ${error.message}`);
    if (error instanceof XenError) throw new FrontendError(`the ring or its event channel: ${error.message}`);
    throw error;
  }
}

/** What a kind of device does itself. */
export interface Driver<Settings> {
  /** Its front ends read what is published when they see Connected and are so themselves: they are told again. */
  readonly twice?: boolean;
  /** What is published before the front end chooses. */
  features(): Readonly<Record<string, string | number>>;
  /** What the front end has chosen; `read` gives its nodes as of one moment. May throw FrontendError. */
  settings(read: Read): Settings;
  /** Nodes of the front end's that it may change while it is connected; `changed` is told then, and may throw FrontendError. */
  readonly watched?: readonly string[];
  changed?(read: Read): Promise<void>;
  /** Connects; gives what is published before the state changes. May throw FrontendError. */
  connect(settings: Settings): Promise<Readonly<Record<string, string | number>>>;
  /** The front end does no more with it. Also after a connect that failed. */
  disconnect(): Promise<void>;
}

export interface Address {
  /** Of the domain that serves. */
  backend: number;
  frontend: number;
  /** `vbd`, `vif` … */
  kind: string;
  /** The device's number among those of its kind. */
  device: number;
}

export const frontPath = ({ frontend, kind, device }: Address): string =>
  `${domainPath(frontend)}/device/${kind}/${device}`;
export const backPath = ({ backend, frontend, kind, device }: Address): string =>
  `${domainPath(backend)}/backend/${kind}/${frontend}/${device}`;

/** Xenbus writes states as decimal numbers; anything else is as good as none. */
function stateOf(text: string | undefined): number {
  return text !== undefined && /^\d$/.test(text) ? Number(text) : 0;
}

/** What a guest may make us say about it. */
const MAX_SENTENCE = 200;

export class XenbusBackend<Settings> {
  readonly address: Address;
  readonly #front: string;
  readonly #back: string;
  readonly #store: LocalClient;
  readonly #driver: Driver<Settings>;
  readonly #unwatch: (() => void)[] = [];
  #connected = false;
  /** The front end has been told since it is connected itself. */
  #told = false;
  /** Given up because of what the front end did: it has to close first. */
  #failed = false;
  #due = false;
  #running = false;
  #gone = false;
  /** The device is closed, and is not to be opened again (`online` is 0), or its front end has vanished. */
  onGone: () => void = () => {};

  constructor(store: LocalClient, address: Address, driver: Driver<Settings>) {
    this.#store = store;
    this.address = address;
    this.#front = frontPath(address);
    this.#back = backPath(address);
    this.#driver = driver;
    this.#publish(driver.features());
    this.#set(XenbusStateInitWait);
    for (const name of ['state', ...(driver.watched ?? [])])
      this.#unwatch.push(store.watch(`${this.#front}/${name}`, () => this.#look()));
  }

  get connected(): boolean {
    return this.#connected;
  }

  get state(): number {
    return stateOf(this.#store.find(`${this.#back}/state`));
  }

  /** New values of nodes that a front end watches, such as a disk's size. */
  publish(nodes: Readonly<Record<string, string | number>>): void {
    this.#publish(nodes);
  }

  /** Has the front end look again at what was published: the state is written once more. */
  announce(): void {
    if (this.#connected) this.#set(XenbusStateConnected);
  }

  /** The front end broke the protocol: it is told why and is served no more. */
  fail(why: string): void {
    if (this.#gone) return;
    this.#failed = true;
    this.#say(why);
    this.#set(XenbusStateClosing);
    this.#look();
  }

  /** Ends it without asking the front end. */
  async end(): Promise<void> {
    this.#gone = true;
    for (const unwatch of this.#unwatch.splice(0)) unwatch();
    await this.#idle();
    await this.#disconnect();
  }

  /** As a toolstack's change of `online` and `state` asks: see removeDevice. */
  look(): void {
    this.#look();
  }

  // ---- following the front end

  #waiters: (() => void)[] = [];

  #idle(): Promise<void> {
    return this.#running ? new Promise((resolve) => this.#waiters.push(resolve)) : Promise.resolve();
  }

  #look(): void {
    this.#due = true;
    if (this.#running) return;
    this.#running = true;
    void this.#follow();
  }

  async #follow(): Promise<void> {
    try {
      while (this.#due && !this.#gone) await this.#followed();
    } finally {
      // In the same breath as the last look at `due`: who sets it afterwards begins anew.
      this.#running = false;
      for (const wake of this.#waiters.splice(0)) wake();
    }
  }

  async #followed(): Promise<void> {
    this.#due = false;
    try {
      await this.#step(stateOf(this.#store.find(`${this.#front}/state`)));
    } catch (error) {
      await this.#disconnect();
      this.#failed = true;
      if (this.#gone) return;
      this.#say((error as Error).message);
      this.#set(XenbusStateClosing);
    }
  }

  async #step(front: number): Promise<void> {
    if (this.#failed && front !== XenbusStateClosed && front !== XenbusStateInitialising && front !== 0) {
      await this.#disconnect();
      return;
    }
    switch (front) {
      case XenbusStateInitialising:
        await this.#disconnect();
        this.#failed = false;
        if (this.#offline) return this.#close();
        if (this.state !== XenbusStateInitWait) {
          this.#publish(this.#driver.features());
          this.#set(XenbusStateInitWait);
        }
        return;
      case XenbusStateInitialised:
      case XenbusStateConnected:
        if (!this.#connected && !this.#offline) await this.#connect();
        else if (this.#driver.twice && front === XenbusStateConnected && !this.#told) this.announce();
        this.#told = front === XenbusStateConnected;
        // Whatever has changed: a front end that changes it all the time has each look in turn with the others'.
        if (this.#connected) await this.#driver.changed?.((name) => this.#store.find(`${this.#front}/${name}`));
        return;
      case XenbusStateClosing:
        // It may be in use still, and is served until it is closed.
        if (this.state !== XenbusStateClosing) this.#set(XenbusStateClosing);
        return;
      case XenbusStateClosed:
        await this.#disconnect();
        this.#failed = false;
        return this.#close();
      default:
        // The node is gone, with its domain or by the toolstack; or it is no state at all.
        await this.#disconnect();
        if (this.#store.find(this.#front) === undefined) this.#end();
    }
  }

  get #offline(): boolean {
    return this.#store.find(`${this.#back}/online`) === '0';
  }

  #close(): void {
    if (this.state !== XenbusStateClosed) this.#set(XenbusStateClosed);
    if (this.#offline) this.#end();
  }

  #end(): void {
    this.#gone = true;
    for (const unwatch of this.#unwatch.splice(0)) unwatch();
    this.onGone();
  }

  async #connect(): Promise<void> {
    const settings = this.#store.transaction((tx) =>
      this.#driver.settings((name) => this.#store.find(`${this.#front}/${name}`, tx)),
    );
    this.#connected = true;
    this.#publish(await this.#driver.connect(settings));
    // It may have broken the protocol with its very first requests.
    if (!this.#gone && !this.#failed) this.#set(XenbusStateConnected);
  }

  async #disconnect(): Promise<void> {
    if (!this.#connected) return;
    this.#connected = false;
    await this.#driver.disconnect();
  }

  // ---- our own nodes

  #publish(nodes: Readonly<Record<string, string | number>>): void {
    if (this.#gone) return;
    this.#store.transaction((tx) => {
      if (this.#store.find(this.#back, tx) === undefined) return;
      for (const [name, value] of Object.entries(nodes)) this.#store.write(`${this.#back}/${name}`, String(value), tx);
    });
  }

  #set(state: number): void {
    this.#publish({ state });
  }

  /** Where Linux's back ends say it, too. */
  #say(why: string): void {
    const { backend, frontend, kind, device } = this.address;
    const place = `${domainPath(backend)}/error/backend/${kind}/${frontend}/${device}/error`;
    this.#store.write(place, why.slice(0, MAX_SENTENCE));
  }
}
