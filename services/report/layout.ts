// Offsets of the fields that reports read: of the domain's page, and of a vCPU's pages counted from its Cpu. They are the field order of
// core/hypervisor/domain.ts and vcpu.ts; services/report/layout.test.ts holds them against the sources.
const VCPU = 4096;

export const crashFields = {
  // Domain
  reason: 148,
  vcpu: 152,
  bytes: 832,
  bytesLength: 848,
  // Cpu
  /** PvCpu.kernel_root, 0 if the guest is none. */
  kernelRoot: 3264 + 4,
  // Vcpu
  timeRunning: VCPU + 96,
  ringNext: VCPU + 208,
  hypercalls: VCPU + 240,
  exitsHlt: VCPU + 248,
  exitsIo: VCPU + 256,
  slices: VCPU + 264,
  upcalls: VCPU + 272,
  interrupts: VCPU + 280,
  exitsBudget: VCPU + 288,
  /** Hypercalls by number, 64 × u32. */
  calls: VCPU + 512,
};
