// Exports of core.wasm.
export * from './hypervisor/index';
export { pcpu_deadline, pcpu_init, pcpu_run, pcpu_one_run } from './hypervisor/schedule';
export { translator_answered, translator_enable, translator_take } from './translator/sampler';
export {
  regions_ended_slice,
  regions_one_by_one,
  region_epoch,
  region_install,
  region_vacant,
} from './translator/regions';
export { region_count, translator_count } from './translator/counters';
export { cpu_stop_at, engine_set_trace } from './engine/cpu_run';
export {
  cpu_refresh,
  cpu_run_for,
  cpu_single_step,
  domain_frame,
  frame_changed,
  region_run,
  region_want,
} from './engine/inspect';
