import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, test } from 'node:test';
import { fragments, icmpFrame, udpFrame } from '../protocol/build.ts';
import { MAC_BROADCAST, parseIp, plain, u16 } from '../protocol/frame.ts';
import { Switch } from '../switch/switch.ts';
import { ip, MAC, random } from '../testing.ts';
import { addressText, hexOf, parseAddress, parseSubnet, special } from './addresses.ts';
import { Forwards, parseForward, forwardText } from './forward.ts';
import { Gateway } from './gateway.ts';
import { LEASES_PER_PORT } from './leases.ts';
import { DEFAULTS, plan, type NatOptions } from './plan.ts';
import { TestGuest } from './test_guest.ts';

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
});

function bed(options: Partial<NatOptions> = {}) {
  const net = new Switch();
  const planned = plan({ ...DEFAULTS, hostLoopback: true, outside: false, dns: ['127.0.0.1:9'], ...options });
  assert(typeof planned !== 'string');
  const gateway = new Gateway(net, planned);
  const forwards = new Forwards(gateway);
  closers.push(
    () => gateway.close(),
    () => forwards.close(),
  );
  const guest = async (mac: number = MAC.a, large = true) => {
    const made = new TestGuest(net, planned, mac, large);
    closers.push(() => made.close());
    await made.configure();
    return made;
  };
  return { net, gateway, forwards, guest, plan: planned };
}

/** A server on the loopback; gives its port. */
async function serve(handler: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {});
    closers.push(() => socket.destroy());
    handler(socket);
  });
  closers.push(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function udpServer(answer: (data: Buffer) => Buffer): Promise<number> {
  const socket = createSocket('udp4');
  closers.push(() => socket.close());
  socket.on('message', (data, { port, address }) => socket.send(answer(data), port, address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket.address().port;
}

test('addresses as text and bytes', () => {
  for (const text of ['10.0.2.15', '::1', 'fd00:10:0:2::f', 'fe80::2', '::', '1:2:3:4:5:6:7:8'])
    assert.equal(addressText(parseAddress(text)!), text);
  assert.equal(hexOf(parseAddress('::ffff:1.2.3.4')!), '00000000000000000000ffff01020304');
  for (const bad of ['', '1.2.3', '300.1.1.1', ':::', 'x']) assert.equal(parseAddress(bad), undefined);
  assert.deepEqual(parseSubnet('10.1.2.3/8')?.address, Uint8Array.of(10, 0, 0, 0));
  for (const bad of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/8/1', '/8']) assert.equal(parseSubnet(bad), undefined);
  for (const text of ['127.0.0.1', '169.254.169.254', '224.0.0.1', '255.255.255.255', '0.0.0.0', '::1', '::', 'fe80::1', 'ff02::1', '::ffff:7f00:1']) assert(special(parseAddress(text)!), text); // prettier-ignore
  for (const text of ['10.0.0.1', '8.8.8.8', '2001:db8::1', 'fd00::1']) assert(!special(parseAddress(text)!), text);
});

test('plans that cannot be are refused in a sentence', () => {
  for (const bad of [
    { subnet4: '10.0.2.0/30' },
    { subnet4: 'fd00::/64' },
    { subnet6: 'fd00::/48' },
    { subnet4: '127.0.0.0/8' },
  ])
    assert.match(plan({ ...DEFAULTS, ...bad }) as string, / /);
});

test('DHCP gives each guest an address of its own, and the same one again', async () => {
  const { guest } = bed();
  const [a, b] = [await guest(MAC.a), await guest(MAC.b)];
  assert.deepEqual([addressText(a.address), addressText(b.address)], ['10.0.2.15', '10.0.2.16']);
  await a.configure();
  assert.equal(addressText(a.address), '10.0.2.15');
});

test('one guest cannot take all addresses', async () => {
  const { gateway, guest, net, plan: planned } = bed({ subnet4: '10.0.2.0/27' });
  const a = await guest();
  for (let i = 0; i < 40; i++) {
    const liar = new TestGuest(net, planned, 0x020000000000 + i);
    liar.port.detach();
    // The same port, another address each time.
    const message = new Uint8Array(300);
    message.set([1, 1, 6, 0]);
    message.set([2, 0, 0, 0, 0, i], 28);
    message.set([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255], 236);
    a.udp(Uint8Array.of(255, 255, 255, 255), 68, 67, message, MAC_BROADCAST);
    liar.close();
  }
  assert.equal([...gateway.leases4].length, LEASES_PER_PORT);
  assert.equal(addressText((await guest(MAC.b)).address), '10.0.2.23');
  gateway.forget(a.port);
  assert.equal([...gateway.leases4].length, 1);
});

for (const v6 of [false, true]) {
  test(`the gateway answers pings for itself and says that others cannot be pinged, IPv${v6 ? 6 : 4}`, async () => {
    const { guest, plan: planned } = bed();
    const a = await guest();
    if (v6) a.address = ip('fd00:10:0:2::99');
    const data = Uint8Array.from({ length: 3000 }, (_, i) => i);
    const own = v6 ? planned.gateway6 : planned.gateway4;
    const reply = a.frame((b, p) => p !== undefined && p.fragment !== 'later' && b[p.payload] === (v6 ? 129 : 0) && u16(b, p.payload + 4) === 77); // prettier-ignore
    const ping = (to: Uint8Array) => icmpFrame(a.ends(to), v6 ? 128 : 8, 0, (77 << 16) | 1, data);
    a.port.send(fragments(ping(own), 1500, 5));
    await reply;
    const refusal = a.frame((b, p) => p !== undefined && b[p.payload] === (v6 ? 1 : 3) && b[p.payload + 1] === (v6 ? 1 : 13)); // prettier-ignore
    a.port.send([ping(ip(v6 ? '2001:db8::1' : '192.0.2.1'))]);
    await refusal;
  });
}

test('router advertisements, neighbour discovery and DHCP for IPv6', async () => {
  const { guest, plan: planned } = bed();
  const a = await guest();
  const local = ip('fe80::216:3eff:fe00:1');
  a.address = local;
  const ra = a.frame((b, p) => p?.version === 6 && b[p.payload] === 134);
  a.port.send([icmpFrame(a.ends(ip('ff02::2'), 0x333300000002), 133, 0, 0, new Uint8Array(0), 255)]);
  const text = Buffer.from(await ra).toString('hex');
  assert(text.includes(`0304${'40c0'}`) && text.includes(hexOf(planned.subnet6.address)) && text.includes(`19030000ffffffff${hexOf(planned.dns6)}`)); // prettier-ignore
  const na = a.frame((b, p) => p?.version === 6 && b[p.payload] === 136);
  a.port.send([icmpFrame(a.ends(ip('ff02::1:ff00:2'), 0x3333ff000002), 135, 0, 0, planned.gateway6, 255)]);
  assert(Buffer.from(await na).includes(Buffer.from('5254000000020000'.slice(0, 12), 'hex')));

  const option = (code: number, ...data: number[]) => [0, code, 0, data.length, ...data];
  const client = option(1, 0, 3, 0, 1, 0, 0x16, 0x3e, 0, 0, 1);
  const association = option(3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0);
  const say = async (type: number, ...options: number[][]) => {
    const answer = a.datagram(546);
    a.udp(ip('ff02::1:2'), 546, 547, Uint8Array.from([type, 1, 2, 3, ...options.flat()]), 0x333300010002);
    return await answer;
  };
  const advertised = await say(1, client, association);
  assert.equal(advertised[0], 2);
  const server = option(2, 0, 3, 0, 1, 0x52, 0x54, 0, 0, 0, 2);
  const reply = Buffer.from(await say(3, client, server, association));
  assert.equal(reply[0], 7);
  assert(reply.includes(Buffer.from(ip('fd00:10:0:2::f'))) && reply.includes(Buffer.from(planned.dns6)));
  const rapid = await say(1, client, association, option(14));
  assert.equal(rapid[0], 7);
  assert.equal((await say(11, option(6, 0, 23)))[0], 7);
  const far = option(3, ...association.slice(4), ...option(5, ...ip('fd99::1'), 0, 0, 0, 0, 0, 0, 0, 0));
  assert(Buffer.from(await say(4, client, far)).includes(Buffer.from([0, 13, 0, 2, 0, 4])), 'not on this link');
});

test('names are asked of the host’s server, and UDP comes back', async () => {
  const server = await udpServer((data) => Buffer.concat([data, Buffer.from(' answered')]));
  const { guest, plan: planned } = bed({ dns: [`127.0.0.1:${server}`] });
  const a = await guest();
  const name = a.datagram(5000);
  a.udp(planned.dns4, 5000, 53, Buffer.from('name'));
  assert.equal(Buffer.from(await name).toString(), 'name answered');
  const loopback = a.datagram(5001);
  a.udp(planned.gateway4, 5001, server, Buffer.from('loopback'));
  assert.equal(Buffer.from(await loopback).toString(), 'loopback answered');
  // In fragments, there and back.
  const large = new Uint8Array(randomBytes(5000));
  const first = a.frame((_, p) => p?.fragment === 'first');
  a.port.send(fragments(udpFrame(a.ends(planned.gateway4), 5002, server, large), 1500, 3));
  assert(Buffer.from(await first).includes(Buffer.from(large.subarray(0, 1000))));
});

test('the host’s loopback is out of reach unless allowed, and so is the host by any other way', async () => {
  const port = await serve((socket) => socket.end('secret'));
  const closed = bed({ hostLoopback: false, outside: true });
  const a = await closed.guest();
  for (const to of [closed.plan.gateway4, ip('127.0.0.1'), ip('169.254.169.254'), ip('10.0.2.200')]) {
    const refusal = a.frame((b, p) => p?.version === 4 && b[p.payload] === 3 && b[p.payload + 1] === 13);
    a.connect(to, port).catch(() => {});
    await refusal;
  }
  const udp = a.frame((b, p) => p?.version === 4 && b[p.payload] === 3 && b[p.payload + 1] === 13);
  a.udp(ip('127.0.0.1'), 1, 2, Buffer.from('x'));
  await udp;
});

test('a port where nobody listens refuses', async () => {
  const port = await serve(() => {});
  closers.pop()!();
  const { guest, plan: planned } = bed();
  const a = await guest();
  await assert.rejects(a.connect(planned.gateway4, port));
});

for (const large of [true, false]) {
  test(`TCP to the host's loopback, both ways, ${large ? 'large frames' : 'frames of the wire'}`, async () => {
    const bytes = 8_000_000;
    const data = randomBytes(bytes);
    const sum = createHash('sha1').update(data).digest('hex');
    const heard = Promise.withResolvers<string>();
    const port = await serve((socket) => {
      const hash = createHash('sha1');
      socket.on('data', (chunk) => hash.update(chunk));
      socket.on('end', () => heard.resolve(hash.digest('hex')));
      socket.end(data);
    });
    const { guest, plan: planned } = bed();
    const a = await guest(MAC.a, large);
    a.port.offload = { checksumV4: true, checksumV6: true, gsoV4: large, gsoV6: large };
    const stream = await a.connect(planned.gateway4, port);
    const hash = createHash('sha1');
    stream.onData = (chunk) => void hash.update(chunk);
    const parts = [data];
    stream.send(() => parts.pop());
    await Promise.all([stream.ended.promise, stream.done.promise]);
    assert.equal(await heard.promise, sum);
    assert.equal(hash.digest('hex'), sum);
  });
}

test('a hundred connections at once', async () => {
  const port = await serve((socket) => socket.pipe(socket));
  const { guest, gateway, plan: planned } = bed();
  const a = await guest();
  const streams = await Promise.all(Array.from({ length: 100 }, () => a.connect(planned.gateway4, port)));
  assert.equal([...gateway.guests()].find(({ port: p }) => p === a.port)!.connections, 100);
  const data = randomBytes(100_000);
  for (const stream of streams) {
    const parts = [data];
    stream.send(() => parts.pop());
  }
  await Promise.all(streams.flatMap((stream) => [stream.ended.promise, stream.done.promise]));
  for (const { chunks } of streams) assert(Buffer.concat(chunks).equals(data));
  const kept = () => [...gateway.guests()].find(({ port: p }) => p === a.port)!.connections;
  for (let i = 0; i < 100 && kept() > 0; i++) await new Promise((resolve) => setTimeout(resolve, 10)); // the last acknowledgement
  assert.equal(kept(), 0, 'nothing is kept');
});

test('who does not read holds up the sender, in either direction', async () => {
  let sink: Socket | undefined;
  let sent = 0;
  const chunk = Buffer.alloc(1 << 20);
  const port = await serve((socket) => {
    sink = socket.pause();
    const more = () => {
      while (sent < 64 && socket.write(chunk)) sent++;
    };
    socket.on('drain', more);
    more();
  });
  const { guest, plan: planned } = bed();
  const a = await guest();
  const stream = await a.connect(planned.gateway4, port);
  stream.reads = false;
  let given = 0;
  stream.send(() => (given++ < 64 ? chunk : undefined));
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert(given < 30, `the guest has got rid of ${given} MiB`);
  assert(stream.received <= 600 << 10, `the guest has been given ${stream.received} bytes`);
  sink!.resume();
  stream.resume();
  const { promise, resolve } = Promise.withResolvers<void>();
  sink!.on('end', resolve);
  await promise;
  assert.equal(given, 65);
});

test('what the host sent before it closed still comes, however late the guest reads', async () => {
  const port = await serve((socket) => {
    socket.resume();
    socket.write('first');
    setTimeout(() => socket.end('second'), 50);
  });
  const { guest, plan: planned } = bed();
  const a = await guest();
  // Room for one piece at a time, so that the end comes while the last one waits.
  let room = 0;
  a.port.options.full = () => room-- <= 0;
  const stream = await a.connect(planned.gateway4, port);
  stream.send(() => undefined); // the host's end of it closes altogether
  for (let i = 0; i < 2; i++) {
    await new Promise((resolve) => setTimeout(resolve, 150));
    room = 1;
    for (const call of a.port.onDrain) call();
  }
  await stream.ended.promise;
  assert.equal(Buffer.concat(stream.chunks).toString(), 'firstsecond');
});

test('a guest’s port that is full holds up what the host sends, not what stands in line', async () => {
  let sent = 0;
  const chunk = Buffer.alloc(1 << 20);
  const port = await serve((socket) => {
    const more = () => {
      while (sent < 16) {
        sent++;
        if (!socket.write(chunk)) return;
      }
      socket.end();
    };
    socket.on('drain', more);
    more();
  });
  const { guest, plan: planned } = bed();
  const a = await guest();
  let full = true;
  a.port.options.full = () => full;
  const stream = await a.connect(planned.gateway4, port);
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(stream.received, 0);
  full = false;
  for (const call of a.port.onDrain) call();
  await stream.ended.promise;
  assert.equal(stream.received, 16 << 20);
});

test('ports of the host lead to a guest', async () => {
  const { guest, forwards, gateway } = bed();
  const a = await guest();
  a.onAccept = (stream) => stream.text('from the guest');
  const { port } = await forwards.add({ ...parseForward('1:10.0.2.15:80')!, port: 0 });
  const socket = connect(port, '127.0.0.1');
  const chunks = await socket.toArray();
  assert.equal(Buffer.concat(chunks).toString(), 'from the guest');
  // Datagrams, there and back.
  const udp = await forwards.add({ ...parseForward('udp:1:10.0.2.15:53')!, port: 0 });
  const client = createSocket('udp4');
  closers.push(() => client.close());
  const came = a.frame((b, p) => p?.protocol === 17 && u16(b, p.payload + 2) === 53);
  client.send('question', udp.port, '127.0.0.1');
  const bytes = await came;
  const back = once(client, 'message');
  const packet = parseIp(bytes)!;
  a.udp(bytes.slice(packet.ip + 12, packet.ip + 16), 53, u16(bytes, packet.payload), Buffer.from('answer'));
  assert.equal(String((await back)[0]), 'answer');
  await assert.rejects(forwards.add(forwards.list[0]!), /another program has it/);
  await assert.rejects(forwards.add(parseForward('1:10.9.9.9:80')!), /no address of the network/);
  assert.equal(forwards.list.map(forwardText).length, 2);
  assert(forwards.remove(forwards.list[0]!) && !forwards.remove(parseForward('tcp:99:10.0.2.15:1')!));
  // A guest that has gone: who comes is turned away.
  const again = await forwards.add({ ...parseForward('1:10.0.2.15:80')!, port: 0 });
  a.close();
  gateway.forget(a.port);
  const lost = connect(again.port, '127.0.0.1');
  await once(lost, 'close');
});

test('forwards as people write them', () => {
  assert.deepEqual(parseForward('8080:10.0.2.15:80'), { protocol: 'tcp', address: '127.0.0.1', port: 8080, to: '10.0.2.15', toPort: 80 }); // prettier-ignore
  assert.equal(forwardText(parseForward('udp:*:53:10.0.2.15:53')!), 'udp:0.0.0.0:53:10.0.2.15:53');
  assert.equal(forwardText(parseForward('[::1]:22:[fd00:10:0:2::f]:22')!), 'tcp:[::1]:22:[fd00:10:0:2::f]:22');
  for (const bad of [
    '',
    '80',
    '80:80',
    'sctp:1:10.0.0.1:1',
    '70000:10.0.0.1:1',
    '1:10.0.0.1:0',
    '0:10.0.0.1:1',
    '1:guest:1',
  ])
    assert.equal(parseForward(bad), undefined, bad);
});

test('any frames at all harm nobody', async () => {
  const { guest, gateway, plan: planned } = bed();
  const [a, b] = [await guest(MAC.a), await guest(MAC.b)];
  const port = await serve((socket) => socket.pipe(socket));
  const next = random(11);
  const seeds = [
    udpFrame(a.ends(planned.gateway4), 68, 67, new Uint8Array(300)),
    udpFrame(a.ends(planned.dns4), 9, 53, new Uint8Array(30)),
    udpFrame({ ...a.ends(planned.gateway6), from: ip('fe80::9') }, 546, 547, new Uint8Array(60)),
    icmpFrame({ ...a.ends(planned.gateway6), from: ip('fe80::9') }, 135, 0, 0, planned.gateway6, 255),
    ...fragments(udpFrame(a.ends(planned.gateway4), 1, 2, new Uint8Array(4000)), 1500, 1),
  ];
  for (let round = 0; round < 20_000; round++) {
    const seed = seeds[Math.floor(next() * seeds.length)]!;
    const bytes = seed.bytes.slice(0, next() < 0.2 ? Math.floor(next() * seed.bytes.length) : undefined);
    for (let i = next() * 6; i > 0; i--) bytes[Math.floor(next() * bytes.length)] = next() * 256;
    a.port.send([{ ...plain(bytes), checksum: next() < 0.7 ? 1 : 0 }]);
  }
  const guests = [...gateway.guests()];
  assert(guests.every(({ addresses, udp }) => addresses.length <= 16 && udp <= 256));
  const stream = await b.connect(planned.gateway4, port);
  stream.text('still here');
  await stream.ended.promise;
  assert.equal(Buffer.concat(stream.chunks).toString(), 'still here');
});
