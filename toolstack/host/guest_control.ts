// Requests to a guest by its control nodes: it answers by clearing the node (docs/misc/xenstore-paths of Xen, control/shutdown).
import { domainPath } from '../../services/xenstore/protocol/path.ts';
import { ERROR, Refused } from '../control/refused.ts';
import type { Domains } from './domains.ts';

/** libxl's own limit for a guest to take notice. */
const ANSWER_MS = 60_000;

/** Asks for `poweroff` or `reboot`; resolves when the guest has taken the request, or is gone. */
export async function requestShutdown(domains: Domains, domid: number, what: 'poweroff' | 'reboot'): Promise<void> {
  const { ended, name } = domains.find(domid);
  if (ended !== undefined)
    throw new Refused(`Domain ${domid} '${name}' has shut down already: \`xl destroy\` removes it.`);
  const path = `${domainPath(domid)}/control/shutdown`;
  domains.store.write(path, what);
  const answered = await until(domains, domid, path, (value) => value !== what);
  if (!answered)
    throw new Refused(
      `the guest has not answered within ${ANSWER_MS / 1000} seconds: it may not know the request; \`xl destroy\` ends it.`,
      ERROR.GUEST_TIMEDOUT,
    );
}

function until(domains: Domains, domid: number, path: string, done: (value: string) => boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (answer: boolean): void => {
      clearTimeout(timer);
      unlisten();
      unwatch();
      resolve(answer);
    };
    const timer = setTimeout(() => finish(false), ANSWER_MS);
    const unlisten = domains.listen((happening) => {
      if (happening.domid === domid && happening.what !== 'restarted') finish(true);
    });
    const unwatch = domains.store.watch(path, () => {
      const value = domains.store.find(path);
      if (value === undefined || done(value)) finish(true);
    });
  });
}

/** A guest with a driver for it says so when it starts. */
export const knowsShutdown = (domains: Domains, domid: number): boolean =>
  domains.store.find(`${domainPath(domid)}/control/feature-poweroff`) === '1';

export function sendSysrq(domains: Domains, domid: number, key: string): void {
  domains.find(domid);
  domains.store.write(`${domainPath(domid)}/control/sysrq`, key);
}
