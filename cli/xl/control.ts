// Verbs that change what a domain does.
import { Refused } from '../../toolstack/control/refused.ts';
import type { Happening } from '../../toolstack/host/domains.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

/** A verb whose one argument is a domain. As in Xen a failure is told, and the exit code is 0 once the domain's name is known. */
const simple =
  (method: string) =>
  async (xl: Xl, { args }: Given): Promise<number> => {
    const domid = await xl.domid(args[0]!);
    if (!xl.global.dryRun) await xl.tell(method, { domid });
    return 0;
  };

async function destroy(xl: Xl, { args, options }: Given): Promise<number> {
  const domid = await xl.domid(args[0]!);
  if (domid === 0 && !options.has('f')) throw new Failure('xl: Domain-0 is the host itself: `xenolith down` ends it.');
  if (!xl.global.dryRun) await xl.must('domain.destroy', { domid }, 1, (code) => `destroy failed (rc=${code})`);
  return 0;
}

async function rename(xl: Xl, { args }: Given): Promise<number> {
  const [given, name] = args as [string, string];
  const domid = await xl.domid(given);
  if (!xl.global.dryRun) await xl.must('domain.rename', { domid, name }, 1, () => `Can't rename domain '${given}'.`);
  return 0;
}

/** `shutdown` and `reboot` differ in what the guest is asked for. */
const ask =
  (method: string, doing: string, failed: string) =>
  async (xl: Xl, { args, options }: Given): Promise<number> => {
    const all = options.has('all');
    if (!all && args.length === 0) throw new Failure('You must specify -a or a domain id.\n');
    const domids = all
      ? (await xl.domains()).filter((d) => d.domid !== 0 && d.name !== null && d.shutdown === null).map((d) => d.domid)
      : [await xl.domid(args[0]!)];
    const client = await xl.host();
    const waiting = options.has('wait') ? followed(xl, domids) : undefined;
    const results = domids.map(async (domid) => {
      xl.error(`${doing} domain ${domid}`);
      try {
        if (!xl.global.dryRun) await client.call(method, { domid });
        return 0;
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        xl.error(`xl: ${error.message}\n${failed} failed (rc=${error.code})`);
        return 1;
      }
    });
    if ((await Promise.all(results)).some((code) => code !== 0)) return 1;
    if (waiting) {
      xl.error(`Waiting for ${domids.length} domains`);
      await waiting;
    }
    return 0;
  };

/** Says of each domain how it ended, and ends with the last one. */
async function followed(xl: Xl, domids: number[]): Promise<void> {
  const tell = (event: unknown): void => {
    const { domid, what, reason } = event as Happening;
    if (what === 'shutdown') xl.error(`Domain ${domid} has been shut down, reason code ${reason}`);
    else if (what === 'destroyed') xl.error(`Domain ${domid} has been destroyed`);
  };
  if (domids.length > 0) await (await xl.host()).call('domain.follow', { domids, until: 'shutdown' }, { event: tell });
}

async function sysrq(xl: Xl, { args }: Given): Promise<number> {
  const [name, key] = args as [string, string];
  const domid = await xl.domid(name);
  if (key.length !== 1) throw new Failure(`xl: a sysrq is one letter, not '${key}'.`);
  await xl.tell('domain.sysrq', { domid, key });
  return 0;
}

const domainVerb = (name: string, about: string): Verb => ({
  name,
  usage: '<Domain>',
  about,
  needs: 1,
  completes: 'domain',
  run: simple(`domain.${name}`),
});

const asking = (name: string, about: string, doing: string): Verb => ({
  name,
  usage: '[options] <-a|Domain>',
  about,
  options: [
    { short: 'a', long: 'all', help: 'All guests.' },
    { short: 'w', long: 'wait', help: `Wait until the guests have done it.` },
    { short: 'F', help: 'For HVM guests without PV drivers; others are asked as always.' },
  ],
  completes: 'domain',
  run: ask(`domain.${name}`, doing, name),
});

export const CONTROL: Verb[] = [
  domainVerb('pause', 'Stop a domain; it keeps its memory'),
  domainVerb('unpause', 'Let a paused domain run on'),
  asking('shutdown', 'Ask a guest to shut down', 'Shutting down'),
  asking('reboot', 'Ask a guest to reboot', 'Rebooting'),
  {
    name: 'destroy',
    usage: '[options] <Domain>',
    about: 'End a domain at once',
    options: [{ short: 'f', help: 'Even Domain-0; that cannot be done on this host.' }],
    needs: 1,
    completes: 'domain',
    run: destroy,
  },
  {
    name: 'rename',
    usage: '<Domain> <NewDomainName>',
    about: 'Give a domain another name',
    needs: 2,
    completes: 'domain',
    run: rename,
  },
  {
    name: 'sysrq',
    usage: '<Domain> <letter>',
    about: 'Send a guest a magic system request',
    needs: 2,
    completes: 'domain',
    run: sysrq,
  },
];
