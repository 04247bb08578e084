// A host machine: its memory, its pCPUs, and the instance of the core through which this thread serves the service domains.
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads';
import { CON_TEXT_AT } from '../core/hypervisor/console_text.ts';
import { consoleTextBytes } from '../core/hypervisor/console_texts.ts';
import { versionTextBytes } from '../core/hypervisor/version_text.ts';
import { BELLS } from './box.ts';
import { yieldCompilers } from './compilers.ts';
import { clockSince, instantiate, loadCore, type Core, type CoreImage, type TraceInstruction } from './core.ts';
import type { PcpuData } from './pcpu.ts';
import { regionCounts, Regions, type RegionCounts } from './regions.ts';
import type { SamplerData } from './sampler.ts';
import type { GateData } from './gate.ts';
import { ServicePort } from './service.ts';
import { Gate, ServiceDomain } from './service_domain.ts';
import type { ThreadSpan } from './span.ts';
import { Translator } from './translator.ts';
import type { TranslatorData } from './translator_worker.ts';

export interface MachineOptions {
  /** Bytes of machine memory for domains. */
  memory: number;
  pcpus?: number;
  /** One pCPU on this thread, time from the instruction count: drive it with `step`. */
  deterministic?: boolean;
  /** Translate hot code (the default); else everything is interpreted. */
  translate?: boolean;
  trace?: { hypercalls?: boolean; events?: boolean; runs?: boolean; instruction?: TraceInstruction };
  /** Samples a second of what the pCPUs do, as log records; a deterministic machine takes them by instructions instead. */
  profile?: number;
}

type WorkerData = PcpuData | TranslatorData | SamplerData | GateData;

const WASM_PAGE = 0x10000;
/** DOMAIN_WORKER (core/hypervisor/domain.ts). */
const SERVICE_WORKER = 256;
/** Tables, frame table, pCPU areas and the hypervisor's own pages, beside the domains' memory. */
const OWN_MEMORY = 64 << 20;
const PCPU_AREA = 48 << 20;
/** Of which decoded code has so much, or more on a host with more memory (core/shared/host.ts). */
const CODE_ARENA = { min: 32 << 20, max: 128 << 20, share: 1 / 8 };
const MAX_PAGES = 0x10000;
const FLAGS = { deterministic: 1, hypercalls: 2, events: 4, runs: 8 };
/** What virtual time takes an instruction for (core/hypervisor/time.ts), per second. */
const VIRTUAL_IPS = 1e9 / 8;
const MORE = 1;
const STRETCHES_BETWEEN_LOOKS = 1;
const LONG_MS = 1 << 30;

/** WebAssembly pages of a machine whose domains have so many bytes. What decoded code takes depends on the whole, itself included. */
function machinePages(memory: number, pcpus: number): number {
  const { min, max, share } = CODE_ARENA;
  const base = memory * 1.01 + OWN_MEMORY + pcpus * PCPU_AREA;
  const codeOf = (bytes: number): number => Math.min(max, Math.max(min, bytes * share));
  let bytes = base;
  for (let code = min; codeOf(bytes) > code; bytes = base + pcpus * (code - min)) code = codeOf(bytes);
  return Math.min(MAX_PAGES, Math.ceil(bytes / WASM_PAGE));
}

function machineMemory(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  } catch {
    throw new Error(`this system does not give ${pages / 16} MiB of address space; give the guest less memory.`);
  }
}

/** Requests for translations (those with nothing to translate in them, those that failed by a mistake of ours), and the regions' counters. */
export type Translation = Record<'requests' | 'empty' | 'failed', number> & RegionCounts;

export class Machine {
  readonly memory: WebAssembly.Memory;
  readonly core: Core;
  readonly deterministic: boolean;
  /** Runs on this thread, one slice at a time: deterministic, or traced by instruction. */
  readonly inline: boolean;
  /** Milliseconds since 1970 at the host's start. */
  readonly wallclock: number;
  readonly #workers: Worker[] = [];
  readonly #translator?: Translator;
  readonly #regions?: Regions;
  readonly #words: Int32Array;
  readonly #bell: number;
  readonly #pcpus: number;
  readonly #image: CoreImage;
  readonly #clockBase: bigint;
  readonly #bells = new SharedArrayBuffer(4 * BELLS);
  #gate: Gate | undefined;
  #stopped = false;
  #failure: (error: Error) => void = () => {};
  /** Who has not said that a mistake of the translator's is to be borne is told of a failure. */
  #untranslated: (error: Error) => void = (error) => this.#failure(error);
  #span: ((span: ThreadSpan) => void) | undefined;
  /** Nanoseconds since the host's start: its system time, as long as no debugger has stopped it. */
  readonly now: () => number;

  constructor(options: MachineOptions, image: CoreImage = loadCore()) {
    this.#image = image;
    const pcpus = (this.#pcpus = options.pcpus ?? 1);
    this.deterministic = options.deterministic ?? false;
    this.inline = this.deterministic || options.trace?.instruction !== undefined;
    const pages = machinePages(options.memory, pcpus);
    this.memory = machineMemory(pages);
    const clockBase = (this.#clockBase = process.hrtime.bigint());
    this.now = clockSince(clockBase);
    this.core = instantiate(image.module, this.memory, this.now, {
      trace: options.trace?.instruction,
      bells: new Int32Array(this.#bells),
    });
    let flags = this.deterministic ? FLAGS.deterministic : 0;
    if (options.trace?.hypercalls) flags |= FLAGS.hypercalls;
    if (options.trace?.events) flags |= FLAGS.events;
    if (options.trace?.runs) flags |= FLAGS.runs;
    // A deterministic host starts at a fixed date.
    this.wallclock = this.deterministic ? Date.UTC(2026, 0, 1) : Date.now();
    if (this.core.host_init(pages, image.tables.length, pcpus, flags, 0, this.wallclock * 1e6) !== 0)
      throw new Error(`${pages * WASM_PAGE} bytes of machine memory are not enough for the hypervisor itself.`);
    const bytes = new Uint8Array(this.memory.buffer);
    bytes.set(image.tables, this.core.host_tables());
    bytes.set(versionTextBytes(), this.core.host_text());
    bytes.set(consoleTextBytes(), this.core.host_text() + CON_TEXT_AT);
    this.core.console_start();
    this.#words = new Int32Array(this.memory.buffer);
    this.#bell = this.core.service_bell_all() >>> 2;
    const translate = (options.translate ?? true) && !options.trace?.instruction;
    if (translate && !this.inline) yieldCompilers();
    if (this.inline) {
      this.core.pcpu_init(0);
      if (options.trace?.instruction) this.core.engine_set_trace(1);
      if (translate) {
        this.core.translator_enable(1);
        const sink = { now: this.now, span: (span: ThreadSpan) => this.#span?.(span) };
        const failed = (error: Error): void => this.#untranslated(error);
        this.#translator = new Translator(
          image.translator,
          this.memory,
          options.trace?.runs ? sink : undefined,
          failed,
        );
        this.#regions = new Regions(this.core, this.memory);
      }
    } else this.#start(image, pcpus, clockBase, translate, options.trace?.runs ?? false);
    if (options.profile === undefined) return;
    if (this.inline) this.core.profile_period(Math.ceil(VIRTUAL_IPS / options.profile));
    else {
      const data: SamplerData = { module: image.module, memory: this.memory, clockBase, hz: options.profile };
      this.#worker('./sampler.ts', data, []);
    }
  }

  #start(image: CoreImage, pcpus: number, clockBase: bigint, translate: boolean, spans: boolean): void {
    const ports: MessagePort[] = [];
    for (let id = 0; id < pcpus; id++) {
      const data: PcpuData = { module: image.module, memory: this.memory, id, clockBase, bells: this.#bells };
      if (translate) {
        const { port1, port2 } = new MessageChannel();
        ports.push(port1);
        data.answers = port2;
      }
      this.#worker('./pcpu.ts', data, data.answers ? [data.answers] : []);
    }
    if (!translate) return;
    const data: TranslatorData = { module: image.translator, memory: this.memory, ports, ...(spans && { clockBase }) };
    this.#worker('./translator_worker.ts', data, ports);
  }

  #worker(file: string, workerData: WorkerData, transferList: MessagePort[]): Worker {
    const worker = new Worker(new URL(file, import.meta.url), { workerData, transferList });
    // A worker's own account of what took it time, or why code could not be translated.
    worker.on('message', (message: { span?: ThreadSpan; untranslated?: string }) => {
      if (message.span) this.#span?.(message.span);
      if (message.untranslated !== undefined) this.#untranslated(new Error(message.untranslated));
    });
    worker.on('error', (error) => {
      this.#failure(error as Error);
      this.ring();
    });
    this.#workers.push(worker);
    return worker;
  }

  /** A pCPU failed: the host is in an unknown state. */
  onFailure(callback: (error: Error) => void): void {
    this.#failure = callback;
  }

  /** The translator could not translate what it should: that code is interpreted, and everything else goes on. */
  onUntranslated(callback: (error: Error) => void): void {
    this.#untranslated = callback;
  }

  /** What all pCPUs have done with translated code, and what became of the requests for it. */
  get translation(): Translation {
    const counts = Array.from({ length: this.#pcpus }, (_, id) => regionCounts(this.core, id));
    const sum = (name: keyof RegionCounts): number => counts.reduce((total, one) => total + one[name], 0);
    const [requests, empty, failed] = [0, 1, 2].map((what) => this.core.translator_count(what) >>> 0);
    const regions = Object.fromEntries(Object.keys(counts[0]!).map((name) => [name, sum(name as keyof RegionCounts)]));
    return { requests: requests!, empty: empty!, failed: failed!, ...(regions as RegionCounts) };
  }

  /** Somebody draws what the host's threads do: from now on they are asked to tell. */
  onSpan(callback: (span: ThreadSpan) => void): void {
    this.#span = callback;
  }

  /** Work of a thread, told to whoever draws it; costs nothing else when nobody does. */
  timed<T>(thread: string, name: string, work: () => T, worth: (result: T) => boolean = () => true): T {
    if (!this.#span) return work();
    const start = this.now();
    const result = work();
    if (worth(result)) this.#span({ thread, name, start, duration: this.now() - start });
    return result;
  }

  /** A new service domain. Flags: it may do what domain 0 may; it is the xenstore domain. */
  service(domid: number, flags: { privileged?: boolean; xenstore?: boolean } = {}, label = 0, pages = 32): ServicePort {
    const rc = this.core.service_create(domid, (flags.privileged ? 1 : 0) | (flags.xenstore ? 2 : 0), label, pages);
    if (rc !== 0) throw new Error(`service domain ${domid}: errno ${-rc}`);
    return new ServicePort(this.core, this.memory, domid, pages);
  }

  /** A new service domain whose code is a worker thread. */
  workerService(domid: number, flags: { privileged?: boolean } = {}, label = 0, pages = 32): ServiceDomain {
    const rc = this.core.service_create(domid, (flags.privileged ? 1 : 0) | SERVICE_WORKER, label, pages);
    if (rc !== 0) throw new Error(`service domain ${domid}: errno ${-rc}`);
    return new ServiceDomain(this.#openGate(), domid, this.core.service_slot(domid), pages);
  }

  #openGate(): Gate {
    if (this.#gate) return this.#gate;
    const { module } = this.#image;
    const data: GateData = { module, memory: this.memory, clockBase: this.#clockBase, bells: this.#bells };
    return (this.#gate = new Gate(this.#worker('./gate.ts', data, []), this.#bells));
  }

  /** The count that grows when a service has an event or a domain stops. */
  get bell(): number {
    return Atomics.load(this.#words, this.#bell);
  }

  /** Somebody on this side has work for whoever waits for the bell. */
  ring(): void {
    Atomics.add(this.#words, this.#bell, 1);
    Atomics.notify(this.#words, this.#bell);
  }

  /** Resolves when the bell no longer shows `seen`, or after `ms`. */
  async rung(seen: number, ms = Infinity): Promise<void> {
    const wait = Atomics.waitAsync(this.#words, this.#bell, seen, ms);
    if (!wait.async) return;
    // such a wait alone does not keep the process
    const kept = setInterval(() => {}, LONG_MS);
    await wait.value;
    clearInterval(kept);
  }

  /** Milliseconds until an inline machine that has nothing to run has to be stepped again if the bell does not ring. */
  get idleFor(): number {
    const at = this.core.pcpu_deadline(0);
    return at < 0 ? Infinity : Math.max(0, (at - this.now()) / 1e6);
  }

  /** An inline machine runs for one stretch; false = nothing can run until somebody sends an event. */
  step(): boolean {
    const more = this.core.pcpu_run(0, STRETCHES_BETWEEN_LOOKS) === MORE;
    this.#translator?.serve((_pcpu, answer) => this.#regions!.install(answer));
    this.core.translator_take(0);
    return more;
  }

  /** Resident memory of the machine cannot be told from the process's; this is what the domains and the hypervisor were given. */
  get allocatedBytes(): number {
    return this.memory.buffer.byteLength - this.core.frames_free() * 4096;
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
