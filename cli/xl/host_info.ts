// `xl info`, `dmesg`, `debug-keys`, `uptime`: what the host says of itself.
import {
  XEN_SCHEDULER_CREDIT,
  XEN_SCHEDULER_CREDIT2,
  XEN_SCHEDULER_NULL,
  XEN_SYSCTL_PHYSCAP_directio,
  XEN_SYSCTL_PHYSCAP_gnttab_v1,
  XEN_SYSCTL_PHYSCAP_gnttab_v2,
  XEN_SYSCTL_PHYSCAP_hap,
  XEN_SYSCTL_PHYSCAP_hvm,
  XEN_SYSCTL_PHYSCAP_pv,
  XEN_SYSCTL_PHYSCAP_shadow,
  XEN_SYSCTL_PHYSCAP_vmtrace,
} from '../../spec/abi/constants.ts';
import type { HostInfo } from '../../toolstack/host/inquiries.ts';
import { nameOf } from './list.ts';
import type { ListedDomain, Xl } from './context.ts';
import { Failure, type Given, type Verb } from './verb.ts';

const PAGES_PER_MIB = 256;

/** The scheduler's name as libxl spells it; the host's own is none of Xen's. */
export const schedulerName = (id: number): string =>
  ({ [XEN_SCHEDULER_CREDIT]: 'credit', [XEN_SCHEDULER_CREDIT2]: 'credit2', [XEN_SCHEDULER_NULL]: 'null' })[id] ?? 'rr';

const CAPABILITIES: [string, number][] = [
  ['pv', XEN_SYSCTL_PHYSCAP_pv],
  ['hvm', XEN_SYSCTL_PHYSCAP_hvm],
  ['hvm_directio', XEN_SYSCTL_PHYSCAP_directio],
  ['hap', XEN_SYSCTL_PHYSCAP_hap],
  ['shadow', XEN_SYSCTL_PHYSCAP_shadow],
  ['vmtrace', XEN_SYSCTL_PHYSCAP_vmtrace],
  ['gnttab-v1', XEN_SYSCTL_PHYSCAP_gnttab_v1],
  ['gnttab-v2', XEN_SYSCTL_PHYSCAP_gnttab_v2],
];

export const line = (name: string, value: string | number): string => `${name.padEnd(23)}: ${value}`;

function physical({ physical: p }: HostInfo): string[] {
  const has = CAPABILITIES.filter(([, bit]) => p.capabilities & bit).map(([name]) => name);
  return [
    line('nr_cpus', p.cpus),
    line('max_cpu_id', p.maxCpu),
    line('nr_nodes', p.nodes),
    line('cores_per_socket', p.coresPerSocket),
    line('threads_per_core', p.threadsPerCore),
    line('cpu_mhz', (p.khz / 1000).toFixed(3)),
    line('hw_caps', p.hwCaps.map((word) => word.toString(16).padStart(8, '0')).join(':')),
    line('virt_caps', has.join(' ')),
    line('total_memory', Math.floor(p.totalPages / PAGES_PER_MIB)),
    line('free_memory', Math.floor(p.freePages / PAGES_PER_MIB)),
    // Domains share no memory, and claim none before they get it.
    line('sharing_freed_memory', 0),
    line('sharing_used_memory', 0),
    line('outstanding_claims', Math.floor(p.outstandingPages / PAGES_PER_MIB)),
    line('free_cpus', 0),
  ];
}

function numa({ physical: p }: HostInfo): string[] {
  const cpus = Array.from({ length: p.cpus }, (_, cpu) => {
    const [core, socket] = [cpu % p.coresPerSocket, Math.floor(cpu / p.coresPerSocket)];
    return `${String(cpu).padStart(3)}:  ${String(core).padStart(6)}   ${String(socket).padStart(6)}   ${String(0).padStart(6)}`;
  });
  const [total, free] = [p.totalPages, p.freePages].map((n) => String(Math.floor(n / PAGES_PER_MIB)).padStart(6));
  return [
    'cpu_topology           :',
    'cpu:    core    socket     node',
    ...cpus,
    'device topology        :',
    'device           node',
    'No device topology data available',
    'numa_info              :',
    'node:    memsize    memfree    distances',
    `   0:    ${total}     ${free}      10`,
  ];
}

function xen({ version: v, scheduler }: HostInfo): string[] {
  return [
    line('xen_major', v.major),
    line('xen_minor', v.minor),
    line('xen_extra', v.extra),
    line('xen_version', `${v.major}.${v.minor}${v.extra}`),
    line('xen_caps', v.capabilities),
    line('xen_scheduler', schedulerName(scheduler)),
    line('xen_pagesize', v.pageSize),
    line('platform_params', `virt_start=0x${v.virtStart}`),
    line('xen_changeset', v.changeset),
    line('xen_commandline', v.commandline),
    line('cc_compiler', v.compiler),
    line('cc_compile_by', v.compileBy),
    line('cc_compile_domain', v.compileDomain),
    line('cc_compile_date', v.compileDate),
    // There is no linker's note in a WebAssembly module.
    line('build_id', ''),
    line('xend_config_format', 4),
  ];
}

async function info(xl: Xl, { options, args }: Given): Promise<number> {
  const known = await xl.call<HostInfo>('host.info');
  const { system } = known;
  const lines = [
    line('host', system.host),
    line('release', system.release),
    line('version', system.version),
    line('machine', system.machine),
    ...physical(known),
    ...(options.has('numa') ? numa(known) : []),
    ...xen(known),
  ];
  const [name] = args;
  if (name === undefined) for (const each of lines) xl.out(each);
  else {
    const found = lines.find((each) => each.startsWith(`${name.padEnd(23)}: `));
    if (found === undefined) throw new Failure(`xl: info has no line '${name}'; 'xl info' shows them all.`);
    xl.out(found.slice(25));
  }
  return 0;
}

async function dmesg(xl: Xl, { options }: Given): Promise<number> {
  xl.io.out(await xl.call<string>('host.console', { clear: options.has('c') }));
  return 0;
}

async function debugKeys(xl: Xl, { args }: Given): Promise<number> {
  await xl.must('host.debug-keys', { keys: args[0] }, 1, () => 'cannot send debug keys');
  return 0;
}

/** `1 days,  2:03:04`; the short form has no seconds. */
export function span(seconds: number, short: boolean): string {
  const s = Math.max(0, Math.floor(seconds));
  const pad = (n: number, fill: string): string => String(n).padStart(2, fill);
  const days = Math.floor(s / 86400);
  const time = `${pad(Math.floor(s / 3600) % 24, ' ')}:${pad(Math.floor(s / 60) % 60, '0')}`;
  return `${days > 0 ? `${days} days, ` : ''}${time}${short ? '' : `:${pad(s % 60, '0')}`}`;
}

async function uptime(xl: Xl, { options, args }: Given): Promise<number> {
  const short = options.has('s');
  const domains = args.length > 0 ? await Promise.all(args.map((arg) => xl.domain(arg))) : await xl.domains();
  const host = (await xl.call<HostInfo>('host.info')).uptime;
  const now = Date.now() / 1000;
  if (!short) xl.out('Name                                ID Uptime');
  const clock = new Date().toTimeString().slice(0, 8);
  const row = (d: ListedDomain): string => {
    const up = span(d.domid === 0 ? host : now - (d.startTime ?? now), short);
    if (short) return ` ${clock} up ${up}, ${nameOf(d)} (${d.domid})`;
    return `${nameOf(d).padEnd(33)} ${String(d.domid).padStart(4)} ${up}`;
  };
  for (const d of domains) xl.out(row(d));
  return 0;
}

async function parameters(_xl: Xl, { args }: Given): Promise<number> {
  throw new Failure(`xl: this hypervisor has no parameters that can be set while it runs: '${args[0]}' is not known.`);
}

export const HOST_INFO: Verb[] = [
  {
    name: 'info',
    usage: '[-n|--numa] [Name]',
    about: 'Show what the host is and has, or the value of one line',
    options: [{ short: 'n', long: 'numa', help: 'Show the NUMA nodes too.' }],
    run: info,
  },
  {
    name: 'dmesg',
    usage: '[-c]',
    about: "Show the hypervisor's console",
    options: [{ short: 'c', help: 'Clear it too.' }],
    run: dmesg,
  },
  {
    name: 'debug-keys',
    usage: '<Keys>',
    about: 'Make the hypervisor tell of itself on its console; key h shows the keys',
    needs: 1,
    run: debugKeys,
  },
  {
    name: 'uptime',
    usage: '[-s] [Domain ...]',
    about: 'Show how long domains have been there',
    options: [{ short: 's', help: 'In one line each, with the time.' }],
    completes: 'domain',
    run: uptime,
  },
  {
    name: 'set-parameters',
    usage: '<Params>',
    about: 'Set hypervisor parameters (there are none)',
    needs: 1,
    run: parameters,
  },
];
