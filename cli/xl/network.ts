// Verbs of network interfaces: network-attach, -list, -detach.
import { ConfigError } from '../../toolstack/config/index.ts';
import { parseVif, type VifConfig } from '../../toolstack/config/vif.ts';
import type { NicFacts } from '../../services/xenops/vifs.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

const HEAD = 'Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path                       ';

function described(xl: Xl, words: readonly string[]): VifConfig {
  try {
    return parseVif(words.join(','), (text) => xl.error(text));
  } catch (error) {
    throw error instanceof ConfigError ? new Failure(`xl: ${error.message}`) : error;
  }
}

async function attach(xl: Xl, { args: [given, ...words] }: Given): Promise<number> {
  const domid = await xl.domid(given!);
  const vif = described(xl, words);
  if (xl.global.dryRun) xl.out(`vif: ${JSON.stringify(vif)}`);
  else await xl.must('nic.attach', { domid, vif });
  return 0;
}

async function detach(xl: Xl, { args, options }: Given): Promise<number> {
  const [given, which] = args as [string, string];
  const domid = await xl.domid(given);
  const force = options.has('force') || xl.global.force;
  if (!xl.global.dryRun) await xl.must('nic.detach', { domid, which, force });
  return 0;
}

async function list(xl: Xl, { args }: Given): Promise<number> {
  xl.out(HEAD);
  for (const arg of args) {
    const domid = await xl.domid(arg);
    if (domid === 0) continue;
    for (const { devid, backend, mac, state, evtchn, tx, rx, path } of await xl.must<NicFacts[]>('nic.list', {
      domid,
    })) {
      const rings = `${(tx || '-1').padStart(5)}/${(rx || '-1').padEnd(11)}`;
      const ids = [String(devid).padEnd(3), String(backend).padEnd(2), mac.padEnd(17)];
      xl.out([...ids, String(devid).padStart(6), String(state).padStart(5), (evtchn || '-1').padStart(6), rings, path].join(' ')); // prettier-ignore
    }
  }
  return 0;
}

export const NETWORK: Verb[] = [
  {
    name: 'network-list',
    usage: '<Domain(s)>',
    about: "Show a domain's network interfaces",
    needs: 1,
    completes: 'domain',
    run: list,
  },
  {
    name: 'network-attach',
    usage: '<Domain> [mac=MAC] [bridge=NETWORK] [ip=ADDRESS] [rate=RATE] [vlan=VLAN] ...',
    about: 'Give a domain a network interface',
    needs: 1,
    completes: 'domain',
    run: attach,
  },
  {
    name: 'network-detach',
    usage: '<Domain> <DevId|mac>',
    about: 'Take a network interface from a domain',
    options: [{ short: 'f', long: 'force', help: 'Do not wait until the guest has let it go.' }],
    needs: 2,
    completes: 'domain',
    run: detach,
  },
];
