import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ends, ip, largeFrame, MAC, random, withTag } from '../testing.ts';
import { arpFrame, icmpFrame, ipFrame, udpFrame } from '../protocol/build.ts';
import { holds } from '../protocol/checksum.ts';
import { CHECKSUM, MAC_BROADCAST, NO_OFFLOAD, parseIp, u16, type Frame } from '../protocol/frame.ts';
import { linkLocal } from './lock.ts';
import { AGE_MS, MACS_PER_PORT } from './macs.ts';
import { Bucket } from './rate.ts';
import { Switch, type Port, type PortOptions } from './switch.ts';

class Bed {
  now = 0;
  readonly net = new Switch(() => this.now);
  readonly got = new Map<string, Frame[]>();

  port(name: string, options: Partial<PortOptions> = {}): Port {
    this.got.set(name, []);
    return this.net.attach({ name, deliver: (frames) => void this.got.get(name)!.push(...frames), ...options });
  }

  /** What each port was given since the last time, as numbers of frames. */
  take(): Record<string, number> {
    const counts = Object.fromEntries([...this.got].map(([name, frames]) => [name, frames.length]));
    for (const name of this.got.keys()) this.got.set(name, []);
    return counts;
  }
}

const data = new Uint8Array(20);
const frame = (from: number, to: number) => udpFrame(ends(from, to), 1, 2, data);

test('frames go where their address was last heard, and everywhere until then', () => {
  const bed = new Bed();
  const [a, b, c] = ['a', 'b', 'c'].map((name) => bed.port(name)) as [Port, Port, Port];
  a.send([frame(MAC.a, MAC.b)]);
  assert.deepEqual(bed.take(), { a: 0, b: 1, c: 1 });
  b.send([frame(MAC.b, MAC.a), frame(MAC.b, MAC.a)]);
  assert.deepEqual(bed.take(), { a: 2, b: 0, c: 0 });
  a.send([frame(MAC.a, MAC.b)]);
  assert.deepEqual(bed.take(), { a: 0, b: 1, c: 0 });
  a.send([frame(MAC.a, MAC_BROADCAST)]);
  assert.deepEqual(bed.take(), { a: 0, b: 1, c: 1 });
  // A station moves; an old entry ends.
  c.send([frame(MAC.b, MAC.a)]);
  bed.take();
  a.send([frame(MAC.a, MAC.b)]);
  assert.deepEqual(bed.take(), { a: 0, b: 0, c: 1 });
  bed.now += AGE_MS + 1;
  a.send([frame(MAC.a, MAC.b)]);
  assert.deepEqual(bed.take(), { a: 0, b: 1, c: 1 });
  c.detach();
  c.send([frame(MAC.b, MAC.a)]);
  a.send([frame(MAC.a, MAC.b)]);
  assert.deepEqual(bed.take(), { a: 0, b: 1, c: 0 });
});

test('a port that sends from ever new addresses forgets its own only', () => {
  const bed = new Bed();
  const [a, b] = [bed.port('a'), bed.port('b')];
  b.send([frame(MAC.b, MAC.a)]);
  for (let i = 0; i < 3 * MACS_PER_PORT; i++) a.send([frame(0x020000000000 + i, MAC_BROADCAST)]);
  const entries = [...bed.net.macs.entries()];
  assert.equal(entries.length, MACS_PER_PORT + 1);
  assert(entries.some(({ mac, port }) => mac === MAC.b && port === b.id));
});

test('VLANs: access and trunk ports', () => {
  const bed = new Bed();
  const ten = bed.port('ten', { vlan: { access: 10 } });
  bed.port('ten2', { vlan: { access: 10 } });
  const twenty = bed.port('twenty', { vlan: { access: 20 } });
  const trunk = bed.port('trunk', { vlan: { trunk: new Set([10, 30]), native: 5 } });
  const all = bed.port('all', { vlan: { trunk: 'all' } });
  ten.send([frame(MAC.a, MAC_BROADCAST)]);
  const [tagged] = bed.got.get('trunk')!;
  assert.equal(u16(tagged!.bytes, 12), 0x8100);
  assert.equal(u16(tagged!.bytes, 14), 10);
  assert.deepEqual(bed.take(), { ten: 0, ten2: 1, twenty: 0, trunk: 1, all: 1 });
  trunk.send([withTag(frame(MAC.b, MAC.a), 10)]);
  assert.equal(u16(bed.got.get('ten')![0]!.bytes, 12), 0x0800, 'the tag is gone');
  assert.deepEqual(bed.take(), { ten: 1, ten2: 0, twenty: 0, trunk: 0, all: 0 });
  trunk.send([withTag(frame(MAC.b, MAC_BROADCAST), 20), withTag(frame(MAC.b, MAC_BROADCAST), 5)]);
  assert.deepEqual(bed.take(), { ten: 0, ten2: 0, twenty: 0, trunk: 0, all: 0 }, 'not its VLAN; its native one has no tag'); // prettier-ignore
  assert.equal(trunk.statistics.sentRefused, 2);
  trunk.send([frame(MAC.b, MAC_BROADCAST)]);
  assert.deepEqual(bed.take(), { ten: 0, ten2: 0, twenty: 0, trunk: 0, all: 1 }, 'VLAN 5');
  twenty.send([withTag(frame(MAC.c, MAC_BROADCAST), 10)]);
  assert.deepEqual(bed.take(), { ten: 0, ten2: 0, twenty: 0, trunk: 0, all: 0 }, 'no hopping from an access port');
  all.send([withTag(frame(MAC.c, MAC_BROADCAST), 20)]);
  assert.deepEqual(bed.take(), { ten: 0, ten2: 0, twenty: 1, trunk: 0, all: 0 });
});

test('a large frame passes whole to who takes it, and cut to who does not', () => {
  const bed = new Bed();
  const a = bed.port('a');
  bed.port('b');
  bed.port('c', { offload: NO_OFFLOAD });
  const large = largeFrame(ends(MAC.a, MAC_BROADCAST), new Uint8Array(10_000), 1000);
  a.send([large]);
  assert.equal(bed.got.get('b')![0], large, 'the very same');
  assert.equal(bed.got.get('c')!.length, 10);
  assert(bed.got.get('c')!.every(({ bytes, checksum }) => checksum === CHECKSUM.validated && holds(bytes, parseIp(bytes)!))); // prettier-ignore
  a.send([{ ...large, segment: 1 }]);
  assert.equal(a.statistics.sentRefused, 1);
});

test('multicast control: a port is given the groups it wants', () => {
  const bed = new Bed();
  const a = bed.port('a');
  const b = bed.port('b');
  b.groups = new Set([0x01005e000005]);
  for (const group of [0x01005e000005, 0x01005e000006, MAC_BROADCAST]) a.send([frame(MAC.a, group)]);
  assert.deepEqual(bed.take(), { a: 0, b: 2 });
});

test('a locked port sends from its own addresses only', () => {
  const bed = new Bed();
  const own = ip('10.0.0.1');
  const own6 = ip('fd00::1');
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  const a = bed.port('a', { lock: { mac: MAC.a, addresses: new Set([hex(own), hex(own6)]) } });
  bed.port('b');
  const e = ends(MAC.a, MAC.b);
  const e6 = ends(MAC.a, MAC.b, true);
  const any6 = ip('::');
  const local = Uint8Array.from(Buffer.from(linkLocal(MAC.a), 'hex'));
  const udp = (over: object, base = e) => udpFrame({ ...base, ...over }, 1, 2, data);
  const nd = (type: number, from: Uint8Array, target: Uint8Array, mac?: number) => {
    const options = mac === undefined ? [] : [1, 1, ...Buffer.from(mac.toString(16).padStart(12, '0'), 'hex')];
    return icmpFrame({ ...e6, from }, type, 0, 0, Uint8Array.from([...target, ...options]));
  };
  const good: Record<string, Frame> = {
    IPv4: udp({}),
    IPv6: udp({}, e6),
    'link-local': udp({ from: local }, e6),
    ARP: arpFrame(1, e, 0),
    'ARP probe': arpFrame(1, { ...e, from: ip('0.0.0.0'), to: own }, 0),
    'DHCP discover': udpFrame({ ...e, from: ip('0.0.0.0') }, 68, 67, data),
    solicitation: nd(135, own6, ip('fd00::2'), MAC.a),
    'address detection': nd(135, any6, own6),
    advertisement: nd(136, own6, own6, MAC.a),
    'router solicitation': icmpFrame({ ...e6, from: any6 }, 133, 0, 0, new Uint8Array(0)),
    'listener report': icmpFrame({ ...e6, from: any6 }, 143, 0, 0, new Uint8Array(20)),
  };
  const other = ip('10.0.0.9');
  const other6 = ip('fd00::9');
  const bad: Record<string, Frame> = {
    'MAC address': udp({ fromMac: MAC.c }),
    'IPv4 address': udp({ from: other }),
    'IPv6 address': udp({ from: other6 }, e6),
    'DHCP server': udpFrame({ ...e, from: ip('0.0.0.0') }, 67, 68, data),
    'no address': ipFrame({ ...e, from: ip('0.0.0.0') }, 99, data),
    'ARP of another': arpFrame(2, { ...e, from: other }, MAC.b),
    'ARP with another MAC address': (() => {
      const { bytes, ...rest } = arpFrame(2, e, MAC.b);
      bytes[14 + 13]! ^= 1;
      return { bytes, ...rest };
    })(),
    'probe for another': arpFrame(1, { ...e, from: ip('0.0.0.0'), to: other }, 0),
    'advertisement of another': nd(136, own6, other6, MAC.a),
    'advertisement with another MAC address': nd(136, own6, own6, MAC.c),
    'detection for another': nd(135, any6, other6),
    'solicitation from another MAC address': nd(135, own6, ip('fd00::2'), MAC.c),
    'router advertisement': icmpFrame(e6, 134, 0, 0, new Uint8Array(8)),
    redirect: icmpFrame(e6, 137, 0, 0, new Uint8Array(32)),
    'echo from no address': icmpFrame({ ...e6, from: any6 }, 128, 0, 0, data),
    'another protocol': { ...udp({}), bytes: udp({}).bytes.with(12, 0x88) },
    tagged: withTag(udp({ from: other }), 1),
    group: udp({ fromMac: 0x01005e000001 }),
  };
  for (const [what, sent] of Object.entries(good)) {
    a.send([sent]);
    assert.equal(bed.take().b, 1, what);
  }
  for (const [what, sent] of Object.entries(bad)) {
    a.send([sent]);
    assert.equal(bed.take().b, 0, what);
  }
  a.lock = 'disabled';
  a.send([good.IPv4!]);
  assert.equal(bed.take().b, 0);
});

test('any frames from anybody: each other port of the VLAN is given a frame once at most', () => {
  const next = random(3);
  const pick = <T>(...from: T[]): T => from[Math.floor(next() * from.length)]!;
  const bed = new Bed();
  const vlans = [{ access: 0 }, { access: 7 }, { trunk: 'all' }, { trunk: new Set([7]) }] as const;
  const ports = Array.from({ length: 8 }, (_, i) => bed.port(`${i}`, { vlan: vlans[i % 4], offload: NO_OFFLOAD }));
  const model = new Map<string, number>(); // VLAN and address to port
  for (let round = 0; round < 20_000; round++) {
    const from = pick(...ports);
    const [source, to] = [pick(1, 2, 3, 4, 5, 6), pick(1, 2, 3, 4, 5, 6, MAC_BROADCAST)];
    const tag = next() < 0.4 ? pick(0, 7, 9) : undefined;
    const sent = tag === undefined ? frame(source, to) : withTag(frame(source, to), tag);
    const trunk = 'trunk' in from.vlan;
    from.send([sent]);
    const vlan = trunk ? (tag ?? 0) : (from.vlan as { access: number }).access;
    const all = trunk && (from.vlan as { trunk: unknown }).trunk === 'all';
    const passes = tag === undefined ? true : trunk ? tag === 7 || (all && tag !== 0) : vlan === 0;
    const member = (p: Port) => ('access' in p.vlan ? p.vlan.access === vlan : vlan === 0 || p.vlan.trunk === 'all' || vlan === 7); // prettier-ignore
    if (passes) model.set(`${vlan} ${source}`, from.id);
    const known = model.get(`${vlan} ${to}`);
    for (const [i, count] of Object.entries(bed.take())) {
      const port = ports[Number(i)]!;
      const expected = passes && port !== from && member(port) && (known === undefined || known === port.id) ? 1 : 0;
      assert.equal(count, expected, `round ${round}, port ${i}`);
    }
  }
});

test('a token bucket lets its rate pass in the long run, and its burst at once', () => {
  const bucket = new Bucket({ bytesPerSecond: 1_000_000, burst: 10_000 }, 0);
  const next = random(5);
  let passed = 0;
  let now = 0;
  while (now < 10_000) {
    const wait = bucket.wait(now);
    now += wait;
    if (wait > 0) continue;
    const size = Math.floor(next() * 60_000) + 60;
    bucket.take(size, now);
    passed += size;
  }
  assert(passed > 9_900_000 && passed < 10_000_000 + 10_000 + 60_060, `${passed}`);
});
