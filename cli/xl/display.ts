// Verbs of displays: vncviewer, vkb-list.
import type { KeyboardFacts } from '../../services/xenops/framebuffers.ts';
import type { Xl } from './context.ts';
import type { Given, Verb } from './verb.ts';

const HEAD = 'Idx BE handle state evt-ch ref ID BE-path';

/** As viewers take it, with the port behind two colons. */
export async function viewerAddress(xl: Xl, domid: number): Promise<string> {
  const { host, port } = await xl.must<{ host: string; port: number }>('display.address', { domid });
  return host.includes(':') ? `[${host}]::${port}` : `${host}::${port}`;
}

async function vncviewer(xl: Xl, { args }: Given): Promise<number> {
  xl.out(await viewerAddress(xl, await xl.domid(args[0]!)));
  return 0;
}

async function keyboards(xl: Xl, { args }: Given): Promise<number> {
  xl.out(HEAD);
  for (const arg of args) {
    const domid = await xl.domid(arg);
    if (domid === 0) continue;
    for (const { devid, backend, state, evtchn, ref, path } of await xl.must<KeyboardFacts[]>('keyboard.list', { domid })) // prettier-ignore
      xl.out([String(devid).padEnd(3), backend, String(devid).padStart(6), String(state).padStart(5), (evtchn || '-1').padStart(6), ref || '-1', devid, path].join(' ')); // prettier-ignore
  }
  return 0;
}

export const DISPLAY: Verb[] = [
  {
    name: 'vncviewer',
    usage: '<Domain>',
    about: "Say where a VNC viewer finds a domain's screen: HOST::PORT, as viewers take it",
    options: [
      { long: 'autopass', help: 'No effect: the password is for the person who has written it down.' },
      { long: 'vncviewer-autopass', help: 'The same.' },
    ],
    needs: 1,
    completes: 'domain',
    run: vncviewer,
  },
  {
    name: 'vkb-list',
    usage: '<Domain(s)>',
    about: "Show a domain's keyboards: each screen has one",
    needs: 1,
    completes: 'domain',
    run: keyboards,
  },
];
