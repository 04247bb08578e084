// Machine memory: the one shared WebAssembly memory. Only this file turns a machine frame number into bytes.

/** A machine frame number: index of a 4 KiB frame of the shared memory. */
export type Mfn = u32;
/** A guest (pseudo-physical) frame number. */
export type Gfn = u64;

export const PAGE_SHIFT: u32 = 12;
export const PAGE_SIZE: u32 = 4096;
/** "No frame": never a valid mfn, because the memory ends at mfn 0xfffff. */
export const INVALID_MFN: Mfn = 0xffffffff;

/** Byte address of frame `mfn`; the caller has checked that the frame exists. */
@inline export function mfn_to_ptr(mfn: Mfn): usize {
  return (<usize>mfn) << PAGE_SHIFT;
}

/** Frame that holds byte address `p`. */
@inline export function ptr_to_mfn(p: usize): Mfn {
  return <Mfn>(p >>> PAGE_SHIFT);
}
