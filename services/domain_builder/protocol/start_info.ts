/** The start information of a PVH guest (Xen's arch-x86/hvm/start_info.h), laid out as one block at a given address. */
import { XEN_HVM_START_MAGIC_VALUE } from '../../../spec/abi/constants.ts';
import { make } from '../../../spec/abi/layout.ts';
import type { Fields, Struct, View } from '../../../spec/abi/layout.ts';
import { startInfo as layouts } from '../../../spec/abi/structs/hvm.ts';
import { concat } from './bytes.ts';
import type { MapEntry, Range } from './memory_map.ts';

/** The version that has the memory map. */
const VERSION = 1;
const { hvm_start_info, hvm_modlist_entry, hvm_memmap_table_entry } = layouts;

export interface StartInfo {
  readonly cmdline: string;
  readonly modules: readonly Range[];
  readonly memmap: readonly MapEntry[];
  readonly rsdp: number;
}

function record<F extends Fields>(layout: Struct<F>, values: Partial<View<F>>): Uint8Array {
  const { view, bytes } = make(layout);
  Object.assign(view, values);
  return bytes;
}

/** Lays the block out for `gpa`; its size does not depend on it. */
export function startInfo(info: StartInfo, gpa: number): Uint8Array {
  const { modules, memmap } = info;
  const modlistAt = gpa + hvm_start_info.size;
  const memmapAt = modlistAt + hvm_modlist_entry.size * modules.length;
  const cmdlineAt = memmapAt + hvm_memmap_table_entry.size * memmap.length;
  return concat([
    record(hvm_start_info, {
      magic: XEN_HVM_START_MAGIC_VALUE,
      version: VERSION,
      nr_modules: modules.length,
      modlist_paddr: BigInt(modules.length > 0 ? modlistAt : 0),
      cmdline_paddr: BigInt(cmdlineAt),
      rsdp_paddr: BigInt(info.rsdp),
      memmap_paddr: BigInt(memmapAt),
      memmap_entries: memmap.length,
    }),
    ...modules.map((module) => record(hvm_modlist_entry, { paddr: BigInt(module.gpa), size: BigInt(module.size) })),
    ...memmap.map((entry) =>
      record(hvm_memmap_table_entry, { addr: BigInt(entry.gpa), size: BigInt(entry.size), type: entry.type }),
    ),
    new TextEncoder().encode(`${info.cmdline}\0`),
  ]);
}
