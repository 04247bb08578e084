// A hypercall as the log has it (core/hypervisor/trace.ts): its arguments decoded with the structure that came along.
import type { Read } from '../../spec/abi/trace.ts';
import { formatHypercall, formatResult } from '../../spec/abi/trace.ts';
import { HYPERCALLS } from '../../spec/abi/hypercalls.ts';
import type { LogRecord } from './log_reader.ts';

const AT = { args: 8, result: 48, start: 56, vcpu: 64, bytes: 68, structure: 72 };
const ARGS = 5;

export interface HypercallRecord {
  nr: number;
  vcpu: number;
  /** Nanoseconds of system time. */
  start: number;
  end: number;
  /** `event_channel_op`, and with its operation and arguments. */
  name: string;
  text: string;
  result: string;
}

export function hypercallRecord({ payload, time }: LogRecord): HypercallRecord {
  const nr = Number(payload.getBigUint64(0, true));
  const args = Array.from({ length: ARGS }, (_, i) => payload.getBigUint64(AT.args + 8 * i, true));
  const row = HYPERCALLS.find((h) => h.nr === nr);
  const handle = row?.args.findIndex(([, type]) => type === 'ptr') ?? -1;
  const bytes = Math.min(payload.getUint32(AT.bytes, true), payload.byteLength - AT.structure);
  const known = new Uint8Array(payload.buffer, payload.byteOffset + AT.structure, bytes);
  const vcpu = payload.getUint32(AT.vcpu, true);
  const read: Read = (va, length) => {
    const from = handle < 0 ? -1n : va - args[handle]!;
    if (from < 0n || from + BigInt(length) > BigInt(bytes)) return null;
    return known.subarray(Number(from), Number(from) + length);
  };
  read.compat = vcpu >>> 31 === 1;
  return {
    nr,
    vcpu: vcpu & 0x7fffffff,
    start: Number(payload.getBigUint64(AT.start, true)),
    end: Number(time),
    name: row?.name ?? `hypercall_${nr}`,
    text: formatHypercall(nr, args, read),
    result: formatResult(BigInt.asIntN(64, payload.getBigUint64(AT.result, true))),
  };
}
