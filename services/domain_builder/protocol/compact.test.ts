import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildPvh } from './build.ts';
import { compactElf } from './compact.ts';
import { parseElf } from './elf.ts';
import { makeElf, pvhNote, random } from './fixtures.ts';

const MIB = 1 << 20;

/** All that a new domain's memory holds, and where it starts. */
function loaded(kernel: Uint8Array): object {
  const { writes, ...plan } = buildPvh({ kernel, cmdline: 'x', memory: 64 * MIB });
  const memory = new Uint8Array(32 * MIB);
  for (const { gpa, bytes } of writes) if (gpa < memory.length) memory.set(bytes, gpa);
  return { ...plan, memory: Buffer.from(memory).toString('latin1') };
}

/** Random bytes, with zeros over the given pages. */
function code(pages: number, ...empty: [number, number][]): Uint8Array {
  const next = random(7);
  const bytes = Uint8Array.from({ length: pages * 4096 - 100 }, () => next(256));
  for (const [from, to] of empty) bytes.fill(0, from * 4096, to * 4096);
  return bytes;
}

for (const bits of [32, 64] as const)
  test(`ELF${bits}: the domain is the same, the file smaller by its long runs of zeros`, () => {
    const machine = bits === 32 ? 3 : 62;
    const notes: [string, number, Uint8Array][] = [
      ['Xen', 17, Uint8Array.of(1, 2, 3)],
      pvhNote(0x200000),
      ['Another', 5, new Uint8Array(0)],
    ];
    const whole = makeElf({
      bits,
      machine,
      notes,
      gpa: 0x200000,
      memSize: 3 * MIB,
      code: code(400, [0, 30], [50, 60], [100, 300], [390, 400]),
    });
    const compact = compactElf(whole);
    assert.deepEqual(loaded(compact), loaded(whole));
    assert.deepEqual(
      parseElf(compact).notes.map(({ name, type, desc }) => [name, type, [...desc]]),
      parseElf(whole).notes.map(({ name, type, desc }) => [name, type, [...desc]]),
    );
    // the run of 10 pages stays
    assert.ok(Math.abs(whole.length - compact.length - (30 + 200 + 10) * 4096) < 2 * 4096, `${compact.length}`);
    assert.deepEqual(compactElf(compact), compact);
  });

test('an image of zeros alone, and one with more runs than headers', () => {
  const empty = compactElf(makeElf({ code: new Uint8Array(MIB) }));
  assert.ok(empty.length < 8192);
  assert.deepEqual(loaded(empty), loaded(makeElf({ code: new Uint8Array(MIB) })));
  const striped = new Uint8Array(3400 * 4096);
  for (let page = 0; page < 3400; page += 17) striped[page * 4096] = 1;
  const whole = makeElf({ code: striped });
  assert.deepEqual(loaded(compactElf(whole)), loaded(whole));
});
