// Two whole Debians on one network: addresses, pings, names, the host's loopback by curl, ssh from the host, and apt from a mirror there.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createReadStream, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { after, before, test } from 'node:test';
import { ROOT } from '../../bin/setup.cjs';
import { debianImage, overlay } from '../../guests/debian/build.ts';
import { Apt } from '../../services/image_builder/apt.ts';
import { Bed, until } from '../host/bed.ts';
import { DebianGuest } from './guest.ts';
import { forwarded, sshOptions } from './ssh.ts';

const MAC = '00:16:3e:00:00:0';
const b = new Bed();
const [one, two] = [new DebianGuest(b, 'one'), new DebianGuest(b, 'two')];
let key = '';
/** A package that the image does not have, as Debian made it. */
let deb = '';

/** Any name's IPv4 address is the gateway's: so a name leads to the host's loopback. */
const dns = createSocket('udp4');
dns.on('message', (question: Buffer, { port, address }) => {
  const name = question.subarray(0, question.indexOf(0, 12) + 5);
  const found = question.readUInt16BE(question.indexOf(0, 12) + 1) === 1;
  const answer = Buffer.concat([name, ...(found ? [Buffer.from('c00c000100010000007800040a070002', 'hex')] : [])]);
  answer.writeUInt16BE(0x8180, 2);
  answer.fill(0, 8, 12);
  answer.writeUInt16BE(found ? 1 : 0, 6);
  dns.send(answer, port, address);
});

/** Debian's mirror format, as flat as it may be. */
function packagesFile(): string {
  const fields = execFileSync('dpkg-deb', ['-f', deb], { encoding: 'utf8' }).trimEnd();
  const sha256 = createHash('sha256').update(readFileSync(deb)).digest('hex');
  return `${fields}\nFilename: ./package.deb\nSize: ${statSync(deb).size}\nSHA256: ${sha256}\n\n`;
}
const web = createServer((request, response) => {
  const path = new URL(request.url ?? '/', 'http://x').pathname;
  if (path === '/hello') response.end('from the loopback\n');
  else if (path === '/Packages') response.end(packagesFile());
  else if (path === '/package.deb') createReadStream(deb).pipe(response);
  else response.writeHead(404).end();
});

const net = async (...args: string[]): Promise<string> => {
  const { code, out, err } = await b.run('xenolith', ['net', ...args]);
  assert.deepEqual([code, err], [0, ''], args.join(' '));
  return out;
};

before(async () => {
  const image = await debianImage();
  ({ key } = image);
  const apt = new Apt(join(ROOT, 'build', 'apt'));
  deb = await apt.download(await apt.show('busybox-static'));
  dns.bind(0, '127.0.0.1');
  web.listen(0, '127.0.0.1');
  await Promise.all([once(dns, 'listening'), once(web, 'listening')]);
  await b.up('--memory', '640');
  await net('create', 'lab', '--subnet', '10.7.0.0/24', '--subnet6', 'fd07::/64', '--host-loopback', '--dns', `127.0.0.1:${dns.address().port}`); // prettier-ignore
  for (const [i, guest] of [one, two].entries()) {
    const disk = await overlay(image, join(b.folder, `${guest.name}.qcow2`));
    await guest.start(disk, { vif: [`bridge=lab,mac=${MAC}${i + 1}`], memory: 288 });
    await guest.login();
    await guest.run('until ip -4 address show dev enX0 | grep -q inet; do sleep 0.5; done'); // prettier-ignore
  }
});
after(async () => {
  for (const guest of [one, two]) guest.close();
  dns.close();
  web.close();
  await b.close();
});

async function addresses(guest: DebianGuest): Promise<string> {
  let found = '';
  const ready = async (): Promise<boolean> => {
    found = await guest.run('ip -o address show dev enX0 scope global');
    return /inet 10\.7\.0\.\d+\/24/.test(found) && /inet6 fd07::[0-9a-f]+\/128/.test(found) && !/tentative/.test(found);
  };
  await until(ready, `${guest.name} has addresses`, 120_000).catch((error: Error) => {
    throw new Error(`${error.message}: ${found}`);
  });
  return found;
}

test('addresses by DHCP of both versions and by router advertisement; pings of the other guest', async () => {
  const [mine, others] = [await addresses(one), await addresses(two)];
  assert.match(mine, /inet6 fd07::216:3eff:fe00:1\/64/);
  const [, four] = /inet (10\.7\.0\.\d+)\/24/.exec(others)!;
  const [, six] = /inet6 (fd07::[0-9a-f]+)\/128/.exec(others)!;
  for (const to of [four, six, 'fd07::216:3eff:fe00:2', '10.7.0.2'])
    assert.match(await one.run(`ping -c 2 -W 5 ${to}`), / 0% packet loss/, to);
});

test('names, and curl of a server on the host’s loopback', async () => {
  assert.match(await one.run('resolvectl dns enX0'), /10\.7\.0\.3/);
  assert.match(await one.run('getent ahostsv4 a.host.example'), /^10\.7\.0\.2 /);
  const { port } = web.address() as AddressInfo;
  assert.equal(await one.run(`curl -sS http://a.host.example:${port}/hello`), 'from the loopback');
  assert.equal(await two.run(`curl -sS http://10.7.0.2:${port}/hello`), 'from the loopback');
});

test('ssh from the host through a forwarded port', async () => {
  const [, address] = /inet (10\.7\.0\.\d+)\/24/.exec(await addresses(two))!;
  const port = await forwarded(b, 'lab', address, 22);
  await two.run('systemctl is-active --quiet ssh || systemctl start ssh');
  const ssh = (command: string, input: string) =>
    spawnSync('ssh', [...sshOptions(key, port), 'root@127.0.0.1', command], { input, encoding: 'utf8', timeout: 180_000 }); // prettier-ignore
  // ssh by itself holds up this process, which answers nobody meanwhile: nothing here is asked for.
  const text = 'x'.repeat(200_000);
  const { status, stdout, stderr } = ssh('hostname; id -un; wc -c', text);
  assert.deepEqual([status, stdout], [0, `debian\nroot\n${text.length}\n`], stderr);
});

test('apt-get update and install, from a mirror on the host’s loopback', async () => {
  const { port } = web.address() as AddressInfo;
  assert.match(basename(deb), /^busybox-static_/);
  await one.run(`rm -f /etc/apt/sources.list; echo 'deb [trusted=yes] http://10.7.0.2:${port}/ ./' >/etc/apt/sources.list.d/own.list`); // prettier-ignore
  const updated = await one.run('apt-get -q update && echo up to date', 300_000);
  assert.match(updated, /up to date$/);
  const installed = await one.run('DEBIAN_FRONTEND=noninteractive apt-get -q -y install busybox-static && echo is in', 300_000); // prettier-ignore
  assert.match(installed, /Setting up busybox-static [^]*is in$/);
  assert.equal(await one.run('busybox echo works; dpkg-query -W -f "\\${db:Status-Status}" busybox-static'), 'works\ninstalled'); // prettier-ignore
});
