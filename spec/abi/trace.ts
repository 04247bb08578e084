/** Text of a hypercall for `--trace hypercalls`, decoded by the tables. */
import { COMPAT_STRUCTS } from './compat.ts';
import { DOMID_IDLE, DOMID_INVALID, DOMID_IO, DOMID_SELF, DOMID_XEN } from './constants.ts';
import { errnoName } from './errno.ts';
import { HYPERCALLS } from './hypercalls.ts';
import { char, load, members, view, type ArrayView, type Bits, type Scalar, type Struct, type Type } from './layout.ts';
import type { ArgType, Hypercall, SubOp, SubOps } from './op.ts';
import { STRUCTS } from './structs/index.ts';

/** Reads guest memory at a virtual address; null if it cannot be read. */
export interface Read {
  (va: bigint, length: number): Uint8Array | null;
  /** The caller was 32-bit code: structures have its layout. */
  compat?: boolean;
}

/** The type as the caller lays it out. */
const laid = (t: Type, read: Read): Type =>
  read.compat && t.kind === 'struct' && t.name !== null ? (COMPAT_STRUCTS[t.name] ?? t) : t;

const MOST_ELEMENTS = 4;
const MOST_TEXT = 80;
const DOMIDS = new Map([
  [DOMID_SELF, 'DOMID_SELF'],
  [DOMID_IO, 'DOMID_IO'],
  [DOMID_XEN, 'DOMID_XEN'],
  [DOMID_INVALID, 'DOMID_INVALID'],
  [DOMID_IDLE, 'DOMID_IDLE'],
]);

const number = (v: number | bigint): string =>
  v > 9999 || v < -9999 ? (v < 0 ? `-0x${(-v).toString(16)}` : `0x${v.toString(16)}`) : String(v);
const domid = (v: number): string => DOMIDS.get(v) ?? String(v);
const dataView = (b: Uint8Array) => new DataView(b.buffer, b.byteOffset, b.byteLength);

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  const shown = bytes.subarray(0, Math.min(end < 0 ? bytes.length : end, MOST_TEXT));
  return JSON.stringify(String.fromCharCode(...shown)) + (shown.length === MOST_TEXT ? '…' : '');
}

function scalar(t: Scalar, v: number | bigint): string {
  if (t.name === 'domid') return domid(Number(v));
  return t.name === 'handle' ? `0x${v.toString(16)}` : number(v);
}

/** A value of type `t` at the start of `bytes`. */
function value(t: Type, bytes: Uint8Array): string {
  if (t.kind === 'scalar') return scalar(t, load(t, dataView(bytes), 0));
  if (t.kind === 'array') {
    if (t.element === char) return text(bytes.subarray(0, t.size));
    const n = Math.min(t.length, MOST_ELEMENTS);
    const shown = Array.from({ length: n }, (_, i) => value(t.element, bytes.subarray(i * t.element.size)));
    return `[${shown.join(', ')}${n < t.length ? ', …' : ''}]`;
  }
  if (t.kind === 'bits') return bitFields(t, bytes);
  return record(t, bytes);
}

function bitFields(t: Bits, bytes: Uint8Array): string {
  const word = load(t.unit, dataView(bytes), 0) as number;
  return Object.keys(t.widths)
    .map((n) => `${n}: ${(word >>> t.shifts[n]) & (2 ** t.widths[n] - 1)}`)
    .join(', ');
}

/** `{field: value, …}` without padding; of a union its first member. */
function record(s: Struct, bytes: Uint8Array): string {
  const keys = s.kind === 'union' ? Object.keys(s.fields).slice(0, 1) : Object.keys(s.fields);
  const shown = keys
    .filter((k) => !/^_|^pad\d*$/.test(k))
    .map((k) => {
      const v = value(s.fields[k], bytes.subarray(s.offsets[k]));
      return k.startsWith('$') ? v : `${k}: ${v}`;
    });
  return `{${shown.join(', ')}}`;
}

function at(type: Type, va: bigint, read: Read): string {
  if (va === 0n) return 'NULL';
  const t = laid(type, read);
  const bytes = read(va, t.size);
  return bytes && bytes.length >= t.size ? value(t, bytes) : `0x${va.toString(16)} <unreadable>`;
}

/** `count` elements at `va`, of characters the text. */
function several(type: Type, va: bigint, count: number, read: Read): string {
  const t = laid(type, read);
  if (t === char) {
    const bytes = read(va, Math.min(count, MOST_TEXT));
    return bytes ? text(bytes) : `0x${va.toString(16)} <unreadable>`;
  }
  const n = Math.min(count, MOST_ELEMENTS);
  const shown = Array.from({ length: n }, (_, i) => at(type, va + BigInt(i * t.size), read));
  return `[${shown.join(', ')}${n < count ? `, … ${count}` : ''}]`;
}

/** An array of ops in memory, each with its number first (mmuext_op). */
function eachInMemory(sub: SubOps, va: bigint, count: number, read: Read): string {
  const t = laid(sub.envelope!, read) as Struct;
  const n = Math.min(count, MOST_ELEMENTS);
  const shown = Array.from({ length: n }, (_, i) => {
    const bytes = read(va + BigInt(i * t.size), t.size);
    if (!bytes || bytes.length < t.size) return '<unreadable>';
    const cmd = dataView(bytes).getUint32(0, true);
    const op = sub.ops.find((o) => o.nr === cmd);
    return op?.arg ? value(t, bytes).replace(/^{cmd: \d+/, `{cmd: ${op.name}`) : `{cmd: ${op?.name ?? cmd}}`;
  });
  return `[${shown.join(', ')}${n < count ? `, … ${count}` : ''}]`;
}

/** The op in memory that domctl, sysctl and dm_op take. */
function inMemory(sub: SubOps, va: bigint, read: Read): string {
  const head = sub.envelope && read(va, sub.envelope.size);
  if (!head || head.length < sub.envelope!.size) return `0x${va.toString(16)}`;
  const cmd = dataView(head).getUint32(0, true);
  const op = sub.ops.find((o) => o.nr === cmd);
  const fields = members(sub.envelope!).filter((m) => m.path.length === 1 && m.path[0] === 'domain');
  const whose = fields.map((m) => `${value(m.type, head.subarray(m.offset))}, `).join('');
  const body = op?.arg ? `, ${value(op.arg, head.subarray(sub.envelope!.offsets.u))}` : '';
  return `${whose}${op?.name ?? cmd}${body}`;
}

const address = (v: bigint) => (v === 0n ? 'NULL' : `0x${v.toString(16)}`);

function argument(
  h: Hypercall,
  type: ArgType,
  i: number,
  args: readonly bigint[],
  op: SubOp | undefined,
  read: Read,
): string {
  const v = args[i] ?? 0n;
  const sub = h.subOps;
  switch (type) {
    case 'op':
      return op?.name ?? number(v & 0xffffffffn);
    case 'u32':
      return number(v & 0xffffffffn);
    case 'i32':
      return number(BigInt.asIntN(32, v));
    case 'i64':
      return number(BigInt.asIntN(64, v));
    case 'domid':
      return domid(Number(v & 0xffffn));
    case 'u64':
      return number(v);
  }
  if (h.name === 'multicall') return batch(v, Number((args[1] ?? 0n) & 0xffffffffn), read);
  if (h.name === 'dm_op') return buffers(sub!, v, read);
  if (sub?.in === 'memory' && sub.count !== undefined)
    return i === 0 ? eachInMemory(sub, v, Number((args[sub.count] ?? 0n) & 0xffffffffn), read) : address(v);
  if (sub?.in === 'memory') return inMemory(sub, v, read);
  if (!op?.arg) return address(v);
  if (sub?.count === undefined) return at(op.arg, v, read);
  return several(op.arg, v, Number((args[sub.count] ?? 0n) & 0xffffffffn), read);
}

/** dm_op's op lies in the first of its buffers. */
function buffers(sub: SubOps, va: bigint, read: Read): string {
  const buffer = laid(STRUCTS.xen_dm_op_buf, read) as Struct;
  const first = read(va, buffer.size);
  if (!first) return `0x${va.toString(16)} <unreadable>`;
  const { h } = view(buffer, dataView(first)) as unknown as { h: number | bigint };
  return inMemory(sub, BigInt(h), read);
}

function batch(va: bigint, count: number, read: Read): string {
  const multicall_entry = laid(STRUCTS.multicall_entry, read) as Struct;
  const n = Math.min(count, MOST_ELEMENTS);
  const shown = Array.from({ length: n }, (_, i) => {
    const bytes = read(va + BigInt(i * multicall_entry.size), multicall_entry.size);
    if (!bytes) return '<unreadable>';
    const entry = view(multicall_entry, dataView(bytes)) as unknown as { op: number; args: ArrayView<Scalar> };
    // One level: a multicall in a multicall is refused.
    const inner = Number(entry.op);
    const args = Array.from({ length: 6 }, (_, k) => BigInt(entry.args.get(k)));
    return HYPERCALLS.find((h) => h.nr === inner)?.name === 'multicall'
      ? 'multicall'
      : formatHypercall(inner, args, read);
  });
  return `[${shown.join('; ')}${n < count ? `; … ${count}` : ''}]`;
}

/** `event_channel_op(EVTCHNOP_send, {port: 3})` */
export function formatHypercall(nr: number, args: readonly bigint[], read: Read): string {
  const h = HYPERCALLS.find((row) => row.nr === nr);
  if (!h) return `hypercall_${nr}(${args.map((a) => `0x${a.toString(16)}`).join(', ')})`;
  const where = h.args.findIndex(([, type]) => type === 'op');
  const cmd = where >= 0 && h.subOps ? Number((args[where] ?? 0n) & BigInt(h.subOps.mask)) : -1;
  const op = h.subOps?.in === 'register' ? h.subOps.ops.find((o) => o.nr === cmd) : undefined;
  return `${h.name}(${h.args.map(([, type], i) => argument(h, type, i, args, op, read)).join(', ')})`;
}

/** A result register: `0`, `-ENOSYS`, or the value. */
export function formatResult(result: bigint): string {
  const signed = BigInt.asIntN(64, result);
  const name = signed < 0n && signed > -4096n ? errnoName(signed) : null;
  return name ? `-${name}` : number(signed);
}
