/** The shape of the hypercall table's rows. Every row names its access check: a row without one does not type-check. */
import type { Errno } from './errno.ts';
import type { Struct, Type } from './layout.ts';

/**
 * The default policy's classes (what Xen does without FLASK), from the widest to the narrowest:
 * HOOK everybody; TARGET the target itself or its device model or the control domain; XS_PRIV the xenstore or the control domain;
 * DM_PRIV the target's device model or the control domain; PRIV the control domain; OTHER: decided by the row's own op.
 */
export const XSM_CLASSES = ['HOOK', 'TARGET', 'XS_PRIV', 'DM_PRIV', 'PRIV', 'OTHER'] as const;
export type XsmClass = (typeof XSM_CLASSES)[number];

export interface XsmCheck {
  hook: string;
  class: XsmClass;
  /**
   * Who calls it: `dispatch` when nothing but the caller matters (the generated dispatcher asks before the handler runs),
   * `handler` when the handler must first find the object (a domain, a port, a grant) that the check is about.
   */
  by: 'dispatch' | 'handler';
}
/** Xen has no hook there: the operation concerns the calling domain alone. */
export interface NoCheck {
  hook: null;
  why: string;
}
export type Check = XsmCheck | NoCheck;

export const xsm = (hook: string, cls: XsmClass): XsmCheck => ({ hook, class: cls, by: 'handler' });
export const xsmFirst = (hook: string, cls: XsmClass): XsmCheck => ({ hook, class: cls, by: 'dispatch' });
export const own = (why: string): NoCheck => ({ hook: null, why });

/** `supported`, or the errno an unprivileged caller gets. */
export type Status = 'supported' | Errno;

export interface SubOp {
  nr: number;
  /** Name in Xen's headers. */
  name: string;
  /** What the op's guest handle points to; null if it takes none. */
  arg: Struct<any> | Type | null;
  check: Check;
  status: Status;
  /** May give way in the middle and be continued. */
  continuable: boolean;
  /** Of a hypercall that other guests have too: for PV guests alone, the others get -EOPNOTSUPP. */
  pvOnly: boolean;
}

/** Where the op number is and how it is spelled. */
export interface SubOps {
  /** Bits of the command that are the op's number (the rest says where a continued one goes on). */
  mask: number;
  /** Errno of an unknown number. */
  unknown: Errno;
  /** `register`: the command is an argument; `memory`: it is the first word of the argument's structure. */
  in: 'register' | 'memory';
  /** For `memory`: the structure around it, whose member `u` holds the op's own. */
  envelope?: Struct<any>;
  /** Index of the argument that counts the elements of the argument array, if it is one. */
  count?: number;
  ops: readonly SubOp[];
}

export const GUESTS = ['hvm', 'pv', 'arm', 'service'] as const;
/** hvm: x86-64 HVM and PVH, and what services have of Xen's; pv: x86-64 PV; arm: AArch64; service: service domains. */
export type Guest = (typeof GUESTS)[number];

/** `op`: a 32-bit command, `ptr`: a guest handle. */
export type ArgType = 'op' | 'u32' | 'i32' | 'u64' | 'i64' | 'ptr' | 'domid';

export interface Hypercall {
  nr: number;
  /** Without `__HYPERVISOR_`. */
  name: string;
  args: readonly (readonly [name: string, type: ArgType])[];
  guests: readonly Guest[];
  continuable: boolean;
  /** For one with sub-ops the check is theirs. */
  check: Check | 'by op';
  status: Status;
  subOps?: SubOps;
}

type Row = readonly [
  nr: number,
  name: string,
  arg: Struct<any> | Type | null,
  check: Check,
  status: Status,
  how?: 'continuable' | 'pv' | 'continuable pv',
];

/** Rows of a sub-op table. */
export function subOps(prefix: string, how: Omit<SubOps, 'ops'>, rows: readonly Row[]): SubOps {
  const ops = rows.map(([nr, name, arg, check, status, how = '']) => ({
    nr,
    name: prefix + name,
    arg,
    check,
    status,
    continuable: how.startsWith('continuable'),
    pvOnly: how.endsWith('pv'),
  }));
  return { ...how, ops };
}
