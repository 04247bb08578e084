/** The start information of a PVH guest (Xen's arch-x86/hvm/start_info.h), laid out as one block at a given address. */
import { alignUp, concat, u32, u64, zeros } from './bytes.ts';
import type { MapEntry, Range } from './memory_map.ts';

const MAGIC = 0x336ec578; // "xEn3" with the first byte's top bit set
const VERSION = 1; // has the memory map
const SIZE = { startInfo: 56, module: 32, mapEntry: 24 };

export interface StartInfo {
  readonly cmdline: string;
  readonly modules: readonly Range[];
  readonly memmap: readonly MapEntry[];
  readonly rsdp: number;
}

/** Address-independent size of the block. */
export const startInfoSize = (info: Pick<StartInfo, 'cmdline' | 'modules' | 'memmap'>): number =>
  SIZE.startInfo +
  alignUp(SIZE.module * info.modules.length + SIZE.mapEntry * info.memmap.length, 8) +
  Buffer.byteLength(info.cmdline) +
  1;

export function startInfo(info: StartInfo, gpa: number): Uint8Array {
  const modlist = gpa + SIZE.startInfo;
  const memmap = modlist + SIZE.module * info.modules.length;
  const cmdline = memmap + SIZE.mapEntry * info.memmap.length;
  return concat([
    u32(MAGIC, VERSION, 0, info.modules.length),
    u64(info.modules.length > 0 ? modlist : 0, cmdline, info.rsdp, memmap),
    u32(info.memmap.length, 0),
    ...info.modules.map((module) => u64(module.gpa, module.size, 0, 0)),
    ...info.memmap.map((entry) => concat([u64(entry.gpa, entry.size), u32(entry.type, 0)])),
    new TextEncoder().encode(info.cmdline),
    zeros(1),
  ]);
}
