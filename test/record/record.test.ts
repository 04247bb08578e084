// The translator's front end against the interpreter: every form that takes any builder, on random states and micro-ops, run by Eval and as
// recorded IR. Registers, flags, memory, exits and the next micro-op must be the same.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { compile, generate } from '../../tools/build.ts';
import { makeForms, type Form, type Forms } from '../../tools/generate/forms.ts';
import { generateRecord, recordable } from '../../tools/generate/record.ts';
import { instruction, OP } from './opcodes.ts';

const ROOT = join(import.meta.dirname, '../..');
const OUTPUT = 'build/record_test.wasm';
const CASES = 300;
const MEMORY_PAGES = 1024;
/** Node numbers of core/engine/ir.ts. */
const IR = { add: 2, sub: 3, and: 5, or: 6, sar: 10, shr: 9, escape: 43, fence: 44 };

/** Forms that have a recording but are left to the interpreter: always, or with LOCK. */
const LEAVES = /^(DPP[SD]|(RCP|RSQRT)[PS]S|MASKMOVDQU|CMPXCHG16B) /;
const LOCKED = /^CMPXCHG16B /;
/** Forms whose result or MXCSR can differ from the native operation's. */
const SENSITIVE =
  /^(ADD|SUB|MUL|DIV|SQRT|MIN|MAX|CMP|ADDSUB|HADD|HSUB|ROUND)[PS][SD](_x)? |^(U?COMI|CVT(T?[PS][SD]2|SI2SS|DQ2PS))/;
/** Those, and moves between lanes. */
const FLOATING = /^(ADD|SUB|MUL|DIV|SQRT|MIN|MAX|ADDSUB|HADD|HSUB|ROUND|MOV|AND|X?OR|UNPCK|SHUF|INSERT|BLEND|CVT)/;

interface Exports {
  machine(): void;
  single(form: number, flags: number, seed: bigint, cases: number, long: number, from: number, to: number): number;
  sequence(count: number, seed: bigint, cases: number, length: number, room: number): number;
  forms_table(): number;
  set_ordinary(on: number): void;
  seen(): number;
  operands(): number;
  compute(op: number, k: bigint, k2: bigint): void;
  faults: WebAssembly.Global;
  leaves: WebAssembly.Global;
  escapes: WebAssembly.Global;
  nodes: WebAssembly.Global;
  live: WebAssembly.Global;
  failed_at: WebAssembly.Global;
}
/** Flags F_* of core/engine/record_entry.ts, in their order. */
const FLAGS = [
  ...(['MEMORY', 'ALWAYS', 'FLAT', 'PLAIN', 'MOFFS', 'I64', 'R8', 'B8', 'LONG', 'BRANCH'] as const),
  ...(['RX', 'BX', 'ALIGN'] as const),
];
type Flag = (typeof FLAGS)[number];

let core: Exports;
let forms: Form[];
/** Keys of forms that only rows without a register form use. */
let inMemory: Set<string>;
const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: 65536, shared: true });

const bits = (flags: Iterable<Flag>): number => [...new Set(flags)].reduce((n, f) => n | (1 << FLAGS.indexOf(f)), 0);

function memoryOnly({ rows }: Forms): Set<string> {
  const used = (mem: boolean): Set<string | null> =>
    new Set(rows.filter(({ row }) => row.operands.some((o) => o.kind === 'M') === mem).flatMap(({ keys }) => keys));
  const registers = used(false);
  return new Set([...used(true)].filter((key) => key !== null && !registers.has(key)) as string[]);
}

/** What the micro-ops of a form may hold. */
function flagsOf(f: Form): number {
  const types = f.args.filter((a) => /^u\d/.test(a));
  const kinds = f.args.filter((a) => !/^u\d/.test(a));
  const flags: Flag[] = [];
  if (kinds.some((k) => /^([EMD]|Xe|Xa)$/.test(k))) flags.push('MEMORY');
  if (inMemory.has(f.key)) flags.push('ALWAYS');
  if (kinds.includes('Xg')) flags.push('RX');
  if (kinds.some((k) => /^X[rea]$/.test(k))) flags.push('BX');
  if (kinds.includes('Xa')) flags.push('ALIGN');
  if (kinds.some((k) => k === 'M' || k === 'D')) flags.push('ALWAYS', 'PLAIN');
  if (kinds.includes('D')) flags.push('FLAT');
  if (kinds.includes('O')) flags.push('MOFFS');
  if (kinds.includes('I64')) flags.push('I64');
  // `MOVZX T,S D,K`: the destination is `r`, the source `b`
  if (types[0] === 'u8') flags.push('R8');
  if (types.at(-1) === 'u8') flags.push('B8');
  if (types.includes('u64') || (f.hot && f.branch)) flags.push('LONG');
  if (f.branch) flags.push('BRANCH');
  return bits(flags);
}
const isLong = (f: Form): boolean => (flagsOf(f) & bits(['LONG', 'PLAIN'])) !== 0;

before(async () => {
  await generate();
  for (const { path, text } of generateRecord()) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
  }
  const flags = [
    '--runtime',
    'stub',
    '--importMemory',
    '--sharedMemory',
    '--initialMemory',
    '1',
    '--maximumMemory',
    '65536',
  ];
  const features = ['--enable', 'threads,simd,sign-extension,mutable-globals,nontrapping-f2i,bulk-memory', '-O1'];
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  await compile('core/engine/record_entry.ts', OUTPUT, [...flags, ...features, '--disableWarning']);
  const all = makeForms(ROOT);
  forms = recordable(all);
  inMemory = memoryOnly(all);
  const module = new WebAssembly.Module(readFileSync(join(ROOT, OUTPUT)));
  const env: Record<string, unknown> = { memory };
  for (const { name } of WebAssembly.Module.imports(module)) {
    env[name] ??= () => assert.fail(`the module called ${name}`);
  }
  core = new WebAssembly.Instance(module, { env }).exports as unknown as Exports;
  core.machine();
});

const run = (f: Form, seed: bigint, long: boolean, from = 0, to = 0): number =>
  core.single(f.id, flagsOf(f), seed, CASES, long ? 1 : 0, from, to);

test('recorded IR does what the interpreter does, 64-bit mode', () => {
  const wrong: string[] = [];
  let faults = 0;
  let nodes = 0;
  let live = 0;
  for (const f of forms) {
    const n = run(f, BigInt(f.id) * 7919n + 1n, true);
    if (n) wrong.push(`${f.key}: ${n} of ${CASES}, offset ${core.failed_at.value}`);
    const left = core.leaves.value;
    if (LOCKED.test(f.key)) assert.ok(left > 0 && left < CASES / 2, f.key);
    else assert.equal(left, LEAVES.test(f.key) ? CASES : 0, `${f.key} left the block in 64-bit mode`);
    if (!f.vector) assert.ok(core.escapes.value < CASES * 0.8, `${f.key}: ${core.escapes.value} escapes`);
    faults += core.faults.value;
    nodes += core.nodes.value;
    live += core.live.value;
  }
  assert.deepEqual(wrong, []);
  const cases = forms.length * CASES;
  assert.ok(
    forms.length > 400 && faults > cases / 20 && faults < cases / 2,
    `${faults} of ${cases} cases left with an exception`,
  );
  console.log(
    `${forms.length} forms, ${cases} cases, ${faults} exits; ${(nodes / cases).toFixed(1)} nodes, ${(live / cases).toFixed(1)} live`,
  );
});

test('recorded IR does what the interpreter does, 32-bit mode', () => {
  const wrong: string[] = [];
  let leaves = 0;
  const narrow = forms.filter((f) => !isLong(f));
  for (const f of narrow) {
    const n = run(f, BigInt(f.id) * 104729n + 5n, false);
    if (n) wrong.push(`${f.key}: ${n} of ${CASES}, offset ${core.failed_at.value}`);
    leaves += core.leaves.value;
  }
  assert.deepEqual(wrong, []);
  // only segments that are not flat leave, 15 % of the states
  assert.ok(leaves > 0 && leaves < narrow.length * CASES * 0.16, `${leaves} of ${narrow.length * CASES} cases left`);
});

test('ordinary numbers stay in the block, and what could show in MXCSR does not', () => {
  const floating = forms.filter((f) => f.vector && !LEAVES.test(f.key));
  core.set_ordinary(1);
  for (const f of floating) {
    assert.equal(run(f, BigInt(f.id) * 31n, true), 0, f.key);
    assert.equal(core.escapes.value, 0, `${f.key}: ordinary numbers`);
  }
  core.set_ordinary(0);
  const sensitive = floating.filter((f) => SENSITIVE.test(f.key));
  assert.ok(sensitive.length > 40);
  for (const f of sensitive) {
    assert.equal(run(f, BigInt(f.id) * 31n, true), 0, f.key);
    assert.ok(core.escapes.value > CASES / 100, `${f.key}: ${core.escapes.value} escapes`);
    // without its escapes it is wrong
    assert.ok(run(f, BigInt(f.id) * 31n, true, IR.escape, IR.fence) > 0, f.key);
  }
});

const table = (list: readonly Form[]): number => {
  const view = new DataView(memory.buffer, core.forms_table());
  list.forEach((f, i) => {
    view.setUint32(8 * i, f.id, true);
    view.setUint32(8 * i + 4, flagsOf(f), true);
  });
  return list.length;
};

test('blocks of several micro-ops write the state of before the one that leaves', () => {
  const count = table(forms.filter((f) => !LEAVES.test(f.key)));
  assert.equal(core.sequence(count, 77n, 20_000, 12, 0x10000), 0, `offset ${core.failed_at.value}`);
  assert.ok(core.faults.value > 3_000, `${core.faults.value} blocks left early`);
  assert.equal(core.leaves.value, 0);
});

test('blocks of vector micro-ops: what is known of numbers is true', () => {
  const count = table(forms.filter((f) => f.vector && FLOATING.test(f.key)));
  assert.ok(count > 80);
  assert.equal(core.sequence(count, 5n, 20_000, 12, 0x10000), 0, `offset ${core.failed_at.value}`);
  core.set_ordinary(1);
  assert.equal(core.sequence(count, 6n, 10_000, 12, 0x10000), 0, `offset ${core.failed_at.value}`);
  core.set_ordinary(0);
  assert.ok(core.escapes.value < 5_000, `${core.escapes.value} blocks left early`);
});

test('a buffer that is too small ends the block before the micro-op that does not fit', () => {
  for (const room of [96, 512, 2048]) {
    assert.equal(core.sequence(forms.length, 99n, 5_000, 12, room), 0, `offset ${core.failed_at.value}`);
    assert.ok(core.leaves.value > 500, `${core.leaves.value} blocks left with ${room} bytes`);
  }
});

test('a wrong operation is seen', () => {
  const form = (key: string): Form => forms.find((f) => f.key === key) ?? assert.fail(key);
  const changes: [string, number, number][] = [
    ['ADD u64 R,G', IR.add, IR.sub],
    ['ADC u32 E,G', IR.add, IR.or],
    ['SAR u64 E,CL', IR.sar, IR.shr],
    ['JBE', IR.or, IR.and],
  ];
  for (const [key, from, to] of changes) assert.ok(run(form(key), 3n, true, from, to) > CASES / 20, key);
});

let state = 1;
function random(max: number): number {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return (state >>> 8) % max;
}
/** Lanes of the opcodes that name one. */
const LANES: Record<number, number> = { 22: 16, 23: 16, 25: 8, 26: 8, 27: 4, 28: 4, 29: 2, 30: 2 };

test('vector nodes do what the WebAssembly instructions do whose opcodes they hold', () => {
  const seen = new Uint8Array(memory.buffer, core.seen(), 64 << 8);
  const at = core.operands();
  const values = new Uint8Array(memory.buffer, at, 64);
  let count = 0;
  for (const op of Object.values(OP)) {
    for (let low = 0; low < 256; low++) {
      if (!seen[(op << 8) | low] || (op === OP.shuffle && low % 16)) continue;
      const k = op === OP.scalarToInteger && low < 16 ? 0xfc00 | low : low;
      const lane = op === OP.lanesInteger || op === OP.lanesToInteger ? random(LANES[k] ?? 1) : 0;
      const indices = Array.from({ length: 16 }, () => random(32));
      const run = instruction(memory, at, { op, k, lane, indices });
      const words = new DataView(Uint8Array.from(indices).buffer);
      for (let i = 0; i < 50; i++) {
        // bytes, and floating-point numbers of both formats from 0.5 to 2
        for (let j = 0; j < 48; j++) values[j] = i & 1 && j % 4 === 3 ? 0x3f : random(256);
        if (op === OP.shuffle) core.compute(op, words.getBigInt64(0, true), words.getBigInt64(8, true));
        else core.compute(op, BigInt(k | (lane << 16)), 0n);
        const got = [...values.subarray(48)];
        run();
        const width = op === OP.lanesToInteger || op === OP.scalarToInteger ? 8 : 16;
        assert.deepEqual(got.slice(0, width), [...values.subarray(48, 48 + width)], `node ${op}, opcode ${k}`);
      }
      count++;
    }
  }
  assert.ok(count > 120, `${count} opcodes`);
});
