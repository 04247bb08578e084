/**
 * Memory layouts of the public ABI as data: the System V x86-64 rules (psABI 3.1.2) applied to field lists, and typed views over bytes.
 *
 * A field's key is the C member's name. A key that starts with `$` stands for an anonymous member: it adds no step to the C path.
 */

export interface Scalar<V extends number | bigint = number | bigint> {
  kind: 'scalar';
  name: string;
  size: 1 | 2 | 4 | 8;
  align: number;
  signed: boolean;
  wide: V extends bigint ? true : false;
}
export interface ArrayOf<E extends Type = Type> {
  kind: 'array';
  element: E;
  length: number;
  size: number;
  align: number;
}
/** A struct or a union; `name` is set for the ones that have a tag in Xen's headers. */
export interface Struct<F extends Fields = Fields> {
  kind: 'struct' | 'union';
  name: string | null;
  fields: F;
  offsets: { [K in keyof F]: number };
  size: number;
  align: number;
  /** Alignment that no member exceeds. */
  pack: number;
}
/** Bit-fields of one storage unit, first name in the least significant bits. */
export interface Bits<N extends string = string> {
  kind: 'bits';
  unit: Scalar<number>;
  widths: Record<N, number>;
  shifts: Record<N, number>;
  size: number;
  align: number;
}
export type Type = Scalar<number> | Scalar<bigint> | ArrayOf<any> | Struct<any> | Bits<any>;
export type Fields = Record<string, Type>;

const narrow = (name: string, size: 1 | 2 | 4, signed: boolean): Scalar<number> => {
  return { kind: 'scalar', name, size, align: size, signed, wide: false };
};
const wide = (name: string, signed: boolean): Scalar<bigint> => {
  return { kind: 'scalar', name, size: 8, align: 8, signed, wide: true };
};

export const u8 = narrow('u8', 1, false);
export const i8 = narrow('i8', 1, true);
export const u16 = narrow('u16', 2, false);
export const i16 = narrow('i16', 2, true);
export const u32 = narrow('u32', 4, false);
export const i32 = narrow('i32', 4, true);
export const u64 = wide('u64', false);
export const i64 = wide('i64', true);
export const domid_t = narrow('domid', 2, false);
export const evtchn_port_t = narrow('port', 4, false);
export const grant_ref_t = narrow('gref', 4, false);
export const xen_pfn_t = wide('pfn', false);
export const xen_ulong_t = wide('ulong', false);
/** XEN_GUEST_HANDLE(x): a guest virtual address. */
export const handle = wide('handle', false);
/** `char`, shown as text by the tracer. */
export const char = narrow('char', 1, false);

export function array<E extends Type>(element: E, length: number): ArrayOf<E> {
  return { kind: 'array', element, length, size: element.size * length, align: element.align };
}

type Split<S extends string> = S extends `${infer A} ${infer B}` ? A | Split<B> : S;

/** Several members of one type in a row: `...each('rax rbx', u64)`. */
export function each<S extends string, T extends Type>(names: S, type: T): Record<Split<S>, T> {
  return Object.fromEntries(names.split(' ').map((n) => [n, type])) as Record<Split<S>, T>;
}

const roundUp = (n: number, align: number) => Math.ceil(n / align) * align;

function lay<F extends Fields>(kind: 'struct' | 'union', fields: F, name: string | null, pack: number): Struct<F> {
  const offsets = {} as { [K in keyof F]: number };
  let end = 0;
  let align = 1;
  for (const key in fields) {
    const type = fields[key];
    const own = Math.min(type.align, pack);
    const offset = kind === 'union' ? 0 : roundUp(end, own);
    offsets[key] = offset;
    end = Math.max(end, offset + type.size);
    align = Math.max(align, own);
  }
  return { kind, name, fields, offsets, size: roundUp(end, align), align, pack };
}

/** An anonymous struct or one with `#pragma pack(pack)`. */
export const struct = <F extends Fields>(fields: F, pack = 16): Struct<F> => lay('struct', fields, null, pack);
export const union = <F extends Fields>(fields: F): Struct<F> => lay('union', fields, null, 16);

export function bits<N extends string>(unit: Scalar<number>, widths: Record<N, number>): Bits<N> {
  const shifts = {} as Record<N, number>;
  let at = 0;
  for (const name in widths) {
    shifts[name] = at;
    at += widths[name];
  }
  if (at > unit.size * 8) throw new Error(`bit-fields exceed ${unit.name}`);
  return { kind: 'bits', unit, widths, shifts, size: unit.size, align: unit.align };
}

type Definitions = Record<string, Fields | Struct>;
type Defined<D extends Definitions> = {
  [K in keyof D]: D[K] extends Struct<infer F> ? Struct<F> : D[K] extends Fields ? Struct<D[K]> : never;
};
const isStruct = (d: Fields | Struct): d is Struct => typeof (d as Struct).size === 'number' && 'offsets' in d;

/** Named structures: each key becomes the tag. */
export function structs<D extends Definitions>(definitions: D): Defined<D> {
  const out: Record<string, Struct> = {};
  for (const name in definitions) {
    const d = definitions[name];
    out[name] = isStruct(d) ? { ...d, name } : lay('struct', d, name, 16);
  }
  return out as Defined<D>;
}

/** A member reached through anonymous members only, with its C path and its offset from the start. */
export interface Member {
  path: string[];
  offset: number;
  type: Type;
  /** For a bit-field: its place in the storage unit. */
  bit?: { shift: number; width: number };
}

/** Every member of a structure, down through unnamed structs and unions but not into named ones or arrays. */
export function members(s: Struct, base = 0, path: string[] = []): Member[] {
  return Object.entries(s.fields as Fields).flatMap(([key, type]) => {
    const offset = base + s.offsets[key];
    const here = key.startsWith('$') ? path : [...path, key];
    if (type.kind === 'bits') {
      return Object.keys(type.widths).map((n) => ({
        path: [...here, n],
        offset,
        type,
        bit: { shift: type.shifts[n], width: type.widths[n] },
      }));
    }
    const inner =
      (type.kind === 'struct' || type.kind === 'union') && type.name === null ? members(type, offset, here) : [];
    return key.startsWith('$') ? inner : [{ path: here, offset, type }, ...inner];
  });
}

/** An array member's view: elements by index. Scalars can be written, structures are views. */
export interface ArrayView<E extends Type> {
  readonly length: number;
  get(i: number): Value<E>;
  set(i: number, v: Value<E>): void;
  /** The bytes themselves (no copy). */
  bytes(): Uint8Array;
}
export type Value<T> =
  T extends Scalar<infer V>
    ? V
    : T extends Struct<infer F>
      ? View<F>
      : T extends Bits<infer N>
        ? Record<N, number>
        : T extends ArrayOf<infer E>
          ? ArrayView<E>
          : never;
export type View<F extends Fields> = { [K in keyof F]: Value<F[K]> };

const LE = true;
const DATA = Symbol('data');
const AT = Symbol('at');

/** The scalar at `at`, little endian. */
export function load(t: Scalar, dv: DataView, at: number): number | bigint {
  switch (t.size) {
    case 1:
      return t.signed ? dv.getInt8(at) : dv.getUint8(at);
    case 2:
      return t.signed ? dv.getInt16(at, LE) : dv.getUint16(at, LE);
    case 4:
      return t.signed ? dv.getInt32(at, LE) : dv.getUint32(at, LE);
    default:
      return t.signed ? dv.getBigInt64(at, LE) : dv.getBigUint64(at, LE);
  }
}

function store(t: Scalar, dv: DataView, at: number, v: number | bigint): void {
  switch (t.size) {
    case 1:
      return dv.setUint8(at, Number(v));
    case 2:
      return dv.setUint16(at, Number(v), LE);
    case 4:
      return dv.setUint32(at, Number(v), LE);
    default:
      return dv.setBigUint64(at, BigInt(v), LE);
  }
}

function bitView(t: Bits, dv: DataView, at: number): Record<string, number> {
  const out = {};
  for (const name in t.widths) {
    const mask = 2 ** t.widths[name] - 1;
    const shift = t.shifts[name];
    Object.defineProperty(out, name, {
      enumerable: true,
      get: () => ((load(t.unit, dv, at) as number) >>> shift) & mask,
      set: (v: number) => {
        const rest = (load(t.unit, dv, at) as number) & ~(mask << shift);
        store(t.unit, dv, at, (rest | ((v & mask) << shift)) >>> 0);
      },
    });
  }
  return out;
}

function arrayView<E extends Type>(t: ArrayOf<E>, dv: DataView, at: number): ArrayView<E> {
  const place = (i: number) => {
    if (!(i >= 0 && i < t.length)) throw new RangeError(`index ${i} of ${t.length}`);
    return at + i * t.element.size;
  };
  return {
    length: t.length,
    get: (i) => valueAt(t.element, dv, place(i)) as Value<E>,
    set: (i, v) => {
      if (t.element.kind !== 'scalar') throw new TypeError('only scalar elements can be assigned');
      store(t.element, dv, place(i), v as number | bigint);
    },
    bytes: () => new Uint8Array(dv.buffer, dv.byteOffset + at, t.size),
  };
}

function valueAt(t: Type, dv: DataView, at: number): unknown {
  switch (t.kind) {
    case 'scalar':
      return load(t, dv, at);
    case 'bits':
      return bitView(t, dv, at);
    case 'array':
      return arrayView(t, dv, at);
    default:
      return view(t, dv, at);
  }
}

class Viewed {
  readonly [DATA]: DataView;
  readonly [AT]: number;

  constructor(dv: DataView, at: number) {
    this[DATA] = dv;
    this[AT] = at;
  }
}

/** A class with the structure's members: made once, so that a view costs no more than an object. */
const shapes = new WeakMap<Fields, typeof Viewed>();

function shapeOf(s: Struct<Fields>): typeof Viewed {
  const known = shapes.get(s.fields);
  if (known) return known;
  const shape = class extends Viewed {};
  for (const key in s.fields) {
    const type: Type = s.fields[key];
    const offset = s.offsets[key];
    Object.defineProperty(shape.prototype, key, {
      enumerable: true,
      get(this: Viewed) {
        return valueAt(type, this[DATA], this[AT] + offset);
      },
      set:
        type.kind !== 'scalar'
          ? undefined
          : function (this: Viewed, v: number | bigint) {
              store(type, this[DATA], this[AT] + offset, v);
            },
    });
  }
  shapes.set(s.fields, shape);
  return shape;
}

/** A live view of a structure at `base`: reading and assigning members reads and writes the bytes, little endian. */
export function view<F extends Fields>(s: Struct<F>, dv: DataView, base = 0): View<F> {
  if (base < 0 || base + s.size > dv.byteLength) throw new RangeError(`${s.name ?? 'structure'} exceeds its buffer`);
  return new (shapeOf(s))(dv, base) as unknown as View<F>;
}

/** A zeroed structure of its own: the view and its bytes. */
export function make<F extends Fields>(s: Struct<F>): { view: View<F>; bytes: Uint8Array } {
  const bytes = new Uint8Array(s.size);
  return { view: view(s, new DataView(bytes.buffer)), bytes };
}

/** Scalars that are as wide as the caller's registers. */
const REGISTER_WIDE: ReadonlySet<string> = new Set(['pfn', 'ulong', 'handle']);

/**
 * The same type as a 32-bit caller lays it out (System V i386 psABI, 2.1): longs and pointers have four bytes, and nothing is aligned to more
 * than four. `other`: structures that have other members there.
 */
export function compat(type: Type, other: Readonly<Record<string, Struct>> = {}): Type {
  switch (type.kind) {
    case 'scalar':
      if (REGISTER_WIDE.has(type.name)) return narrow(type.name, 4, false);
      return { ...type, align: Math.min(type.align, 4) };
    case 'bits':
      return type;
    case 'array':
      return array(compat(type.element, other), type.length);
    default: {
      if (type.name !== null && type.name in other) return other[type.name];
      const fields = Object.entries(type.fields as Fields).map(([key, t]) => [key, compat(t, other)]);
      return lay(type.kind, Object.fromEntries(fields) as Fields, type.name, type.pack);
    }
  }
}
