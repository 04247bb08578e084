// `xl channel-list`.
import type { ChannelFacts } from '../../services/xenops/consoles.ts';
import type { Xl } from './context.ts';
import type { Given, Verb } from './verb.ts';

const HEAD = 'Idx BE state evt-ch ring-ref connection params';

async function list(xl: Xl, { args }: Given): Promise<number> {
  xl.out(HEAD);
  for (const arg of args) {
    const domid = await xl.domid(arg);
    if (domid === 0) continue;
    const channels = await xl.must<ChannelFacts[]>('channel.list', { domid });
    for (const { devid, backend, state, evtchn, ringRef, connection, path } of channels) {
      const ids = [String(devid).padEnd(3), String(backend).padEnd(2), String(state).padEnd(5)];
      const ring = [(evtchn || '-1').padEnd(6), (ringRef || '-1').padEnd(8)];
      xl.out([...ids, ...ring, connection.padEnd(10), path].join(' ').trimEnd());
    }
  }
  return 0;
}

export const CHANNEL: Verb[] = [
  {
    name: 'channel-list',
    usage: '<Domain(s)>',
    about: "Show a domain's channels: those of a pty are reached by `xl console -n Idx`",
    needs: 1,
    completes: 'domain',
    run: list,
  },
];
