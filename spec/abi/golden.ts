/**
 * What a C compiler says about Xen's public headers (Debian's libxen-dev, Xen 4.17): a C program made from our tables prints the layout of
 * each structure and the value of each number. Its output is kept in `golden.json`.
 *
 * Renew the fixture: `node spec/abi/golden.ts | npx prettier --parser json > spec/abi/golden.json` (needs gcc and libxen-dev).
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as constants from './constants.ts';
import { ERRNO } from './errno.ts';
import { HYPERCALLS } from './hypercalls.ts';
import { members, type Struct } from './layout.ts';
import { STRUCTS } from './structs/index.ts';
import { service } from './structs/service.ts';

/** A member: byte offset and size, or for a bit-field the unit's offset, shift and width. */
export type Place = [offset: number, size: number] | [offset: number, shift: number, width: number];
export interface Golden {
  structs: Record<string, { size: number; members: Record<string, Place> }>;
  constants: Record<string, string>;
}

export const INCLUDES = [
  'xen.h', 'argo.h', 'errno.h', 'event_channel.h', 'grant_table.h', 'memory.h', 'sched.h', 'vcpu.h', 'version.h', 'features.h', 'physdev.h',
  'callback.h', 'nmi.h', 'elfnote.h', 'domctl.h', 'sysctl.h', 'hvm/params.h', 'hvm/hvm_op.h', 'hvm/hvm_vcpu.h', 'hvm/dm_op.h', 'hvm/ioreq.h',
  'hvm/save.h', 'arch-x86/hvm/start_info.h', 'arch-x86/cpuid.h', 'arch-x86/xen-mca.h', 'xsm/flask_op.h', 'io/xs_wire.h', 'io/console.h',
  'io/xenbus.h', 'io/netif.h',
]; // prettier-ignore

/** Not visible in 4.17: newer ones, those for the hypervisor alone, our own and the addresses of libxl's guest layout. */
const NOT_IN_HEADERS =
  /^(EINTR|ERESTART|XENFEAT_(grant_map_identity|runstate_phys_area|vcpu_time_phys_area|dm_msix_all_writes)|VCPUOP_register_\w+_phys_area|XS_[GS]ET_(FEATURE|QUOTA)|SERVICEOP_\w+|__HYPERVISOR_service_op|(NR_)?SPECIAL_?PAGE\w*|ACPI_INFO_PHYSICAL_ADDRESS|LAPIC_BASE_ADDRESS)$/;
const STRUCTS_NOT_IN_HEADERS = new Set(['e820entry', ...Object.keys(service)]);

export const goldenStructs = (): [string, Struct][] =>
  Object.entries(STRUCTS as Record<string, Struct>).filter(([name]) => !STRUCTS_NOT_IN_HEADERS.has(name));

/** All our numbers by name, as text. */
export function goldenConstants(): Record<string, string> {
  const all: Record<string, number | bigint> = { ...constants, ...ERRNO };
  for (const h of HYPERCALLS) {
    all[`__HYPERVISOR_${h.name}`] = h.nr;
    for (const op of h.subOps?.ops ?? []) all[op.name] = op.nr;
  }
  return Object.fromEntries(
    Object.entries(all)
      .filter(([name]) => !NOT_IN_HEADERS.test(name))
      .map(([name, v]) => [name, String(v)]),
  );
}

/** The spelling of a number in C. */
function cName(name: string): string {
  if (name in ERRNO) return `XEN_${name}`;
  return name.replace(/^HVM_SAVE_CODE_(\w+)$/, 'HVM_SAVE_CODE($1)');
}

const cType = (s: Struct) => `${s.kind} ${s.name}`;

/** The layout of one of our structures in the fixture's form. */
export function placesOf(s: Struct): Golden['structs'][string] {
  const places = members(s).map((m): [string, Place] => {
    return [m.path.join('.'), m.bit ? [m.offset, m.bit.shift, m.bit.width] : [m.offset, m.type.size]];
  });
  return { size: s.size, members: Object.fromEntries(places) };
}

function cStruct(s: Struct): string {
  const type = cType(s);
  const lines = members(s).map((m) => {
    const path = m.path.join('.');
    if (m.bit) return `BITS(${type}, ${path}, ${m.offset}, ${m.type.size})`;
    return m.type.size === 0 ? `FLEX(${type}, ${path})` : `MEMBER(${type}, ${path})`;
  });
  return `STRUCT(${type}, "${s.name}")\n${lines.join('\n')}\nEND`;
}

/** The C program. Its output is the fixture. */
export function goldenSource(): string {
  return `#define __XEN_TOOLS__ 1
#include <stdio.h>
#include <stdint.h>
#include <string.h>
#include <stddef.h>
${INCLUDES.map((h) => `#include <xen/${h}>`).join('\n')}
#define STRUCT(t, n) printf("%s  \\"%s\\": {\\"size\\": %zu, \\"members\\": {", first ? "" : ",\\n", n, sizeof(t)); first = 0; sep = "";
#define MEMBER(t, m) printf("%s\\"%s\\": [%zu, %zu]", sep, #m, offsetof(t, m), sizeof(((t *)0)->m)); sep = ", ";
#define FLEX(t, m) printf("%s\\"%s\\": [%zu, 0]", sep, #m, offsetof(t, m)); sep = ", ";
/* A bit-field has no address: fill it and look at the storage unit. */
#define BITS(t, m, at, size) { t x; uint64_t u = 0; memset(&x, 0, sizeof x); x.m = -1; memcpy(&u, (char *)&x + at, size); \\
    printf("%s\\"%s\\": [%d, %d, %d]", sep, #m, at, __builtin_ctzll(u), __builtin_popcountll(u)); sep = ", "; }
#define END printf("}}");
#define VALUE(n, v) printf("%s  \\"%s\\": \\"%s%llu\\"", first ? "" : ",\\n", n, (v) < 0 ? "-" : "", \\
    (v) < 0 ? -(unsigned long long)(long long)(v) : (unsigned long long)(v)); first = 0;
int main(void) {
int first = 1; const char *sep = "";
printf("{\\n\\"structs\\": {\\n");
${goldenStructs()
  .map(([, s]) => cStruct(s))
  .join('\n')}
first = 1;
printf("\\n},\\n\\"constants\\": {\\n");
${Object.keys(goldenConstants())
  .map((n) => `VALUE("${n}", ${cName(n)})`)
  .join('\n')}
printf("\\n}\\n}\\n");
return 0;
}
`;
}

/** Compiles and runs the program: the fixture's text. */
export function askCompiler(): string {
  const dir = mkdtempSync(join(tmpdir(), 'xenolith-golden-'));
  try {
    const source = join(dir, 'golden.c');
    const program = join(dir, 'golden');
    writeFileSync(source, goldenSource());
    execFileSync('gcc', ['-w', '-std=gnu11', '-o', program, source], { stdio: ['ignore', 'inherit', 'inherit'] });
    return execFileSync(program, { encoding: 'utf8', maxBuffer: 1 << 24 });
  } finally {
    rmSync(dir, { recursive: true });
  }
}

if (import.meta.main) process.stdout.write(askCompiler());
