/**
 * How the API drives a host's hypervisor: our own, or a simulator. Machines go by the UUID of their VM. A refusal is thrown as
 * XenAPI's failure; that a machine has ended is told, whoever ended it.
 */
import type { Duplex } from 'node:stream';

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
  /** Keys below `vm-data` in xenstore. */
  data: Record<string, string>;
  disks: DiskDescription[];
  nics: NicDescription[];
  /** A frame buffer, keyboard and pointer, beside the text console. */
  framebuffer: boolean;
  /** Its text console is shown to clients. */
  text: boolean;
}

export type ConsoleProtocol = 'rfb' | 'vt100';

export interface DiskDescription {
  /** Position, from 0. */
  device: number;
  /** The image's absolute path; null: a drive without a disc. */
  path: string | null;
  format: 'raw' | 'qcow2' | 'vhd';
  readonly: boolean;
  cd: boolean;
  /** Folder in which what is behind the image has to lie. */
  within?: string;
  /** A machine with a boot loader starts from it. */
  bootable?: boolean;
}

export interface NicDescription {
  device: number;
  mac: string;
  bridge: string;
  /** Tag of the bridge's VLAN that it is in. */
  vlan?: number;
  mtu: number;
  /** The only addresses it may send from; any if empty. */
  addresses: string[];
  /** Bytes a second; 0: any. */
  rate: number;
}

export interface Traffic {
  device: number;
  rx: number;
  tx: number;
}

/** Addresses that a guest is asked to give an interface, by family; none: it is to choose for itself. */
export interface StaticAddress {
  mac: string;
  ipv4?: { address: string; gateway: string };
  ipv6?: { address: string; gateway: string };
}

/** How a running machine's vCPUs are scheduled; what is missing stays. */
export interface VcpuSchedule {
  /** pCPUs that they may run on. */
  mask?: number[];
  weight?: number;
  /** Hundredths of a pCPU; 0: no bound. */
  cap?: number;
}

/** Why a domain has stopped. */
export type Reason = 'poweroff' | 'reboot' | 'crash' | 'suspend' | 'destroyed';

export interface Xenops {
  /** HVM guests can be made. */
  readonly hvm: boolean;
  /** Addresses of the host's interfaces can be set; else they are those of the machine. */
  readonly configures: boolean;
  /** What joins interfaces to networks: only a virtual switch has controllers, tunnels and groups of receivers. */
  readonly backend: 'bridge' | 'openvswitch';
  /** Interfaces of the machine that lead outside. */
  interfaces(): { device: string; mac: string }[];
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
  schedule(uuid: string, schedule: VcpuSchedule): void;
  /** Tells the agents of all guests what they should do, by feature. */
  setAgentFeatures(features: Record<string, Record<string, string>>): void;
  /** Asks the agent in a guest for addresses. */
  setAddress(uuid: string, device: number, address: StaticAddress): void;
  /** Seconds that each of its vCPUs has run. */
  cpuSeconds(uuid: string): number[];
  /** Bytes that its guests have received and sent, by machine. */
  traffic(): Promise<Map<string, Traffic[]>>;
  plugNic(uuid: string, nic: NicDescription): Promise<void>;
  /** `force`: without asking the guest. */
  unplugNic(uuid: string, device: number, force: boolean): Promise<void>;
  plugDisk(uuid: string, disk: DiskDescription): Promise<void>;
  unplugDisk(uuid: string, device: number, force: boolean): Promise<void>;
  /** Another disc, or none, in a drive. */
  changeCd(uuid: string, disk: DiskDescription): Promise<void>;
  /** Does something while nobody has the images of these disks open; the guests wait, and go on with what is there then. */
  whileHeld<T>(disks: readonly { uuid: string; device: number }[], act: () => Promise<T>): Promise<T>;
  /** What its consoles speak, from its start to its end. */
  consoles(uuid: string): ConsoleProtocol[];
  /** Another viewer at the other end of the stream; false if there are too many, or there is no such console. The stream ends with the machine. */
  view(uuid: string, protocol: ConsoleProtocol, stream: Duplex): boolean;
  sysrq(uuid: string, key: string): void;
  trigger(uuid: string, trigger: string): void;
  /** The hypervisor's console. */
  dmesg(clear: boolean): string;
  debugKeys(keys: string): void;
  /** Told once for each domain that has stopped; what is left of it is to be destroyed. */
  onEnd: (uuid: string, reason: Reason) => void;
  /** Told of all that a guest has below `attr`, `data` and `control` in xenstore, when it has changed. */
  onGuest: (uuid: string, keys: ReadonlyMap<string, string>) => void;
}
