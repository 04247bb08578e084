// The recorded cases: inputs made from the seed, answers read from the store.
//
// To test a machine: load `state` (memory by `windowOf`, CPL 3, IF 1, IOPL 0, the selectors of `SELECTORS`, CR0.AM and CR4.OSFXSR, OSXMMEXCPT,
// FSGSBASE, OSXSAVE set), place `bytes` at `state.rip`, execute one instruction in `mode`, and hand what it left to `diff`.
import type { OperandSize, Row } from '../../spec/x86/rows.ts';
import { inputsCrc, load, sectionKey, unpackSection } from './answers.ts';
import { generate, type Generated } from './encode.ts';
import type { Mode, Result } from './machine.ts';
import { groupsOfFile, type Group } from './plan.ts';

export { diff } from './compare.ts';
export { SELECTORS, WINDOW, WINDOW_SIZE, CODE, CODE_SIZE, background, windowOf } from './machine.ts';
export type { Mode, Patch, Result, State, Trap } from './machine.ts';

export interface Case extends Generated {
  row: Row;
  /** 32 where the row does not depend on it. */
  opsize: OperandSize;
  mode: Mode;
  /** Number within its row, operand size and mode. */
  n: number;
  answer: Result;
}

/** Every recorded case of a file of rows, group by group; `only` chooses groups. Fails when a generator has changed since the recording. */
export function* cases(file: string, only: (group: Group) => boolean = () => true): Generator<Case> {
  const { sections } = load(file);
  for (const group of groupsOfFile(file)) {
    if (!only(group)) continue;
    const { row, opsize, mode, count } = group;
    const part = sections.get(sectionKey(group));
    const where = `${file}: ${row.source} (${opsize} bits, mode ${mode})`;
    if (!part) throw new Error(`${where} has no answers: run test/cpu/record.ts`);
    const inputs = Array.from({ length: Math.min(count, part.section.count) }, (_, n) =>
      generate(row, opsize, mode, n),
    );
    if (inputs.length !== part.section.count || inputsCrc(inputs, mode) !== part.section.inputs)
      throw new Error(`${where}: the answers belong to other inputs: run test/cpu/record.ts`);
    let n = 0;
    for (const answer of unpackSection(part.data, inputs)) {
      yield { row, opsize, mode, n, ...inputs[n]!, answer };
      n++;
    }
  }
}
