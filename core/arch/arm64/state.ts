// State of an A64 processing element, as far as the instructions of spec/arm64 go. Slots are 8 bytes; micro-ops hold slot numbers.

@unmanaged
export class Arm64 {
  x0: u64; // slots 0..30: X0..X30
}

/** Slot 31 is SP; register 31 as the zero register reads slot 32, which is always 0, and writes slot 33, which nobody reads. */
export const SLOT_SP: u32 = 31;
/** PSTATE.N, Z, C, V: a slot each, 0 or 1. */
export const SLOT_N: u32 = 34;
export const SLOT_Z: u32 = 35;
export const SLOT_C: u32 = 36;
export const SLOT_V: u32 = 37;
/** Program counter when no micro-op stands for it; page of the code being run. */
export const SLOT_PC: u32 = 38;
export const SLOT_PAGE: u32 = 39;
/** Exception syndrome and fault address (ESR_ELx, FAR_ELx) of the exception that is pending. */
export const SLOT_ESR: u32 = 40;
export const SLOT_FAR: u32 = 41;
/** Software TLB table (u32); why execution left: 0 go on at PC, 1 exception, 2 again. */
export const STATE_TLB: usize = 336;
export const STATE_EXIT: usize = 340;
export const STATE_SIZE: usize = 352;

export const LEFT_EXCEPTION: u32 = 1;
export const LEFT_RETRY: u32 = 2;

/** Exception classes (Arm ARM, ESR_ELx.EC): unknown reason; data abort without a change of exception level. */
export const EC_UNKNOWN: u32 = 0;
export const EC_DATA_ABORT: u32 = 0x25;
/** Data fault status codes (ESR_ELx.ISS.DFSC). */
export const DFSC_TRANSLATION_3: u32 = 7;
export const DFSC_ALIGNMENT: u32 = 0x21;
