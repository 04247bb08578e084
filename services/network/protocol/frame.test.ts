import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ends, largeFrame, MAC, random } from '../testing.ts';
import { arpFrame, fragments, icmpFrame, tcpFrame, udpFrame } from './build.ts';
import { holds, v4HeaderHolds } from './checksum.ts';
import { CHECKSUM, GSO, isGroup, macAt, macBytes, macText, NO_OFFLOAD, parseIp, parseMac, u16, u32 } from './frame.ts';
import { adapt, filled, segments, sound } from './segment.ts';

test('MAC addresses as numbers, bytes and text', () => {
  const mac = parseMac('00:16:3e:fe:dc:ba')!;
  assert.equal(macText(mac), '00:16:3e:fe:dc:ba');
  assert.equal(macAt(macBytes(mac), 0), mac);
  assert(isGroup(parseMac('01:00:5e:00:00:01')!) && isGroup(0xffffffffffff) && !isGroup(mac));
  for (const bad of ['', '00:16:3e:fe:dc', '00:16:3e:fe:dc:ba:00', '00:16:3e:fe:dc:gg', '00-16-3e-fe-dc-ba'])
    assert.equal(parseMac(bad), undefined, bad);
});

test('an example of RFC 1071 and a known DHCP header', () => {
  // The IPv4 header of an often shown capture: its checksum is b861.
  const header = Uint8Array.from(Buffer.from('450000730000400040110000c0a80001c0a800c7', 'hex'));
  header.set([0xb8, 0x61], 10);
  assert(v4HeaderHolds(header, 0));
  header[8]!--;
  assert(!v4HeaderHolds(header, 0));
});

for (const v6 of [false, true]) {
  const name = v6 ? 'IPv6' : 'IPv4';
  test(`what is built holds together, over ${name}`, () => {
    const e = ends(MAC.a, MAC.b, v6);
    for (const { bytes } of [udpFrame(e, 1, 2, Buffer.from('odd')), largeFrame(e, new Uint8Array(9), 3)].map(filled)) {
      const packet = parseIp(bytes)!;
      assert.equal(packet.version, v6 ? 6 : 4);
      assert(holds(bytes, packet));
      const wrong = bytes.slice();
      wrong[wrong.length - 1]! ^= 1;
      assert(!holds(wrong, packet));
      if (!v6) assert(v4HeaderHolds(bytes, packet.ip));
    }
    const echo = icmpFrame(e, v6 ? 128 : 8, 0, 0x10001, Buffer.from('ping'));
    assert.equal(parseIp(echo.bytes)!.payload, v6 ? 54 : 34);
  });

  test(`a large frame's segments are its bytes, over ${name}`, () => {
    const next = random(v6 ? 6 : 4);
    for (let round = 0; round < 200; round++) {
      const data = Uint8Array.from({ length: Math.floor(next() * 9000) + 1 }, () => next() * 256);
      const segment = Math.floor(next() * 1400) + 100;
      const large = largeFrame(ends(MAC.a, MAC.b, v6), data, segment, 0x80 | 0x19);
      assert(sound(large));
      const parts = adapt(large, NO_OFFLOAD);
      assert.equal(parts.length, Math.ceil(data.length / segment));
      let at = 0;
      for (const [i, { bytes, checksum, gso }] of parts.entries()) {
        const packet = parseIp(bytes)!;
        assert.deepEqual([checksum, gso, packet.end], [CHECKSUM.validated, GSO.none, bytes.length]);
        assert(holds(bytes, packet) && (v6 || v4HeaderHolds(bytes, packet.ip)));
        assert.equal(u32(bytes, packet.payload + 4), (0xfffffff0 + at) >>> 0);
        const last = i === parts.length - 1;
        assert.equal(bytes[packet.payload + 13], 0x10 | (last ? 0x09 : 0) | (i === 0 ? 0x80 : 0));
        const part = bytes.subarray(packet.payload + 20);
        assert(part.length <= segment);
        assert(Buffer.from(part).equals(data.subarray(at, at + part.length)));
        at += part.length;
      }
      assert.equal(at, data.length);
      // With checksums left to the port the same frames, filled in, are the same bytes.
      const blanks = segments(large);
      assert(
        blanks.every(
          (part, i) => part.checksum === CHECKSUM.blank && Buffer.from(filled(part).bytes).equals(parts[i]!.bytes),
        ),
      );
    }
  });

  test(`fragments put together are the packet, over ${name}`, () => {
    const data = Uint8Array.from({ length: 7001 }, (_, i) => i);
    const whole = udpFrame(ends(MAC.a, MAC.b, v6), 7, 8, data);
    const parts = fragments(whole, 1500, 77);
    assert.equal(parts.length, 5);
    const kinds = parts.map(({ bytes }) => parseIp(bytes)!.fragment);
    assert.deepEqual(kinds, ['first', 'later', 'later', 'later', 'later']);
    const bytes = Buffer.concat(parts.map((part) => part.bytes.subarray(parseIp(part.bytes)!.payload)));
    assert(bytes.equals(whole.bytes.subarray(v6 ? 54 : 34)));
    assert(parts.every((part) => part.bytes.length <= 1514));
  });
}

test('frames whose metadata lie are unsound', () => {
  const large = largeFrame(ends(MAC.a, MAC.b), new Uint8Array(60_000), 1448);
  assert(sound(large));
  assert(!sound({ ...large, segment: 0 }));
  assert(!sound({ ...large, segment: 1 }), 'too many parts');
  assert(!sound({ ...large, gso: GSO.tcpv6 }));
  assert(!sound({ ...large, bytes: large.bytes.subarray(0, 40) }));
  assert(!sound({ ...udpFrame(ends(MAC.a, MAC.b), 1, 2, new Uint8Array(9)), gso: GSO.tcpv4, segment: 100 }));
  const header = { fromPort: 1, toPort: 2, sequence: 1, acknowledgement: 0, flags: 2, window: 1 };
  const offset = tcpFrame(ends(MAC.a, MAC.b), header, new Uint8Array(0)).bytes;
  offset[14 + 20 + 12] = 0xf0; // the TCP header ends behind the packet
  assert(!sound({ bytes: offset, checksum: CHECKSUM.blank, gso: GSO.tcpv4, segment: 10 }));
});

test('any bytes at all are parsed to something inside them, or not', () => {
  const next = random(9);
  const seeds = [udpFrame(ends(1, 2, true), 1, 2, new Uint8Array(40)), udpFrame(ends(1, 2), 1, 2, new Uint8Array(40)), arpFrame(1, ends(1, 2), 0)]; // prettier-ignore
  let parsed = 0;
  for (let round = 0; round < 20_000; round++) {
    const bytes = seeds[round % 3]!.bytes.slice(0, Math.floor(next() * 120));
    for (let i = 0; i < 3; i++) bytes[Math.floor(next() * bytes.length)] = next() * 256;
    if (next() < 0.3 && bytes.length > 20) bytes[20] = [0, 43, 44, 60][Math.floor(next() * 4)]!;
    const packet = bytes.length >= 14 ? parseIp(bytes) : undefined;
    if (!packet) continue;
    parsed++;
    assert(packet.ip === 14 && packet.payload <= packet.end && packet.end <= bytes.length);
    holds(bytes, packet);
    for (const gso of [GSO.none, GSO.tcpv4, GSO.tcpv6]) {
      const frame = { bytes, checksum: CHECKSUM.blank, gso, segment: Math.floor(next() * 100) };
      if (sound(frame)) adapt(frame, NO_OFFLOAD);
    }
  }
  assert(parsed > 1000);
  assert.equal(u16(seeds[2]!.bytes, 12), 0x0806);
});
