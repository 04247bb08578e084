import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { buildGuest } from '../../../guests/build.ts';
import { guestImage } from '../../../guests/image/index.ts';
import { symbolFile } from './elf_writer.ts';
import { readSymbols } from './files.ts';
import { kallsyms } from './kallsyms.ts';
import { SymbolTable } from './table.ts';

const BASE = 0xffff_ffff_8100_0000n;
const align = (b: Buffer): Buffer => Buffer.concat([b, Buffer.alloc(-b.length & 7)]);

/** Names of several lengths, one longer than 127 tokens. */
const NAMES = Array.from({ length: 700 }, (_, i) => `${i % 3 ? 'T' : 'd'}sym_${i}${i === 300 ? '_x'.repeat(90) : ''}`);

/** A kernel's tables as scripts/kallsyms lays them out, with a token a letter but for one of several. */
function image(order: 'old' | 'sorted' | 'new', count = NAMES.length): Buffer {
  const tokens = Array.from({ length: 256 }, (_, i) =>
    /[\w.$]/.test(String.fromCharCode(i)) && i < 128 ? String.fromCharCode(i) : i === 200 ? 'sym_' : `~${i}`,
  );
  const table = Buffer.from(tokens.map((t) => `${t}\0`).join(''), 'latin1');
  const index = Buffer.alloc(512);
  let at = 0;
  tokens.forEach((t, i) => (index.writeUInt16LE(at, 2 * i), (at += t.length + 1)));
  const names: Buffer[] = [];
  const markers: number[] = [];
  let length = 0;
  NAMES.slice(0, count).forEach((name, i) => {
    if (i % 256 === 0) markers.push(length);
    const body = Buffer.from(name.replace('sym_', '\u00c8'), 'latin1');
    const head = body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
    names.push(Buffer.from(head), body);
    length += head.length + body.length;
  });
  const offsets = Buffer.alloc(4 * count);
  for (let i = 0; i < count; i++) offsets.writeInt32LE(-1 - 16 * i, 4 * i);
  const base = Buffer.alloc(8);
  base.writeBigUInt64LE(BASE);
  const number = Buffer.alloc(8);
  number.writeUInt32LE(count);
  const marked = Buffer.alloc(4 * markers.length);
  markers.forEach((m, i) => marked.writeUInt32LE(m, 4 * i));
  const named = [number, align(Buffer.concat(names)), align(marked)];
  const found = [align(table), index];
  const sequence = align(Buffer.alloc(3 * count, 1));
  const addresses = [align(offsets), base];
  const rest = Buffer.alloc(4096, 0x5a);
  if (order === 'old') return Buffer.concat([rest, ...addresses, ...named, ...found, rest]);
  if (order === 'sorted') return Buffer.concat([rest, ...addresses, ...named, sequence, ...found, rest]);
  return Buffer.concat([rest, ...named, ...found, ...addresses, sequence, rest]);
}

for (const order of ['old', 'sorted', 'new'] as const)
  test(`kallsyms, laid out as in ${order} kernels`, () => {
    const table = kallsyms(image(order));
    assert.ok(table);
    assert.equal(table.length, NAMES.length);
    NAMES.forEach((name, i) => assert.equal(table.address(name.slice(1)), BASE + BigInt(16 * i), name));
    assert.equal(table.find(BASE + 16n * 4n + 3n)?.name, 'sym_4');
    assert.equal(table.find(BASE + 16n * 3n)?.code, false);
    assert.equal(table.find(BASE - 1n), undefined);
  });

test('an image that is cut off or changed gives symbols or none, never an error', () => {
  const whole = image('sorted');
  for (let cut = 0; cut < whole.length; cut += 997) kallsyms(whole.subarray(0, cut));
  for (let at = 4096; at < whole.length; at += 61) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 0xff;
    kallsyms(damaged);
  }
});

test("the Debian kernel's own symbols", () => {
  const table = readSymbols(readFileSync(guestImage().kernel));
  assert.ok(table && table.length > 50_000);
  const start = table.address('start_kernel')!;
  assert.equal(table.find(start + 5n)?.name, 'start_kernel');
  const entry = table.address('entry_SYSCALL_64')!;
  assert.ok(entry > table.address('_stext')! && entry < table.address('_etext')!);
});

let elf: Uint8Array;
before(() => (elf = readFileSync(buildGuest('unikernel'))));

test("an ELF file's symbol table, whole and damaged", () => {
  const table = readSymbols(elf)!;
  const main = table.address('guest_main')!;
  assert.equal(table.find(main + 1n)?.name, 'guest_main');
  assert.equal(table.find(main)?.code, true);
  for (let at = 0; at < 64; at++) {
    const damaged = Uint8Array.from(elf);
    damaged[at] = 0xff;
    readSymbols(damaged);
  }
  for (let cut = 0; cut < elf.length; cut += 1009) readSymbols(elf.subarray(0, cut));
});

test('a file of symbols alone is read back as it was', () => {
  const table = kallsyms(image('new'))!;
  const back = readSymbols(symbolFile(table))!;
  assert.deepEqual([...back], [...table]);
});

test('a System.map', () => {
  const table = readSymbols(Buffer.from('ffffffff81000000 T _text\nffffffff81000100 t go\nffffffff82000000 D data\n'))!;
  assert.equal(table.find(0xffffffff81000104n)?.name, 'go');
  assert.equal(table.address('data'), 0xffffffff82000000n);
  assert.equal(table.find(0xffffffff82000000n)?.code, false);
  assert.equal(readSymbols(Buffer.from('neither this nor that')), undefined);
});

test('a symbol ends where its size says, or where the next one begins', () => {
  const table = new SymbolTable([
    { address: 0x100n, name: 'sized', code: true, size: 0x10 },
    { address: 0x200n, name: 'open', code: true, size: 0 },
    { address: 0x300n, name: 'last', code: true, size: 0 },
  ]);
  assert.equal(table.find(0x10fn)?.name, 'sized');
  assert.equal(table.find(0x110n), undefined);
  assert.equal(table.find(0x2ffn)?.name, 'open');
  assert.equal(table.find(0x300n + 0xffffn)?.name, 'last');
  assert.equal(table.find(0x300n + 0x10000n), undefined);
});
