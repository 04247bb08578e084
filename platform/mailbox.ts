// What a service domain has instead of machine memory: hypercalls, and bytes of its own pseudo-physical space.

/** A service's only way to the hypervisor. Addresses are in the service's own pseudo-physical space. */
export interface Mailbox {
  readonly domid: number;
  /** First address and size in bytes of the RAM the service was given; its hypercall arguments live there. */
  readonly ram: { gpa: number; size: number };
  /** Runs a hypercall as this domain; handles in its arguments are pseudo-physical addresses. Negative = -errno. */
  hypercall(nr: number, ...args: (number | bigint)[]): bigint;
  /** Throws RangeError where nothing is mapped. */
  read(gpa: number, length: number): Uint8Array;
  write(gpa: number, bytes: Uint8Array): void;
}
