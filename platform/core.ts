// core.wasm: loading it, and an instance over a machine's memory.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bellOf } from './box.ts';

/** What core.wasm exports (core/index.ts): addresses are byte offsets of machine memory, statuses 0 or -errno. */
export interface Core {
  host_init(
    wasmPages: number,
    tablesSize: number,
    pcpus: number,
    flags: number,
    clockBase: number,
    wallclock: number,
  ): number;
  host_set_flags(flags: number): void;
  host_tables(): number;
  host_text(): number;
  /** The console's first lines; the texts are in place. */
  console_start(): void;
  frames_free(): number;
  /** Address of a domain's frame, 0 if there is no memory. */
  domain_frame(domid: number, gfn: number): number;
  /** 0, or what is wrong: see test/invariants.ts. */
  invariants_check(): number;
  invariants_a(): number;
  invariants_b(): number;
  pcpu_init(id: number): void;
  pcpu_run(id: number, stretches: number): number;
  /** System time in ns, negative = none. */
  pcpu_deadline(id: number): number;
  pcpu_doorbell(id: number): number;
  pcpu_ring(id: number): void;
  service_create(domid: number, flags: number, label: number, pages: number): number;
  service_destroy(domid: number): number;
  service_call(domid: number): number;
  service_mailbox(domid: number): number;
  service_slot(domid: number): number;
  service_mailbox_data(): number;
  service_mailbox_size(): number;
  service_bell_all(): number;
  log_head(): number;
  log_ring(): number;
  log_ring_size(): number;
  domain_count(): number;
  domain_cpu(domid: number, vcpu: number): number;
  domain_crash_page(domid: number): number;
  domain_state(domid: number): number;
  host_use_xsm(module: number): void;
  xsm_deny(label: number, hook: number): number;
  engine_set_trace(on: number): void;
  /** One tick of the profiler: every pCPU is asked for a sample. */
  profile_tick(): void;
  /** A sample whenever a vCPU has retired this many instructions, 0 = none. */
  profile_period(instructions: number): void;
  debug_buffer(): number;
  debug_stop(domid: number): number;
  debug_is_still(domid: number): number;
  debug_release(domid: number, vcpu: number, step: number): number;
  debug_go(domid: number): void;
  debug_hit(domid: number): number;
  debug_hit_address(): bigint;
  debug_vcpu_up(domid: number, vcpu: number): number;
  debug_memory(domid: number, vcpu: number, va: bigint, length: number, write: number): number;
  debug_point(domid: number, kind: number, va: bigint, length: number, on: number): number;
  debug_flags(domid: number, vcpu: number): bigint;
  debug_set_flags(domid: number, vcpu: number, value: bigint): number;
  debug_set_base(domid: number, vcpu: number, which: number, base: bigint): number;
  /** Functions that core.wasm calls: regions go here. */
  table: WebAssembly.Table;
  translator_enable(on: number): void;
  translator_take(pcpu: number): void;
  translator_answered(pcpu: number): number;
  region_install(slot: number, fn: number): number;
  region_epoch(): number;
  /** A place in the table that a dead region had, told once; 0 = there is none. */
  region_vacant(): number;
  pcpu_one_run(on: number): void;
  cpu_stop_at(retired: number): void;
  regions_one_by_one(on: number): void;
  regions_ended_slice(): number;
  translator_count(what: number): number;
  region_count(pcpu: number, counter: number): number;
}

/** What translator.wasm exports (core/translator/index.ts). */
export interface Translator {
  translator_posted(): number;
  translator_next(): number;
  translator_run(slot: number): number;
  translator_module(): number;
  translator_pcpu(slot: number): number;
  translator_answer(pcpu: number): void;
  translator_drop(slot: number): void;
}

export interface CoreImage {
  module: WebAssembly.Module;
  translator: WebAssembly.Module;
  /** The decoder's tables, generated from spec/x86. */
  tables: Uint8Array;
}

const built = (name: string): Buffer => readFileSync(fileURLToPath(new URL(`../build/${name}`, import.meta.url)));

export function loadCore(): CoreImage {
  return {
    module: new WebAssembly.Module(new Uint8Array(built('core.wasm'))),
    translator: new WebAssembly.Module(new Uint8Array(built('translator.wasm'))),
    tables: new Uint8Array(built('x86.tables')),
  };
}

/** Nanoseconds of a clock that all threads share; `base` is its value at the host's start. */
export function clockSince(base: bigint): () => number {
  return () => Number(process.hrtime.bigint() - base);
}

/** Called before every instruction of a traced vCPU: its offset in CS, the address of its bytes, their number. */
export type TraceInstruction = (ripLow: number, ripHigh: number, at: number, length: number) => void;

/** What an instance calls beside the clock. */
export interface Hooks {
  trace?: TraceInstruction | undefined;
  /** The words that wake service workers (box.ts). */
  bells?: Int32Array;
  /** Copies between machine memory and the heap of the service whose call is being carried out; 0: there is none, or no such part of it. */
  heapCopy?: (ptr: number, heap: number, length: number, out: number) => number;
}

export function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  clock: () => number,
  { trace = () => {}, bells, heapCopy = () => 0 }: Hooks = {},
): Core {
  const abort = (_message: number, _file: number, line: number, column: number): never => {
    throw new Error(`core.wasm stopped itself at ${line}:${column}`);
  };
  const wake = (slot: number): void => {
    if (!bells) return;
    Atomics.add(bells, bellOf(slot), 1);
    Atomics.notify(bells, bellOf(slot));
  };
  const env = { memory, abort, clock_ns: clock, trace_insn: trace, service_wake: wake, heap_copy: heapCopy };
  return new WebAssembly.Instance(module, { env }).exports as unknown as Core;
}

export * from '../core/hypervisor/log_codes.ts';
