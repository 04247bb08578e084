import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { crc32, gzipSync, zstdCompressSync } from 'node:zlib';
import { BadImage, concat, u32 } from './bytes.ts';
import { extractElf } from './bzimage.ts';
import { decompress } from './decompress.ts';
import { makeBzImage, makeElf, random, sample } from './fixtures.ts';
import { lz4Legacy } from './lz4.ts';
import { xz } from './xz.ts';

const fixture = (name: string): Uint8Array => readFileSync(new URL(`fixtures/${name}`, import.meta.url));
const packed = { 'sample.crc32.xz': xz, 'sample.crc64.xz': xz, 'sample.sha256.xz': xz, 'sample.lz4': lz4Legacy };

for (const [name, unpack] of Object.entries(packed)) {
  test(`${name} unpacks to the sample`, () => {
    const expected = sample();
    assert.ok(Buffer.from(unpack(fixture(name), expected.length)).equals(expected));
    assert.ok(Buffer.from(decompress(concat([fixture(name), u32(expected.length)]))).equals(expected));
  });

  test(`${name}: damaged or cut data gives BadImage or other bytes, never anything else`, () => {
    const whole = fixture(name);
    const next = random(7);
    for (let i = 0; i < 150; i++) {
      const bad = Uint8Array.from(whole.subarray(0, i % 3 === 0 ? next(whole.length) : whole.length));
      for (let n = next(4); n >= 0; n--) bad[next(bad.length)] = next(256);
      try {
        unpack(bad, 200_000);
      } catch (error) {
        assert.ok(error instanceof BadImage, String(error));
      }
    }
  });
}

test('the size a payload declares is exact', () => {
  const one = fixture('sample.lz4');
  for (const size of [199_999, 200_001]) assert.throws(() => decompress(concat([one, u32(size)])), BadImage);
  assert.throws(() => decompress(concat([one, u32(0xfffffff0)])), /at most \d+ are accepted/);
});

test('xz: a wrong checksum is noticed', () => {
  const bad = Uint8Array.from(fixture('sample.crc32.xz'));
  const check = Buffer.from(bad).lastIndexOf(u32(crc32(sample())));
  assert.ok(check > 0);
  bad[check]! ^= 1;
  assert.throws(() => xz(bad, 200_000), /checksum of a block/);
});

test('a bzImage yields its ELF in every supported compression', () => {
  const elf = makeElf({ code: sample().subarray(0, 5000) });
  const images = {
    gzip: makeBzImage(gzipSync(elf)),
    zstd: makeBzImage(zstdCompressSync(elf), { size: elf.length }),
    none: makeBzImage(elf),
  };
  for (const [name, image] of Object.entries(images)) assert.ok(Buffer.from(extractElf(image)).equals(elf), name);
  assert.equal(extractElf(elf), elf);
});

test('unknown and unsupported compressions are named', () => {
  const inside = (...magic: number[]): Uint8Array => makeBzImage(Uint8Array.of(...magic, 0, 0, 0, 0, 0, 0, 0, 0));
  assert.throws(() => extractElf(inside(1, 2, 3, 4)), /unknown compression/);
  assert.throws(() => extractElf(inside(0x42, 0x5a, 0x68)), /bzip2/);
  assert.throws(() => extractElf(inside(0x5d, 0, 0)), /lzma/);
  assert.throws(() => extractElf(makeBzImage(gzipSync(new Uint8Array(100)))), /not an ELF/);
  assert.throws(() => extractElf(makeBzImage(gzipSync(makeElf()), { version: 0x207 })), /boot protocol 0x207/);
});
