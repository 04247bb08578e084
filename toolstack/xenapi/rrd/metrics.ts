/** Measures the host and its machines every five seconds. */
import { cpus, loadavg } from 'node:os';
import type { Row } from '../database/row.ts';
import { turn } from '../turns.ts';
import type { Xapi } from '../xapi.ts';
import { KeptRrds } from './kept.ts';
import { Rrd, STEP, type Source } from './rrd.ts';

const KIB = 1024;
export type Owner = 'host' | 'vm' | 'sr';
const CLASS: Record<Owner, string> = { host: 'host', vm: 'VM', sr: 'SR' };

const gauge = (name: string, about: string, units: string, max = Infinity): Source => ({ name, about, units, min: 0, max, kind: 'GAUGE' }); // prettier-ignore
const rate = (name: string, about: string, units: string, max = Infinity): Source => ({ ...gauge(name, about, units, max), kind: 'DERIVE' }); // prettier-ignore

const LOAD = gauge('loadavg', 'Processes that want to run on the machine, for the last minute', '(fraction)');
const CPU_AVG = rate('cpu_avg', 'Mean of all processors’ use', '(fraction)', 1);
const FREE = gauge('memory_free_kib', 'Memory that new machines could get', 'KiB');
const TOTAL = gauge('memory_total_kib', 'Memory for machines', 'KiB');
const TOOLSTACK = gauge('xapi_memory_usage_kib', 'Memory of the host’s process', 'KiB');
const TOOLSTACK_CPU = rate('xapi_cpu', 'Use of processors by the host’s process', '(fraction)');
const RUNNING = gauge('running_domains', 'Machines that run', 'count');
const VM_CPU = rate('cpu_usage', 'Mean of its vCPUs’ use', '(fraction)', 1);
const MEMORY = gauge('memory', 'Memory that it has', 'B');
const TARGET = gauge('memory_target', 'Memory that it should have', 'B');
const INTERNAL = gauge('memory_internal_free', 'Memory that its guest says is free', 'KiB');
const SIZE = gauge('size', 'Bytes of the file system', 'B');
const USED = gauge('physical_utilisation', 'Bytes that its disks take', 'B');

const byName = new Map<string, Source>();
function source(name: string, make: () => Source): Source {
  const known = byName.get(name) ?? make();
  byName.set(name, known);
  return known;
}
const cpuSource = (i: number): Source => source(`cpu${i}`, () => rate(`cpu${i}`, `Use of processor ${i}`, '(fraction)', 1)); // prettier-ignore
const nicSource = (device: number, way: 'rx' | 'tx'): Source =>
  source(`vif_${device}_${way}`, () => rate(`vif_${device}_${way}`, `Bytes that interface ${device} has ${way === 'rx' ? 'received' : 'sent'}`, 'B/s')); // prettier-ignore

/** Counters as they were, for what their change is. */
class Counters {
  readonly #last = new Map<string, { time: number; value: number }>();

  change(name: string, time: number, value: number): number {
    const before = this.#last.get(name);
    this.#last.set(name, { time, value });
    if (!before || time <= before.time || value < before.value) return NaN;
    return (value - before.value) / (time - before.time);
  }
}

interface Measured {
  rrd: Rrd;
  counters: Counters;
  /** When it was written, by `Rrd.updated`. */
  written: number;
}

/** What a host that is killed forgets. */
const WRITE_MS = 30 * 60_000;

export class Metrics {
  readonly #xapi: Xapi;
  readonly #all: Record<Owner, Map<string, Measured>> = { host: new Map(), vm: new Map(), sr: new Map() };
  #timer: NodeJS.Timeout | undefined;
  #busy = false;
  readonly #kept: KeptRrds | undefined;
  #writer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(xapi: Xapi, folder?: string) {
    this.#xapi = xapi;
    this.#kept = folder === undefined ? undefined : new KeptRrds(folder);
  }

  start(): void {
    this.#timer = setInterval(() => {
      if (this.#busy) return;
      void this.measure(Date.now() / 1000).catch((error: Error) => this.#xapi.log(`xenapi: measuring failed: ${error.message}`)); // prettier-ignore
    }, STEP * 1000).unref();
    this.#writer = setInterval(() => void this.write().catch((error: Error) => this.#xapi.log(`xenapi: archives of metrics are not kept: ${error.message}`)), WRITE_MS).unref(); // prettier-ignore
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    clearInterval(this.#writer);
    await this.write().catch(() => {});
  }

  /** Everything that has changed since it was written; at a time one. */
  write(): Promise<void> {
    this.#writing = this.#writing.catch(() => {}).then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const kept = this.#kept;
    if (!kept) return;
    for (const [owner, table] of Object.entries(this.#all))
      for (const [uuid, measured] of [...table]) {
        const { updated } = measured.rrd;
        if (measured.written === updated) continue;
        await kept.write(owner, uuid, measured.rrd);
        // It may have gone while it was written.
        if (table.get(uuid) === measured) measured.written = updated;
        else kept.remove(owner, uuid);
      }
  }

  find(owner: Owner, uuid: string): Rrd | undefined {
    const known = this.#all[owner].get(uuid);
    if (known || !this.#xapi.db.hasUuid(CLASS[owner], uuid)) return known?.rrd;
    const rrd = this.#kept?.read(owner, uuid);
    if (rrd) this.#all[owner].set(uuid, { rrd, counters: new Counters(), written: rrd.updated });
    return rrd;
  }

  *of(owner: Owner): Generator<[string, Rrd]> {
    for (const [uuid, { rrd }] of this.#all[owner]) yield [uuid, rrd];
  }

  #for(owner: Owner, uuid: string): Measured {
    this.find(owner, uuid);
    const known = this.#all[owner].get(uuid) ?? { rrd: new Rrd(), counters: new Counters(), written: 0 };
    this.#all[owner].set(uuid, known);
    return known;
  }

  /** One round; others have their turn in between. */
  async measure(time: number): Promise<void> {
    this.#busy = true;
    try {
      const running = [...this.#xapi.db.table('VM').values()].filter(
        (vm) => vm.text('power_state') === 'Running' && !vm.flag('is_control_domain'),
      );
      this.#host(time, running.length);
      for (const sr of this.#xapi.db.table('SR').values()) {
        const { rrd } = this.#for('sr', sr.uuid);
        rrd.put(time, SIZE, sr.number('physical_size'));
        rrd.put(time, USED, sr.number('physical_utilisation'));
      }
      const nics = await this.#xapi.xenops.traffic();
      for (const vm of running) {
        this.#vm(time, vm, nics.get(vm.uuid) ?? []);
        await turn();
      }
      this.#forget();
    } finally {
      this.#busy = false;
    }
  }

  #host(time: number, running: number): void {
    const { xenops, host } = this.#xapi;
    const { rrd, counters } = this.#for('host', host.uuid);
    let sum = 0;
    const all = cpus();
    all.forEach(({ times }, i) => {
      const { user, nice, sys, irq } = times;
      const use = Math.min(1, counters.change(`cpu${i}`, time, (user + nice + sys + irq) / 1000));
      rrd.put(time, cpuSource(i), use);
      sum += use;
    });
    rrd.put(time, CPU_AVG, sum / all.length);
    rrd.put(time, LOAD, loadavg()[0]);
    rrd.put(time, FREE, Math.max(0, xenops.freeMemory()) / KIB);
    rrd.put(time, TOTAL, xenops.facts().memory / KIB);
    rrd.put(time, RUNNING, running);
    const { user, system } = process.cpuUsage();
    rrd.put(time, TOOLSTACK_CPU, counters.change('xapi', time, (user + system) / 1e6));
    rrd.put(time, TOOLSTACK, process.memoryUsage.rss() / KIB);
  }

  #vm(time: number, vm: Row, nics: readonly { device: number; rx: number; tx: number }[]): void {
    const { db, xenops } = this.#xapi;
    let use: { cpu: number[]; memory: number };
    try {
      use = { cpu: xenops.cpuSeconds(vm.uuid), memory: xenops.memoryOf(vm.uuid) };
    } catch {
      // It has ended meanwhile.
      return;
    }
    const { rrd, counters } = this.#for('vm', vm.uuid);
    let sum = 0;
    use.cpu.forEach((seconds, i) => {
      const part = Math.min(1, counters.change(`cpu${i}`, time, seconds));
      rrd.put(time, cpuSource(i), part);
      sum += part;
    });
    if (use.cpu.length > 0) rrd.put(time, VM_CPU, sum / use.cpu.length);
    rrd.put(time, MEMORY, use.memory);
    rrd.put(time, TARGET, vm.number('memory_target'));
    const free = Number(db.find('VM_guest_metrics', vm.text('guest_metrics'))?.map('other').meminfo_free);
    if (Number.isFinite(free)) rrd.put(time, INTERNAL, free);
    for (const { device, rx, tx } of nics) {
      rrd.put(time, nicSource(device, 'rx'), counters.change(`rx${device}`, time, rx));
      rrd.put(time, nicSource(device, 'tx'), counters.change(`tx${device}`, time, tx));
    }
  }

  /** What is no more has no archives. */
  #forget(): void {
    const { db } = this.#xapi;
    for (const owner of ['vm', 'sr'] as const)
      for (const uuid of this.#all[owner].keys()) {
        if (db.hasUuid(CLASS[owner], uuid)) continue;
        this.#all[owner].delete(uuid);
        this.#kept?.remove(owner, uuid);
      }
  }
}
