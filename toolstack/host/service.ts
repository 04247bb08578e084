// The host's own calls, and its end.
import { uptime } from 'node:process';
import type { BlockService } from '../../services/block/backend/service.ts';
import type { NetworkService } from '../../services/network/backend/service.ts';
import type { Methods } from '../control/server.ts';
import { ERROR, Refused } from '../control/refused.ts';
import type { Domains } from './domains.ts';
import { knowsShutdown, requestShutdown } from './guest_control.ts';
import type { LifeCycle } from './lifecycle.ts';
import type { Paths } from './state.ts';

export interface HostStatus {
  pid: number;
  state: string;
  version: string;
  /** Seconds since it was started. */
  uptime: number;
  /** Bytes of machine memory for domains, and how many of them are free. */
  memory: number;
  free: number;
  domains: number;
  log: string;
  xenstored: string;
}

export interface HostFacts {
  paths: Paths;
  version: string;
  memory: number;
}

/** A service whose code is a worker of its own. */
export interface ServiceStatus {
  name: string;
  domid: number;
  state: 'running' | 'starting';
  devices: number;
  restarts: number;
  /** For how long nobody served at the last restart. */
  gapMs: number;
}

/** Guests that do not end by then are ended. */
const DOWN_MS = 30_000;

export function hostMethods(domains: Domains, lifeCycle: LifeCycle, facts: HostFacts, end: () => void): Methods {
  return {
    'host.status': (): HostStatus => ({
      pid: process.pid,
      state: facts.paths.folder,
      version: facts.version,
      uptime: uptime(),
      memory: facts.memory,
      free: domains.calls.freeBytes(),
      domains: domains.size,
      log: facts.paths.log,
      xenstored: facts.paths.xenstored,
    }),
    'service.list': (): ServiceStatus[] => services(domains),
    'service.restart': async ({ name }) => {
      const service = running(domains).find(({ supervisor }) => supervisor.name === name);
      if (!service)
        throw new Refused(`there is no service '${String(name)}': \`xenolith service list\` shows what there is.`);
      await service.supervisor.restart();
    },
    'host.down': async (params) => {
      const timeout = params.timeoutMs ?? DOWN_MS;
      if (typeof timeout !== 'number' || !(timeout >= 0)) throw new Refused('timeoutMs takes a number.', ERROR.INVAL);
      await endAll(domains, lifeCycle, timeout);
      end();
      return { pid: process.pid };
    },
  };
}

/** They come with the first guest that needs them. */
function running({ host }: Domains): (BlockService | NetworkService)[] {
  return [host.disks.service, host.vifs.service].filter((service) => service !== undefined);
}

function services(domains: Domains): ServiceStatus[] {
  return running(domains).map(({ supervisor, devices }) => {
    const { name, domain, alive, restarts, gap } = supervisor;
    return { name, domid: domain.domid, state: alive ? 'running' : 'starting', devices, restarts, gapMs: gap };
  });
}

/** Asks the guests that know how to shut down to do so, and destroys what is there after `timeout` ms. */
export async function endAll(domains: Domains, lifeCycle: LifeCycle, timeout: number): Promise<void> {
  lifeCycle.stop();
  const asked =
    timeout === 0 ? [] : [...domains].filter((d) => d.ended === undefined && knowsShutdown(domains, d.domid));
  if (asked.length > 0) {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeout)));
    await Promise.race([late, Promise.all(asked.map(({ domid }) => stopped(domains, domid)))]);
    clearTimeout(timer);
  }
  for (const { domid } of [...domains]) domains.destroy(domid);
}

function stopped(domains: Domains, domid: number): Promise<void> {
  return new Promise((resolve) => {
    const unlisten = domains.listen((happening) => {
      if (happening.domid !== domid) return;
      unlisten();
      resolve();
    });
    // One that does not answer is ended by the time-out; one that is gone has been heard of.
    requestShutdown(domains, domid, 'poweroff').catch(() => {});
  });
}
