// Xen's own clients and ours, on the same socket protocol: every command line is given to both, on stores of equal contents.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listen, type StoreListener } from '../services/xenstore/backend/socket.ts';
import { domainNodes, hostNodes, writeNodes } from '../services/xenstore/domain_tree.ts';
import { LocalClient } from '../services/xenstore/protocol/client.ts';
import { formatPerm } from '../services/xenstore/protocol/perms.ts';
import { Store } from '../services/xenstore/protocol/store.ts';
import { walk } from '../services/xenstore/protocol/tree.ts';
import { need } from '../tools/apt.ts';
import { escapeValue, unescapeValue, xenstore } from './xenstore.ts';

const folder = mkdtempSync(join(tmpdir(), 'xenstore-'));
const sockets = ['theirs', 'ours'].map((name) => join(folder, name));
const env = { PATH: process.env.PATH, XENSTORED_PATH: sockets[0] };
let stores: Store[];
let listeners: StoreListener[];

before(async () => {
  await need('xenstore-utils');
  stores = [filled(), filled()];
  listeners = await Promise.all(stores.map((store, i) => listen(store, sockets[i]!)));
});

after(async () => {
  for (const listener of listeners) await listener.close();
  rmSync(folder, { recursive: true });
});

function filled(): Store {
  const store = new Store({ domainExists: (domid) => domid < 6 });
  const client = new LocalClient(store);
  writeNodes(client, hostNodes());
  const ring = { ringRef: 1044476, port: 1 };
  const domain = { domid: 3, name: 'guest', uuid: '2abd4c57-eb69-44cf-bc5a-dbf6e4eaaa24', type: 'pvh' as const };
  writeNodes(
    client,
    domainNodes({ ...domain, memory: 65536, vcpus: [true], startTime: 1.5, store: ring, console: ring }),
  );
  for (let i = 0; i < 12; i++) client.write(`/many/${'n'.repeat(i * 8)}${i}`, 'v'.repeat(i * 9));
  for (let i = 0; i < 400; i++) client.write(`/long/a-name-to-fill-one-answer-${i}`, '');
  client.close();
  return store;
}

interface Result {
  code: number;
  out: string;
  error: string;
}

const theirs = (line: string[]): Promise<Result> =>
  new Promise((resolve) => {
    const options = { env, encoding: 'latin1' as const, timeout: 20_000 };
    execFile(`xenstore-${line[0]}`, line.slice(1), options, (failed, out, error) => {
      resolve({ code: failed ? Number(failed.code ?? -1) : 0, out, error });
    });
  });

async function ours(line: string[]): Promise<Result> {
  const result = { code: 0, out: '', error: '' };
  const out = (text: string) => void (result.out += text);
  const error = (text: string) => void (result.error += text);
  result.code = await xenstore(line, { out, error, columns: undefined }, sockets[1]);
  return result;
}

const dump = (store: Store) =>
  [...walk(store.tree, '/')].map(([path, node]) => `${path}=${node.value} ${node.perms.map(formatPerm).join()}`);

/** Arguments are between blanks; ~ stands for an empty one, _ for a blank in one. */
const LINES = String.raw`
ls
ls /
ls -p
ls -f
ls -fp /local
ls -f -p /many
ls -p /many
ls /many
ls /many/0
ls /none
ls local/domain
ls -R
ls -h
ls -Q /many
list /many
list -p /many /local
list /long
list -p /
list /none
list -f
list
read /local/domain/3/name
read -p /local/domain/3/name /local/domain/3/domid
read /local/domain/3/name /none /local/domain/3/domid
read -R /local/domain/3/name
read ~
read
read name
read --prefix /local/domain/3/name
write /a 1 /b/c 2
write /a
write
write /a/ x
write /bad_path x
write /w x\x41\n\t\\\7\q\xg1\1234\
read /w
read -R /w
write -R /w x\x41\n
read /w
write -- /w -x
read /w
write relative x
read relative
write /e ~
read /e
exists /a
exists /a /none
exists /e
exists
exists -p /a
exists /local/domain/3
chmod /a n3
ls -p /b
chmod /a n0 r3 b5
chmod /b r0 w3
chmod -r /b n3 r0
chmod -u /b/c b3
ls -fp /b
chmod -u -r /b n0
chmod /a x3
chmod /a
chmod
chmod /none n0
chmod /a n7
chmod /a n
chmod /a n0x
rm /b/none
rm /none/none/none
rm /b/c
rm -t /b
write /t/1/2/3 x /t/v y
rm -t /t/1/2/3
ls -f /t
rm /
rm
rm /a /none/none /e
ls -f /a
watch -n 1 /a
watch -n 2 /a /local
watch -n x /a
watch -n 0 /a
watch -n 1 bad_path
watch
watch -n 1 @releaseDomain
watch -n 1 relative
read @releaseDomain
write @foo x
`
  .trim()
  .split('\n')
  .map((line) => line.split(' ').map((word) => (word === '~' ? '' : word.replaceAll('_', ' '))));

test('every command line gives the same output, exit code and store with either', async () => {
  for (const line of LINES) {
    const [their, our] = [await theirs(line), await ours(line)];
    assert.deepEqual([our.code, our.out], [their.code, their.out], line.join(' '));
    // Usage is in our own words; a refusal is in theirs.
    if (!their.error.includes('Usage')) assert.equal(our.error.trim(), their.error.trim(), line.join(' '));
    else assert.match(our.error, /Usage: xenstore-\w+ /);
    assert.deepEqual(dump(stores[1]!), dump(stores[0]!), line.join(' '));
  }
});

test('a watch shows changes as they come', async () => {
  const child = spawn('xenstore-watch', ['-n', '3', '/w'], { env, timeout: 20_000 });
  let [out, seen] = ['', ''];
  child.stdout.on('data', (bytes: Buffer) => (out += bytes.toString()));
  const error = (text: string) => assert.fail(text);
  const mine = xenstore(
    ['watch', '-n', '3', '/w'],
    { out: (text) => (seen += text), error, columns: undefined },
    sockets[1],
  );
  const watched = () => stores.every((store) => [...store.watches.at('/w')].length > 0);
  for (const end = Date.now() + 20_000; !watched(); assert.ok(Date.now() < end, 'both watch')) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  for (const store of stores) {
    const client = new LocalClient(store);
    client.write('/w/k', '1');
    client.setPerms('/w', ['n3']);
    client.write('/elsewhere', '');
    client.remove('/w');
    client.close();
  }
  const [code] = (await once(child, 'exit')) as [number];
  assert.deepEqual([await mine, seen], [code, out]);
});

test('values as text and back', () => {
  const all = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
  assert.match(escapeValue(all), /^[ -~]*$/);
  assert.equal(unescapeValue(escapeValue(all)), all);
});

test('control: quotas, help, what is not known; live-update is refused where nobody restarts the store', async () => {
  assert.match((await ours(['control', 'quota'])).out, /^Quota settings:\nnodes {12}: {5}1000 /);
  assert.equal((await ours(['control', 'check'])).out, 'OK\n');
  assert.match((await ours(['control', 'help'])).out, /^check\t\nlog\ton\|off\n/);
  const unknown = await ours(['control', 'frob']);
  assert.deepEqual([unknown.code, unknown.out], [3, '']);
  assert.match(unknown.error, /Command not supported. Valid commands are:\ncheck/);
  assert.equal((await ours(['control'])).code, 2);
  assert.equal((await ours(['control', 'live-update'])).code, 3);
  let restarts = 0;
  stores[1]!.administration.liveUpdate = () => void restarts++;
  assert.deepEqual(await ours(['control', 'live-update']), { code: 0, out: 'OK\n', error: '' });
  assert.equal(restarts, 1);
});

test('no store, no verb: one sentence', async () => {
  let error = '';
  const streams = { out: () => {}, error: (text: string) => void (error += text), columns: undefined };
  assert.equal(await xenstore(['read', '/a'], streams, join(folder, 'nobody')), 1);
  assert.match(error, /^xenstore-read: no store can be reached at .*nobody \(ENOENT\); start a host, .*\.\n$/);
  assert.equal((await ours(['frob'])).code, 1);
});

test('the launcher takes its verb from its name, and an ls fits its terminal', async () => {
  const link = join(folder, 'xenstore-read');
  const launcher = new URL('../bin/xenstore', import.meta.url).pathname;
  symlinkSync(launcher, link);
  const run = (file: string, args: string[]) =>
    new Promise((resolve) => execFile(process.execPath, [file, ...args], { env }, (_, out) => resolve(out)));
  assert.equal(await run(link, ['/local/domain/3/name']), 'guest\n');
  assert.equal(await run(launcher, ['read', '/local/domain/3/name']), 'guest\n');
  let out = '';
  const streams = { out: (text: string) => void (out += text), error: assert.fail, columns: 30 };
  await xenstore(['ls', '/many'], streams, sockets[1]);
  for (const line of out.trim().split('\n')) assert.ok(line.length <= 29, line);
});
