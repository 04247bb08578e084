// Sizes of the processor that the policy (spec/x86/cpuid.ts) announces and the checks of this folder enforce.

/** Guest-physical address width, CPUID 0x80000008 EAX[7:0]. */
export const PHYS_BITS: u64 = 46;
/** Bits above the guest-physical width. */
export const PHYS_RESERVED: u64 = ~(((<u64>1) << PHYS_BITS) - 1);

/** Bits 63-47 are equal (48-bit linear addresses). Addresses of 32-bit modes always pass. */
@inline export function canonical(va: u64): bool {
  return ((<i64>va) << 16) >> 16 == <i64>va;
}
