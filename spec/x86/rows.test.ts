import assert from 'node:assert/strict';
import { test } from 'node:test';
import { modIgnored, opcodesOf, operandSizes, parseRow, rowMatches, rows, sizeBits } from './rows.ts';
import type { Found, Row } from './rows.ts';

test('a row is parsed into its parts', () => {
  const { attrs, ...row } = parseRow('F3 0F 3A 0B /r ib mem | ROUNDSD | Vsd,Msd,Ib | sse undef=OF,AF', 'here');
  assert.deepEqual([...attrs], ['sse']);
  assert.deepEqual(row, {
    source: 'F3 0F 3A 0B /r ib mem | ROUNDSD | Vsd,Msd,Ib | sse undef=OF,AF',
    ...{ file: 'here', prefix: 'F3', opcode: [0x0f, 0x3a, 0x0b], plusR: false, fixed: false, ext: -1, modrm: true },
    ...{ form: 'mem', imm: 'ib', name: 'ROUNDSD', undef: ['OF', 'AF'] },
    operands: [
      { kind: 'V', code: 'Vsd', size: 'sd' },
      { kind: 'M', code: 'Msd', size: 'sd' },
      { kind: 'I', code: 'Ib', size: 'b' },
    ],
  });
  const fixed = parseRow('D9 C0+i | FLD_sti | | x87 interp');
  assert.deepEqual([fixed.opcode, fixed.plusR, fixed.fixed, fixed.modrm], [[0xd9, 0xc0], true, true, false]);
  assert.deepEqual(opcodesOf(fixed), [[0xd9]]);
  assert.equal(opcodesOf(parseRow('0F C8+r | BSWAP | Zy |')).length, 8);
});

test('a bad row is refused by name', () => {
  const bad: [string, RegExp][] = [
    ['00 /r | ADD | Eb,Gb', /3 columns/],
    ['00 /r | add | Eb,Gb |', /bad name/],
    ['00 /r | ADD | Eb,Kb |', /no kind K/],
    ['00 /r | ADD | Eb,Gk |', /no size k/],
    ['00 /r | ADD | Eb,G |', /needs a size/],
    ['00 /r | ADD | Eb,Gb | locked', /no attribute locked/],
    ['00 /r | ADD | Eb,Gb | undef=IF', /no flag IF/],
    ['00 | ADD | Eb,Gb |', /no \/r or/],
    ['00 /1 | ADD | Eb,Gb |', /opcode and operand/],
    ['00 /r ib | ADD | Eb,Gb |', /disagree/],
    ['00 /r | ADD | Eb,Gb,Ib |', /disagree/],
    ['00 /r | ADD | Eb,Mb |', /one field/],
    ['00 /r mem | ADD | Eb,Gb |', /both forms/],
    ['00 /r | LEA | Gv,M |', /needs mem/],
    ['00 /r | ADD | Gb,Eb | lock', /lock without/],
    ['00 /r | ADD | Eb,Gb | o64 i64', /o64 and i64/],
    ['00 01 /r | ADD | Eb,Gb |', /whole opcode/],
    ['41+r | INC | Zv |', /eight bytes/],
    ['D9 B0 | FX | |', /fixed ModRM/],
    ['00 /r xx | ADD | Eb,Gb |', /what is xx/],
  ];
  for (const [row, why] of bad) {
    assert.throws(
      () => parseRow(row, 'file'),
      (e: Error) => why.test(e.message) && e.message.includes(row),
      row,
    );
  }
});

/** Every decoder state that rows can tell apart, apart from ModRM. */
function* states(): Generator<Omit<Found, 'modrm'>> {
  for (const prefix of ['', '66', 'F3', 'F2'] as const) {
    yield { long: false, prefix, rexw: false, rexb: false };
    for (const rexw of [false, true]) for (const rexb of [false, true]) yield { long: true, prefix, rexw, rexb };
  }
}

/** The first pair of rows that claim the same bytes, or null; and the number of distinct encodings claimed. */
function overlap(all: readonly Row[]): { clash: string | null; claimed: number } {
  const byOpcode = new Map<string, Row[]>();
  for (const row of all)
    for (const bytes of opcodesOf(row)) {
      const key = bytes.join(' ');
      byOpcode.set(key, [...(byOpcode.get(key) ?? []), row]);
    }
  let claimed = 0;
  for (const [key, sharing] of byOpcode) {
    const longer = [...byOpcode.keys()].find((other) => other.startsWith(key + ' '));
    if (longer) return { clash: `${sharing[0]!.source} is the start of opcode ${longer}`, claimed };
    for (const state of states())
      for (let modrm = 0; modrm < 256; modrm++) {
        const hits = sharing.filter((row) => rowMatches(row, { ...state, modrm }));
        if (hits.length > 1) return { clash: hits.map((r) => r.source).join(' and '), claimed };
        claimed += hits.length;
      }
  }
  return { clash: null, claimed };
}

test('no two rows claim the same bytes', () => {
  const { clash, claimed } = overlap(rows);
  assert.equal(clash, null);
  assert.ok(claimed > 1_000_000, `${claimed} encodings claimed`);
});

test('an overlap is found', () => {
  const clash = (...texts: string[]) => overlap(texts.map((t) => parseRow(t))).clash;
  assert.match(clash('90+r | XCHG | Zv,rAX |', '93 | NOP | |')!, /XCHG.*NOP/);
  assert.match(clash('F6 /1 ib | TEST | Eb,Ib |', 'F6 /r ib | X | Eb,Ib |')!, /TEST/);
  assert.match(clash('0F 01 C1 | VMCALL | |', '0F 01 /0 | SGDT | Ms |')!, /VMCALL/);
  assert.match(clash('0F 10 /r | A | Vps,Wps |', '66 0F 10 /r | B | Vps,Wps |')!, /A.*B/);
  assert.match(clash('0F | A | |', '0F 05 | B | |')!, /start of/);
  assert.equal(clash('63 /r | MOVSXD | Gv,Ez | o64', '63 /r | ARPL | Ew,Gw | i64'), null);
  assert.equal(clash('NP 0F 10 /r | A | Vps,Wps |', '66 0F 10 /r | B | Vps,Wps |'), null);
});

test('no row claims a prefix byte, or a REX prefix in 64-bit mode', () => {
  const prefixes = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
  for (const row of rows) {
    const first = row.opcode[0]!;
    assert.ok(!prefixes.has(first), row.source);
    if (first >= 0x40 && first < 0x50) assert.ok(row.attrs.has('i64'), row.source);
  }
});

test('the one-byte and two-byte maps are complete', () => {
  const have = (long: boolean, escape: number[]) => {
    const out = new Set<number>();
    for (const row of rows)
      if (!row.attrs.has(long ? 'i64' : 'o64'))
        for (const bytes of opcodesOf(row))
          if (bytes.length === escape.length + 1 && escape.every((b, i) => bytes[i] === b)) out.add(bytes.at(-1)!);
    return [...Array(256).keys()]
      .filter((b) => !out.has(b))
      .map((b) => b.toString(16).padStart(2, '0'))
      .join(' ');
  };
  // prefixes, escapes and, in 64-bit mode, REX and what long mode took away; D8..DF hold the x87's rows
  const notX87 = (s: string) => s.replace(/ ?\bd[89a-f]\b/g, '');
  assert.equal(notX87(have(false, [])), '0f 26 2e 36 3e 64 65 66 67 f0 f2 f3');
  assert.equal(
    notX87(have(true, [])),
    '06 07 0e 0f 16 17 1e 1f 26 27 2e 2f 36 37 3e 3f 40 41 42 43 44 45 46 47 48 49 4a 4b 4c 4d 4e 4f ' +
      '60 61 62 64 65 66 67 82 9a c4 c5 ce d4 d5 d6 ea f0 f2 f3',
  );
  // unassigned; RSM (AA), GETSEC (37), VMX (78, 79), 3DNow! (0E, 0F), test registers (24..27), VEX escapes
  assert.equal(have(true, [0x0f]), '04 0a 0c 0e 0f 24 25 26 27 36 37 38 39 3a 3b 3c 3d 3e 3f 78 79 7a 7b a6 a7 aa');
});

test('operand sizes follow the mode', () => {
  const of = (text: string) => [operandSizes(parseRow(text), true), operandSizes(parseRow(text), false)];
  assert.deepEqual(of('01 /r | ADD | Ev,Gv |'), [
    [16, 32, 64],
    [16, 32],
  ]);
  assert.deepEqual(of('00 /r | ADD | Eb,Gb |'), [[], []]);
  assert.deepEqual(of('50+r | PUSH | Zv | d64'), [
    [16, 64],
    [16, 32],
  ]);
  assert.deepEqual(of('E8 iz | CALL_rel | Jz | v f64'), [[64], [16, 32]]);
  assert.deepEqual(of('6D | INS | Yz,DX | rep'), [
    [16, 32],
    [16, 32],
  ]);
  assert.deepEqual(of('0F C8+r | BSWAP | Zy |'), [[32, 64], [32]]);
  assert.equal(sizeBits('v', 16), 16);
  assert.equal(sizeBits('z', 64), 32);
  assert.equal(sizeBits('y', 16), 32);
  assert.equal(sizeBits('s', 64), 80);
});

test('only control and debug register moves ignore ModRM.mod', () => {
  assert.deepEqual([...new Set(rows.filter(modIgnored).map((r) => r.name))].sort(), [
    'MOV_cr',
    'MOV_dr',
    'MOV_from_cr',
    'MOV_from_dr',
  ]);
});
