// `xl mem-set`, `mem-max`, `vcpu-*`: what a domain has.
import type { HostInfo, VcpuRow } from '../../toolstack/host/inquiries.ts';
import { seconds } from './list.ts';
import type { Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

/** Shifts from the unit to bytes. */
const UNITS: Readonly<Record<string, number>> = { b: 0, k: 10, m: 20, g: 30, t: 40 };

/** A size with a unit, MiB without one, in KiB; undefined if it is none. */
export function memoryKib(text: string): number | undefined {
  const match = /^(0x[0-9a-f]+|\d+)([bkmgt]?)$/i.exec(text);
  if (!match) return undefined;
  const bytes = Number(match[1]) * 2 ** UNITS[(match[2] || 'm').toLowerCase()]!;
  return Number.isSafeInteger(bytes) ? Math.floor(bytes / 1024) : undefined;
}

const memory =
  (method: string, what: string) =>
  async (xl: Xl, { args }: Given): Promise<number> => {
    const [name, size] = args as [string, string];
    const domid = await xl.domid(name);
    const kib = memoryKib(size);
    if (kib === undefined) throw new Failure(`invalid memory size: ${size}`);
    if (!xl.global.dryRun)
      await xl.must(method, { domid, kib }, 1, () => `cannot set domid ${domid} ${what} to : ${size}`);
    return 0;
  };

const HEAD = 'Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)';

export function vcpuRow(v: VcpuRow): string {
  const who = `${(v.name ?? '(null)').padEnd(32)} ${String(v.domid).padStart(5)} ${String(v.vcpu).padStart(5)}`;
  const where = v.online
    ? `${String(v.cpu).padStart(5)} ${(v.running ? 'r' : '-').padStart(3)}${v.blocked ? 'b' : '-'}- `
    : `${'-'.padStart(5)} ${'-'.padStart(3)}-p `;
  return `${who}${where.startsWith(' ') ? '' : ' '}${where}${seconds(v.cpuTime).padStart(9)}  all / all`;
}

async function vcpuList(xl: Xl, { args }: Given): Promise<number> {
  xl.out(HEAD);
  const wanted = args.length > 0 ? await Promise.all(args.map((arg) => xl.domid(arg))) : [undefined];
  for (const domid of wanted) {
    const rows = await xl.call<VcpuRow[]>('domain.vcpus', domid === undefined ? {} : { domid });
    if (rows.length === 0 && domid !== undefined) throw new Failure(`Error: Domain '${domid}' does not exist.`);
    for (const row of rows) xl.out(vcpuRow(row));
  }
  return 0;
}

async function vcpuSet(xl: Xl, { args, options }: Given): Promise<number> {
  const [name, text] = args as [string, string];
  const domid = await xl.domid(name);
  if (!/^\d+$/.test(text)) throw new Failure(`xl: '${text}' is no number of vCPUs.`);
  const count = Number(text);
  const { physical } = await xl.call<HostInfo>('host.info');
  if (count > physical.cpus && !options.has('ignore-host'))
    throw new Failure(
      `xl: ${count} vCPUs are more than the host's ${physical.cpus} pCPUs: --ignore-host gives them nevertheless.`,
    );
  if (!xl.global.dryRun) await xl.must('domain.vcpu-set', { domid, count });
  return 0;
}

/** `all`, `-` (as it is: null), or a list like `0,2-4,^3`; a mask of pCPUs. */
export function cpuMask(text: string, cpus: number): number | null {
  if (text === '-') return null;
  let mask = 0;
  for (const part of text.split(',')) {
    const match = /^(\^?)(?:(all)|(\d+)(?:-(\d+))?)$/.exec(part);
    if (!match) throw new Failure(`xl: '${text}' is no list of pCPUs: write all, -, or numbers like 0,2-4,^3.`);
    const [, not, all, from, to = from] = match;
    for (let cpu = all ? 0 : Number(from); cpu <= (all ? cpus - 1 : Math.min(Number(to), cpus - 1)); cpu++)
      mask = not ? mask & ~(1 << cpu) : mask | (1 << cpu);
  }
  if (mask === 0) throw new Failure(`xl: none of the host's ${cpus} pCPUs is in '${text}'.`);
  return mask >>> 0;
}

async function vcpuPin(xl: Xl, { args }: Given): Promise<number> {
  const [name, which, hard, soft = '-'] = args as [string, string, string, string?];
  const domid = await xl.domid(name);
  const all = await xl.call<VcpuRow[]>('domain.vcpus', { domid });
  if (which !== 'all' && !/^\d+$/.test(which)) throw new Failure(`xl: '${which}' is no vCPU: write a number or all.`);
  const chosen = all.filter(({ vcpu }) => which === 'all' || vcpu === Number(which));
  if (chosen.length === 0) throw new Failure(`xl: domain ${name} has no vCPU ${which}.`);
  const { physical } = await xl.call<HostInfo>('host.info');
  const masks = { hard: cpuMask(hard, physical.cpus), soft: cpuMask(soft, physical.cpus) };
  if (xl.global.dryRun) return 0;
  for (const { vcpu } of chosen) await xl.must('domain.pin', { domid, vcpu, ...masks });
  return 0;
}

export const RESOURCES: Verb[] = [
  {
    name: 'mem-set',
    usage: '<Domain> <Size[b|k|m|g|t]>',
    about: 'Ask a guest to use so much memory (MiB without a unit), and let it have no more',
    needs: 2,
    completes: 'domain',
    run: memory('domain.mem-set', 'dynamic max memory'),
  },
  {
    name: 'mem-max',
    usage: '<Domain> <Size[b|k|m|g|t]>',
    about: 'Set how much memory a domain may be given at most',
    needs: 2,
    completes: 'domain',
    run: memory('domain.mem-max', 'static max memory'),
  },
  {
    name: 'vcpu-list',
    usage: '[Domain ...]',
    about: 'Show the vCPUs of all domains, or of some',
    completes: 'domain',
    run: vcpuList,
  },
  {
    name: 'vcpu-set',
    usage: '[options] <Domain> <vCPUs>',
    about: 'Ask a guest to have so many vCPUs online',
    options: [{ short: 'i', long: 'ignore-host', help: 'More than the host has pCPUs, too.' }],
    needs: 2,
    completes: 'domain',
    run: vcpuSet,
  },
  {
    name: 'vcpu-pin',
    usage: '[options] <Domain> <VCPU|all> <Hard affinity|-|all> [<Soft affinity|-|all>]',
    about: 'Say on which pCPUs a vCPU may run: on a host with several it is all of them',
    options: [
      { short: 'f', long: 'force', help: 'Undo what the kernel has pinned: no guest can.' },
      { long: 'ignore-global-affinity-masks', help: 'There are no such masks.' },
    ],
    needs: 3,
    completes: 'domain',
    run: vcpuPin,
  },
];
