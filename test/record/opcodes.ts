// WebAssembly modules of one instruction each, to hold the vector nodes of core/engine/ir_vector.ts against what an engine does. Operands are three
// 16-byte values in memory, the result is stored behind them; an `i64` is the low half of a value.
const V128 = 0x7b;
const I32 = 0x7f;
const I64 = 0x7e;
const F32 = 0x7d;
const F64 = 0x7c;
type Type = number;

/** Node numbers of core/engine/ir.ts. */
export const OP = {
  lanesToInteger: 27,
  scalarToInteger: 28,
  lanes: 33,
  lanesInteger: 34,
  shuffle: 35,
  scalar: 36,
  scalarFromInteger: 37,
};

const leb = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...leb(n >>> 7)]);
const section = (id: number, ...content: number[]): number[] => [id, ...leb(content.length), ...content];
const name = (text: string): number[] => [text.length, ...Buffer.from(text)];
const simd = (n: number): number[] => [0xfd, ...leb(n)];
/** i32.const, signed: six bits a byte are enough for the sign to stay clear. */
const address = (n: number): number[] => [
  0x41,
  (n & 127) | 128,
  ((n >>> 7) & 127) | 128,
  ((n >>> 14) & 127) | 128,
  n >>> 21,
];

const loads: Record<Type, number[]> = { [V128]: simd(0), [I64]: [0x29], [F32]: [0x2a], [F64]: [0x2b] };
/** The value of type t in memory at `at`; an i32 is cut from an i64. */
const load = (t: Type, at: number): number[] =>
  t === I32 ? [...load(I64, at), 0xa7] : [...address(at), ...loads[t]!, 0, 0];
const stores: Record<Type, number[]> = { [V128]: simd(11), [I64]: [0x37], [F32]: [0x38], [F64]: [0x39] };
/** Stores what `value` leaves; an i32 is zero-extended. */
const store = (t: Type, at: number, value: number[]): number[] =>
  t === I32 ? store(I64, at, [...value, 0xad]) : [...address(at), ...value, ...stores[t]!, 0, 0];

function moduleOf(body: number[]): Uint8Array<ArrayBuffer> {
  const code = [0, ...body, 0x0b];
  const sections = [
    section(1, 1, 0x60, 0, 0),
    section(2, 1, ...name('env'), ...name('memory'), 2, 3, 1, ...leb(65536)),
    section(3, 1, 0),
    section(7, 1, ...name('run'), 0, 0),
    section(10, 1, ...leb(code.length), ...code),
  ];
  return new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, ...sections.flat()]);
}

/** Bodies that could be meant by a node: all ways to fit operands and result to its opcode. Only one of them is valid. */
function candidates(op: number, k: number, lane: number, indices: number[], at: number): number[][] {
  const [a, b, r] = [at, at + 16, at + 48];
  const types = (list: Type[]): number[] => list.flatMap((t, i) => load(t, at + 16 * i));
  const code = simd(k);
  switch (op) {
    case OP.lanes:
      return [[V128], [V128, V128], [V128, V128, V128]].map((l) => store(V128, r, [...types(l), ...code]));
    case OP.lanesInteger: {
      const how = k >= 21 && k <= 34 ? [...code, lane] : code;
      return [I32, I64].flatMap((t) => [
        store(V128, r, [...load(V128, a), ...load(t, b), ...how]),
        store(V128, r, [...load(t, b), ...how]),
      ]);
    }
    case OP.lanesToInteger: {
      const how = k >= 21 && k <= 34 ? [...code, lane] : code;
      return [I32, I64].map((t) => store(t, r, [...load(V128, a), ...how]));
    }
    case OP.shuffle:
      return [store(V128, r, [...types([V128, V128]), ...simd(13), ...indices])];
    default:
      return scalars(op, k).map((part) => [...store(V128, r, load(V128, a)), ...part(a, b, r)]);
  }
}

type Part = (a: number, b: number, r: number) => number[];

function scalars(op: number, k: number): Part[] {
  const code = k > 0xff ? [k >> 8, k & 0xff] : [k];
  const floats = [F32, F64];
  if (op === OP.scalarFromInteger) return floats.map((t) => (_a, b, r) => store(t, r, [...load(I64, b), ...code]));
  const results = op === OP.scalar ? floats : [I32, I64];
  return results.flatMap((to) =>
    floats.flatMap((t): Part[] => [
      (_a, b, r) => store(to, r, [...load(t, b), ...code]),
      (a, b, r) => store(to, r, [...load(t, a), ...load(t, b), ...code]),
    ]),
  );
}

/** A function that computes what the node says, on operands at `at`. */
export function instruction(
  memory: WebAssembly.Memory,
  at: number,
  { op, k, lane, indices }: { op: number; k: number; lane: number; indices: number[] },
): () => void {
  const valid = candidates(op, k, lane, indices, at)
    .map(moduleOf)
    .filter((bytes) => WebAssembly.validate(bytes));
  if (valid.length !== 1) throw new Error(`${valid.length} instructions are opcode ${k} of node ${op}`);
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(valid[0]!), { env: { memory } });
  return exports.run as () => void;
}
