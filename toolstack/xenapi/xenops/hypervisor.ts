/** xenops on our own hypervisor: VMs become domains beside those of `xl`, and nobody but this looks after them. */
import type { Duplex } from 'node:stream';
import { isAbsolute, join, normalize, relative } from 'node:path';
import { cpus, hostname, networkInterfaces } from 'node:os';
import {
  SHUTDOWN_crash,
  SHUTDOWN_poweroff,
  SHUTDOWN_reboot,
  SHUTDOWN_suspend,
  XEN_DOMCTL_SENDTRIGGER_NMI,
  XEN_DOMCTL_SENDTRIGGER_POWER,
  XEN_DOMCTL_SENDTRIGGER_SLEEP,
} from '../../../spec/abi/constants.ts';
import { bootloaderOptions, type Bootloader } from '../../config/bootloader.ts';
import { vdevNumber, type DiskConfig } from '../../config/disk.ts';
import { checkName, type DomainConfig } from '../../config/domain.ts';
import { ConfigError } from '../../config/syntax.ts';
import type { VfbConfig } from '../../config/vfb.ts';
import type { VifConfig } from '../../config/vif.ts';
import { Refused } from '../../control/refused.ts';
import type { Domain, Domains, Happening } from '../../host/domains.ts';
import { attachDisk, changeCd, detachDisk } from '../../host/disks.ts';
import { connectTerminal } from '../../host/console.ts';
import { pacerOf } from '../../host/displays.ts';
import { TextDisplay } from '../../host/text_display.ts';
import { attachNic, createWithDevices, detachNic } from '../../host/nics.ts';
import { DEFAULT_NETWORK, NetworkError } from '../../../services/xenops/vifs.ts';
import { OrderError } from '../../../services/lib/supervisor.ts';
import { sendSysrq } from '../../host/guest_control.ts';
import { prepare } from '../../host/images.ts';
import { hostInfo, pinVcpu, sendTrigger } from '../../host/inquiries.ts';
import { domainPath } from '../../../services/xenstore/protocol/path.ts';
import { Failure } from '../failure.ts';
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

/** Where a guest's agent writes. */
const SPOKEN = ['attr', 'data', 'control'];
const TOGETHER_MS = 200;
/** A guest may write more, up to xenstore's quota; nobody reads that. */
const MAX_KEYS = 1000;
const MAX_DEPTH = 4;

const KIB = 1024;
const PAGE = 4096;
const REASONS: Record<number, Reason> = {
  [SHUTDOWN_poweroff]: 'poweroff',
  [SHUTDOWN_reboot]: 'reboot',
  [SHUTDOWN_suspend]: 'suspend',
  [SHUTDOWN_crash]: 'crash',
};
const TRIGGERS: Record<string, number> = {
  nmi: XEN_DOMCTL_SENDTRIGGER_NMI,
  power: XEN_DOMCTL_SENDTRIGGER_POWER,
  sleep: XEN_DOMCTL_SENDTRIGGER_SLEEP,
};

/** Whoever may make VMs may not thereby read the host's files: kernels come from one folder, which the host's owner fills. */
export function bootFile(folder: string, field: string, path: string): string {
  const whole = normalize(isAbsolute(path) ? path : join(folder, path));
  const inside = relative(folder, whole);
  if (inside === '' || inside.startsWith('..') || isAbsolute(inside) || path.includes('\0'))
    throw new Failure('INVALID_VALUE', field, path);
  return whole;
}

/** The hypervisor's or the builder's refusal, for a client. */
function told<T>(act: () => T): T {
  try {
    return act();
  } catch (error) {
    const known = error instanceof Refused || error instanceof NetworkError || error instanceof OrderError;
    throw known ? new Failure('INTERNAL_ERROR', `xenopsd: ${error.message}`) : error;
  }
}

async function toldLater<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    return told(() => {
      throw error;
    });
  }
}

/** A machine whose kernel lies on its own disk: the bootable one, else the first. */
function bootloaderOf({ uuid, bootloader, bootloaderArgs, disks }: MachineDescription): Bootloader | undefined {
  if (bootloader === '') return undefined;
  if (bootloader !== 'pygrub') throw new Failure('BOOTLOADER_FAILED', uuid, `there is pygrub, but no ${bootloader}`);
  const own = disks.filter(({ cd, path }) => !cd && path !== null).sort((a, b) => a.device - b.device);
  const disk = own.find(({ bootable }) => bootable) ?? own[0];
  if (!disk) throw new Failure('BOOTLOADER_FAILED', uuid, 'pygrub reads from a disk, and the VM has none');
  const args = bootloaderArgs.split(/\s+/).filter(Boolean);
  try {
    bootloaderOptions(args);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new Failure('INVALID_VALUE', 'PV_bootloader_args', bootloaderArgs);
  }
  return { name: 'pygrub', args, source: disk.path! };
}

/** Paths on the machine's own disk, if its configuration there is not to count. */
const onDisk = ({ kernel, ramdisk }: MachineDescription): Pick<DomainConfig, 'kernel' | 'ramdisk'> => ({
  kernel: kernel === '' ? undefined : kernel,
  ramdisk: ramdisk === '' ? undefined : ramdisk,
});

const vdevOf = (device: number): string => `xvd${String.fromCharCode(97 + device)}`;

function diskConfig({ device, path, format, readonly, cd, within }: DiskDescription): DiskConfig {
  const vdev = vdevOf(device);
  return { target: path, format, vdev, number: vdevNumber(vdev)!, readonly, cdrom: cd, discard: !readonly, within };
}

function vifConfig({ device, mac, bridge, vlan, mtu, addresses, rate }: NicDescription): VifConfig {
  // What passes in 50 ms may come at once, as by Xen's own default.
  const limit =
    rate === 0 ? undefined : { text: `${rate}B/s`, bytesPerSecond: rate, burst: Math.max(1, Math.floor(rate / 20)) };
  return {
    mac,
    bridge,
    ip: addresses,
    rate: limit,
    vlan: vlan === undefined ? undefined : String(vlan),
    vifname: undefined,
    devid: device,
    mtu,
    trusted: false,
  };
}

/** A screen that is reached through the API alone. */
const FRAMEBUFFER: VfbConfig = {
  ...{ vnc: false, listen: '127.0.0.1', display: undefined, unused: true, password: '', keymap: undefined },
};

interface Running {
  domain: Domain;
  /** Its text console, drawn. */
  text: TextDisplay | undefined;
}

export class Hypervisor implements Xenops {
  readonly hvm = false;
  readonly configures = false;
  readonly backend = 'bridge';
  readonly #domains: Domains;
  readonly #boot: string;
  readonly #machines = new Map<string, Running>();
  onEnd: (uuid: string, reason: Reason) => void = () => {};
  onGuest: (uuid: string, keys: ReadonlyMap<string, string>) => void = () => {};
  /** Watches of guests' keys, by machine. */
  readonly #watches = new Map<string, () => void>();

  /** `boot`: the folder with kernels. */
  constructor(domains: Domains, boot: string) {
    this.#domains = domains;
    this.#boot = boot;
    domains.listen((happening) => this.#happened(happening));
  }

  #happened({ domid, what, reason }: Happening): void {
    if (what !== 'shutdown' && what !== 'destroyed') return;
    for (const [uuid, { domain }] of this.#machines) {
      if (domain.domid !== domid) continue;
      const why = what === 'destroyed' ? 'destroyed' : (REASONS[reason!] ?? 'crash');
      if (what === 'destroyed') {
        this.#machines.delete(uuid);
        this.#unwatch(uuid);
      }
      // Not in the midst of what is happening.
      setImmediate(() => this.onEnd(uuid, why));
    }
  }

  facts(): HostFacts {
    const { physical, version, scheduler } = hostInfo(this.#domains);
    const [first] = cpus();
    const cpu = { vendor: 'GenuineIntel', model: first?.model.trim() ?? '', mhz: physical.khz / 1000 };
    return {
      hostname: hostname(),
      memory: physical.totalPages * PAGE,
      cpus: Array.from({ length: physical.cpus }, () => cpu),
      xen: `${version.major}.${version.minor}${version.extra}`,
      capabilities: version.capabilities.trim().split(/\s+/),
      features: physical.hwCaps.map((word) => word.toString(16).padStart(8, '0')).join('-'),
      scheduler: scheduler === 0 ? 'rr' : String(scheduler),
    };
  }

  freeMemory(): number {
    return this.#domains.calls.freeBytes();
  }

  #name({ name, uuid }: MachineDescription): string {
    try {
      checkName(name);
    } catch {
      return uuid;
    }
    // VMs may have one name, domains may not.
    return this.#domains.named(name) === undefined ? name : uuid;
  }

  #config(machine: MachineDescription): DomainConfig {
    const { kind, uuid, vcpus, maxVcpus, kernel, ramdisk, commandLine } = machine;
    const disks = machine.disks.map(diskConfig);
    const bootloader = bootloaderOf(machine);
    if (!bootloader && kernel === '') throw new Failure('INVALID_VALUE', 'PV_kernel', kernel);
    const memory = Math.ceil(machine.memory / KIB);
    return {
      ...{
        type: kind === 'pv' ? 'pv' : 'pvh',
        name: this.#name(machine),
        uuid,
        bootloader,
        disks,
        vifs: machine.nics.map(vifConfig),
        channels: [],
        vfbs: machine.framebuffer ? [FRAMEBUFFER] : [],
        p9s: [],
        cmdline: commandLine,
        memory,
        vcpus,
        maxVcpus,
      },
      ...(bootloader ? onDisk(machine) : this.#files(kernel, ramdisk)),
      maxMemory: Math.max(memory, Math.ceil(machine.maxMemory / KIB)),
      ...{
        onPoweroff: 'preserve',
        onReboot: 'preserve',
        onWatchdog: 'preserve',
        onCrash: 'preserve',
        onSoftReset: 'preserve',
      },
    };
  }

  #files(kernel: string, ramdisk: string): Pick<DomainConfig, 'kernel' | 'ramdisk'> {
    return {
      kernel: bootFile(this.#boot, 'PV_kernel', kernel),
      ramdisk: ramdisk === '' ? undefined : bootFile(this.#boot, 'PV_ramdisk', ramdisk),
    };
  }

  async start(machine: MachineDescription, paused: boolean): Promise<number> {
    const config = this.#config(machine);
    await prepare(config);
    await this.#bridges(machine.nics);
    const options = { source: '', paused, unattended: true };
    const domain = await toldLater(async () => {
      try {
        return await createWithDevices(this.#domains, config, options);
      } catch (error) {
        if (!(error instanceof Refused && error.message.startsWith('pygrub '))) throw error;
        throw new Failure('BOOTLOADER_FAILED', machine.uuid, error.message);
      }
    });
    const text = machine.text ? new TextDisplay(machine.name, domain.console, pacerOf(this.#domains)) : undefined;
    this.#machines.set(machine.uuid, { domain, text });
    const path = domainPath(domain.domid);
    for (const [key, value] of Object.entries(machine.data)) this.#domains.store.write(`${path}/vm-data/${key}`, value);
    this.#watch(machine.uuid, path);
    return domain.domid;
  }

  /** A guest's agent writes many keys, one after the other: they are told together. */
  #watch(uuid: string, path: string): void {
    const { store } = this.#domains;
    let timer: NodeJS.Timeout | undefined;
    const told = (): void => {
      timer = undefined;
      const keys = new Map<string, string>();
      for (const folder of SPOKEN) this.#collect(path, folder, keys, 0);
      this.onGuest(uuid, keys);
    };
    const changed = (): void => void (timer ??= setTimeout(told, TOGETHER_MS).unref());
    const ends = SPOKEN.map((folder) => store.watch(`${path}/${folder}`, changed));
    this.#watches.set(uuid, () => {
      clearTimeout(timer);
      for (const end of ends) end();
    });
  }

  #collect(path: string, at: string, keys: Map<string, string>, depth: number): void {
    const { store } = this.#domains;
    const value = store.find(`${path}/${at}`);
    if (value === undefined || keys.size >= MAX_KEYS) return;
    if (value !== '') keys.set(at, value);
    if (depth < MAX_DEPTH)
      for (const name of store.list(`${path}/${at}`)) this.#collect(path, `${at}/${name}`, keys, depth + 1);
  }

  #unwatch(uuid: string): void {
    this.#watches.get(uuid)?.();
    this.#watches.delete(uuid);
  }

  /** Networks are made when the first guest is plugged into them; but the default one they lead nowhere. */
  async #bridges(nics: readonly NicDescription[]): Promise<void> {
    const { vifs } = this.#domains.host;
    const there = new Set((await vifs.networks()).map(({ name }) => name)).add(DEFAULT_NETWORK);
    for (const { bridge } of nics)
      if (!there.has(bridge)) {
        there.add(bridge);
        await toldLater(() => vifs.add(bridge, { nat: undefined }));
      }
  }

  async plugNic(uuid: string, nic: NicDescription): Promise<void> {
    await this.#bridges([nic]);
    await toldLater(() => attachNic(this.#domains, this.#domid(uuid), vifConfig(nic)));
  }

  unplugNic(uuid: string, device: number, force: boolean): Promise<void> {
    return toldLater(() => detachNic(this.#domains, this.#domid(uuid), String(device), force));
  }

  plugDisk(uuid: string, disk: DiskDescription): Promise<void> {
    return toldLater(() => attachDisk(this.#domains, this.#domid(uuid), diskConfig(disk)));
  }

  unplugDisk(uuid: string, device: number, force: boolean): Promise<void> {
    return toldLater(() => detachDisk(this.#domains, this.#domid(uuid), vdevOf(device), force));
  }

  changeCd(uuid: string, disk: DiskDescription): Promise<void> {
    const { path, device } = disk;
    const target = path === null ? null : diskConfig(disk);
    return toldLater(() => changeCd(this.#domains, this.#domid(uuid), vdevOf(device), target));
  }

  whileHeld<T>(disks: readonly { uuid: string; device: number }[], act: () => Promise<T>): Promise<T> {
    const list = disks.flatMap(({ uuid, device }) => {
      const domid = this.#machines.get(uuid)?.domain.domid;
      return domid === undefined ? [] : [{ domid, number: vdevNumber(vdevOf(device))! }];
    });
    return this.#domains.host.disks.whileHeld(list, act);
  }

  #domid(uuid: string): number {
    const machine = this.#machines.get(uuid);
    if (!machine) throw new Failure('INTERNAL_ERROR', `there is no domain of ${uuid}`);
    return machine.domain.domid;
  }

  consoles(uuid: string): ConsoleProtocol[] {
    const machine = this.#machines.get(uuid);
    if (!machine) return [];
    const { domain, text } = machine;
    return [...(domain.displays.length > 0 || text ? (['rfb'] as const) : []), ...(text ? (['vt100'] as const) : [])];
  }

  view(uuid: string, protocol: ConsoleProtocol, stream: Duplex): boolean {
    const machine = this.#machines.get(uuid);
    if (!machine || !this.consoles(uuid).includes(protocol)) return false;
    const { domain, text } = machine;
    if (protocol === 'vt100') connectTerminal(domain.console, stream);
    else {
      const [display] = domain.displays;
      if ((display?.server ?? text!).full) return false;
      if (display) display.server.serve(stream, true);
      else text!.serve(stream);
    }
    return true;
  }

  pause(uuid: string): void {
    told(() => this.#domains.pause(this.#domid(uuid)));
  }

  unpause(uuid: string): void {
    told(() => this.#domains.unpause(this.#domid(uuid)));
  }

  ask(uuid: string, what: 'poweroff' | 'reboot'): void {
    this.#domains.store.write(`${domainPath(this.#domid(uuid))}/control/shutdown`, what);
  }

  destroy(uuid: string): void {
    const domain = this.#machines.get(uuid)?.domain;
    this.#machines.delete(uuid);
    this.#unwatch(uuid);
    if (domain && this.#domains.peek(domain.domid) === domain) this.#domains.destroy(domain.domid);
  }

  setMemoryTarget(uuid: string, bytes: number): void {
    told(() => this.#domains.setMemoryTarget(this.#domid(uuid), Math.floor(bytes / KIB)));
  }

  memoryOf(uuid: string): number {
    return (this.#domains.calls.domain(this.#domid(uuid))?.pages ?? 0) * PAGE;
  }

  setVcpus(uuid: string, count: number): void {
    told(() => this.#domains.setVcpus(this.#domid(uuid), count));
  }

  /** All vCPUs of our scheduler have the same right to a pCPU. */
  schedule(uuid: string, { mask, weight, cap }: VcpuSchedule): void {
    if (weight !== undefined || cap !== undefined)
      throw new Failure('OPERATION_NOT_ALLOWED', 'the scheduler knows neither weights nor caps');
    const domid = this.#domid(uuid);
    const bits = (mask ?? []).reduce((sum, pcpu) => sum + 2 ** pcpu, 0);
    const last = this.#domains.calls.domain(domid)?.maxVcpu ?? -1;
    for (let vcpu = 0; vcpu <= last; vcpu++) told(() => pinVcpu(this.#domains, domid, vcpu, bits, null));
  }

  /** All guests may read it, and find it where XenServer's agents look. */
  setAgentFeatures(features: Record<string, Record<string, string>>): void {
    const { store } = this.#domains;
    const root = '/guest_agent_features';
    const write = (path: string, value: string): void => {
      store.write(path, value);
      store.setPerms(path, ['r0']);
    };
    if (store.find(root) !== undefined) store.remove(root);
    write(root, '');
    for (const [feature, parameters] of Object.entries(features)) {
      write(`${root}/${feature}`, '');
      write(`${root}/${feature}/licensed`, '1');
      write(`${root}/${feature}/parameters`, '');
      for (const [key, value] of Object.entries(parameters)) write(`${root}/${feature}/parameters/${key}`, value);
    }
  }

  setAddress(uuid: string, device: number, { mac, ipv4, ipv6 }: StaticAddress): void {
    const { store } = this.#domains;
    const domid = this.#domid(uuid);
    const path = `${domainPath(domid)}/xenserver/device/vif/${device}/static-ip-setting`;
    const values: Record<string, string> = {
      ...{ mac, 'error-code': '', 'error-msg': '' },
      ...{ address: ipv4?.address ?? '', gateway: ipv4?.gateway ?? '' },
      ...{ address6: ipv6?.address ?? '', gateway6: ipv6?.gateway ?? '' },
      // The agent acts when these change, so they come last.
      ...{ enabled: ipv4 ? '1' : '0', enabled6: ipv6 ? '1' : '0' },
    };
    for (const [key, value] of Object.entries(values)) {
      store.write(`${path}/${key}`, value);
      // The guest says there how it went.
      store.setPerms(`${path}/${key}`, [`n${domid}`]);
    }
  }

  interfaces(): { device: string; mac: string }[] {
    return Object.entries(networkInterfaces()).flatMap(([device, list]) => {
      const outside = list?.find(({ internal }) => !internal);
      return outside ? [{ device, mac: outside.mac }] : [];
    });
  }

  cpuSeconds(uuid: string): number[] {
    const domid = this.#domid(uuid);
    const { calls } = this.#domains;
    const count = (calls.domain(domid)?.maxVcpu ?? -1) + 1;
    return Array.from({ length: count }, (_, i) => (calls.vcpu(domid, i)?.cpuTime ?? 0) / 1e9);
  }

  async traffic(): Promise<Map<string, Traffic[]>> {
    const { vifs } = this.#domains.host;
    const found = new Map<string, Traffic[]>();
    if (!vifs.service) return found;
    const machines = new Map([...this.#machines].map(([uuid, { domain }]) => [domain.domid, uuid]));
    for (const network of await vifs.networks())
      for (const { name, sentBytes, receivedBytes } of (await vifs.service.facts(network)).vifs) {
        const [, domid, device] = /^vif(\d+)\.(\d+)$/.exec(name) ?? [];
        const uuid = machines.get(Number(domid));
        if (uuid === undefined) continue;
        const list = found.get(uuid) ?? [];
        found.set(uuid, [...list, { device: Number(device), rx: receivedBytes, tx: sentBytes }]);
      }
    return found;
  }

  sysrq(uuid: string, key: string): void {
    if (key.length !== 1) throw new Failure('INVALID_VALUE', 'key', key);
    told(() => sendSysrq(this.#domains, this.#domid(uuid), key));
  }

  trigger(uuid: string, trigger: string): void {
    const number = TRIGGERS[trigger];
    if (number === undefined) throw new Failure('INVALID_VALUE', 'trigger', trigger);
    told(() => sendTrigger(this.#domains, this.#domid(uuid), number, 0));
  }

  dmesg(clear: boolean): string {
    return this.#domains.calls.readConsole(clear).toString();
  }

  debugKeys(keys: string): void {
    if (!/^[\x20-\x7e]{1,64}$/.test(keys)) throw new Failure('INVALID_VALUE', 'keys', keys);
    told(() => this.#domains.calls.debugKeys(keys));
  }
}
