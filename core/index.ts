// Exports of core.wasm.
export * from './hypervisor/index';
export { pcpu_deadline, pcpu_init, pcpu_run } from './hypervisor/schedule';
