// Debian's own network driver on our networks: addresses, pings, names, TCP in and out, hot plug, a service that is killed.
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Bed, until } from '../host/bed.ts';
import { NetGuest } from './guest.ts';
import { receive, Servers } from './traffic.ts';

const b = new Bed();
const servers = new Servers();
const [one, two] = [new NetGuest(b, 'one'), new NetGuest(b, 'two')];
const dns = createSocket('udp4');
const web = createServer((_, response) => response.end('from the loopback'));

const net = async (...args: string[]): Promise<string> => {
  const { code, out, err } = await b.run('xenolith', ['net', ...args]);
  assert.deepEqual([code, err], [0, ''], args.join(' '));
  return out;
};

before(async () => {
  // Any name is 192.0.2.7.
  dns.on('message', (question: Buffer, { port, address }) => {
    const answer = Buffer.concat([question.subarray(0, 12), question.subarray(12, question.indexOf(0, 12) + 5)]);
    answer.writeUInt16BE(0x8180, 2);
    answer.writeUInt16BE(1, 6);
    answer.fill(0, 8, 12);
    const found = question.readUInt16BE(question.indexOf(0, 12) + 1) === 1;
    if (!found) answer.writeUInt16BE(0, 6);
    dns.send(
      Buffer.concat(found ? [answer, Buffer.from('c00c00010001000000780004c0000207', 'hex')] : [answer]),
      port,
      address,
    );
  });
  dns.bind(0, '127.0.0.1');
  web.listen(0, '127.0.0.1');
  await Promise.all([once(dns, 'listening'), once(web, 'listening')]);
  await b.up('--memory', '400');
  await net('create', 'lab', '--subnet', '10.7.0.0/24', '--subnet6', 'fd07::/64', '--host-loopback', '--dns', `127.0.0.1:${dns.address().port}`); // prettier-ignore
  await Promise.all([one.start(['bridge=lab,mac=00:16:3e:00:00:01']), two.start(['bridge=lab,mac=00:16:3e:00:00:02'])]);
});
after(async () => {
  servers.close();
  dns.close();
  web.close();
  await b.close();
});

test('addresses by DHCP and router advertisement; pings of the gateway and of another guest, both versions', async () => {
  assert.equal(await one.up(), '10.7.0.15');
  assert.equal(await two.up(), '10.7.0.16');
  assert.match(await one.run('cat /etc/resolv.conf'), /nameserver 10\.7\.0\.3/);
  assert.match(await one.run('ping -c 1 -W 5 10.7.0.2'), / 0% packet loss/);
  assert.match(await one.run('ping -c 1 -W 5 10.7.0.16'), / 0% packet loss/);
  const own = 'fd07::216:3eff:fe00:';
  await until(async () => (await two.run('ip address show eth0')).includes(`${own}2/64`), 'an IPv6 address', 30_000);
  await until(async () => !(await one.run('ip address show eth0')).includes('tentative'), 'addresses are usable', 30_000); // prettier-ignore
  assert.match(await one.run(`ping6 -c 1 -W 5 ${own}2`), / 0% packet loss/);
  assert.match(await one.run('ping6 -c 1 -W 5 fd07::2'), / 0% packet loss/);
  assert.match(await one.run('nslookup -type=a a.name 10.7.0.3'), /192\.0\.2\.7/);
});

test('TCP to the host’s loopback and back with equal sums, a hundred connections, a web page, a closed port', async () => {
  const bytes = 8_000_001;
  const [sink, source] = [await servers.sink(), await servers.source(bytes)];
  const sent = one.run(`traffic send 10.7.0.2 ${sink.port} ${bytes}`);
  assert.equal(await sent, `sent ${(await sink.next()).text}`);
  const got = one.run(`traffic receive fd07::2 ${source.port}`);
  assert.match(await got, /connect: Connection refused/, 'nobody listens on ::1');
  assert.equal(await one.run(`traffic receive 10.7.0.2 ${source.port}`), `received ${(await source.next()).text}`);
  assert.equal(await one.run(`traffic many 10.7.0.2 ${await servers.echo()} 100 20000`), 'many 100 of 100');
  const { port } = web.address() as AddressInfo;
  assert.equal(await one.run(`wget -q -O - http://10.7.0.2:${port}/`), 'from the loopback');
});

test('TCP from guest to guest, and in by a forwarded port', async () => {
  const bytes = 8_000_001;
  await two.background('traffic listen 5000');
  const sent = (await one.run(`sleep 0.2; traffic send 10.7.0.16 5000 ${bytes}`)).replace('sent ', '');
  assert.equal(await two.finished(), `received ${sent}`);
  const forward = await net('forward', 'lab', '0:10.7.0.16:5001').catch(() => '');
  assert.equal(forward, '', 'port 0 is none');
  const free = await servers.listen(() => {});
  const taken = await b.run('xenolith', ['net', 'forward', 'lab', `${free}:10.7.0.16:5001`]);
  assert.deepEqual([taken.code, /another program has it/.test(taken.err)], [1, true], taken.err);
  const port = await freePort();
  await net('forward', 'lab', `${port}:10.7.0.16:5001`);
  await two.background(`traffic serve 5001 ${bytes}`);
  await two.run('sleep 0.2');
  const received = await receive(port);
  assert.equal(await two.finished(), `sent ${received}`);
  assert.match(
    await net('list'),
    new RegExp(`lab: 10.7.0.0/24[^]*forward tcp:127.0.0.1:${port}:10.7.0.16:5001[^]*vif1.0 `),
  );
});

async function freePort(): Promise<number> {
  const own = new Servers();
  const port = await own.listen(() => {});
  own.close();
  return port;
}

test('interfaces come and go while the guest runs; a capture', async () => {
  await b.ok('network-attach', 'one', 'mac=00:16:3e:00:00:0a', 'bridge=lab');
  await until(async () => (await one.run('ls /sys/class/net')).includes('eth1'), 'eth1 is there', 30_000);
  assert.match(await one.up('eth1'), /^10\.7\.0\./);
  const table = await b.ok('network-list', 'one');
  assert.match(table, /^Idx BE Mac Addr\. {9}handle state evt-ch {3}tx-\/rx-ring-ref BE-path/);
  assert.match(
    table,
    /\n1 +32516 00:16:3e:00:00:0a +1 +4 +-1 +\d+\/\d+ +\/local\/domain\/32516\/backend\/vif\/\d+\/1\n/,
  );
  const file = join(b.folder, 'some.pcapng');
  const capture = b.run('xenolith', ['net', 'capture', 'lab', '-c', '4', '-w', file]);
  await one.run('sleep 1; ping -c 4 -W 5 10.7.0.16');
  assert.equal((await capture).code, 0);
  const bytes = readFileSync(file);
  assert.equal(bytes.readUInt32LE(0), 0x0a0d0d0a);
  assert(bytes.includes('vif'));
  await b.ok('network-detach', 'one', '00:16:3e:00:00:0a');
  await until(async () => !(await one.run('ls /sys/class/net')).includes('eth1'), 'eth1 has gone', 30_000);
  const unknown = await b.xl('network-detach', 'one', '7');
  assert.deepEqual([unknown.code, /Unknown device 7\./.test(unknown.err)], [1, true]);
  for (const [words, why] of [
    [['mac=zz'], /invalid MAC address/],
    [['bridge=nosuch'], /there is no network nosuch/],
    [['frob=1'], /unrecognized argument `frob=1'/],
  ] as const) {
    // prettier-ignore
    const { code, err } = await b.xl('network-attach', 'one', ...words);
    assert.equal(code, 1);
    assert.match(err, why);
  }
});

test('the service is ended again and again in the middle of a transfer, and the guests’ streams are whole', async () => {
  const bytes = 30_000_000;
  await two.background('traffic listen 5002');
  await one.background(`sleep 0.2; traffic send 10.7.0.16 5002 ${bytes}`);
  for (let i = 0; i < 5; i++) {
    const { code, err } = await b.run('xenolith', ['service', 'restart', 'network']);
    assert.deepEqual([code, err], [0, '']);
  }
  const sent = (await one.finished()).replace('sent ', '');
  assert.equal(await two.finished(), `received ${sent}`);
  assert.match((await b.run('xenolith', ['service', 'list'])).out, /\nnetwork +32516 +running +2 +5 /);
  // What the last worker knew the next one knows: addresses, and the way in and out.
  assert.equal(await one.up(), '10.7.0.15');
  const source = await servers.source(100_000);
  assert.equal(await one.run(`traffic receive 10.7.0.2 ${source.port}`), `received ${(await source.next()).text}`);
  const [, port] = /forward tcp:127\.0\.0\.1:(\d+):/.exec(await net('list'))!;
  await two.background('traffic serve 5001 1000');
  await two.run('sleep 0.2');
  assert.equal(`sent ${await receive(Number(port))}`, await two.finished());
});
