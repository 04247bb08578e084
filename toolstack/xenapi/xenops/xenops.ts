/**
 * How the API drives a host's hypervisor: our own, or a simulator. Machines go by the UUID of their VM. A refusal is thrown as
 * XenAPI's failure; that a machine has ended is told, whoever ended it.
 */
export interface Cpu {
  vendor: string;
  model: string;
  mhz: number;
}

/** What is true of a host, as its records tell it. */
export interface HostFacts {
  hostname: string;
  /** Bytes. */
  memory: number;
  cpus: Cpu[];
  /** Version of Xen's interface. */
  xen: string;
  capabilities: string[];
  /** Hypervisor's features of the CPU, as XenAPI writes them. */
  features: string;
  scheduler: string;
}

/** Everything that a domain is made of. */
export interface MachineDescription {
  uuid: string;
  name: string;
  kind: 'pv' | 'pvh' | 'hvm';
  /** Bytes: at the start, and at most. */
  memory: number;
  maxMemory: number;
  vcpus: number;
  maxVcpus: number;
  kernel: string;
  ramdisk: string;
  commandLine: string;
  bootloader: string;
  bootloaderArgs: string;
  disks: { device: string; path: string; format: string; readonly: boolean; cd: boolean; bootable: boolean }[];
  nics: { device: string; mac: string; bridge: string; mtu: number }[];
}

/** Why a domain has stopped. */
export type Reason = 'poweroff' | 'reboot' | 'crash' | 'suspend' | 'destroyed';

export interface Xenops {
  /** What guests can have. */
  readonly supports: { disks: boolean; nics: boolean; hvm: boolean };
  facts(): HostFacts;
  /** Bytes that a new domain could get. */
  freeMemory(): number;
  /** Returns the domain's number. */
  start(machine: MachineDescription, paused: boolean): Promise<number>;
  pause(uuid: string): void;
  unpause(uuid: string): void;
  /** Asks the guest; whether it obeys is seen by its end. */
  ask(uuid: string, what: 'poweroff' | 'reboot'): void;
  destroy(uuid: string): void;
  /** Bytes. */
  setMemoryTarget(uuid: string, bytes: number): void;
  memoryOf(uuid: string): number;
  setVcpus(uuid: string, count: number): void;
  sysrq(uuid: string, key: string): void;
  trigger(uuid: string, trigger: string): void;
  /** The hypervisor's console. */
  dmesg(clear: boolean): string;
  debugKeys(keys: string): void;
  /** Told once for each domain that has stopped; what is left of it is to be destroyed. */
  onEnd: (uuid: string, reason: Reason) => void;
}
