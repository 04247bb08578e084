// The translator's front end against the interpreter: every integer form that takes any builder, on random states and micro-ops, run by Eval and as
// recorded IR. Registers, flags, memory, exits and the next micro-op must be the same.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { compile, generate } from '../../tools/build.ts';
import { makeForms, type Form } from '../../tools/generate/forms.ts';
import { generateRecord, recordable } from '../../tools/generate/record.ts';

const ROOT = join(import.meta.dirname, '../..');
const OUTPUT = 'build/record_test.wasm';
const CASES = 300;
const MEMORY_PAGES = 128;
/** Node numbers of core/engine/ir.ts. */
const IR = { add: 2, sub: 3, and: 5, or: 6, sar: 10, shr: 9 };

interface Exports {
  machine(): void;
  single(form: number, flags: number, seed: bigint, cases: number, long: number, from: number, to: number): number;
  sequence(count: number, seed: bigint, cases: number, length: number, room: number): number;
  forms_table(): number;
  faults: WebAssembly.Global;
  leaves: WebAssembly.Global;
  nodes: WebAssembly.Global;
  live: WebAssembly.Global;
  failed_at: WebAssembly.Global;
}
type Flag = 'MEMORY' | 'ALWAYS' | 'FLAT' | 'PLAIN' | 'MOFFS' | 'I64' | 'R8' | 'B8' | 'LONG' | 'BRANCH';
const FLAGS: Flag[] = ['MEMORY', 'ALWAYS', 'FLAT', 'PLAIN', 'MOFFS', 'I64', 'R8', 'B8', 'LONG', 'BRANCH'];

let core: Exports;
let forms: Form[];
const memory = new WebAssembly.Memory({ initial: MEMORY_PAGES, maximum: 65536, shared: true });

const bits = (flags: Iterable<Flag>): number => [...new Set(flags)].reduce((n, f) => n | (1 << FLAGS.indexOf(f)), 0);

/** What the micro-ops of a form may hold. */
function flagsOf(f: Form): number {
  const types = f.args.filter((a) => /^u\d/.test(a));
  const kinds = f.args.filter((a) => !/^u\d/.test(a));
  const flags: Flag[] = [];
  if (kinds.some((k) => 'EMD'.includes(k))) flags.push('MEMORY');
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
  forms = recordable(makeForms(ROOT));
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
    assert.equal(core.leaves.value, 0, `${f.key} left the block in 64-bit mode`);
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

test('blocks of several micro-ops write the state of before the one that leaves', () => {
  const view = new DataView(memory.buffer, core.forms_table());
  forms.forEach((f, i) => {
    view.setUint32(8 * i, f.id, true);
    view.setUint32(8 * i + 4, flagsOf(f), true);
  });
  assert.equal(core.sequence(forms.length, 77n, 30_000, 12, 0x10000), 0, `offset ${core.failed_at.value}`);
  assert.ok(core.faults.value > 5_000, `${core.faults.value} blocks left early`);
  assert.equal(core.leaves.value, 0);
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
