/** The registers that a debugger is shown, in its own order and with the names and types it expects (GDB manual, "i386 Features"). */

export interface Register {
  readonly name: string;
  readonly bits: 32 | 64 | 80 | 128;
  readonly type: string;
  readonly group?: string;
}

interface Feature {
  readonly name: string;
  /** Definitions of the types that its registers use. */
  readonly types: string;
  readonly registers: readonly Register[];
}

const of = (bits: Register['bits'], type: string, names: string, group?: string): Register[] =>
  names.split(' ').map((name) => ({ name, bits, type, ...(group && { group }) }));
const numbered = (prefix: string, count: number): string =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`).join(' ');

const flag = (name: string, bit: number, last = bit): string => `<field name="${name}" start="${bit}" end="${last}"/>`;

const EFLAGS = `<flags id="eflags" size="4">${[
  ...[
    flag('CF', 0),
    flag('', 1),
    flag('PF', 2),
    flag('AF', 4),
    flag('ZF', 6),
    flag('SF', 7),
    flag('TF', 8),
    flag('IF', 9),
  ],
  ...[flag('DF', 10), flag('OF', 11), flag('NT', 14), flag('RF', 16), flag('VM', 17), flag('AC', 18), flag('VIF', 19)],
  ...[flag('VIP', 20), flag('ID', 21)],
].join('')}</flags>`;

const vector = (id: string, type: string, count: number): string =>
  `<vector id="${id}" type="${type}" count="${count}"/>`;
const VECTORS = [
  vector('v4f', 'ieee_single', 4),
  vector('v2d', 'ieee_double', 2),
  vector('v16i8', 'int8', 16),
  vector('v8i16', 'int16', 8),
  vector('v4i32', 'int32', 4),
  vector('v2i64', 'int64', 2),
  '<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>',
  '<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/>',
  '<field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>',
].join('');

const FEATURES: readonly Feature[] = [
  {
    name: 'org.gnu.gdb.i386.core',
    types: EFLAGS,
    registers: [
      ...of(64, 'int64', 'rax rbx rcx rdx rsi rdi'),
      ...of(64, 'data_ptr', 'rbp rsp'),
      ...of(64, 'int64', 'r8 r9 r10 r11 r12 r13 r14 r15'),
      ...of(64, 'code_ptr', 'rip'),
      ...of(32, 'eflags', 'eflags'),
      ...of(32, 'int32', 'cs ss ds es fs gs'),
      ...of(80, 'i387_ext', numbered('st', 8)),
      ...of(32, 'int', 'fctrl fstat ftag fiseg fioff foseg fooff fop', 'float'),
    ],
  },
  {
    name: 'org.gnu.gdb.i386.sse',
    types: VECTORS,
    registers: [...of(128, 'vec128', numbered('xmm', 16)), ...of(32, 'int', 'mxcsr', 'vector')],
  },
  { name: 'org.gnu.gdb.i386.segments', types: '', registers: of(64, 'data_ptr', 'fs_base gs_base') },
  { name: 'org.xenolith.control', types: '', registers: of(64, 'int64', 'cr0 cr2 cr3 cr4 efer', 'system') },
];

export const REGISTERS: readonly Register[] = FEATURES.flatMap(({ registers }) => registers);

function feature({ name, types, registers }: Feature): string {
  const list = registers.map(
    (r) => `<reg name="${r.name}" bitsize="${r.bits}" type="${r.type}"${r.group ? ` group="${r.group}"` : ''}/>`,
  );
  return `<feature name="${name}">${types}${list.join('')}</feature>`;
}

/** The target description that `qXfer:features:read:target.xml` gives. */
export const TARGET_XML = `<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0">${[
  '<architecture>i386:x86-64</architecture>',
  ...FEATURES.map(feature),
].join('')}</target>`;
