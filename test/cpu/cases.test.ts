import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operandSizes, rowFiles, rows } from '../../spec/x86/rows.ts';
import { load, sectionKey } from './answers.ts';
import { undefinedFlags } from './compare.ts';
import { cpuModel, openHarness } from './run.ts';
import { groupsOfFile, whyNot } from './plan.ts';
import { SELECTORS, cases, diff, type Case } from './replay.ts';

test('every row and operand size has 200 recorded states, or a reason', () => {
  for (const [file, own] of rowFiles) {
    const { sections } = load(file);
    const known = new Set(groupsOfFile(file).map(sectionKey));
    for (const key of sections.keys()) assert.ok(known.has(key), `${file}: answers of an unknown row ${key}`);
    for (const row of own) {
      if (whyNot(row) !== null) continue;
      const long = !row.attrs.has('i64');
      const sizes = operandSizes(row, long);
      for (const opsize of sizes.length ? sizes : ([32] as const)) {
        const part = sections.get(sectionKey({ row, opsize, mode: long ? 64 : 32, count: 0 }));
        assert.ok(part && part.section.count >= 200, `${file}: ${row.source} at ${opsize} bits`);
      }
    }
  }
});

test('each reason for not recording is one of privilege, descriptor tables, or the host', () => {
  const unrecorded = rows.filter((row) => whyNot(row) !== null);
  assert.ok(unrecorded.length > 0 && unrecorded.length < rows.length / 8, `${unrecorded.length} rows are not recorded`);
  for (const row of unrecorded)
    assert.ok(
      ['interp', 'iopl', 'priv'].some((a) => row.attrs.has(a)),
      row.source,
    );
});

for (const file of rowFiles.keys()) {
  test(`${file}: inputs are those recorded, answers vary and agree with themselves`, () => {
    const groups = new Map<string, { ok: number; all: number; memory: number }>();
    for (const c of cases(file)) {
      const key = `${c.row.source} (${c.opsize} bits, mode ${c.mode})`;
      const seen = groups.get(key) ?? { ok: 0, all: 0, memory: 0 };
      groups.set(key, seen);
      seen.all++;
      if (!c.answer.trap) seen.ok++;
      if (c.draft.memory) seen.memory++;
      if (c.n % 16 === 0) assert.deepEqual(diff(c, c.answer), []);
    }
    for (const [key, { ok, all, memory }] of groups) {
      const row = rows.find((r) => key.startsWith(r.source))!;
      // an instruction that mostly faults tests its faults only
      if (!/^UD[012]$/.test(row.name)) assert.ok(ok >= all * 0.4, `${key}: ${ok} of ${all} without a trap`);
      if (all >= 200 && row.modrm && row.form === 'both' && !row.operands.some((o) => o.kind === 'R'))
        assert.ok(memory > all / 4 && memory < (all * 3) / 4, `${key}: ${memory} of ${all} in memory`);
    }
  });
}

test('answers are what the manual says, where that is easily computed', () => {
  let checked = 0;
  for (const c of cases('integer', (g) => g.row.name === 'ADD' && g.row.source.startsWith('01'))) {
    if (c.answer.trap || c.draft.memory) continue;
    const { reg, rm } = c.draft;
    const mask = (1n << BigInt(c.opsize)) - 1n;
    const [a, b] = [c.state.gpr[rm]! & mask, c.state.gpr[reg]! & mask];
    assert.equal(c.answer.gpr[rm]! & mask, (a + b) & mask);
    assert.equal(c.answer.rflags & 0x41, ((a + b) & mask ? 0 : 0x40) | Number((a + b) >> BigInt(c.opsize)));
    checked++;
  }
  assert.ok(checked > 250, `${checked} additions`);
});

test('segment registers hold the selectors that states promise', () => {
  const order = ['es', '', 'ss', 'ds', 'fs', 'gs'] as const;
  for (const c of cases('system', (g) => g.row.source.startsWith('8C /r reg'))) {
    if (c.answer.trap) continue;
    const { reg, rm } = c.draft;
    const name = order[reg]! || (c.mode === 64 ? 'cs64' : 'cs32');
    assert.equal(Number(c.answer.gpr[rm]! & 0xffffn), SELECTORS[name], name);
  }
});

test('any difference is found', () => {
  for (const c of cases('integer', (g) => g.row.name === 'XADD' && g.opsize === 32)) {
    const changed = (change: (got: Case['answer']) => void) => {
      const got = structuredClone(c.answer);
      change(got);
      return diff(c, got);
    };
    assert.match(changed((g) => (g.rip += 1n))[0]!, /^rip/);
    assert.match(changed((g) => (g.rflags ^= 0x40))[0]!, /^rflags/);
    assert.match(changed((g) => (g.gpr[6]! ^= 1n))[0]!, /^rsi/);
    assert.match(changed((g) => (g.fx[24]! ^= 1))[0]!, /^mxcsr/);
    assert.match(changed((g) => (g.fx[2]! ^= 1))[0]!, /^fsw/);
    assert.match(changed((g) => (g.fx[40]! ^= 1))[0]!, /^st0/);
    assert.match(changed((g) => (g.fx[170]! ^= 1))[0]!, /^xmm0/);
    assert.match(changed((g) => (g.memory[5]! ^= 1))[0]!, /^\[0x10000005\]/);
    assert.match(changed((g) => (g.trap = g.trap ? null : { vector: 13, error: 0, address: 0n }))[0]!, /^trap/);
  }
});

test('undefined flags follow the count of a shift', () => {
  const seen = new Map<number, number>();
  for (const c of cases('integer', (g) => g.row.source.startsWith('D2 /4') && g.mode === 64)) {
    if (c.answer.trap) continue;
    seen.set(Number(c.state.gpr[1]! & 0x1fn), undefinedFlags(c));
  }
  assert.equal(seen.get(0), 0);
  assert.equal(seen.get(1), 0x10);
  assert.equal(seen.get(3), 0x810);
  assert.equal(seen.get(8), 0x811);
});

test('the present CPU gives the recorded answers', (t) => {
  const model = cpuModel();
  const recorded = load('integer').cpu;
  if (model !== recorded) return t.diagnostic(`recorded on '${recorded}', this is '${model}': not compared`);
  const harness = openHarness();
  if (!harness) return t.diagnostic('no gcc: not compared');
  try {
    let step = 0;
    let compared = 0;
    for (const file of rowFiles.keys()) {
      const sample = [...cases(file, () => step++ % 37 === 0)].filter((c) => c.n % 13 === 0);
      const results = harness.run(sample);
      sample.forEach((c, i) => assert.deepEqual(diff(c, results[i]!), [], `${c.row.source} case ${c.n}`));
      compared += sample.length;
    }
    t.diagnostic(`${compared} cases agree`);
    assert.ok(compared >= 500);
  } finally {
    harness.close();
  }
});
