/** A host without a hypervisor: machines are entries in a map, that obey. For tests, at scale, and for client authors. */
import type { Duplex } from 'node:stream';
import { connectTerminal } from '../../host/console.ts';
import { Failure } from '../failure.ts';
import { SimulatedConsole } from './simulated_console.ts';
import type {
  ConsoleProtocol,
  DiskDescription,
  HostFacts,
  MachineDescription,
  NicDescription,
  Reason,
  StaticAddress,
  Traffic,
  VcpuSchedule,
  Xenops,
} from './xenops.ts';

/** Part of the time that a simulated vCPU runs. */
const USE = 0.05;

const GIB = 2 ** 30;
const MIB = 2 ** 20;

interface Simulated {
  machine: MachineDescription;
  domid: number;
  paused: boolean;
  memory: number;
  vcpus: number;
  started: number;
  /** Once somebody has looked at it. */
  console?: SimulatedConsole;
  schedule: VcpuSchedule;
  addresses: Map<number, StaticAddress>;
}

export interface SimulatorOptions {
  memory?: number;
  cpus?: number;
  hostname?: string;
  /** Milliseconds from a request to a guest until it obeys; undefined: it does not. */
  obeysAfter?: number;
}

export class Simulator implements Xenops {
  readonly hvm = true;
  readonly configures = true;
  readonly backend = 'openvswitch';
  /** What agents in guests could read. */
  agentFeatures: Record<string, Record<string, string>> = {};
  readonly #machines = new Map<string, Simulated>();
  readonly #options: SimulatorOptions;
  #next = 1;
  #console = '(XEN) simulated hypervisor\n';
  onEnd: (uuid: string, reason: Reason) => void = () => {};
  onGuest: (uuid: string, keys: ReadonlyMap<string, string>) => void = () => {};

  constructor(options: SimulatorOptions = {}) {
    this.#options = { obeysAfter: 0, ...options };
  }

  facts(): HostFacts {
    const { memory = 64 * GIB, cpus = 8, hostname = 'simulated' } = this.#options;
    return {
      hostname,
      memory,
      cpus: Array.from({ length: cpus }, () => ({ vendor: 'GenuineIntel', model: 'Simulated CPU', mhz: 2000 })),
      xen: '4.17.0',
      capabilities: ['xen-3.0-x86_64', 'hvm-3.0-x86_64'],
      features: '',
      scheduler: 'credit2',
    };
  }

  /** Beside those of the machine two that nobody has. */
  interfaces(): { device: string; mac: string }[] {
    return [1, 2].map((n) => ({ device: `sim${n}`, mac: `02:00:00:00:00:0${n}` }));
  }

  freeMemory(): number {
    let free = this.facts().memory;
    for (const { memory } of this.#machines.values()) free -= memory + MIB;
    return free;
  }

  #find(uuid: string): Simulated {
    const found = this.#machines.get(uuid);
    if (!found) throw new Failure('INTERNAL_ERROR', `no domain of ${uuid}`);
    return found;
  }

  async start(machine: MachineDescription, paused: boolean): Promise<number> {
    await Promise.resolve();
    if (this.#machines.has(machine.uuid)) throw new Failure('INTERNAL_ERROR', `there is a domain of ${machine.uuid}`);
    const free = this.freeMemory();
    if (machine.memory > free) throw new Failure('HOST_NOT_ENOUGH_FREE_MEMORY', String(machine.memory), String(free));
    const domid = this.#next++;
    const { memory, vcpus } = machine;
    this.#machines.set(machine.uuid, { machine, domid, paused, memory, vcpus, started: Date.now(), schedule: {}, addresses: new Map() }); // prettier-ignore
    return domid;
  }

  pause(uuid: string): void {
    this.#find(uuid).paused = true;
  }

  unpause(uuid: string): void {
    this.#find(uuid).paused = false;
  }

  ask(uuid: string, what: 'poweroff' | 'reboot'): void {
    const asked = this.#find(uuid);
    const { obeysAfter } = this.#options;
    if (obeysAfter === undefined || asked.paused) return;
    setTimeout(() => this.#machines.get(uuid) === asked && this.onEnd(uuid, what), obeysAfter).unref();
  }

  destroy(uuid: string): void {
    this.#machines.get(uuid)?.console?.console.end();
    this.#machines.delete(uuid);
  }

  /** Of an HVM guest there is a screen alone. */
  consoles(uuid: string): ConsoleProtocol[] {
    const machine = this.#machines.get(uuid)?.machine;
    if (machine?.kind === 'hvm') return ['rfb'];
    return machine?.text ? ['rfb', 'vt100'] : [];
  }

  view(uuid: string, protocol: ConsoleProtocol, stream: Duplex): boolean {
    const found = this.#machines.get(uuid);
    if (!found || !this.consoles(uuid).includes(protocol)) return false;
    const { console, display } = (found.console ??= new SimulatedConsole(found.machine.name));
    if (protocol === 'vt100') connectTerminal(console, stream);
    else if (display.full) return false;
    else display.serve(stream);
    return true;
  }

  setMemoryTarget(uuid: string, bytes: number): void {
    this.#find(uuid).memory = bytes;
  }

  memoryOf(uuid: string): number {
    return this.#find(uuid).memory;
  }

  setVcpus(uuid: string, count: number): void {
    this.#find(uuid).vcpus = count;
  }

  schedule(uuid: string, schedule: VcpuSchedule): void {
    const found = this.#find(uuid);
    found.schedule = { ...found.schedule, ...schedule };
  }

  scheduleOf(uuid: string): VcpuSchedule {
    return this.#find(uuid).schedule;
  }

  setAgentFeatures(features: Record<string, Record<string, string>>): void {
    this.agentFeatures = features;
  }

  setAddress(uuid: string, device: number, address: StaticAddress): void {
    this.#find(uuid).addresses.set(device, address);
  }

  addressOf(uuid: string, device: number): StaticAddress | undefined {
    return this.#find(uuid).addresses.get(device);
  }

  cpuSeconds(uuid: string): number[] {
    const { vcpus, started } = this.#find(uuid);
    return Array.from({ length: vcpus }, () => ((Date.now() - started) / 1000) * USE);
  }

  traffic(): Promise<Map<string, Traffic[]>> {
    const none = ({ device }: NicDescription): Traffic => ({ device, rx: 0, tx: 0 });
    return Promise.resolve(new Map([...this.#machines].map(([uuid, { machine }]) => [uuid, machine.nics.map(none)])));
  }

  /** What a machine has now, by position. */
  devices(uuid: string): { disks: number[]; nics: number[] } {
    const { disks, nics } = this.#find(uuid).machine;
    return { disks: disks.map(({ device }) => device), nics: nics.map(({ device }) => device) };
  }

  #change(uuid: string, change: (machine: MachineDescription) => Partial<MachineDescription>): Promise<void> {
    const found = this.#find(uuid);
    found.machine = { ...found.machine, ...change(found.machine) };
    return Promise.resolve();
  }

  plugNic(uuid: string, nic: NicDescription): Promise<void> {
    return this.#change(uuid, ({ nics }) => ({ nics: [...nics, nic] }));
  }

  unplugNic(uuid: string, device: number): Promise<void> {
    return this.#change(uuid, ({ nics }) => ({ nics: nics.filter((nic) => nic.device !== device) }));
  }

  plugDisk(uuid: string, disk: DiskDescription): Promise<void> {
    return this.#change(uuid, ({ disks }) => ({ disks: [...disks, disk] }));
  }

  unplugDisk(uuid: string, device: number): Promise<void> {
    return this.#change(uuid, ({ disks }) => ({ disks: disks.filter((disk) => disk.device !== device) }));
  }

  changeCd(uuid: string, disk: DiskDescription): Promise<void> {
    return this.#change(uuid, ({ disks }) => ({
      disks: disks.map((old) => (old.device === disk.device ? disk : old)),
    }));
  }

  whileHeld<T>(_disks: readonly unknown[], act: () => Promise<T>): Promise<T> {
    return act();
  }

  sysrq(uuid: string, key: string): void {
    this.#console += `(XEN) sysrq ${key} for domain ${this.#find(uuid).domid}\n`;
  }

  trigger(uuid: string, trigger: string): void {
    this.#console += `(XEN) ${trigger} for domain ${this.#find(uuid).domid}\n`;
  }

  dmesg(clear: boolean): string {
    const text = this.#console;
    if (clear) this.#console = '';
    return text;
  }

  debugKeys(keys: string): void {
    this.#console += `(XEN) keys ${keys}\n`;
  }

  /** A guest that stops by itself. */
  end(uuid: string, reason: Reason): void {
    this.#find(uuid);
    this.onEnd(uuid, reason);
  }
}
