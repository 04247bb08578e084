// Which instructions are recorded, how many states of each, and why the others are not.
import { operandSizes, rowFiles } from '../../spec/x86/rows.ts';
import type { OperandSize, Row } from '../../spec/x86/rows.ts';
import type { Mode } from './machine.ts';

/** States of each row and operand size: in the mode that is the row's own, and in 32-bit mode for what exists in both. */
export const STATES = 200;
export const STATES_32 = 40;

export interface Group {
  row: Row;
  /** 32 where the row does not depend on it. */
  opsize: OperandSize;
  mode: Mode;
  count: number;
}

/** Rows that user mode on a foreign kernel cannot answer, by name. */
const REASONS: [RegExp, string][] = [
  [/^(CPUID|RDTSC|RDTSCP|RDPMC|XGETBV)$/, 'the answer is the host processor itself'],
  [/^(SYSCALL|SYSENTER|VMCALL|VMMCALL)$/, 'enters the host kernel or its hypervisor: guests in assembly'],
  [/^(INT|INT1|INT3)$/, 'goes through the interrupt descriptor table: guests in assembly'],
  [/^(CALL_far|JMP_far|RET_far|RET_far_imm|IRET)$/, 'loads CS from the descriptor tables: guests in assembly'],
  [/^(MOV_sreg|POP_sreg|LES|LDS|LSS|LFS|LGS)$/, 'loads a segment from the descriptor tables: guests in assembly'],
  [/^(LAR|LSL|VERR|VERW)$/, 'reads the descriptor tables: guests in assembly'],
  [/^(SGDT|SIDT|SLDT|STR|SMSW)$/, 'the host kernel forbids or emulates it (UMIP): guests in assembly'],
  [/^(CLAC|STAC)$/, '#UD outside ring 0: guests in assembly'],
];

/** Why a row has no recorded answers, or null. */
export function whyNot(row: Row): string | null {
  for (const [name, why] of REASONS) if (name.test(row.name)) return why;
  if (row.attrs.has('priv')) return 'privileged: guests in assembly';
  if (row.attrs.has('iopl')) return 'needs I/O privilege: guests in assembly';
  return null;
}

/** The groups of one row; none if there is a reason. */
export function groupsOf(row: Row): Group[] {
  if (whyNot(row) !== null) return [];
  const sizes = (long: boolean): OperandSize[] => {
    const own = operandSizes(row, long);
    return own.length ? own : [32];
  };
  const groups: Group[] = [];
  if (!row.attrs.has('i64')) for (const opsize of sizes(true)) groups.push({ row, opsize, mode: 64, count: STATES });
  const only64 = ['o64', 'rexw', 'rexb'].some((a) => row.attrs.has(a));
  const count = row.attrs.has('i64') ? STATES : STATES_32;
  if (!only64) for (const opsize of sizes(false)) groups.push({ row, opsize, mode: 32, count });
  return groups;
}

/** The groups of a file of rows. */
export function groupsOfFile(file: string): Group[] {
  const rows = rowFiles.get(file);
  if (!rows) throw new Error(`no rows ${file}`);
  return rows.flatMap(groupsOf);
}
