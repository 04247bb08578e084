import { test } from 'node:test';
import assert from 'node:assert/strict';
import type { DomainDescription } from './domain_tree.ts';
import { domainNodes, hostNodes, removeDomain, writeNodes } from './domain_tree.ts';
import { LocalClient } from './protocol/client.ts';
import { formatPerm } from './protocol/perms.ts';
import { Store } from './protocol/store.ts';
import { walk } from './protocol/tree.ts';
import { RawClient } from './testing.ts';

const UUID = '2abd4c57-eb69-44cf-bc5a-dbf6e4eaaa24';
const MPVH: DomainDescription = {
  domid: 4,
  name: 'mpvh',
  uuid: UUID,
  type: 'pvh',
  memory: 32768,
  vcpus: [true],
  startTime: 1795403832.83,
  store: { port: 1, ringRef: 1044476 },
  console: { port: 2, ringRef: 1044479, tty: '/dev/pts/0' },
};

// The nodes of a one-vCPU PVH domain as Xen 4.17's xl leaves them (its Mini-OS guest writes none), in `xenstore-ls -f -p` form.
// turned into path|value|permissions; a lone `=` stands for n0,r4.
const XL_4_17 = `
/local/domain/0/backend||n0
/local/domain/0/backend/console||n0
/local/domain/0/backend/console/4||n0
/local/domain/0/backend/console/4/0||=
/local/domain/0/backend/console/4/0/frontend|/local/domain/4/console|=
/local/domain/0/backend/console/4/0/frontend-id|4|=
/local/domain/0/backend/console/4/0/online|1|=
/local/domain/0/backend/console/4/0/state|1|=
/local/domain/0/backend/console/4/0/protocol|vt100|=
/local/domain/4||=
/local/domain/4/vm|/vm/${UUID}|=
/local/domain/4/name|mpvh|=
/local/domain/4/cpu||=
/local/domain/4/cpu/0||=
/local/domain/4/cpu/0/availability|online|=
/local/domain/4/memory||=
/local/domain/4/memory/static-max|32768|=
/local/domain/4/memory/target|32768|=
/local/domain/4/memory/videoram|0|=
/local/domain/4/device||=
/local/domain/4/device/suspend||=
/local/domain/4/device/suspend/event-channel||n4
/local/domain/4/control||=
/local/domain/4/control/shutdown||n4
/local/domain/4/control/feature-poweroff||n4
/local/domain/4/control/feature-reboot||n4
/local/domain/4/control/feature-suspend||n4
/local/domain/4/control/sysrq||n4
/local/domain/4/control/platform-feature-multiprocessor-suspend|1|=
/local/domain/4/control/platform-feature-xs_reset_watches|1|=
/local/domain/4/data||n4
/local/domain/4/drivers||n4
/local/domain/4/feature||n4
/local/domain/4/attr||n4
/local/domain/4/error||n4
/local/domain/4/domid|4|=
/local/domain/4/store||=
/local/domain/4/store/port|1|=
/local/domain/4/store/ring-ref|1044476|=
/local/domain/4/console||=
/local/domain/4/console/backend|/local/domain/0/backend/console/4/0|=
/local/domain/4/console/backend-id|0|n4,r0
/local/domain/4/console/limit|1048576|=
/local/domain/4/console/type|xenconsoled|=
/local/domain/4/console/output|pty|=
/local/domain/4/console/tty|/dev/pts/0|=
/local/domain/4/console/port|2|=
/local/domain/4/console/ring-ref|1044479|=
/vm/${UUID}||=
/vm/${UUID}/name|mpvh|=
/vm/${UUID}/uuid|${UUID}|=
/vm/${UUID}/start_time|1795403832.83|=
/libxl/4||n0
/libxl/4/device||n0
/libxl/4/device/console||n0
/libxl/4/device/console/0||n0
/libxl/4/device/console/0/frontend|/local/domain/4/console|n0
/libxl/4/device/console/0/backend|/local/domain/0/backend/console/4/0|n0
/libxl/4/device/console/0/frontend-id|4|n0
/libxl/4/device/console/0/online|1|n0
/libxl/4/device/console/0/state|1|n0
/libxl/4/device/console/0/protocol|vt100|n0
/libxl/4/type|pvh|n0
/libxl/4/dm-version|qemu_xen|n0`;

const HOST = ['/', '/tool', '/tool/xenstored', '/local', '/local/domain', '/local/domain/0', '/local/domain/0/domid'];
HOST.push('/local/domain/0/name', '/local/pool', '/local/pool/0', '/local/pool/0/name', '/vm', '/libxl');

const dump = (store: Store): string[] =>
  [...walk(store.tree, '/')]
    .filter(([path]) => !HOST.includes(path))
    .map(([path, node]) => `${path}|${node.value}|${node.perms.map(formatPerm).join(',')}`);

test('a PVH domain has the nodes, values, permissions and order of xl', () => {
  const store = new Store();
  const client = new LocalClient(store);
  writeNodes(client, hostNodes());
  writeNodes(client, domainNodes(MPVH));
  const expected = XL_4_17.trim().replaceAll('|=', '|n0,r4').split('\n');
  assert.deepEqual(dump(store), expected);
  assert.deepEqual(store.check(), []);
  removeDomain(client, MPVH);
  assert.deepEqual(dump(store), []);
  assert.deepEqual(client.list('/local/domain/0'), ['domid', 'name']);
});

test('vCPUs, image entries, a console service in a domain of its own', () => {
  const client = new LocalClient(new Store());
  const console = { ...MPVH.console, backendDomid: 2 };
  writeNodes(client, domainNodes({ ...MPVH, console, vcpus: [true, true, false], image: { ostype: 'linux' } }));
  const availability = [0, 1, 2].map((cpu) => client.read(`/local/domain/4/cpu/${cpu}/availability`));
  assert.deepEqual(availability, ['online', 'online', 'offline']);
  assert.equal(client.read(`/vm/${UUID}/image/ostype`), 'linux');
  assert.deepEqual(client.perms('/local/domain/2/backend/console/4/0/state'), ['n2', 'r4']);
  assert.deepEqual(client.perms('/local/domain/4/console/backend-id'), ['n4', 'r2']);
});

test('the usage of a Linux guest equals what the C daemon reports for the same nodes and watches', () => {
  const store = new Store();
  const client = new LocalClient(store);
  writeNodes(client, domainNodes({ ...MPVH, domid: 1 }));
  const guest = new RawClient(store, 1);
  for (const name of ['feature-poweroff', 'feature-reboot', 'feature-suspend']) guest.write(`control/${name}`, '1');
  guest.write('attr/a', '1');
  guest.write('attr/b', '1');
  guest.chmod('attr/b', ['n1', 'w0']);
  guest.rm('data');
  // The six watches of a Linux guest without devices; its tokens are kernel addresses of 16 digits.
  const watched = ['cpu', 'device', 'memory/target', 'control/shutdown', 'control/sysrq', 'backend'];
  for (const name of watched) assert.equal(guest.watch(name, 'ffff888003a1b2c0'), 'OK\0');
  const usage = guest.connection.watches.size;
  const domain = store.domains.peek(1)!;
  assert.deepEqual([domain.nodes, usage, domain.memory + domain.watchMemory], [13, 6, 1079]);
});

test('a guest of that tree can do what Linux does at boot, and no more', () => {
  const store = new Store();
  const client = new LocalClient(store);
  writeNodes(client, hostNodes());
  writeNodes(client, domainNodes(MPVH));
  const guest = new RawClient(store, 4);
  assert.equal(guest.read('domid'), '4');
  assert.equal(guest.read('control/platform-feature-xs_reset_watches'), '1');
  assert.equal(guest.read('memory/target'), '32768');
  assert.equal(guest.ls('device'), 'suspend\0');
  client.write('/local/domain/4/control/shutdown', 'poweroff');
  const tx = guest.begin();
  assert.equal(guest.read('control/shutdown', tx), 'poweroff');
  assert.equal(guest.write('control/shutdown', '', tx), 'OK\0');
  assert.equal(guest.end(tx), 'OK\0');
  assert.equal(guest.write('device/foo', 'v'), 'EACCES');
  assert.equal(guest.ls('/vm'), 'EACCES');
  assert.equal(guest.ls('/libxl'), 'EACCES');
  assert.equal(guest.read(`/vm/${UUID}/name`), 'mpvh');
});
