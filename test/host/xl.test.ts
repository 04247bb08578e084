// `xl` against a host: creating, looking, ending, with Xen's tables and exit codes.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { ControlClient } from '../../toolstack/control/client.ts';
import { paths } from '../../toolstack/host/state.ts';
import { Bed, fields, until } from './bed.ts';

const b = new Bed();
before(() => b.up());
after(() => b.close());

const HEAD = 'Name                                        ID   Mem VCPUs\tState\tTime(s)';
const states = async (name: string): Promise<string> => fields((await b.ok('list', name)).split('\n')[1]!)[4]!;
const gone = (name: string) => until(async () => (await b.xl('domid', name)).code === 1, `${name} is gone`);

test('create -c shows the guest from its first line to its end', async () => {
  const { code, out, err } = await b.run('xl', ['create', '-c', b.config('hello', { extra: 'test=version' })]);
  assert.equal(code, 0);
  assert.match(out, /^xenolith unikernel: test=version\r?\n[\s\S]*done \d+ passed, 0 failed/);
  assert.match(err, /^Parsing config from .*hello\.cfg\n$/);
  await gone('hello');
});

test('list: the columns of Xen, for all and for one', async () => {
  await b.create('still', { uuid: '11111111-2222-3333-4444-555555555555' }, '-p');
  const [head, dom0, row] = (await b.ok('list')).split('\n');
  assert.equal(head, HEAD);
  assert.match(dom0!, /^Domain-0 {33}    0 +\d+ +\d+     (r-|-b)---- +\d+\.\d$/);
  assert.match(row!, /^still {36}[ \d]{5}    16     1     --p---       0\.0$/);
  const verbose = (await b.ok('list', '-v', 'still')).split('\n');
  assert.equal(verbose[0], `${HEAD}   UUID                            Reason-Code\tSecurity Label`);
  assert.match(verbose[1]!, /0\.0 11111111-2222-3333-4444-555555555555        -                -$/);
  const [config] = JSON.parse(await b.ok('list', '-l', 'still'));
  assert.equal(config.config.c_info.name, 'still');
  assert.equal(config.config.b_info.target_memkb, 16384);
  assert.match(await b.ok('vm-list'), /^11111111-2222-3333-4444-555555555555 {2}\d+    still {25}$/m);
  const domid = (await b.ok('domid', 'still')).trim();
  assert.equal(await b.ok('domname', domid), 'still\n');
  assert.equal((await b.xl('create', '-q', b.config('other', { name: 'still' }))).code, 3);
  await b.ok('destroy', 'still');
});

test('pause, unpause, rename, destroy', async () => {
  await b.create('busy', { extra: 'loop' });
  assert.match(await states('busy'), /^[r-]-----$/);
  await b.ok('pause', 'busy');
  assert.equal(await states('busy'), '--p---');
  await b.ok('unpause', 'busy');
  assert.match(await states('busy'), /^[r-]-----$/);
  await b.ok('rename', 'busy', 'very busy');
  const taken = await b.xl('rename', 'very busy', 'Domain-0');
  assert.equal(taken.code, 1);
  assert.match(taken.err, /already exists[\s\S]*Can't rename domain 'very busy'\.\n$/);
  await b.ok('destroy', 'very busy');
  assert.equal((await b.xl('destroy', 'very busy')).err, 'very busy is an invalid domain identifier (rc=-6)\n');
});

test('a console is left and taken up again: what nobody saw comes first, and two see the same', async () => {
  await b.create('talk', { extra: 'test=version,timer', on_poweroff: 'preserve' }, '-p');
  // One connection keeps the order of its calls: both are attached when the guest begins.
  const client = await ControlClient.connect(paths(b.state).control);
  const domid = Number(await b.ok('domid', 'talk'));
  let [one, two] = ['', ''];
  client
    .start('domain.console', { domid }, { data: (bytes) => void (one += Buffer.from(bytes)) })
    .result.catch(() => {});
  client
    .start('domain.console', { domid }, { data: (bytes) => void (two += Buffer.from(bytes)) })
    .result.catch(() => {});
  await client.call('domain.unpause', { domid });
  await until(() => one.includes('done ') && two.includes('done '), 'both see it');
  assert.equal(one, two);
  client.close();
  // Nobody looked when it ended.
  await b.create('quiet', { extra: 'test=none', on_poweroff: 'preserve' });
  await until(async () => (await states('quiet')) === '---s--', 'it ends');
  const third = b.start('xl', ['console', 'quiet']);
  let three = '';
  third.stdout!.on('data', (bytes: Buffer) => (three += bytes.toString()));
  await until(() => three.includes('done '), 'all of it is shown');
  assert.match(three, /^xenolith unikernel/);
  const ended = once(third, 'close');
  await b.ok('destroy', 'quiet');
  assert.deepEqual(await ended, [0, null], 'it ends with the domain');
  // It has ended before anybody came.
  await b.create('brief', { extra: 'test=none' });
  await until(async () => (await b.xl('domid', 'brief')).code !== 0, 'it is gone');
  const late = b.start('xl', ['console', 'brief']);
  let words = '';
  late.stdout!.on('data', (bytes: Buffer) => (words += bytes.toString()));
  assert.deepEqual(await once(late, 'close'), [0, null]);
  assert.match(words, /^xenolith unikernel[\s\S]*done /);
  assert.match((await b.xl('console', 'brief')).err, /^brief is an invalid domain identifier \(rc=-6\)/);
  await b.ok('destroy', 'talk');
});

test('on_poweroff, on_crash, on_reboot: what becomes of a domain that stops', async () => {
  await b.create('kept', { extra: 'test=none', on_poweroff: 'preserve' });
  await until(async () => (await states('kept')) === '---s--', 'it stays');
  assert.match(await b.ok('list', '-v', 'kept'), /        0                -$/m);
  assert.match((await b.xl('unpause', 'kept')).err, /has shut down/);
  await b.ok('destroy', 'kept');

  const crash = b.config('crash', { extra: 'crash=triple', on_crash: 'preserve' });
  const ran = await b.xl('create', '-F', crash);
  assert.equal(ran.code, 0);
  assert.match(ran.err, /Domain \d+ has shut down, reason code 3 0x3; action: preserve\nDomain \d+ is left as it is\./);
  assert.equal(await states('crash'), '---sc-');
  await b.ok('destroy', 'crash');

  await b.create('again', { extra: 'test=none reboot', on_reboot: 'rename-restart' });
  await until(async () => (await b.xl('domid', 'again-2')).code === 0, 'it has rebooted twice');
  for (const name of ['again', 'again-1', 'again-2']) await b.ok('destroy', name);

  await b.create('left', { extra: 'test=none' }, '-e');
  await until(async () => (await states('left')) === '---s--', 'nobody acts on it');
  await b.ok('destroy', 'left');
});

test('errors: one sentence, and the exit codes of Xen', async () => {
  const cases: [string[], number, RegExp][] = [
    [['frob'], 1, /command not implemented/],
    [['-Q', 'list'], 1, /no option 'Q'/],
    [['create'], 6, /no configuration file/],
    [['creat', 'nofile.cfg'], 3, /Failed to read config file: nofile.cfg: No such file or directory/],
    [['list', '-Q'], 2, /option `Q' not supported\./],
    [['list', '--bogus'], 2, /option `bogus' not supported\./],
    [['list', 'nosuch'], 1, /nosuch is an invalid domain identifier \(rc=-6\)/],
    [['list', '99'], 1, /Error: Domain '99' does not exist\./],
    [['pause', '99'], 0, /Domain 99 does not exist/],
    [['destroy', '99'], 1, /destroy failed \(rc=-21\)/],
    [['destroy', '0'], 1, /Domain-0 is the host itself/],
    [['domid', '1'], 1, /Can't get domid of domain name '1'/],
    [['shutdown'], 1, /You must specify -a or a domain id/],
    [['console', '0'], 22, /Domain-0 has no console/],
  ];
  for (const [args, code, sentence] of cases) {
    const ran = await b.xl(...args);
    assert.match(ran.err, sentence);
    assert.deepEqual([ran.code, ran.out], [code, ''], args.join(' '));
  }
  const needs = await b.xl('rename', 'a');
  assert.deepEqual([needs.code, needs.err], [2, "'xl rename' requires at least 2 arguments.\n\n"]);
  assert.match(needs.out, /^Usage: xl .*rename <Domain> <NewDomainName>/);

  const bad: [Record<string, string | number>, number, RegExp][] = [
    [{ kernel: '/nowhere' }, 3, /the kernel \/nowhere: there is no such file/],
    [{ kernel: '/dev/zero' }, 3, /\/dev\/zero: it is no regular file/],
    [{ kernel: '/dev/null/x' }, 3, /a part of the path is no folder/],
    [{ kernel: '/bin/sh' }, 3, /kernel: \/bin\/sh/],
    [{ memory: 1000 }, 3, /the host has \d+ MiB free, and the domain needs 100\d/],
    [{ type: 'pv' }, 3, /for PVH domains only.*set type="pvh"/],
    [{ pool: 'nosuch' }, 6, /Illegal pool specified: nosuch/],
    [{ on_crash: 'frob' }, 1, /Unknown on_crash action "frob"/],
  ];
  for (const [lines, code, sentence] of bad) {
    const ran = await b.xl('create', '-q', b.config('bad', lines));
    assert.match(ran.err, sentence);
    assert.equal(ran.code, code, ran.err);
  }
  assert.equal((await b.ok('list')).split('\n').length, 3, 'nothing is left of them');
});
