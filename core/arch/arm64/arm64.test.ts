// A64 instructions through the same micro-ops, builders and IR as x86: results against the Arm Architecture Reference Manual (DDI 0487), and
// the recorded IR against the interpreter on random instructions.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { compile } from '../../../tools/build.ts';
import { generateArm64, rows, type Row } from '../../../tools/generate/arm64.ts';

const ROOT = join(import.meta.dirname, '../../..');
const OUTPUT = 'build/arm64_test.wasm';
const [SP, N, Z, C, V, PC, PAGE, ESR, FAR] = [31, 34, 35, 36, 37, 38, 39, 40, 41];
const SLOTS = 42;
/** Not architectural: where writes to the zero register go. */
const SINK = 33;
const EXIT = 340;
const CODE_VA = 0x40_0000n;
const DATA_VA = 0xffff_8000_0001_0000n;
const DATA = 0x6_0000;
const ONES = 0xffff_ffff_ffff_ffffn;
const MIN = 0x8000_0000_0000_0000n;

interface Exports {
  state(): number;
  words(): number;
  reset(va: bigint, host: number, writable: number): void;
  run_eval(n: number, pos: number): void;
  run_ir(n: number, pos: number): void;
}
let arm: Exports;
const memory = new WebAssembly.Memory({ initial: 8, maximum: 65536, shared: true });

before(async () => {
  for (const { path, text } of generateArm64()) {
    mkdirSync(dirname(join(ROOT, path)), { recursive: true });
    writeFileSync(join(ROOT, path), text);
  }
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  const memoryFlags = ['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'];
  const flags = [
    '--runtime',
    'stub',
    ...memoryFlags,
    '--enable',
    'threads,simd,bulk-memory',
    '-O1',
    '--disableWarning',
  ];
  await compile('core/arch/arm64/entry.ts', OUTPUT, flags);
  const abort = () => assert.fail('abort');
  const module = new WebAssembly.Module(readFileSync(join(ROOT, OUTPUT)));
  arm = new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as Exports;
});

type State = Record<number, bigint>;
interface Result {
  slots: BigUint64Array;
  left: number;
  data: Uint8Array;
}

/** Runs a block with the interpreter or as IR. */
function run(
  words: readonly number[],
  state: State,
  data: Uint8Array,
  ir: boolean,
  writable = true,
  pos = 0x100,
): Result {
  const view = new DataView(memory.buffer);
  for (let i = 0; i < SLOTS; i++) view.setBigUint64(arm.state() + 8 * i, state[i] ?? 0n, true);
  view.setBigUint64(arm.state() + 8 * PAGE, CODE_VA, true);
  view.setUint32(arm.state() + EXIT, 0, true);
  arm.reset(DATA_VA, DATA, writable ? 1 : 0);
  new Uint8Array(memory.buffer, DATA, 4096).set(data);
  words.forEach((w, i) => view.setUint32(arm.words() + 4 * i, w, true));
  if (ir) arm.run_ir(words.length, pos);
  else arm.run_eval(words.length, pos);
  const slots = new BigUint64Array(SLOTS).map((_, i) =>
    i === SINK ? 0n : view.getBigUint64(arm.state() + 8 * i, true),
  );
  return {
    slots,
    left: view.getUint32(arm.state() + EXIT, true),
    data: new Uint8Array(memory.buffer, DATA, 4096).slice(),
  };
}

/** Both builders; they must agree. */
function both(words: readonly number[], state: State, data = new Uint8Array(4096), writable = true): Result {
  const plain = run(words, state, data, false, writable);
  assert.deepEqual(run(words, state, data, true, writable), plain, words.map((w) => w.toString(16)).join(' '));
  return plain;
}

/** Word, assembly text, state before, what must have changed (the PC apart), section of the manual. */
type Expectation = [number, string, State, State, string];
const nzcv = (n: number, z: number, c: number, v: number): State => ({
  ...{ [N]: BigInt(n), [Z]: BigInt(z) },
  ...{ [C]: BigInt(c), [V]: BigInt(v) },
});

const expectations: Expectation[] = [
  [0x913ffc20, 'add x0, x1, #4095', { 1: ONES }, { 0: 4094n }, 'C6.2.4: no flags, modulo 2^64'],
  [0x11400420, 'add w0, w1, #1, lsl #12', { 0: ONES, 1: ONES }, { 0: 0xfffn }, 'C6.2.4: W writes clear the upper half'],
  [0x910043ff, 'add sp, sp, #16', { [SP]: 32n }, { [SP]: 48n }, 'C6.2.4: register 31 is SP here'],
  [0x1100045f, 'add wsp, w2, #1', { 2: ONES, [SP]: 7n }, { [SP]: 0n }, 'C6.2.4'],
  [0xd10083e3, 'sub x3, sp, #32', { [SP]: 16n }, { 3: ONES - 15n }, 'SUB (immediate)'],
  [0x51001cc5, 'sub w5, w6, #7', { 6: 3n }, { 5: 0xffff_fffcn }, 'SUB (immediate)'],
  [
    0xf1000420,
    'subs x0, x1, #1',
    { 1: MIN },
    { 0: MIN - 1n, ...nzcv(0, 0, 1, 1) },
    'AddWithCarry: overflow, no borrow: C = 1',
  ],
  [0xf1000420, 'subs x0, x1, #1', { 1: 0n }, { 0: ONES, ...nzcv(1, 0, 0, 0) }, 'AddWithCarry: borrow: C = 0'],
  [0x7100283f, 'cmp w1, #10', { 1: 0xf_0000_000an }, nzcv(0, 1, 1, 0), 'CMP (immediate): Rd = 31 is dropped'],
  [0xf10003ff, 'cmp sp, #0', { [SP]: MIN }, nzcv(1, 0, 1, 0), 'SUBS (immediate): Rn = 31 is SP, Rd = 31 ZR'],
  [0x8b020020, 'add x0, x1, x2', { 1: ONES, 2: 2n }, { 0: 1n }, 'ADD (shifted register)'],
  [0x8b02fc20, 'add x0, x1, x2, lsl #63', { 1: 1n, 2: 3n }, { 0: MIN + 1n }, 'ShiftReg: LSL'],
  [0x0b427c20, 'add w0, w1, w2, lsr #31', { 1: 1n, 2: ONES }, { 0: 2n }, 'ShiftReg: LSR of 32 bits'],
  [0x8b821020, 'add x0, x1, x2, asr #4', { 1: 0n, 2: MIN }, { 0: 0xf800_0000_0000_0000n }, 'ShiftReg: ASR'],
  [0x0b821020, 'add w0, w1, w2, asr #4', { 2: 0x8000_0000n }, { 0: 0xf800_0000n }, 'ShiftReg: ASR of 32 bits'],
  [0x8b0203e0, 'add x0, xzr, x2', { 2: 5n, [SP]: 9n }, { 0: 5n }, 'ADD (shifted register): register 31 is ZR here'],
  [0xeb020020, 'subs x0, x1, x2', { 1: 5n, 2: 5n }, { 0: 0n, ...nzcv(0, 1, 1, 0) }, 'AddWithCarry: equal: Z = C = 1'],
  [
    0x6b020020,
    'subs w0, w1, w2',
    { 1: 0x7fff_ffffn, 2: 0xffff_ffffn },
    { 0: 0x8000_0000n, ...nzcv(1, 0, 0, 1) },
    'AddWithCarry',
  ],
  [0xeb020c3f, 'cmp x1, x2, lsl #3', { 1: 8n, 2: 1n }, nzcv(0, 1, 1, 0), 'CMP (shifted register)'],
  [0x6b827fe0, 'negs w0, w2, asr #31', { 2: 0x8000_0000n }, { 0: 1n }, 'NEGS: 0 - (-1); borrow'],
  [0x9b020c20, 'madd x0, x1, x2, x3', { 1: ONES, 2: 3n, 3: 10n }, { 0: 7n }, 'MADD: low 64 bits'],
  [0x1b020c20, 'madd w0, w1, w2, w3', { 1: 0x1_0001n, 2: 0x1_0001n, 3: ONES }, { 0: 0x2_0000n }, 'MADD: low 32 bits'],
  [0x9b027c20, 'mul x0, x1, x2', { 1: 6n, 2: 7n, [SP]: 1n }, { 0: 42n }, 'MUL: Ra = 31 is ZR'],
  [0xd2f579a0, 'movz x0, #0xabcd, lsl #48', { 0: ONES }, { 0: 0xabcdn << 48n }, 'MOVZ: all other bits 0'],
  [0x52bfffe0, 'movz w0, #0xffff, lsl #16', { 0: ONES }, { 0: 0xffff_0000n }, 'MOVZ'],
  [0xf9400020, 'ldr x0, [x1]', { 1: DATA_VA }, { 0: 0x0706_0504_0302_0100n }, 'LDR (immediate), unsigned offset'],
  [
    0xf97fffe0,
    'ldr x0, [sp, #32760]',
    { [SP]: DATA_VA - 32760n + 8n },
    { 0: 0x0f0e_0d0c_0b0a_0908n },
    'imm12 is scaled by 8',
  ],
  [0xb9400420, 'ldr w0, [x1, #4]', { 0: ONES, 1: DATA_VA }, { 0: 0x0706_0504n }, 'imm12 is scaled by 4'],
  [0xf940003f, 'ldr xzr, [x1]', { 1: DATA_VA }, {}, 'Rt = 31 is ZR'],
];

const bytes = Uint8Array.from({ length: 4096 }, (_, i) => i & 0xff);

test('arithmetic, moves and loads as the manual has them', () => {
  for (const [word, text, state, changes, why] of expectations) {
    const { slots, left } = both([word], state, bytes);
    const want: State = { ...state, ...(text.startsWith('negs') ? nzcv(0, 0, 0, 0) : {}), ...changes };
    want[PAGE] = CODE_VA;
    want[PC] = CODE_VA + 0x104n;
    assert.equal(left, 0, text);
    for (let i = 0; i < SLOTS; i++) assert.equal(slots[i], want[i] ?? 0n, `${text} (${why}): slot ${i}`);
  }
});

test('stores write their bytes only', () => {
  const cases: [number, string, number, number[]][] = [
    [0xf9000420, 'str x0, [x1, #8]', 8, [0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01]],
    [0xb9000420, 'str w0, [x1, #4]', 4, [0xef, 0xcd, 0xab, 0x89]],
    [0xf900003f, 'str xzr, [x1]', 0, [0, 0, 0, 0, 0, 0, 0, 0]],
  ];
  for (const [word, text, at, stored] of cases) {
    const want = bytes.slice();
    want.set(stored, at);
    assert.deepEqual(both([word], { 0: 0x0123_4567_89ab_cdefn, 1: DATA_VA }, bytes).data, want, text);
  }
});

test('branches', () => {
  const at = CODE_VA + 0x100n;
  const pc = (word: number, state: State): bigint => both([word], state).slots[PC]! - at;
  assert.equal(pc(0x14000002, {}), 8n); // b .+8
  assert.equal(pc(0x17ffffff, {}), -4n); // b .-4: imm26 is signed
  assert.equal(pc(0xb4000040, { 0: 0n }), 8n); // cbz x0, .+8
  assert.equal(pc(0xb4000040, { 0: 1n << 32n }), 4n);
  assert.equal(pc(0x34ffffe0, { 0: 1n << 32n }), -4n); // cbz w0, .-4 looks at 32 bits
  // C1.2.4, table C1-1: EQ NE CS CC MI PL VS VC HI LS GE LT GT LE AL NV
  const holds: ((n: number, z: number, c: number, v: number) => boolean)[] = [
    (_n, z) => z === 1,
    (_n, _z, c) => c === 1,
    (n) => n === 1,
    (_n, _z, _c, v) => v === 1,
    (_n, z, c) => c === 1 && z === 0,
    (n, _z, _c, v) => n === v,
    (n, z, _c, v) => n === v && z === 0,
  ];
  for (let flags = 0; flags < 16; flags++) {
    const f = [flags >> 3, (flags >> 2) & 1, (flags >> 1) & 1, flags & 1] as const;
    for (let cond = 0; cond < 16; cond++) {
      const taken = cond >= 14 || holds[cond >> 1]!(...f) !== ((cond & 1) === 1);
      assert.equal(pc(0x547fffe0 | cond, nzcv(...f)), taken ? 0xffffcn : 4n, `condition ${cond}, NZCV ${flags}`);
    }
  }
});

test('faults leave the instruction undone, those before it done', () => {
  const add = 0x910043ff; // add sp, sp, #16
  const fault = (word: number, state: State, writable = true): Result => both([add, word, add], state, bytes, writable);
  // ESR_ELx: EC 0x25 data abort, IL, WnR; DFSC 0x21 alignment (SCTLR_ELx.A), 0x07 translation at level 3
  const cases: [number, bigint, bigint, boolean][] = [
    [0xf9400020, DATA_VA + 4n, 0x9600_0021n, true], // ldr x0, [x1]
    [0xf9400020, DATA_VA + 4096n, 0x9600_0007n, true],
    [0xf9000020, DATA_VA + 1n, 0x9600_0061n, true], // str x0, [x1]
    [0xf9000020, DATA_VA, 0x9600_0047n, false],
  ];
  for (const [word, address, esr, writable] of cases) {
    const { slots, left, data } = fault(word, { 0: 5n, 1: address, [SP]: 1n }, writable);
    assert.deepEqual([left, slots[ESR], slots[FAR]], [1, esr, address]);
    assert.deepEqual([slots[0], slots[SP], slots[PC]], [5n, 17n, CODE_VA + 0x104n]);
    assert.deepEqual(data, bytes);
  }
  // UNDEFINED: EC 0 (unknown reason); ADD with shift 3, of 32 bits by 32, MOVZ W with hw 2
  for (const word of [0x8bc20020, 0x0b028020, 0x52c00020, 0]) {
    const { slots, left } = fault(word, { [SP]: 1n });
    assert.deepEqual(
      [left, slots[ESR], slots[SP], slots[PC]],
      [1, 0x200_0000n, 17n, CODE_VA + 0x104n],
      word.toString(16),
    );
  }
});

test('recorded IR does what the interpreter does on random blocks', () => {
  let seed = 1n;
  const random = (): bigint => (seed = (seed * 6364136223846793005n + 1442695040888963407n) & ONES);
  const below = (n: number): number => Number((random() >> 33n) % BigInt(n));
  const value = (): bigint =>
    [random(), random() >> 32n, DATA_VA + BigInt(8 * below(500)), BigInt(below(3)), ONES, MIN][below(6)]!;
  const word = (row: Row): number => {
    let w = row.value;
    for (const { at, width } of row.fields.values()) w += below(2 ** width) * 2 ** at;
    return w;
  };
  let faults = 0;
  let defined = 0;
  for (let i = 0; i < 4000; i++) {
    const state: State = {};
    for (let slot = 0; slot <= SP; slot++) state[slot] = value();
    for (const slot of [N, Z, C, V]) state[slot] = BigInt(below(2));
    const block = Array.from({ length: 1 + below(8) }, () => word(rows[below(rows.length)]!));
    const { slots, left } = both(block, state, bytes);
    if (left && slots[ESR] === 0x200_0000n) continue;
    defined++;
    if (left) faults++;
  }
  assert.ok(defined > 2000 && faults > 100 && faults < defined / 2, `${defined} blocks, ${faults} faults`);
});
