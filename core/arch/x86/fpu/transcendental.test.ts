// The transcendental functions against exact values rounded by the definition (tools/generate/real.ts has 320 bits), and their special cases
// against the manual's tables (SDM vol. 2).
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { before, test } from 'node:test';
import { DE, F80, M64, PE, UE, ZE, pick, random, round, value, type Exact } from '../../../../test/float_model.ts';
import { compile } from '../../../../tools/build.ts';
import * as real from '../../../../tools/generate/real.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const [F2XM1, YL2X, YL2XP1, TAN, ATAN, SIN, COS] = [0, 1, 2, 3, 4, 5, 6];
const NAMES = ['2^a - 1', 'b log2 a', 'b log2 (1 + a)', 'tan a', 'arctan b/a', 'sin a', 'cos a'];

interface Exports {
  transcendental80(fcw: number, op: number, am: bigint, ae: number, bm: bigint, be: number): bigint;
  hi(): number;
  flags(): number;
  rounded_up(): number;
}
let sf: Exports;

before(async () => {
  const dir = mkdtempSync(join(tmpdir(), 'transcendental-'));
  const file = join(dir, 'softfloat.wasm');
  await compile('core/arch/x86/fpu/softfloat_entry.ts', relative(ROOT, file));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const abort = () => assert.fail('abort');
  sf = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory, abort } })
    .exports as unknown as Exports;
  rmSync(dir, { recursive: true });
});

interface Answer {
  bits: bigint;
  flags: number;
}
function run(op: number, a: bigint, b: bigint, rc = 0): Answer {
  const m = sf.transcendental80(0x33f | (rc << 10), op, a & M64, Number(a >> 64n), b & M64, Number(b >> 64n));
  return { bits: BigInt.asUintN(64, m) | (BigInt(sf.hi()) << 64n), flags: sf.flags() };
}

/** A normal number: sign, exponent, significand. */
const number = (s: number, e: number, m: bigint): bigint => (BigInt((s << 15) | (e + 16383)) << 64n) | m;
const significand = (): bigint =>
  (1n << 63n) |
  [0n, 1n, M64 >> 1n, random() >> 1n, random() >> 1n, (random() >> 1n) & ~(M64 >> BigInt(pick(64)))][pick(6)]!;

/** A finite number as fixed point. */
function fixed(bits: bigint): bigint {
  const x = value(F80, bits);
  const by = BigInt(real.BITS + x.e);
  const n = by >= 0n ? x.n << by : x.n >> -by;
  return x.s ? -n : n;
}
const exact = (n: bigint): Exact => ({ s: n < 0n ? 1 : 0, n: n < 0n ? -n : n, d: 1n, e: -real.BITS });

/** pi to 66 bits, by which processors reduce: SDM vol. 1, 8.3.8. */
const PI66 = (real.PI >> BigInt(real.BITS - 64)) << BigInt(real.BITS - 64);

function circular(x: bigint): { sin: bigint; cos: bigint } {
  const half = PI66 / 2n;
  const n = (2n * x + half) / (2n * half) - (2n * x + half < 0n ? 1n : 0n);
  const [s, c] = [real.sin(x - n * half), real.cos(x - n * half)];
  return [
    { sin: s, cos: c },
    { sin: c, cos: -s },
    { sin: -s, cos: -c },
    { sin: -c, cos: s },
  ][Number(n & 3n)]!;
}

function model(op: number, a: bigint, b: bigint): bigint {
  if (op === F2XM1) return real.exp2m1(a);
  if (op === YL2X) return real.mul(b, real.log2(a));
  if (op === YL2XP1) return real.mul(b, real.log2(a + real.ONE));
  if (op === ATAN) {
    const [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
    let r = y > x ? real.PI / 2n - real.atan(real.div(x, y)) : real.atan(real.div(y, x));
    if (a < 0n) r = real.PI - r;
    return b < 0n ? -r : r;
  }
  const { sin, cos } = circular(a);
  return op === SIN ? sin : op === COS ? cos : real.div(sin, cos);
}

/** Operands over the whole range of each function where 320 bits hold them. */
function operands(op: number): [bigint, bigint] {
  const b = number(pick(2), pick(60) - 30, significand());
  const any = (low: number, high: number, s = pick(2)): bigint => number(s, low + pick(high - low + 1), significand());
  if (op === F2XM1) return [any(-70, -1), b];
  if (op === YL2X) return [pick(3) ? any(-70, 62, 0) : any(-1, 0, 0), b];
  if (op === YL2XP1) return [pick(3) ? any(-70, -1) : any(0, 62, 0), b];
  if (op === ATAN) return [any(-50, 50), pick(2) ? b : any(-50, 50)];
  if (pick(4)) return [any(-70, 62), b];
  // near a multiple of pi/2
  const n = BigInt(1 + pick(1000)) * (PI66 / 2n);
  const e = n.toString(2).length - 1 - real.BITS;
  return [number(pick(2), e, n >> BigInt(real.BITS + e - 63)), b];
}

const ONE = number(0, 0, 1n << 63n);
const hex = (...list: (bigint | number)[]): string => list.map((v) => v.toString(16)).join(' ');

for (const [op, name] of NAMES.entries())
  test(`${name} is the exact value, rounded, in every rounding mode`, () => {
    for (let i = 0; i < 6000; i++) {
      const [a, b] = operands(op);
      if (op === YL2X && a === ONE) continue; // exact
      const r = model(op, fixed(a), fixed(b));
      const rc = pick(4);
      // what rounds differently within the accuracy that is promised may be either
      const wants = [r, r - (r >> 116n), r + (r >> 116n)].map((x) => round(exact(x), F80, rc));
      const got = run(op, a, b, rc);
      const want = wants.find((w) => w.bits === got.bits) ?? wants[0]!;
      const what = `${name} rc ${rc} of ${hex(a, b)}`;
      assert.equal(hex(got.bits), hex(want.bits), what);
      // a logarithm of a power of two is exact, and the model's series are not
      const x = op === YL2X ? fixed(a) : fixed(a) + real.ONE;
      const power = (op === YL2X || op === YL2XP1) && (x & (x - 1n)) === 0n;
      if (!power) assert.equal(hex(got.flags, sf.rounded_up()), hex(PE, Number(want.up)), what);
    }
  });

const NEG = 1n << 79n;
const INF = number(0, 16384, 1n << 63n);
const DENORMAL = 5n;
const [PI, HALF_PI] = [number(0, 1, 0xc90fdaa22168c235n), number(0, 0, 0xc90fdaa22168c235n)];
const INDEFINITE = number(1, 16384, 3n << 62n);
const two = number(0, 1, 1n << 63n);
const half = number(0, -1, 1n << 63n);

test('exact results raise nothing', () => {
  const cases: [number, bigint, bigint, bigint][] = [
    [F2XM1, ONE, 0n, ONE],
    [F2XM1, ONE | NEG, 0n, half | NEG],
    [F2XM1, INF, 0n, INF],
    [F2XM1, INF | NEG, 0n, ONE | NEG],
    [F2XM1, NEG, 0n, NEG],
    [YL2X, two, number(0, 3, 0xffffffffffffffffn), number(0, 3, 0xffffffffffffffffn)],
    [YL2X, number(0, -16382, 1n << 63n), ONE, number(1, 13, 16382n << 50n)],
    [YL2X, ONE, two | NEG, NEG],
    [YL2XP1, NEG, ONE, NEG],
    [YL2XP1, ONE, half, half],
    [TAN, NEG, 0n, NEG],
    [SIN, 0n, 0n, 0n],
    [COS, NEG, 0n, ONE],
    [ATAN, ONE, NEG, NEG],
    [ATAN, INF, ONE, 0n],
  ];
  for (const [op, a, b, r] of cases)
    for (let rc = 0; rc < 4; rc++)
      assert.deepEqual(run(op, a, b, rc), { bits: r, flags: 0 }, `${NAMES[op]} ${hex(a, b)}`);
});

test('the tables of FPATAN, FYL2X and FYL2XP1', () => {
  const cases: [number, bigint, bigint, bigint, number][] = [
    [ATAN, NEG, 0n, PI, PE],
    [ATAN, ONE | NEG, NEG, PI | NEG, PE],
    [ATAN, INF | NEG, ONE, PI, PE],
    [ATAN, 0n, ONE, HALF_PI, PE],
    [ATAN, ONE, INF | NEG, HALF_PI | NEG, PE],
    [ATAN, INF, INF, number(0, -1, 0xc90fdaa22168c235n), PE],
    [ATAN, INF | NEG, INF, number(0, 1, 0x96cbe3f9990e91a8n), PE],
    [ATAN, DENORMAL, ONE, HALF_PI, PE | DE],
    [YL2X, 0n, ONE, INF | NEG, ZE],
    [YL2X, NEG, ONE | NEG, INF, ZE],
    [YL2X, 0n, INF, INF | NEG, 0],
    [YL2X, half, INF, INF | NEG, 0],
    [YL2X, INF, ONE | NEG, INF | NEG, 0],
    [YL2X, INF, DENORMAL, INF, DE],
    [YL2X, 0n, 0n, INDEFINITE, 1],
    [YL2X, ONE, INF, INDEFINITE, 1],
    [YL2X, INF, 0n, INDEFINITE, 1],
    [YL2X, ONE | NEG, ONE, INDEFINITE, 1],
    [YL2X, INF | NEG, ONE, INDEFINITE, 1],
    [YL2XP1, 0n, INF, INDEFINITE, 1],
    [YL2XP1, half, INF | NEG, INF | NEG, 0],
    [YL2XP1, half | NEG, 0n, NEG, 0],
    [SIN, INF, 0n, INDEFINITE, 1],
    [TAN, INF | NEG, 0n, INDEFINITE, 1],
  ];
  for (const [op, a, b, r, flags] of cases)
    assert.equal(hex(run(op, a, b).bits, run(op, a, b).flags), hex(r, flags), `${NAMES[op]} ${hex(a, b)}`);
});

test('tiny arguments are rounded away from or towards their first term', () => {
  const x = number(0, -9000, 0x8000000000000001n);
  for (const [op, nearest, towards, up] of [
    [SIN, 0n, -1n, 0n],
    [TAN, 0n, 0n, 1n],
    [ATAN, 0n, -1n, 0n],
  ] as const) {
    const [a, b] = op === ATAN ? [ONE, x] : [x, 0n];
    assert.deepEqual(run(op, a, b, 0), { bits: x + nearest, flags: PE });
    assert.deepEqual(run(op, a, b, 3), { bits: x + towards, flags: PE });
    assert.deepEqual(run(op, a, b, 2), { bits: x + up, flags: PE });
  }
  assert.deepEqual(run(COS, x, 0n, 3), { bits: number(0, -1, M64), flags: PE });
  assert.deepEqual(run(SIN, DENORMAL, 0n, 3), { bits: DENORMAL - 1n, flags: PE | UE | DE });
  assert.deepEqual(run(ATAN, ONE, DENORMAL, 0), { bits: DENORMAL, flags: PE | UE | DE });
});
