import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Store } from './store.ts';
import { MESSAGES } from './messages.ts';
import { XS } from './wire.ts';
import { RawClient } from '../testing.ts';

const OK = 'OK\0';

/** dom0 and two guests with homes of their own, laid out as a toolstack does. */
function world(options: ConstructorParameters<typeof Store>[0] = {}) {
  const store = new Store(options);
  const dom0 = new RawClient(store, 0);
  const guest = (domid: number) => {
    dom0.write(`/local/domain/${domid}`, '');
    dom0.chmod(`/local/domain/${domid}`, ['n0', `r${domid}`]);
    for (const name of ['data', 'attr']) {
      dom0.write(`/local/domain/${domid}/${name}`, '');
      dom0.chmod(`/local/domain/${domid}/${name}`, [`n${domid}`]);
    }
    dom0.write(`/local/domain/${domid}/name`, `guest${domid}`);
    dom0.chmod(`/local/domain/${domid}/name`, ['n0', `r${domid}`]);
    return new RawClient(store, domid);
  };
  return { store, dom0, one: guest(1), two: guest(2) };
}

test('every message of the public header has a row, and only those', () => {
  const served = [...MESSAGES.keys()].sort((a, b) => a - b);
  assert.deepEqual(served, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19, 21, 22, 23, 24, 25, 26]);
  for (const [type, row] of MESSAGES) assert.equal(XS[row.name as keyof typeof XS], type);
});

test('unknown and unserved messages are ENOSYS', () => {
  const { dom0 } = world();
  const types = [XS.WATCH_EVENT, XS.ERROR, 20, 27, XS.INVALID];
  for (const type of types) assert.equal(dom0.ask(type, 'x\0'), 'ENOSYS');
});

test('read, write, mkdir, rm, directory', () => {
  const { dom0 } = world();
  assert.equal(dom0.write('/ref/a', 'hello'), OK);
  assert.equal(dom0.read('/ref/a'), 'hello');
  assert.equal(dom0.read('/ref'), '');
  assert.equal(dom0.read('/ref/b'), 'ENOENT');
  dom0.write('/ref/c', '2');
  dom0.write('/ref/b', '1\0binary\xff');
  assert.equal(dom0.read('/ref/b'), '1\0binary\xff');
  assert.equal(dom0.ls('/ref'), 'a\0c\0b\0', 'in order of creation');
  assert.equal(dom0.ls('/ref/a'), '');
  assert.equal(dom0.ls('/no/such'), 'ENOENT');
  assert.equal(dom0.mkdir('/ref/a'), OK);
  assert.equal(dom0.read('/ref/a'), 'hello', 'mkdir of what exists changes nothing');
  assert.equal(dom0.mkdir('/ref/d/e'), OK);
  assert.equal(dom0.read('/ref/d/e'), '');
  assert.equal(dom0.rm('/ref/zz'), OK, 'a missing leaf is fine');
  assert.equal(dom0.rm('/no/such/key'), 'ENOENT');
  assert.equal(dom0.rm('/'), 'EINVAL');
  assert.equal(dom0.rm('/ref'), OK);
  assert.equal(dom0.read('/ref/d/e'), 'ENOENT');
});

test('malformed arguments are EINVAL', () => {
  const { dom0 } = world();
  const cases: [number, string[]][] = [
    [XS.READ, ['', '/a', '/a\0b\0', '\0']],
    [XS.DIRECTORY, ['/a', '']],
    [XS.WRITE, ['/a', '']],
    [XS.WATCH, ['/a\0', '/a\0t', '', '/a\0t\0x\0', '/a\0t\x001\x002\0', '@foo\0t\0', '@releaseDomain/x\0t\0']],
    [XS.UNWATCH, ['/a\0']],
    [XS.SET_PERMS, ['/\0', '/\0x0\0', '/\0n\0', '/\0nx\0', '/\0n0', '/\0n99999\0', '@foo\0n0\0', '']],
    [XS.TRANSACTION_END, ['', 'X\0', 'T']],
    [XS.INTRODUCE, ['1\0', '1\x005\x000\0', '0\x005\x006\0', 'x\x005\x006\0', '1\0-5\x006\0', '40000\x001\x001\0']],
    [XS.RELEASE, ['', '0\0', 'x\0']],
    [XS.GET_DOMAIN_PATH, ['', 'x\0', '-1\0', '32768\0']],
    [XS.IS_DOMAIN_INTRODUCED, ['', 'x\0']],
    [XS.RESUME, ['0\0']],
    [XS.SET_TARGET, ['1\0', '0\x001\0']],
    [XS.DIRECTORY_PART, ['/\0', '/\0x\0']],
    [XS.CONTROL, ['', 'bogus\0', 'toString\0', 'print\0', 'quota\0set\0x\x001\0', 'quota\0set\0nodes\0x\0']],
  ];
  for (const [type, payloads] of cases) {
    for (const payload of payloads)
      assert.equal(dom0.ask(type, payload), 'EINVAL', `${type} ${JSON.stringify(payload)}`);
  }
});

test('paths', () => {
  const { dom0, one } = world();
  const bad = [
    '/bad path',
    '/bad//path',
    '/trail/',
    '',
    '/ref/!',
    '@releaseDomain',
    '@foo',
    'a/',
    '//',
    '/\xe9',
    '/a\n',
  ];
  for (const path of bad) assert.equal(dom0.write(path, 'x'), 'EINVAL', JSON.stringify(path));
  assert.equal(dom0.write('/ref/a@b_c-d', 'x'), OK);
  assert.equal(dom0.write('relative', 'x'), OK);
  assert.equal(dom0.read('/local/domain/0/relative'), 'x');
  assert.equal(one.read('name'), 'guest1');
  assert.equal(dom0.write(`/${'a'.repeat(3071)}`, ''), OK);
  assert.equal(dom0.write(`/${'a'.repeat(3072)}`, ''), 'EINVAL');
  assert.equal(dom0.write('a'.repeat(2048), ''), OK);
  assert.equal(dom0.write('a'.repeat(2049), ''), 'EINVAL');
  assert.equal(one.read(`/local/domain/1/${'a'.repeat(2048)}`), 'ENOENT');
  assert.equal(one.read(`/${'a'.repeat(2048)}`), 'EINVAL', 'a guest names at most 2048 bytes');
  assert.equal(one.read(`/${'a'.repeat(2047)}`), 'EACCES');
});

test('what a guest may and may not do with its own and others', () => {
  const { dom0, one, two } = world();
  assert.equal(one.ls('/'), 'EACCES');
  assert.equal(one.read('/local/domain/0/name'), 'EACCES');
  assert.equal(one.read('/local/domain/2/name'), 'EACCES');
  assert.equal(one.read('/no/such'), 'EACCES', 'what is missing below closed parents is not told');
  assert.equal(one.read('nosuch'), 'ENOENT', 'its home is readable');
  assert.equal(one.write('name', 'x'), 'EACCES');
  assert.equal(one.write('foo', 'x'), 'EACCES');
  assert.equal(one.write('data/k', 'v'), OK);
  assert.equal(one.getPerms('data/k'), 'n1\0');
  assert.equal(one.rm('data/nosuch'), OK);
  assert.equal(one.rm('nosuch/a'), 'EACCES');
  assert.equal(one.rm('name'), 'EACCES');
  assert.equal(one.chmod('data', ['n0']), 'EPERM', 'ownership is not given away');
  assert.equal(one.chmod('data/k', ['n1', 'w0']), OK);
  assert.equal(one.chmod('name', ['n1']), 'EACCES');
  assert.equal(dom0.read('/local/domain/1/data/k'), 'v', 'dom0 passes');
  assert.equal(two.read('/local/domain/1/data/k'), 'EACCES');
  assert.equal(one.chmod('data/k', ['n1', 'r2']), OK);
  assert.equal(two.read('/local/domain/1/data/k'), 'v');
  assert.equal(two.write('/local/domain/1/data/k', 'w'), 'EACCES');
  assert.equal(one.chmod('data/k', ['w1']), OK, 'the first entry is the default for others');
  assert.equal(two.read('/local/domain/1/data/k'), 'EACCES');
  assert.equal(two.write('/local/domain/1/data/k', 'w'), OK);
  assert.equal(one.chmod('data/k', ['b1', 'n2']), OK);
  assert.equal(two.read('/local/domain/1/data/k'), 'EACCES', 'a listed domain does not get the default');
  assert.equal(one.read('data/k'), 'w', 'the owner always may');
  assert.equal(one.rm('data'), OK);
  assert.equal(one.write('data/again', 'x'), 'EACCES');
});

test('each permission letter, as default and as entry', () => {
  const { dom0, two } = world();
  const rights = { n: [false, false], r: [true, false], w: [false, true], b: [true, true] };
  for (const [letter, [mayRead, mayWrite]] of Object.entries(rights)) {
    for (const perms of [[`${letter}0`], ['n0', `${letter}2`], ['b0', 'n1', `${letter}2`, 'b2']]) {
      dom0.write('/p', 'v');
      assert.equal(dom0.chmod('/p', perms), OK);
      assert.equal(dom0.getPerms('/p'), `${perms.join('\0')}\0`);
      assert.equal(two.read('/p'), mayRead ? 'v' : 'EACCES', perms.join());
      assert.equal(two.write('/p', 'w'), mayWrite ? OK : 'EACCES', perms.join());
      assert.equal(two.chmod('/p', ['n2']), 'EACCES');
    }
  }
});

test('new nodes inherit; the creator owns what a guest makes', () => {
  const { dom0, one, two } = world();
  dom0.write('/shared', '');
  dom0.chmod('/shared', ['r0', 'b1', 'n2']);
  assert.equal(one.write('/shared/x/y', '1'), OK);
  assert.equal(dom0.getPerms('/shared/x'), 'r1\0b1\0n2\0');
  assert.equal(dom0.getPerms('/shared/x/y'), 'r1\0b1\0n2\0');
  dom0.write('/shared/z', '1');
  assert.equal(dom0.getPerms('/shared/z'), 'r0\0b1\0n2\0');
  assert.equal(two.read('/shared/z'), 'EACCES');
});

test('permissions name domains that exist, and end with them', () => {
  const living = new Set([1, 2, 3]);
  const { store, dom0, two } = world({ domainExists: (domid) => living.has(domid) });
  dom0.write('/b', 'v');
  assert.equal(dom0.chmod('/b', ['n77']), 'ENOENT');
  assert.equal(dom0.chmod('/b', ['n0', 'r77', 'r2', 'r3']), OK);
  assert.equal(two.read('/b'), 'v');
  store.domainDestroyed(2);
  assert.equal(store.connections.has(two.connection), false);
  const reborn = new RawClient(store, 2);
  assert.equal(reborn.read('/b'), 'EACCES', 'a later domain of that id inherits nothing');
  dom0.write('/b', 'w');
  assert.equal(reborn.read('/b'), 'EACCES', 'nor after the node is written anew');
  living.add(77);
  assert.equal(new RawClient(store, 77).read('/b'), 'EACCES');
  assert.equal(new RawClient(store, 3).read('/b'), 'w');
  dom0.chmod('/b', ['n0', 'r2']);
  assert.equal(reborn.read('/b'), 'w');
});

test('a domain takes its nodes along, with all below them', () => {
  const { store, dom0, one } = world();
  dom0.write('/ref/a/deep', 'x');
  dom0.chmod('/ref/a', ['n1', 'r0']);
  one.write('data/k', 'v');
  store.domainDestroyed(1);
  assert.equal(dom0.ls('/ref'), '');
  assert.equal(dom0.ls('/local/domain/1'), 'name\0');
  assert.deepEqual(store.check(), []);
});

test('a device model passes where its target does', () => {
  const { dom0, one, two } = world();
  one.write('data/k', 'v');
  assert.equal(dom0.ask(XS.SET_TARGET, '2\x001\0'), 'ENOENT', 'both must be introduced');
  dom0.ask(XS.INTRODUCE, '1\x005\x007\0');
  dom0.ask(XS.INTRODUCE, '2\x005\x008\0');
  assert.equal(two.read('/local/domain/1/data/k'), 'EACCES');
  assert.equal(dom0.ask(XS.SET_TARGET, '2\x001\0'), OK);
  assert.equal(two.read('/local/domain/1/data/k'), 'v');
  assert.equal(two.write('/local/domain/1/data/k', 'w'), OK);
  assert.equal(one.read('/local/domain/2/data'), 'EACCES');
});

test('domain messages and special events', () => {
  const introduced: number[][] = [];
  const { store, dom0, one, two } = world({ onIntroduce: (...args) => introduced.push(args) });
  dom0.watch('@introduceDomain', 'i');
  dom0.watch('@releaseDomain', 'r');
  dom0.watch('@releaseDomain/1', 'r1');
  dom0.watch('@releaseDomain/2', 'r2');
  dom0.ask(XS.WATCH, '@releaseDomain\0deep\x001\0');
  one.watch('@releaseDomain', 'mine');
  assert.equal(dom0.takeEvents().length, 5);
  assert.deepEqual(one.takeEvents(), ['@releaseDomain mine'], 'the first event comes whatever one may read');
  assert.equal(dom0.ask(XS.IS_DOMAIN_INTRODUCED, '1\0'), 'F\0');
  assert.equal(dom0.ask(XS.INTRODUCE, '1\x001044476\x001\0'), OK);
  assert.equal(dom0.ask(XS.INTRODUCE, '1\x001044476\x003\0'), OK, 'again: only the port changes');
  assert.deepEqual(introduced, [
    [1, 1044476, 1],
    [1, 1044476, 3],
  ]);
  assert.deepEqual(dom0.takeEvents(), ['@introduceDomain i']);
  assert.equal(one.ask(XS.IS_DOMAIN_INTRODUCED, '1\0'), 'T\0');
  assert.equal(one.ask(XS.GET_DOMAIN_PATH, '7\0'), '/local/domain/7\0');
  store.domainShutdown(1);
  store.domainShutdown(1);
  const events = ['@releaseDomain r', '@releaseDomain/1 deep', '@releaseDomain/1 r1'];
  assert.deepEqual(dom0.takeEvents(), events, 'told once');
  assert.deepEqual(one.takeEvents(), [], 'guests are not told unless permitted');
  assert.equal(dom0.ask(XS.RESUME, '1\0'), OK);
  assert.equal(two.getPerms('@releaseDomain'), 'EACCES');
  assert.equal(two.chmod('@releaseDomain', ['n2']), 'EACCES');
  assert.equal(dom0.chmod('@releaseDomain', ['n0', 'r1']), OK);
  assert.equal(dom0.getPerms('@releaseDomain'), 'n0\0r1\0');
  store.domainShutdown(1);
  assert.deepEqual(one.takeEvents(), ['@releaseDomain mine']);
  dom0.takeEvents();
  assert.equal(dom0.ask(XS.RELEASE, '1\0'), OK);
  assert.deepEqual(dom0.takeEvents(), events);
  assert.equal(dom0.getPerms('@releaseDomain'), 'n0\0', 'the dead domain is off the list');
  assert.equal(dom0.ask(XS.RELEASE, '1\0'), 'ENOENT');
  for (const type of [XS.CONTROL, XS.INTRODUCE, XS.RELEASE, XS.RESUME, XS.SET_TARGET]) {
    assert.equal(two.ask(type, '1\0'), 'EACCES');
  }
});

test('watches fire for the node, below it, and when a parent goes', () => {
  const { dom0, store } = world();
  const tool = new RawClient(store, 0);
  for (const path of ['/ref/w', '/ref/w/k', '/ref/w/k/deep']) tool.watch(path, path.length.toString());
  assert.deepEqual(tool.takeEvents(), ['/ref/w 6', '/ref/w/k 8', '/ref/w/k/deep 13']);
  dom0.write('/ref/w/k', '1');
  assert.deepEqual(tool.takeEvents(), ['/ref/w/k 6', '/ref/w/k 8']);
  dom0.write('/ref/other', '1');
  dom0.chmod('/ref', ['n0']);
  assert.deepEqual(tool.takeEvents(), []);
  dom0.write('/ref/w/k/deep', '1');
  tool.takeEvents();
  dom0.rm('/ref/w');
  assert.deepEqual(tool.takeEvents(), ['/ref/w/k/deep 13', '/ref/w/k 8', '/ref/w 6']);
  dom0.mkdir('/ref/w');
  dom0.mkdir('/ref/w');
  assert.deepEqual(tool.takeEvents(), ['/ref/w 6']);
  assert.equal(tool.watch('/ref/w', '6'), 'EEXIST');
  assert.equal(tool.unwatch('/ref/w', 'x'), 'ENOENT');
  assert.equal(tool.unwatch('/ref/w', '6'), OK);
  dom0.write('/ref/w', '1');
  assert.deepEqual(tool.takeEvents(), []);
});

test('a watch of the root, with depth, relative, and its order against answers', () => {
  const { dom0, one } = world();
  dom0.watch('/', 'root');
  dom0.ask(XS.WATCH, '/\0two\x002\0');
  dom0.ask(XS.WATCH, '/a\0one\x001\0');
  dom0.ask(XS.WATCH, '/a\0zero\x000\0');
  dom0.takeEvents();
  dom0.write('/a', '');
  assert.deepEqual(dom0.takeEvents(), ['/a root', '/a two', '/a one', '/a zero']);
  dom0.write('/a/b', '');
  assert.deepEqual(dom0.takeEvents(), ['/a/b root', '/a/b two', '/a/b one']);
  dom0.write('/a/b/c', '');
  assert.deepEqual(dom0.takeEvents(), ['/a/b/c root']);
  one.watch('data', 'rel');
  one.watch('/local/domain/1/data', 'abs');
  one.write('data/w', '1');
  assert.deepEqual(one.takeEvents(), [
    'data rel',
    '/local/domain/1/data abs',
    'data/w rel',
    '/local/domain/1/data/w abs',
  ]);
});

test('events reach only those who may read the node, its past, or its parent', () => {
  const { dom0, one } = world();
  dom0.write('/secret/k', '1');
  one.watch('/secret', 's');
  one.watch('/local/domain/0', 'd');
  assert.equal(one.takeEvents().length, 2);
  dom0.write('/secret/k', '2');
  dom0.write('/local/domain/0/x', '2');
  assert.deepEqual(one.takeEvents(), []);
  dom0.chmod('/secret/k', ['n0', 'r1']);
  dom0.write('/secret/k', '3');
  assert.deepEqual(one.takeEvents(), ['/secret/k s'], 'equal events that wait are one');
  dom0.chmod('/secret/k', ['n0']);
  assert.deepEqual(one.takeEvents(), ['/secret/k s'], 'the loss of access is told');
  dom0.chmod('/secret/k', ['n0', 'r1']);
  one.takeEvents();
  dom0.rm('/secret/k');
  assert.deepEqual(one.takeEvents(), ['/secret/k s']);
  dom0.chmod('/secret', ['r0']);
  one.takeEvents();
  dom0.write('/secret/closed', '');
  dom0.chmod('/secret/closed', ['n0']);
  one.takeEvents();
  dom0.write('/secret/closed', '1');
  assert.deepEqual(one.takeEvents(), ['/secret/closed s'], 'a readable parent shows that a child changed');
});

test('RESET_WATCHES ends watches and transactions', () => {
  const { dom0, one } = world();
  one.watch('data', 't');
  const tx = one.begin();
  one.takeEvents();
  assert.equal(one.ask(XS.RESET_WATCHES, '\0'), OK);
  dom0.write('/local/domain/1/data', 'x');
  assert.deepEqual(one.takeEvents(), []);
  assert.equal(one.end(tx), 'ENOENT');
});

test('a directory too long for one answer is E2BIG, and read in parts', () => {
  const { dom0 } = world();
  const names = Array.from({ length: 700 }, (_, i) => `child-number-${i}`);
  for (const name of names) dom0.write(`/big/${name}`, '');
  assert.equal(dom0.ls('/big'), 'E2BIG');
  let list = '';
  let generation: string | undefined;
  for (let parts = 0; !list.endsWith('\0\0'); parts++) {
    assert.ok(parts < 10);
    const answer = dom0.ask(XS.DIRECTORY_PART, `/big\0${list.length}\0`);
    const cut = answer.indexOf('\0') + 1;
    generation ??= answer.slice(0, cut);
    assert.equal(answer.slice(0, cut), generation);
    assert.ok(answer.length <= 4096);
    list += answer.slice(cut);
  }
  assert.deepEqual(list.slice(0, -2).split('\0'), names);
  dom0.write('/big/one-more', '');
  assert.notEqual(dom0.ask(XS.DIRECTORY_PART, '/big\x000\0').split('\0')[0], generation!.slice(0, -1));
  assert.match(dom0.ask(XS.DIRECTORY_PART, '/big\x0099999\0'), /^\d+\0\0$/);
  dom0.mkdir('/empty');
  assert.match(dom0.ask(XS.DIRECTORY_PART, '/empty\x000\0'), /^\d+\0\0$/);
});

test('control', () => {
  const printed: string[] = [];
  const { dom0, store } = world({ onPrint: (text) => printed.push(text) });
  assert.equal(dom0.ask(XS.CONTROL, 'print\0hello\0'), OK);
  assert.deepEqual(printed, ['hello']);
  assert.equal(dom0.ask(XS.CONTROL, 'check\0'), OK);
  store.domains.peek(1)!.nodes++;
  assert.match(dom0.ask(XS.CONTROL, 'check\0'), /domain 1/);
  assert.match(dom0.ask(XS.CONTROL, 'quota\0'), /^Quota settings:\nnodes {12}: {5}1000 .*\nwatches/);
  assert.equal(dom0.ask(XS.CONTROL, 'quota\0set\0nodes\x0050\0'), OK);
  assert.equal(store.quotas.nodes, 50);
  assert.match(dom0.ask(XS.CONTROL, 'quota\x001\0'), /^Domain 1:\nnodes {11}: {8}3\nwatches/);
  assert.equal(dom0.ask(XS.CONTROL, 'quota\x0099\0'), 'ENOENT');
});

test('features: what the store can do, and what one domain is told, until its ring is in use', () => {
  const { dom0, one } = world({ domainExists: (domid) => domid < 9 });
  assert.equal(dom0.ask(XS.GET_FEATURE, '\0'), '7\0');
  assert.equal(dom0.ask(XS.GET_FEATURE), '7\0');
  assert.equal(dom0.ask(XS.SET_FEATURE, '5\x001\0'), OK);
  assert.equal(dom0.ask(XS.GET_FEATURE, '5\0'), '1\0');
  assert.equal(dom0.ask(XS.GET_FEATURE, '6\0'), '7\0');
  assert.equal(dom0.ask(XS.SET_FEATURE, '5\x008\0'), 'EINVAL');
  assert.equal(dom0.ask(XS.SET_FEATURE, '9\x001\0'), 'ENOENT');
  dom0.ask(XS.INTRODUCE, '5\x001\x001\0');
  assert.equal(dom0.ask(XS.SET_FEATURE, '5\x003\0'), 'EBUSY');
  for (const type of [XS.GET_FEATURE, XS.GET_QUOTA]) assert.equal(one.ask(type, '\0'), 'EACCES');
  for (const type of [XS.SET_FEATURE, XS.SET_QUOTA]) assert.equal(one.ask(type, '1\x001\0'), 'EACCES');
});

test("quotas: everybody's and one domain's own; 0 is none", () => {
  const { dom0, one, two, store } = world({ domainExists: (domid) => domid < 9 });
  const names = dom0.ask(XS.GET_QUOTA, '\0').slice(0, -1).split(' ');
  for (const name of ['nodes', 'watches', 'transactions', 'node-size', 'permissions']) assert.ok(names.includes(name));
  for (const name of names) assert.match(dom0.ask(XS.GET_QUOTA, `${name}\0`), /^\d+\0$/);
  assert.equal(dom0.ask(XS.SET_QUOTA, 'watches\x002\0'), OK);
  assert.equal(dom0.ask(XS.SET_QUOTA, '2\0watches\x003\0'), OK);
  assert.deepEqual(
    ['watches', '1\0watches', '2\0watches'].map((args) => dom0.ask(XS.GET_QUOTA, `${args}\0`)),
    ['2\0', '2\0', '3\0'],
  );
  const set = (client: RawClient) => ['a', 'b', 'c', 'd'].map((token) => client.watch('data', token));
  assert.deepEqual(set(one), [OK, OK, 'E2BIG', 'E2BIG']);
  assert.deepEqual(set(two), [OK, OK, OK, 'E2BIG']);
  dom0.ask(XS.SET_QUOTA, '1\0watches\x000\0');
  assert.equal(one.watch('data', 'e'), OK);
  assert.equal(store.quotas.watches, 2);
  for (const bad of ['frob', '1\0frob', '1\0nodes\x001']) assert.equal(dom0.ask(XS.GET_QUOTA, `${bad}\0`), 'EINVAL');
  for (const bad of ['nodes', 'frob\x001', 'nodes\0x', '1\0nodes\0-1']) {
    assert.equal(dom0.ask(XS.SET_QUOTA, `${bad}\0`), 'EINVAL', bad);
  }
  assert.equal(dom0.ask(XS.SET_QUOTA, '77\0nodes\x001\0'), 'ENOENT');
});

test('a domain above the soft quota is told of once', () => {
  const printed: string[] = [];
  const { dom0, one } = world({ onPrint: (text) => printed.push(text) });
  assert.equal(dom0.ask(XS.CONTROL, 'quota-soft\0set\0memory\x002000\0'), OK);
  assert.match(dom0.ask(XS.CONTROL, 'quota-soft\0'), /memory {11}: {5}2000 /);
  for (const name of ['a', 'b', 'c']) assert.equal(one.write(`data/${name}`, 'x'.repeat(1000)), OK);
  assert.equal(printed.length, 1);
  assert.match(printed[0]!, /^domain 1 takes \d{4} bytes/);
  one.rm('data/a');
  one.rm('data/b');
  one.write('data/a', 'x'.repeat(1000));
  assert.equal(printed.length, 2);
});
