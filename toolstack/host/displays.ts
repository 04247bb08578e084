// A domain's screens, and where viewers find them.
import { GuestScreen } from '../../services/framebuffer/backend/screen.ts';
import { Pacer } from '../../services/rfb/backend/pacer.ts';
import { RfbServer } from '../../services/rfb/backend/server.ts';
import type { FramebufferOptions } from '../../services/xenops/framebuffers.ts';
import type { LocalClient } from '../../services/xenstore/protocol/client.ts';
import { domainPath } from '../../services/xenstore/protocol/path.ts';
import type { VfbConfig } from '../config/vfb.ts';
import { ERROR, Refused } from '../control/refused.ts';
import type { Domains } from './domains.ts';

const FIRST_PORT = 5900;
/** Displays that are tried until one is free. */
const TRIED = 100;

export class Display implements FramebufferOptions {
  readonly devid: number;
  readonly screen: GuestScreen;
  readonly server: RfbServer;
  readonly #config: VfbConfig;

  constructor(domains: Domains, name: string, config: VfbConfig, devid: number) {
    this.devid = devid;
    this.screen = new GuestScreen(name);
    this.#config = config;
    this.server = new RfbServer(this.screen, config.password, pacerOf(domains));
  }

  /** What libxl leaves for a device model; not the password, which the guest could read. */
  get notes(): Record<string, string | number> {
    const { vnc, listen, display, unused, keymap } = this.#config;
    return {
      ...{
        vnc: Number(vnc),
        vnclisten: listen,
        vncdisplay: display ?? 0,
        vncunused: Number(unused),
        sdl: 0,
        opengl: 0,
      },
      ...(keymap !== undefined && { keymap }),
    };
  }

  async open(): Promise<void> {
    const { vnc, listen, display = 0, unused } = this.#config;
    if (!vnc) return;
    for (let n = display; ; n++)
      try {
        return await this.server.listen({ host: listen, port: FIRST_PORT + n });
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code !== 'EADDRINUSE' || !unused || n + 1 >= display + TRIED) throw error;
      }
  }

  /** Where `xl vncviewer` of Xen looks. */
  publish(store: LocalClient, domid: number): void {
    const { address } = this.server;
    if (!address || this.devid > 0) return;
    store.write(`${domainPath(domid)}/console/vnc-listen`, address.host);
    store.write(`${domainPath(domid)}/console/vnc-port`, String(address.port));
  }

  /** The domain is gone. */
  close(): void {
    this.server.close();
  }
}

/** One for all displays of a host: together they take no more than their share of its thread. */
const pacers = new WeakMap<Domains, Pacer>();
export function pacerOf(domains: Domains): Pacer {
  let pacer = pacers.get(domains);
  if (!pacer) pacers.set(domains, (pacer = new Pacer()));
  return pacer;
}

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'that is in use: give another vncdisplay, or vncunused=1',
  EADDRNOTAVAIL: 'this machine has no such address',
  EACCES: 'the host may not do that',
};

/** All or none. */
export async function openDisplays(domains: Domains, name: string, configs: readonly VfbConfig[]): Promise<Display[]> {
  const opened: Display[] = [];
  for (const [devid, config] of configs.entries()) {
    const display = new Display(domains, name, config, devid);
    opened.push(display);
    try {
      await display.open();
    } catch (error) {
      for (const each of opened) each.close();
      const { code = '', message } = error as NodeJS.ErrnoException;
      const at = `${config.listen} display ${config.display ?? 0}`;
      throw new Refused(`vfb: no VNC server at ${at}: ${WHY[code] ?? message}.`, ERROR.FAIL);
    }
  }
  return opened;
}

/** Of a domain's first screen that is served. */
export function displayAddress(domains: Domains, domid: number): { host: string; port: number } {
  const { displays } = domains.find(domid);
  const address = displays.map(({ server }) => server.address).find((each) => each !== undefined);
  if (address) return address;
  throw new Refused(
    `Domain ${domid} has no VNC display: vfb=["vnc=1"] in its configuration gives it one.`,
    ERROR.INVAL,
  );
}
