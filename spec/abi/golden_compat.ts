/**
 * What the C compiler says about Xen's public headers for 32-bit code. No 32-bit library is needed: the layouts are read from the assembly of
 * an array of sizes and offsets.
 *
 * Renew the fixture: `node spec/abi/golden_compat.ts | npx prettier --parser json > spec/abi/golden_compat.json`.
 */
import { execFileSync } from 'node:child_process';
import { COMPAT_STRUCTS } from './compat.ts';
import { pv32 } from './compat_pv.ts';
import { goldenStructs, INCLUDES } from './golden.ts';
import { members, type Struct } from './layout.ts';

/** Size, then offset and size of each member; members by the path that C spells. Bit-fields have no address. */
export type CompatGolden = Record<string, { size: number; members: Record<string, [number, number]> }>;

/** What no 32-bit code hands over; MSR records are tools'. */
const PV =
  /^(mmu_update|xenctl_bitmap|callback_unregister|iret_context|xen_mem_access_op|xen_vnuma_topology_info|xen_domctl_(?:vcpucontext|ext_vcpucontext)|hvm_msr)$/;

/** All structures as a 32-bit guest lays them out: converted ones, and those that are the same there. */
export const compatStructs = (): [string, Struct][] =>
  goldenStructs()
    .filter(([name]) => name in COMPAT_STRUCTS || !PV.test(name))
    .map(([name, s]) => [name, COMPAT_STRUCTS[name] ?? (pv32 as Record<string, Struct>)[name] ?? s]);

const addressed = (s: Struct) => members(s).filter((m) => !m.bit && m.type.size > 0);

/** The layout of one of our structures in the fixture's form. */
export function compatPlaces(s: Struct): CompatGolden[string] {
  const places = addressed(s).map((m): [string, [number, number]] => [m.path.join('.'), [m.offset, m.type.size]]);
  return { size: s.size, members: Object.fromEntries(places) };
}

function source(): string {
  const rows = compatStructs().flatMap(([name, s]) => {
    const type = `${s.kind} ${name}`;
    const all = addressed(s).map((m) => m.path.join('.'));
    return [`sizeof(${type})`, ...all.flatMap((m) => [`offsetof(${type}, ${m})`, `sizeof(((${type} *)0)->${m})`])];
  });
  return `#define __XEN_TOOLS__ 1
#include <stdint.h>
#include <stddef.h>
${INCLUDES.map((h) => `#include <xen/${h}>`).join('\n')}
unsigned layout[] = {
${rows.join(',\n')}
};
`;
}

/** Compiles the tables' C program and reads what it would contain. */
export function askCompatCompiler(): CompatGolden {
  const options = ['-w', '-m32', '-std=gnu11', '-ffreestanding', '-O0', '-S', '-x', 'c', '-o', '-', '-'];
  const assembly = execFileSync('gcc', options, { input: source(), encoding: 'utf8', maxBuffer: 1 << 24 });
  const numbers: number[] = [];
  for (const [, directive, value] of assembly.matchAll(/^\t\.(long|zero)\t(\d+)$/gm)) {
    if (directive === 'long') numbers.push(Number(value));
    else numbers.push(...Array.from({ length: Number(value) / 4 }, () => 0));
  }
  const golden: CompatGolden = {};
  let at = 0;
  for (const [name, s] of compatStructs()) {
    const one = { size: numbers[at++], members: {} as Record<string, [number, number]> };
    for (const m of addressed(s)) one.members[m.path.join('.')] = [numbers[at++], numbers[at++]];
    golden[name] = one;
  }
  if (at !== numbers.length) throw new Error(`the compiler gave ${numbers.length} numbers for ${at}`);
  return golden;
}

if (import.meta.main) process.stdout.write(JSON.stringify(askCompatCompiler()));
