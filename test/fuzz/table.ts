/** The fuzzing guest's table of operations, made from the hypercall table: see `struct operation` of guests/fuzz/fuzz.c. */
import { XEN_DOMCTL_INTERFACE_VERSION, XEN_SYSCTL_INTERFACE_VERSION } from '../../spec/abi/constants.ts';
import { COMPAT_STRUCTS } from '../../spec/abi/compat.ts';
import { HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import { compat, members, type Struct, type Type } from '../../spec/abi/layout.ts';
import type { ArgType, Hypercall, SubOp } from '../../spec/abi/op.ts';
import { STRUCTS } from '../../spec/abi/structs/index.ts';

const KIND = {
  INTEGER: 0,
  DOMAIN: 1,
  PORT: 2,
  REFERENCE: 3,
  FRAME: 4,
  COUNT: 5,
  POINTER: 6,
  COMMAND: 7,
  ADDRESS: 8,
  NONE: 15,
} as const;
/** Beside a field's kind: it lies over one before, and is to be written half of the time. */
const ALTERNATIVE = 0x80;
const BEGINS_WITH_COMMAND = 1;
const COUNTED = 2;
/** Elements of an array in a structure that get values. */
const MOST_ELEMENTS = 16;

interface Field {
  offset: number;
  size: number;
  kind: number;
}

const COUNTS = /^(nr_?\w*|size|count|len|length|extent_order|bufsz)$/;
const FRAMES = /^(gpfn|gfn|mfn|idx|gmfn|frame|first_pfn|pfn|\w+_gfn)$/;
const BY_TYPE: Record<string, number> = {
  domid: KIND.DOMAIN,
  port: KIND.PORT,
  gref: KIND.REFERENCE,
  pfn: KIND.FRAME,
  handle: KIND.POINTER,
};

function fieldsOf(s: Struct, base: number): Field[] {
  return members(s).flatMap((m) => flat(m.type, m.path.at(-1) ?? '', base + m.offset));
}

function flat(type: Type, name: string, offset: number): Field[] {
  switch (type.kind) {
    case 'scalar': {
      const kind = /_addr$|^addr$/.test(name) ? KIND.ADDRESS : BY_TYPE[type.name];
      const byName = COUNTS.test(name) ? KIND.COUNT : FRAMES.test(name) ? KIND.FRAME : KIND.INTEGER;
      return [{ offset, size: type.size, kind: kind ?? byName }];
    }
    case 'array':
      return Array.from({ length: Math.min(type.length, MOST_ELEMENTS) }, (_, i) =>
        flat(type.element as Type, name, offset + i * type.element.size),
      ).flat();
    case 'bits':
      return [{ offset, size: type.size, kind: KIND.INTEGER }];
    default:
      return type.name === null ? [] : fieldsOf(type, offset); // members() goes into unnamed ones itself
  }
}

const laid = (type: Struct, narrow: boolean): Struct => {
  if (!narrow || type.name === null) return type;
  // Control interfaces are the same for both kinds of caller.
  return COMPAT_STRUCTS[type.name] ?? type;
};

function kindOf(name: string, type: ArgType): number {
  if (type === 'op') return KIND.COMMAND;
  if (type === 'ptr') return KIND.POINTER;
  if (type === 'domid') return KIND.DOMAIN;
  return COUNTS.test(name) ? KIND.COUNT : KIND.INTEGER;
}

const VERSIONS: Record<string, number> = {
  domctl: XEN_DOMCTL_INTERFACE_VERSION,
  sysctl: XEN_SYSCTL_INTERFACE_VERSION,
};
const ALONE: Record<string, Struct> = {
  multicall: STRUCTS.multicall_entry as Struct,
  dm_op: STRUCTS.xen_dm_op_buf as Struct,
};

function operation(h: Hypercall, op: SubOp | undefined, narrow: boolean): number[] {
  const kinds = h.args.map(([name, type]) => kindOf(name, type));
  let size = 0;
  let fields: Field[] = [];
  let flags = 0;
  const own = op?.arg ?? null;
  const structured = own !== null && (own.kind === 'struct' || own.kind === 'union') ? laid(own, narrow) : null;
  const envelope = h.name === 'dm_op' ? undefined : h.subOps?.envelope;
  if (envelope) {
    size = envelope.size;
    fields = [...fieldsOf(envelope, 0), ...(structured ? fieldsOf(structured, envelope.offsets.u) : [])];
  } else if (ALONE[h.name]) {
    const s = laid(ALONE[h.name], narrow);
    [size, fields] = [s.size, fieldsOf(s, 0)];
  } else if (structured) [size, fields] = [structured.size, fieldsOf(structured, 0)];
  else if (own) [size, fields] = [Math.min(own.size, 64), flat(narrow ? compat(own) : own, '', 0)];
  if (h.subOps?.in === 'memory' && h.name !== 'dm_op') flags |= BEGINS_WITH_COMMAND;
  if (h.subOps?.count !== undefined || h.name === 'multicall') flags |= COUNTED;
  const packed = Array.from({ length: 8 }, (_, i) => kinds[i] ?? KIND.NONE).reduce((sum, k, i) => sum + k * 16 ** i, 0);
  return [
    h.nr,
    packed,
    op?.nr ?? 0,
    VERSIONS[h.name] ?? 0,
    size,
    flags,
    fields.length,
    ...fields.map((f, i) => {
      // Of a union one member or another.
      const other = fields.slice(0, i).some((g) => g.offset < f.offset + f.size && f.offset < g.offset + g.size);
      return f.offset + f.size * 0x10000 + (f.kind + (other ? ALTERNATIVE : 0)) * 0x1000000;
    }),
  ];
}

/** The table as the guest's module; `narrow`: with 32-bit layouts. */
export function fuzzTable(narrow: boolean): Uint8Array {
  const operations = HYPERCALLS.flatMap((h) =>
    h.subOps ? h.subOps.ops.map((op) => operation(h, op, narrow)) : [operation(h, undefined, narrow)],
  );
  return new Uint8Array(Uint32Array.from([operations.length, ...operations.flat()]).buffer);
}
