// The nodes a toolstack lays out for a host and for each domain: libxl's names, value formats, permissions and order.
import type { LocalClient } from './protocol/client.ts';
import { domainPath } from './protocol/path.ts';

export interface DomainDescription {
  domid: number;
  name: string;
  uuid: string;
  type: 'pvh' | 'pv' | 'hvm';
  /** Of a PV guest: how wide its addresses are; none: 64. */
  bits?: 32 | 64;
  /** KiB the domain starts with, and may grow to. */
  memory: number;
  maxMemory?: number;
  /** One entry a vCPU: online at boot or not. */
  vcpus: readonly boolean[];
  /** Seconds since the epoch. */
  startTime: number;
  store: RingDescription;
  console: RingDescription & ConsoleDescription;
  /** Entries of /vm/UUID/image, for a domain that was built from files. */
  image?: Readonly<Record<string, string>>;
}

/** Where a guest finds a ring: a guest frame number and an event channel port. */
export interface RingDescription {
  ringRef: number;
  port: number;
}

export interface ConsoleDescription {
  backendDomid?: number;
  /** Bytes the console daemon keeps for a slow reader. */
  limit?: number;
  tty?: string;
}

export interface TreeNode {
  path: string;
  value: string;
  /** Absent: as inherited, which is dom0's own. */
  perms?: readonly string[];
}

export const CONSOLE_LIMIT = 1048576;

/** Nodes the guest may write, each a child of its own directory. */
const GUEST_CONTROL = ['shutdown', 'feature-poweroff', 'feature-reboot', 'feature-suspend', 'sysrq'];
const GUEST_DIRECTORIES = ['data', 'drivers', 'feature', 'attr', 'error'];

const paths = (description: DomainDescription) => {
  const { domid, uuid } = description;
  const backend = description.console.backendDomid ?? 0;
  return {
    home: domainPath(domid),
    vm: `/vm/${uuid}`,
    libxl: `/libxl/${domid}`,
    consoleBackend: `${domainPath(backend)}/backend/console/${domid}/0`,
    backend,
  };
};

/** All nodes of a domain, in the order libxl creates them. */
export function domainNodes(description: DomainDescription): TreeNode[] {
  const { domid } = description;
  const { home, vm, libxl } = paths(description);
  const readable = [`n0`, `r${domid}`];
  const own = [`n${domid}`];
  const at =
    (base: string, perms: readonly string[]) =>
    (rows: Record<string, string>): TreeNode[] =>
      Object.entries(rows).map(([name, value]) => ({ path: name ? `${base}/${name}` : base, value, perms }));
  const guest = at(home, readable);
  const guestOwn = at(home, own);
  const memory = String(description.memory);
  return [
    ...guest({ '': '' }),
    ...at(vm, readable)({ '': '' }),
    { path: libxl, value: '' },
    { path: `${libxl}/device`, value: '' },
    ...guest({ vm, name: description.name }),
    ...at(vm, readable)({ name: description.name }),
    ...guest({ cpu: '' }),
    ...description.vcpus.flatMap((online, index) =>
      guest({ [`cpu/${index}`]: '', [`cpu/${index}/availability`]: online ? 'online' : 'offline' }),
    ),
    ...guest({ memory: '', 'memory/static-max': String(description.maxMemory ?? description.memory) }),
    ...guest({ 'memory/target': memory, 'memory/videoram': '0', device: '', 'device/suspend': '' }),
    ...guestOwn({ 'device/suspend/event-channel': '' }),
    ...guest({ control: '' }),
    ...GUEST_CONTROL.flatMap((name) => guestOwn({ [`control/${name}`]: '' })),
    ...guest({
      'control/platform-feature-multiprocessor-suspend': '1',
      'control/platform-feature-xs_reset_watches': '1',
    }),
    ...GUEST_DIRECTORIES.flatMap((name) => guestOwn({ [name]: '' })),
    ...at(vm, readable)({ uuid: description.uuid, ...imageRows(description) }),
    ...at(vm, readable)({ start_time: description.startTime.toFixed(2) }),
    ...guest({ domid: String(domid), store: '', 'store/port': String(description.store.port) }),
    ...guest({ 'store/ring-ref': String(description.store.ringRef) }),
    ...consoleNodes(description),
    { path: `${libxl}/type`, value: description.type },
    { path: `${libxl}/dm-version`, value: 'qemu_xen' },
  ];
}

function imageRows(description: DomainDescription): Record<string, string> {
  const rows = Object.entries(description.image ?? {});
  return rows.length === 0
    ? {}
    : { image: '', ...Object.fromEntries(rows.map(([key, value]) => [`image/${key}`, value])) };
}

/** The primary console: front end in the domain's home, back end in the console service's, and libxl's own notes. */
function consoleNodes(description: DomainDescription): TreeNode[] {
  const { domid, console } = description;
  const { home, libxl, consoleBackend, backend } = paths(description);
  const readable = [`n${backend}`, `r${domid}`];
  const front = `${home}/console`;
  const shared: [string, string][] = [
    ['frontend', front],
    ['frontend-id', String(domid)],
    ['online', '1'],
    ['state', '1'],
    ['protocol', 'vt100'],
  ];
  const notes = [shared[0]!, ['backend', consoleBackend] as const, ...shared.slice(1)];
  const visible: [string, string][] = [
    ['limit', String(console.limit ?? CONSOLE_LIMIT)],
    ['type', 'xenconsoled'],
    ['output', 'pty'],
    ...(console.tty === undefined ? [] : [['tty', console.tty] as [string, string]]),
    ['port', String(console.port)],
    ['ring-ref', String(console.ringRef)],
  ];
  const guestReadable = ['n0', `r${domid}`];
  return [
    ...notes.map(([name, value]) => ({ path: `${libxl}/device/console/0/${name}`, value })),
    { path: front, value: '', perms: guestReadable },
    { path: `${front}/backend`, value: consoleBackend, perms: guestReadable },
    { path: `${front}/backend-id`, value: String(backend), perms: [`n${domid}`, `r${backend}`] },
    ...visible.map(([name, value]) => ({ path: `${front}/${name}`, value, perms: guestReadable })),
    { path: consoleBackend, value: '', perms: readable },
    ...shared.map(([name, value]) => ({ path: `${consoleBackend}/${name}`, value, perms: readable })),
  ];
}

/** What a host's store holds before the first guest. */
export const hostNodes = (): TreeNode[] => [
  { path: '/tool/xenstored', value: '' },
  { path: `${domainPath(0)}/domid`, value: '0' },
  { path: `${domainPath(0)}/name`, value: 'Domain-0' },
  { path: '/local/pool/0/name', value: 'Pool-0' },
  { path: '/vm', value: '' },
  { path: '/libxl', value: '' },
];

/** Writes nodes in one transaction: watchers see all of them or none. */
export function writeNodes(client: LocalClient, nodes: readonly TreeNode[]): void {
  client.transaction((tx) => {
    for (const { path, value, perms } of nodes) {
      client.write(path, value, tx);
      if (perms) client.setPerms(path, perms, tx);
    }
  });
}

/** Removes what domainNodes() made; directories of the back end that end up empty go too, as libxl does. */
export function removeDomain(
  client: LocalClient,
  description: Pick<DomainDescription, 'domid' | 'uuid' | 'console'>,
): void {
  const { home, vm, libxl, consoleBackend } = paths(description as DomainDescription);
  client.transaction((tx) => {
    const remove = (path: string) => client.find(path, tx) !== undefined && client.remove(path, tx);
    remove(consoleBackend);
    let parent = consoleBackend.slice(0, consoleBackend.lastIndexOf('/'));
    while (
      parent.includes('/backend') &&
      client.find(parent, tx) !== undefined &&
      client.list(parent, tx).length === 0
    ) {
      client.remove(parent, tx);
      parent = parent.slice(0, parent.lastIndexOf('/'));
    }
    for (const path of [vm, home, libxl]) remove(path);
  });
}
