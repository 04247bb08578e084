// Reading a stopped guest's memory by its own page tables, as its kernel would: what a hypercall's arguments point to, for reports. Only frames
// that are the domain's are read.
import type { Machine } from '../../platform/machine.ts';
import type { Read } from '../../spec/abi/trace.ts';
import type { CpuState } from './cpu_state.ts';
import { crashFields } from './layout.ts';

const PAGE = 4096n;
const CR0_PG = 1n << 31n;
const EFER_LMA = 1n << 10n;
const PRESENT = 1n;
const LARGE = 0x80n;
const ADDRESS = 0x000ffffffffff000n;

/** Linear addresses below this or from its negative on are canonical. */
const CANONICAL = 1n << 47n;

export function guestReader(machine: Machine, domid: number, cpu: CpuState): Read {
  const bytes = new Uint8Array(machine.memory.buffer);
  const view = new DataView(machine.memory.buffer);
  /** Where byte `address` of the guest's memory is in machine memory; 0 = nowhere. A PV guest's numbers are machine frames. */
  const frame = (address: bigint): number => {
    const number = address / PAGE;
    return number > 0xffffffffn ? 0 : machine.core.domain_frame(domid, Number(number)) >>> 0;
  };
  const translate = (va: bigint): bigint | null => {
    if (!(cpu.control('cr0') & CR0_PG)) return va;
    if (!(cpu.control('efer') & EFER_LMA)) return null;
    const signed = BigInt.asIntN(64, va);
    if (signed >= CANONICAL || signed < -CANONICAL) return null;
    // A PV guest's programs run on tables of their own.
    const kernel = BigInt(cpu.u32(crashFields.kernelRoot)) * PAGE;
    let table = kernel || cpu.control('cr3') & ADDRESS;
    for (let level = 4n; level > 0n; level--) {
      const shift = 3n + 9n * level;
      const at = frame(table);
      if (at === 0) return null;
      const entry = view.getBigUint64(at + 8 * Number((va >> shift) & 511n), true);
      if (!(entry & PRESENT)) return null;
      const within = (1n << shift) - 1n;
      if (level === 1n || (level < 4n && entry & LARGE)) return (entry & ADDRESS & ~within) | (va & within);
      table = entry & ADDRESS;
    }
    return null;
  };
  const read: Read = (va, length) => {
    const found = new Uint8Array(length);
    for (let i = 0; i < length; ) {
      const address = translate(BigInt.asUintN(64, va + BigInt(i)));
      const at = address === null ? 0 : frame(address);
      if (address === null || at === 0) return null;
      const offset = Number(address % PAGE);
      const n = Math.min(length - i, Number(PAGE) - offset);
      found.set(bytes.subarray(at + offset, at + offset + n), i);
      i += n;
    }
    return found;
  };
  read.compat = cpu.codeSize !== 64;
  return read;
}
