import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ipFrame, udpFrame } from '../protocol/build.ts';
import { PROTOCOL, type Frame } from '../protocol/frame.ts';
import { groupsIn, query4, query6, QUERY_SECONDS, RESPONSE_SECONDS } from '../protocol/multicast.ts';
import { ends, ip, MAC, random } from '../testing.ts';
import { Switch, type Port } from './switch.ts';

class Bed {
  now = 0;
  readonly net = new Switch(() => this.now);
  readonly got: Record<string, number> = {};
  readonly ports = ['router', 'a', 'b', 'c'].map((name) => {
    return this.net.attach({
      name,
      deliver: (frames) => void (this.got[name] = (this.got[name] ?? 0) + frames.length),
    });
  }) as [Port, Port, Port, Port];

  /** Who has heard a frame. */
  heard(from: Port, frame: Frame): string {
    for (const name of Object.keys(this.got)) delete this.got[name];
    from.send([frame]);
    return Object.keys(this.got).sort().join(' ');
  }
}

const V4 = { group: ip('239.1.2.3'), mac: 0x01005e010203 };
const V6 = { group: ip('ff05::7'), mac: 0x333300000007 };
const talk = (v6: boolean): Frame => {
  const { group, mac } = v6 ? V6 : V4;
  return udpFrame({ ...ends(MAC.c, mac, v6), to: group }, 1, 2, new Uint8Array(9));
};
const report4 = (type: number, group = V4.group): Frame =>
  ipFrame({ ...ends(MAC.a, V4.mac), to: group }, PROTOCOL.igmp, Uint8Array.of(type, 0, 0, 0, ...group), 1);
/** IGMPv3 or MLDv2 with one record. */
const newest = (v6: boolean, kind: number, sources = 0): Frame => {
  const { group, mac } = v6 ? V6 : V4;
  const list = new Uint8Array(sources * group.length);
  const body = Uint8Array.of(v6 ? 143 : 0x22, 0, 0, 0, 0, 0, 0, 1, kind, 0, 0, sources, ...group, ...list);
  const e = { ...ends(MAC.a, mac, v6), to: ip(v6 ? 'ff02::16' : '224.0.0.22') };
  const alert = Uint8Array.of(PROTOCOL.icmp6, 0, 5, 2, 0, 0, 1, 0);
  return v6 ? ipFrame(e, 0, Uint8Array.of(...alert, ...body), 1) : ipFrame(e, PROTOCOL.igmp, body, 1);
};
const queries = { false: query4(MAC.b, ip('10.0.0.2')), true: query6(MAC.b, ip('fe80::2')) };

for (const v6 of [false, true])
  test(`multicast goes to those that have asked for it, IPv${v6 ? 6 : 4}`, () => {
    const bed = new Bed();
    const [router, a, , c] = bed.ports;
    assert.equal(bed.heard(c, talk(v6)), 'a b router', 'nobody asks: to all');
    assert.equal(bed.heard(router, queries[`${v6}`]), 'a b c');
    assert.equal(bed.heard(c, talk(v6)), 'a b router', 'the answers are still to come');
    bed.heard(a, newest(v6, 4));
    bed.now = RESPONSE_SECONDS * 1000;
    assert.equal(bed.heard(c, talk(v6)), 'a router');
    assert.equal(bed.heard(a, newest(v6, 4)), 'router', 'reports are for who asks');
    bed.heard(a, newest(v6, 3));
    assert.equal(bed.heard(c, talk(v6)), 'router');
    bed.heard(a, newest(v6, 5, 1));
    assert.equal(bed.heard(c, talk(v6)), 'a router', 'some sources are sources');
    for (let i = 0; i < 4; i++) {
      bed.now += QUERY_SECONDS * 1000;
      bed.heard(router, queries[`${v6}`]);
    }
    assert.equal(bed.heard(c, talk(v6)), 'router', 'who does not answer any more has gone');
    bed.now += 3 * QUERY_SECONDS * 1000;
    assert.equal(bed.heard(c, talk(v6)), 'a b router', 'nobody asks any more');
  });

test('older reports; what is everybody’s; a port that wants too much', () => {
  const bed = new Bed();
  const [router, a, b, c] = bed.ports;
  bed.heard(router, queries.false);
  bed.heard(router, queries.true);
  bed.now = RESPONSE_SECONDS * 1000;
  bed.heard(a, report4(0x16));
  bed.heard(b, report4(0x12));
  assert.equal(bed.heard(c, talk(false)), 'a b router');
  bed.heard(b, report4(0x17));
  assert.equal(bed.heard(c, talk(false)), 'a router');
  for (const [mac, to] of [[0x01005e0000fb, '224.0.0.251'], [0x333300000001, 'ff02::1'], [0x3333ff000001, 'ff02::1:ff00:1']] as const) // prettier-ignore
    assert.equal(bed.heard(c, udpFrame({ ...ends(MAC.c, mac, to.includes(':')), to: ip(to) }, 1, 2, new Uint8Array(9))), 'a b router'); // prettier-ignore
  for (let i = 0; i < 65; i++) bed.heard(b, report4(0x16, ip(`239.9.0.${i}`)));
  assert.equal(bed.heard(c, talk(false)), 'a b router');
});

test('reports of any kind at all', () => {
  const next = random(5);
  for (let i = 0; i < 20_000; i++) {
    const { bytes } = newest(next() < 0.5, Math.floor(next() * 8), Math.floor(next() * 4));
    const cut = bytes.slice(0, next() < 0.5 ? bytes.length : Math.floor(next() * bytes.length));
    for (let n = 0; n < 3; n++) if (cut.length > 0) cut[Math.floor(next() * cut.length)] = next() * 256;
    const said = groupsIn(cut);
    assert((said?.groups.length ?? 0) <= 256);
  }
});
