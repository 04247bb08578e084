// Exports of core.wasm.
export * from './hypervisor/index';
export { pcpu_deadline, pcpu_init, pcpu_run } from './hypervisor/schedule';
export { engine_set_trace } from './engine/cpu_run';
export { cpu_refresh, cpu_single_step, domain_frame } from './engine/inspect';
