// The soft floating point against an exact model: rational numbers in BigInt, rounded by the definition. Nearest rounding of f64 and f32 is compared
// with JavaScript's own arithmetic as well.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { before, test } from 'node:test';
import {
  DE,
  F32,
  F64,
  F80,
  M64,
  PE,
  ZE,
  bias,
  nearestStep,
  pack,
  pick,
  random,
  round,
  scaled,
  shift,
  size,
  value,
  type Exact,
  type Format,
} from '../../../../test/float_model.ts';
import { compile } from '../../../../tools/build.ts';

const ROOT = join(import.meta.dirname, '../../../..');
type Bits = { m: bigint; se: number };

interface Exports {
  op64(mxcsr: number, op: number, a: bigint, b: bigint, narrow: number): bigint;
  op32(mxcsr: number, op: number, a: bigint, b: bigint, wide: number): bigint;
  op80(fcw: number, op: number, am: bigint, ae: number, bm: bigint, be: number): bigint;
  store80(fcw: number, m: bigint, se: number, narrow: number): bigint;
  to_int64(mxcsr: number, a: bigint, bits: number, rc: number): bigint;
  from_int(mxcsr: number, v: bigint, narrow: number): bigint;
  cmp64(mxcsr: number, a: bigint, b: bigint, quiet: number): number;
  hi(): number;
  flags(): number;
  rounded_up(): number;
}
let sf: Exports;

before(async () => {
  const dir = mkdtempSync(join(tmpdir(), 'softfloat-'));
  const file = join(dir, 'softfloat.wasm');
  await compile('core/arch/x86/fpu/softfloat_entry.ts', relative(ROOT, file));
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536, shared: true });
  const abort = () => assert.fail('abort');
  sf = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)), { env: { memory, abort } })
    .exports as unknown as Exports;
  rmSync(dir, { recursive: true });
});

const signed = (x: Exact): bigint => (x.s ? -x.n : x.n);

/** The exact result of add, sub, mul, div, sqrt on finite numbers; null where it is not a number or a division by zero. */
function compute(op: number, a: Exact, b: Exact, rc: number): Exact | null {
  if (op < 2) {
    const e = Math.min(a.e, b.e);
    const y = op === 1 ? -signed(b) : signed(b);
    const sum = shift(signed(a), a.e - e) + shift(y, b.e - e);
    const bs = b.s ^ op;
    if (sum === 0n) return { s: a.n === 0n && b.n === 0n && a.s === bs ? a.s : rc === 1 ? 1 : 0, n: 0n, d: 1n, e: 0 };
    return { s: sum < 0n ? 1 : 0, n: sum < 0n ? -sum : sum, d: 1n, e };
  }
  if (op === 2) return { s: a.s ^ b.s, n: a.n * b.n, d: 1n, e: a.e + b.e };
  if (op === 3) return b.n === 0n ? null : { s: a.s ^ b.s, n: a.n, d: b.n, e: a.e - b.e };
  if (a.n === 0n) return a;
  if (a.s) return null;
  const k = 200 + (a.e & 1); // the root of n·2^k to 70 bits and more, then one sticky bit
  const radicand = a.n << BigInt(k);
  let root = 1n << BigInt((size(radicand) + 1) >> 1);
  for (;;) {
    const next = (root + radicand / root) >> 1n;
    if (next >= root) break;
    root = next;
  }
  return { s: 0, n: 2n * root + BigInt(root * root !== radicand), d: 1n, e: (a.e - k) / 2 - 1 };
}

// ---- operands, biased to edges

function operand(f: Format, near?: number): bigint {
  const top = (1 << f.eb) - 1;
  const fields = [0, 1, 2, top - 1, top - 2, bias(f), pick(top), bias(f) + pick(140) - 70, (bias(f) >> 1) + pick(5)];
  let field = near !== undefined && pick(2) ? near + pick(140) - 70 : fields[pick(fields.length)];
  field = Math.max(0, Math.min(top - 1, field));
  const fb = BigInt(f.p - 1);
  const all = (1n << fb) - 1n;
  const fraction = [0n, 1n, all, random() & all, random() & all & ~((1n << BigInt(pick(f.p))) - 1n)][pick(5)];
  const j = f.explicit && field ? 1n << 63n : 0n;
  return pack(f, pick(2), field, fraction | j);
}
const exponent = (f: Format, bits: bigint): number =>
  Number((bits >> BigInt(f.explicit ? 64 : f.p - 1)) & BigInt((1 << f.eb) - 1));
const split = (bits: bigint): Bits => ({ m: bits & M64, se: Number(bits >> 64n) });

/** Expected result with the denormal-operand flag, or null (invalid, division by zero: tested apart). */
function expected(
  op: number,
  f: Format,
  out: Format,
  a: bigint,
  b: bigint,
  rc: number,
  daz: boolean,
  ftz: boolean,
  p?: number,
) {
  const [x, y] = [value(f, a), value(f, b)];
  if (daz && x.denormal) Object.assign(x, { n: 0n, denormal: false });
  if (daz && y.denormal) Object.assign(y, { n: 0n, denormal: false });
  const exact = op === 5 ? x : compute(op, x, y, rc);
  if (!exact) return null;
  const r = round(exact, out, rc, ftz, p);
  if (x.denormal || (y.denormal && op < 4)) r.flags |= DE;
  return r;
}

const hex = (...list: (bigint | number)[]): string => list.map((v) => v.toString(16)).join(' ');

for (const [name, f, other] of [
  ['f64', F64, F32],
  ['f32', F32, F64],
] as const) {
  test(`${name}: every operation, rounding mode, DAZ and FTZ against the exact model`, () => {
    const run = f === F64 ? sf.op64 : sf.op32;
    for (let i = 0; i < 60000; i++) {
      const [op, rc, daz, ftz] = [pick(6), pick(4), pick(4) === 0, pick(4) === 0];
      const a = operand(f);
      const b = operand(f, exponent(f, a));
      const want = expected(op, f, op === 5 ? other : f, a, b, rc, daz, ftz);
      if (!want) continue;
      const mxcsr = 0x1f80 | (rc << 13) | (daz ? 0x40 : 0) | (ftz ? 0x8000 : 0);
      const got = BigInt.asUintN(64, run(mxcsr, op, a, b, op === 5 ? 1 : 0));
      const what = `op ${op} mxcsr ${hex(mxcsr)} operands ${hex(a, b)}`;
      assert.equal(hex(got, sf.flags()), hex(want.bits, want.flags), what);
    }
  });
}

test('f80: every operation, rounding mode and precision against the exact model, with C1', () => {
  for (let i = 0; i < 60000; i++) {
    const [op, rc, pc] = [pick(5), pick(4), [0, 2, 3][pick(3)]];
    const a = operand(F80);
    const b = operand(F80, exponent(F80, a));
    const want = expected(op, F80, F80, a, b, rc, false, false, [24, 0, 53, 64][pc]);
    if (!want) continue;
    const [x, y] = [split(a), split(b)];
    const fcw = 0x3f | (rc << 10) | (pc << 8);
    const m = BigInt.asUintN(64, sf.op80(fcw, op, x.m, x.se, y.m, y.se));
    const got = (BigInt(sf.hi()) << 64n) | m;
    const what = `op ${op} fcw ${hex(fcw)} operands ${hex(a, b)}`;
    assert.equal(hex(got, sf.flags(), Number(sf.rounded_up())), hex(want.bits, want.flags, Number(want.up)), what);
  }
});

test('f80 stored as f64 and f32', () => {
  for (let i = 0; i < 30000; i++) {
    const rc = pick(4);
    const out = pick(2) ? F32 : F64;
    const a = operand(F80, pick(2) ? 16383 - bias(out) - 1 + pick(60) : 16383 + bias(out) - pick(4));
    const want = round(value(F80, a), out, rc);
    const { m, se } = split(a);
    const got = BigInt.asUintN(64, sf.store80(0x33f | (rc << 10), m, se, out === F32 ? 1 : 0));
    assert.equal(hex(got, sf.flags()), hex(want.bits, want.flags), `fcw rc ${rc} operand ${hex(a)}`);
  }
});

test('integers to and from f64', () => {
  for (let i = 0; i < 30000; i++) {
    const rc = pick(4);
    const bits = [16, 32, 64][pick(3)];
    const a = operand(F64, 1023 + pick(66));
    const x = value(F64, a);
    const [q, rest] = scaled(x, 0);
    const v = signed({ ...x, n: q + BigInt(nearestStep(q, rest, x.s, rc)) });
    const fits = BigInt.asIntN(bits, v) === v;
    const got = sf.to_int64(0x1f80, a, bits, rc);
    assert.equal(got, fits ? v : -(1n << BigInt(bits - 1)), hex(a, bits, rc));
    assert.equal(sf.flags(), fits ? (rest ? PE : 0) : 1);
    const n = BigInt.asIntN(64, random()) >> BigInt(pick(64));
    const out = pick(2) ? F32 : F64;
    const want = round({ s: n < 0n ? 1 : 0, n: n < 0n ? -n : n, d: 1n, e: 0 }, out, rc);
    const back = BigInt.asUintN(64, sf.from_int(0x1f80 | (rc << 13), n, out === F32 ? 1 : 0));
    assert.equal(hex(back, sf.flags()), hex(want.bits, want.flags), `${n} rc ${rc}`);
  }
});

test('nearest rounding agrees with JavaScript', () => {
  const view = new DataView(new ArrayBuffer(8));
  const number = (bits: bigint): number => (view.setBigUint64(0, bits), view.getFloat64(0));
  const ops = [(a: number, b: number) => a + b, (a: number, b: number) => a - b, (a: number, b: number) => a * b];
  ops.push(
    (a, b) => a / b,
    (a) => Math.sqrt(a),
  );
  for (let i = 0; i < 20000; i++) {
    const op = pick(5);
    const [a, b] = [operand(F64), operand(F64)];
    const want = ops[op](number(a), number(b));
    const got = number(BigInt.asUintN(64, sf.op64(0x1f80, op, a, b, 0)));
    assert.ok(Object.is(got, want), `op ${op}: ${number(a)} ${number(b)}: ${got} is not ${want}`);
    view.setFloat32(0, Math.fround(number(a)));
    const narrow = BigInt(view.getUint32(0));
    assert.equal(BigInt.asUintN(64, sf.op64(0x1f80, 5, a, b, 1)), narrow);
  }
});

test('NaNs, infinities, zeros: the cases that IEEE leaves to x86', () => {
  const [inf, one, qnan, snan, indefinite] = [
    0x7ffn << 52n,
    0x3ffn << 52n,
    0x7ff8000000001234n,
    0x7ff0000000000abcn,
    0xfff8n << 48n,
  ];
  const sse = (op: number, a: bigint, b: bigint): string =>
    hex(BigInt.asUintN(64, sf.op64(0x1f80, op, a, b, 0)), sf.flags());
  assert.equal(sse(0, qnan, snan), hex(qnan, 1)); // the first operand's payload
  assert.equal(sse(0, snan, qnan), hex(snan | (1n << 51n), 1));
  assert.equal(sse(0, 1n, qnan), hex(qnan, 0)); // a NaN hides the denormal operand
  assert.equal(sse(1, inf, inf), hex(indefinite, 1));
  assert.equal(sse(2, inf, 0n), hex(indefinite, 1));
  assert.equal(sse(3, 0n, 0n), hex(indefinite, 1));
  assert.equal(sse(3, 1n, 0n), hex(inf, ZE)); // division by zero comes before the denormal operand
  assert.equal(sse(4, one | (1n << 63n), 0n), hex(indefinite, 1));
  const x87 = (op: number, a: Bits, b: Bits): string =>
    hex(BigInt.asUintN(64, sf.op80(0x37f, op, a.m, a.se, b.m, b.se)), sf.hi(), sf.flags());
  const nan = (payload: bigint, se = 0x7fff): Bits => ({ m: (1n << 63n) | payload, se });
  const quiet = 1n << 62n;
  assert.equal(x87(0, nan(quiet | 1n), nan(quiet | 2n)), hex((3n << 62n) | 2n, 0x7fff, 0)); // the larger significand
  assert.equal(x87(0, nan(quiet | 1n), nan(9n)), hex((3n << 62n) | 1n, 0x7fff, 1)); // the quiet one
  assert.equal(x87(0, nan(quiet, 0xffff), nan(quiet)), hex(3n << 62n, 0x7fff, 0)); // equal significands: the positive one
  assert.equal(x87(0, { m: 1n, se: 5 }, nan(quiet)), hex(3n << 62n, 0xffff, 1)); // unnormal: unsupported
  assert.equal(x87(0, { m: 1n << 63n, se: 0 }, { m: 0n, se: 0 }), hex(1n << 63n, 1, DE)); // pseudo-denormal
  assert.equal(sf.cmp64(0x1f80, qnan, one, 1), 2);
  assert.equal(sf.flags(), 0);
  assert.equal(sf.cmp64(0x1f80, qnan, one, 0), 2);
  assert.equal(sf.flags(), 1);
  assert.equal(sf.cmp64(0x1f80, 0n, 1n << 63n, 0), 0);
  assert.equal(sf.cmp64(0x1f80, one | (1n << 63n), one, 0), -1);
});
