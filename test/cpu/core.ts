// core.wasm with one domain whose vCPU is driven from outside: the seam between the recorded cases and the engine.
import '../lazy_regions.ts';
import { createDomain, Service } from '../hypervisor.ts';
import { instantiate, loadCore } from '../../platform/core.ts';
import { Regions } from '../../platform/regions.ts';
import { Translator } from '../../platform/translator.ts';
import { PAGES, type Stepper } from './engine.ts';

const WASM_PAGES = 1024;

/** A fresh host with one domain of one vCPU, driven from this thread; the translator is beside it. */
export function openCore(): Stepper {
  const memory = new WebAssembly.Memory({ initial: WASM_PAGES, maximum: 65536, shared: true });
  const { module, translator, tables } = loadCore();
  const core = instantiate(module, memory, () => 0);
  const x = core as unknown as Record<string, (...args: (number | bigint)[]) => number>;
  if (core.host_init(WASM_PAGES, tables.length, 1, 0, 0, 0) !== 0) throw new Error('host_init');
  new Uint8Array(memory.buffer).set(tables, core.host_tables() >>> 0);
  core.pcpu_init(0);
  if (core.service_create(0, 1, 0, 32) !== 0) throw new Error('service_create');
  const domid = createDomain(new Service({ memory, x }, 0), PAGES);
  const frames = Array.from({ length: PAGES }, (_, gfn) => x.domain_frame!(domid, gfn) >>> 0);
  // page 0 may lie elsewhere: the p2m's own pages are allocated with the first
  const ram = frames[1]! - 0x1000;
  if (frames.some((at, gfn) => gfn > 0 && at !== ram + (gfn << 12))) throw new Error('the domain has scattered frames');
  const cpu = core.domain_cpu(domid, 0) >>> 0;
  const regions = new Regions(core, memory);
  const works = new Translator(translator, memory);
  core.translator_enable(1);
  const region = (): number => {
    if (!x.region_want!(cpu)) return -1;
    works.serve((_pcpu, answer) => regions.install(answer));
    return x.region_run!(cpu);
  };
  return { memory, cpu, ram, refresh: () => x.cpu_refresh!(cpu), step: () => x.cpu_single_step!(cpu), region };
}
