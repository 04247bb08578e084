// What becomes of a domain that has stopped: on_poweroff, on_reboot and their like, as xl's own daemon carries them out.
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_soft_reset,
  SHUTDOWN_suspend,
  SHUTDOWN_watchdog,
} from '../../spec/abi/constants.ts';
import { crashReport } from '../../services/report/crash.ts';
import type { Action, DomainConfig } from '../config/index.ts';
import { createWithDevices } from './nics.ts';
import type { Domain, Domains } from './domains.ts';
import { fileName } from './state.ts';

/** A guest that stops sooner after its start than this is started again only then: a loop of crashes must not eat the host. */
const SHORTEST_LIFE_MS = 1000;

export function actionFor(config: DomainConfig, reason: number): Action {
  switch (reason) {
    case SHUTDOWN_poweroff:
      return config.onPoweroff;
    case SHUTDOWN_reboot:
      return config.onReboot;
    case SHUTDOWN_suspend:
      // Nobody saved it: it is there for who wants to resume or destroy it.
      return 'preserve';
    case SHUTDOWN_watchdog:
      return config.onWatchdog;
    case SHUTDOWN_soft_reset:
      return config.onSoftReset;
    case SHUTDOWN_crash:
    default:
      // libxl: a reason that nobody knows is no better than a crash.
      return config.onCrash;
  }
}

export class LifeCycle {
  readonly #domains: Domains;
  readonly #dump: (domain: Domain, path: string) => Promise<void>;
  readonly #dumpFolder: string;
  #stopped = false;

  constructor(domains: Domains, dumpFolder: string, dump: (domain: Domain, path: string) => Promise<void>) {
    this.#domains = domains;
    this.#dumpFolder = dumpFolder;
    this.#dump = dump;
    domains.onShutdown = (domain, reason) => this.#shutdown(domain, reason);
  }

  /** The host ends: nothing is started again. */
  stop(): void {
    this.#stopped = true;
  }

  #shutdown(domain: Domain, reason: number): void {
    const { domid, name } = domain;
    const action = domain.unattended ? 'preserve' : actionFor(domain.config, reason);
    this.#domains.log(`domain ${domid} '${name}' has shut down, reason ${reason}: ${action}`);
    // What it looked like is lost with it.
    if (reason === SHUTDOWN_crash)
      for (const line of crashReport(this.#domains.host.machine, domid).trimEnd().split('\n')) this.#domains.log(line);
    this.#domains.tell({ domid, what: 'shutdown', reason, action });
    if (this.#stopped) return;
    this.#act(domain, action).catch((error: unknown) => {
      this.#domains.log(`domain ${domid} '${name}': ${action} failed: ${(error as Error).message}`);
      this.#domains.tell({ domid, what: 'preserved' });
    });
  }

  async #act(domain: Domain, action: Action): Promise<void> {
    const { domid } = domain;
    if (action === 'preserve') return this.#domains.tell({ domid, what: 'preserved' });
    if (action === 'destroy') return this.#domains.destroy(domid);
    if (action === 'soft-reset')
      throw new Error('a soft reset is not supported yet; destroy the domain, or set another on_soft_reset');
    if (action.startsWith('coredump-')) await this.#core(domain);
    if (action.endsWith('restart')) await this.#oldEnough(domain);
    // Somebody may have destroyed it meanwhile: that ends the matter.
    if (this.#stopped || this.#domains.peek(domid) !== domain) return;
    if (action === 'rename-restart') await this.#renameRestart(domain);
    else {
      this.#domains.destroy(domid, action !== 'coredump-destroy');
      if (action !== 'coredump-destroy') await this.#again(domid, domain.config, domain.source);
    }
  }

  async #oldEnough(domain: Domain): Promise<void> {
    const wait = domain.created + SHORTEST_LIFE_MS - Date.now();
    if (wait > 0) await sleep(wait, undefined, { ref: false });
  }

  async #core(domain: Domain): Promise<void> {
    const stamp = new Date().toISOString().replace(/\..*/, '').replaceAll(':', '');
    const path = join(this.#dumpFolder, `${stamp}-${fileName(domain.name)}.${domain.domid}.core`);
    await this.#dump(domain, path);
    this.#domains.log(`domain ${domain.domid} '${domain.name}': core dumped to ${path}`);
  }

  /** The old one stays, under another name: `NAME-1`, or the first number that is free. */
  #renameRestart(domain: Domain): Promise<void> {
    const { domid, name, config, source } = domain;
    let n = 1;
    while (this.#domains.named(`${name}-${n}`) !== undefined) n++;
    this.#domains.rename(domid, `${name}-${n}`);
    // Its disks, its channels' sockets and its displays' ports are its successor's.
    this.#domains.host.disks.forget(domid);
    for (const device of [...domain.channels, ...domain.displays]) device.close();
    return this.#again(domid, { ...config, name, uuid: undefined }, source);
  }

  async #again(domid: number, config: DomainConfig, source: string): Promise<void> {
    try {
      const how = { source, paused: false, unattended: false };
      const fresh = await createWithDevices(this.#domains, config, how);
      this.#domains.tell({ domid, what: 'restarted', successor: fresh.domid });
    } catch (error) {
      this.#domains.log(`domain '${config.name}' is not started again: ${(error as Error).message}`);
      this.#domains.tell({ domid, what: 'preserved' });
    }
  }
}
